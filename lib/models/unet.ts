/**
 * U-Net for diffusion (Ho et al. 2020; Nichol & Dhariwal 2021), in two layouts of the same blocks.
 *
 *     x -> first convolution -> levels down -> middle -> levels up, each block behind one skip -> last convolution
 *     time -> sines and cosines (dim) -> Linear(4 dim) -> GELU -> Linear(4 dim) (+ the condition's) = context
 *
 *     residual block: x -> [3x3 -> norm -> (scale + 1), + shift from the context -> activation] -> [3x3 -> norm -> activation] -> (+ 1x1 of x)
 *
 *     "ddpm":   7x7 first; group norm, SiLU; per level two blocks, linear attention, down (3x3 at the last); middle: block,
 *               attention, block; up the same with the first skips last; a block and a 1x1 at the end
 *     "cs231n": the assignment's: 3x3 first; RMS norm over channels, GELU; per level two blocks, down; no attention; up first,
 *               then two blocks; its weights load by name
 */
import { expect, show } from "../errors.js";
import { Dropout, GELU, Identity, SiLU } from "../nn/activation.js";
import { ModuleList, Sequential } from "../nn/container.js";
import { Conv2d } from "../nn/conv.js";
import { GroupNorm } from "../nn/groupNorm.js";
import { Embedding, Linear } from "../nn/linear.js";
import { type Layer, Module } from "../nn/module.js";
import { type Parameter, parameter } from "../nn/parameter.js";
import { Upsample } from "../nn/resample.js";
import { greaterEqual, where } from "../ops/arithmetic.js";
import { scaledDotProductAttention } from "../ops/attention.js";
import { arange, full, ones, zeros } from "../ops/create.js";
import { split, unbind } from "../ops/join.js";
import { rand } from "../ops/random.js";
import { cat } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { share, wholeNumber } from "./options.js";

type Layout = "ddpm" | "cs231n";

/** x / |x| sqrt(c) g over the channels of each place. */
class ChannelRMSNorm extends Module {
  readonly g: Parameter;

  constructor(channels: number) {
    super();
    this.g = parameter(() => ones([1, channels, 1, 1]));
  }

  forward(x: Tensor): Tensor {
    const length = x.square().sum(1, { keepDims: true }).sqrt().clamp(1e-12, Number.POSITIVE_INFINITY);
    return x.div(length).mul(this.g).mul(Math.sqrt(x.shape[1]!));
  }
}

class ConvBlock extends Module {
  readonly proj: Conv2d;
  readonly norm: Layer;
  readonly act: Layer;

  constructor(from: number, to: number, layout: Layout, groups: number) {
    super();
    this.proj = new Conv2d(from, to, 3, { padding: 1 });
    this.norm = layout === "ddpm" ? new GroupNorm(groups, to) : new ChannelRMSNorm(to);
    this.act = layout === "ddpm" ? new SiLU() : new GELU();
  }

  forward(x: Tensor, scaleShift: readonly [Tensor, Tensor] | null = null): Tensor {
    const y = this.norm.forward(this.proj.forward(x));
    return this.act.forward(scaleShift ? y.mul(scaleShift[0].add(1)).add(scaleShift[1]) : y);
  }
}

class ResidualBlock extends Module {
  readonly mlp: Sequential;
  readonly block1: ConvBlock;
  readonly block2: ConvBlock;
  readonly resConv: Layer;
  readonly dropout: Dropout;

  constructor(from: number, to: number, context: number, layout: Layout, groups: number, dropout: number) {
    super();
    this.mlp = new Sequential(layout === "ddpm" ? new SiLU() : new GELU(), new Linear(context, 2 * to));
    this.block1 = new ConvBlock(from, to, layout, groups);
    this.block2 = new ConvBlock(to, to, layout, groups);
    this.resConv = from === to ? new Identity() : new Conv2d(from, to, 1);
    this.registerKey("resConv", "res_conv");
    this.dropout = new Dropout(dropout);
  }

  forward(x: Tensor, context: Tensor): Tensor {
    const both = this.mlp.forward(context);
    const parts = split(both.reshape([...both.shape, 1, 1]), both.shape[1]! / 2, 1) as [Tensor, Tensor];
    const y = this.block2.forward(this.dropout.forward(this.block1.forward(x, parts)));
    return y.add(this.resConv.forward(x));
  }
}

/** x + attention of places to places over the normalised x: by softmax, or linear in their number (Shen et al. 2018). */
class SpatialAttention extends Module {
  readonly norm: GroupNorm;
  readonly toQkv: Conv2d;
  readonly toOut: Conv2d;

  constructor(
    channels: number,
    readonly heads: number,
    readonly headDim: number,
    readonly linear: boolean,
  ) {
    super();
    this.norm = new GroupNorm(1, channels);
    this.toQkv = new Conv2d(channels, 3 * heads * headDim, 1, { bias: false });
    this.toOut = new Conv2d(heads * headDim, channels, 1);
    this.registerKey("toQkv", "to_qkv");
    this.registerKey("toOut", "to_out");
  }

  forward(x: Tensor): Tensor {
    const { heads, headDim } = this;
    const [n, , h, w] = x.shape as [number, number, number, number];
    const qkv = this.toQkv.forward(this.norm.forward(x)).reshape([n, 3, heads, headDim, h * w]);
    const [q, k, v] = unbind(qkv, 1) as [Tensor, Tensor, Tensor]; // [n, heads, d, places]
    let y: Tensor;
    if (this.linear) {
      const summary = k.softmax(3).matmul(v.transpose(2, 3)); // [n, heads, d, d]
      y = summary.transpose(2, 3).matmul(q.softmax(2).mul(headDim ** -0.5));
    } else {
      const rows = [q, k, v].map((t) => t.transpose(2, 3)) as [Tensor, Tensor, Tensor];
      y = scaledDotProductAttention(...rows).transpose(2, 3);
    }
    return x.add(this.toOut.forward(y.reshape([n, heads * headDim, h, w])));
  }
}

/** Sines, then cosines, of t at dim / 2 wavelengths from 2 pi to 20,000 pi. */
class TimeEmbedding extends Module {
  constructor(readonly dim: number) {
    super();
  }

  forward(t: Tensor): Tensor {
    const half = this.dim / 2;
    const steps = arange(0, half, 1, { dtype: "float64" });
    const rates = steps.mul(-Math.log(10_000) / Math.max(1, half - 1)).exp();
    const angles = t.to("float64").unsqueeze(1).mul(rates);
    return cat([angles.sin(), angles.cos()], 1).to(t.dtype);
  }
}

const upsample = (from: number, to: number, mode: "nearest" | "bilinear"): Sequential =>
  new Sequential(new Upsample({ scaleFactor: 2, mode }), new Conv2d(from, to, 3, { padding: 1 }));

/** Options of UNet. */
export interface UNetOptions {
  /** Channels of the first level: a multiple of `groups` in the layout "ddpm", and even. Default 64. */
  dim?: number;
  /** Channels of the pictures. Default 3. */
  channels?: number;
  /** Channels of the prediction. Default those of the pictures. */
  outChannels?: number;
  /** Channels of the levels, times dim; one level or more. Default [1, 2, 4, 8]. */
  dimMults?: readonly number[];
  /** Features of a condition: a vector [n, conditionDim]. Default: none. */
  conditionDim?: number | null;
  /** Classes: the condition is a label int32 [n] instead. Default: none. */
  classes?: number | null;
  /** Share of training samples whose condition is left out, for guidance without a classifier, from 0 to 1. Default 0.1. */
  conditionDropout?: number;
  /** Default "ddpm". */
  layout?: Layout;
  /** Groups of the group normalisations in the layout "ddpm". Default 8. */
  groups?: number;
  /** Heads of the attention, 32 features each. Default 4. */
  heads?: number;
  /** Between a block's convolutions. Default 0; 0.1 in the layout "cs231n". */
  dropout?: number;
}

/**
 * The network of a diffusion model: noisy pictures and times to predictions.
 *
 * @throws RangeError for both conditionDim and classes, no levels, a dim that groups do not divide, or a conditionDropout
 *   out of range; ShapeError in forward for sides that the levels do not halve evenly
 * @example
 * const network = new models.UNet({ dim: 8, channels: 1, dimMults: [1, 2], classes: 10 });
 * const t = full([2], 7, { dtype: "int32" });
 * const y = network.forward(zeros([2, 1, 8, 8]), t, full([2], 3, { dtype: "int32" })); // [2, 1, 8, 8]
 */
export class UNet extends Module {
  /** The first convolution. */
  readonly initConv: Conv2d;
  /** Times to the context, [n, 4 dim]. */
  readonly timeMlp: Sequential;
  /** Conditions to the context; null without conditionDim. */
  readonly conditionMlp: Sequential | null;
  /** Labels to the context, the last row for none; null without classes. */
  readonly labelEmbedding: Embedding | null;
  /** Levels on the way down. */
  readonly downs = new ModuleList<ModuleList<Module>>();
  /** Levels on the way up. */
  readonly ups = new ModuleList<ModuleList<Module>>();
  /** First of the middle. */
  readonly midBlock1: Module;
  /** Between the middle's blocks; null in the layout "cs231n". */
  readonly midAttn: Layer | null;
  /** Second of the middle. */
  readonly midBlock2: Module;
  /** The last block; null in the layout "cs231n". */
  readonly finalResBlock: Module | null;
  /** 1x1, to the prediction. */
  readonly finalConv: Conv2d;
  /** Options with their defaults. */
  readonly options: Readonly<Required<UNetOptions>>;

  /** Random weights, from the default generator. */
  constructor(given: UNetOptions = {}) {
    super();
    const options: Required<UNetOptions> = {
      dim: 64,
      channels: 3,
      outChannels: given.channels ?? 3,
      dimMults: [1, 2, 4, 8],
      conditionDim: null,
      classes: null,
      conditionDropout: 0.1,
      layout: "ddpm",
      groups: 8,
      heads: 4,
      dropout: given.layout === "cs231n" ? 0.1 : 0,
      ...given,
    };
    const { dim, channels, outChannels, dimMults, conditionDim, classes, layout, groups, heads, dropout } = options;
    for (const [name, n] of Object.entries({ dim, channels, outChannels, groups, heads })) wholeNumber("UNet", name, n);
    if (dimMults.length === 0)
      throw new RangeError("UNet: expected dimMults of one level or more, such as [1, 2, 4, 8], got []");
    for (const m of dimMults) wholeNumber("UNet", "dimMults", m);
    share("UNet", "conditionDropout", options.conditionDropout);
    if (layout !== "ddpm" && layout !== "cs231n")
      throw new RangeError(`UNet: expected layout to be "ddpm" or "cs231n", got ${JSON.stringify(layout)}`);
    if (dim % 2 !== 0) throw new RangeError(`UNet: expected an even dim, got ${dim}`);
    if (layout === "ddpm" && dim % groups !== 0)
      throw new RangeError(
        `UNet: expected a dim that is a multiple of the ${groups} groups, got ${dim}; take dim ${Math.ceil(dim / groups) * groups}, or other groups`,
      );
    if (conditionDim !== null && classes !== null)
      throw new RangeError("UNet: expected conditionDim or classes, got both");
    this.options = options;
    const assignment = layout === "cs231n";
    const context = 4 * dim;
    const dims = [dim, ...dimMults.map((m) => dim * m)];
    const block = (from: number, to: number) => new ResidualBlock(from, to, context, layout, groups, dropout);
    const attention = (c: number, linear: boolean) => new SpatialAttention(c, heads, 32, linear);
    const mlp = (from: number, first: Module[] = []) =>
      new Sequential(...(first as Layer[]), new Linear(from, context), new GELU(), new Linear(context, context));

    this.initConv = assignment
      ? new Conv2d(channels, dim, 3, { padding: 1 })
      : new Conv2d(channels, dim, 7, { padding: 3 });
    this.timeMlp = mlp(dim, [new TimeEmbedding(dim)]);
    this.conditionMlp = conditionDim === null ? null : mlp(wholeNumber("UNet", "conditionDim", conditionDim));
    this.labelEmbedding = classes === null ? null : new Embedding(wholeNumber("UNet", "classes", classes) + 1, context);
    const levels = dimMults.length;
    for (let i = 0; i < levels; i++) {
      const [a, b] = [dims[i]!, dims[i + 1]!];
      const last = i === levels - 1;
      this.downs.append(
        new ModuleList<Module>(
          assignment
            ? [block(a, a), block(a, a), new Conv2d(a, b, 2, { stride: 2 })]
            : [
                block(a, a),
                block(a, a),
                attention(a, true),
                last ? new Conv2d(a, b, 3, { padding: 1 }) : new Conv2d(a, b, 4, { stride: 2, padding: 1 }),
              ],
        ),
      );
    }
    const mid = dims[levels]!;
    this.midBlock1 = block(mid, mid);
    this.midAttn = assignment ? null : attention(mid, false);
    this.midBlock2 = block(mid, mid);
    for (let i = levels - 1; i >= 0; i--) {
      const [a, b] = [dims[i]!, dims[i + 1]!];
      this.ups.append(
        new ModuleList<Module>(
          assignment
            ? [upsample(b, a, "bilinear"), block(2 * a, a), block(2 * a, a)]
            : [
                block(b + a, b),
                block(b + a, b),
                attention(b, true),
                i === 0 ? new Conv2d(b, a, 3, { padding: 1 }) : upsample(b, a, "nearest"),
              ],
        ),
      );
    }
    this.finalResBlock = assignment ? null : block(2 * dim, dim);
    this.finalConv = new Conv2d(dim, outChannels, 1);
    for (const [property, key] of [
      ["initConv", "init_conv"],
      ["timeMlp", "time_mlp"],
      ["conditionMlp", "condition_mlp"],
      ["labelEmbedding", "label_embedding"],
      ["midBlock1", "mid_block1"],
      ["midAttn", "mid_attn"],
      ["midBlock2", "mid_block2"],
      ["finalResBlock", "final_res_block"],
      ["finalConv", "final_conv"],
    ] as const)
      this.registerKey(property, key);
  }

  /**
   * Noisy pictures [n, c, h, w] at times t [n] to the prediction [n, outChannels, h, w].
   *
   * @param condition float [n, conditionDim], or labels int32 [n]; null: none
   */
  forward(x: Tensor, t: Tensor, condition: Tensor | null = null): Tensor {
    const { channels, dimMults, layout } = this.options;
    const unit = 2 ** (layout === "cs231n" ? dimMults.length : dimMults.length - 1);
    const [n, c, h, w] = x.shape as [number, number, number, number];
    expect(
      x.ndim === 4 && c === channels && h % unit === 0 && w % unit === 0,
      "UNet",
      `pictures [n,${channels},h,w] with sides that are multiples of ${unit}`,
      show(x.shape),
    );
    expect(t.ndim === 1 && t.shape[0] === n, "UNet", `times [${n}]`, show(t.shape));
    const context = this.#context(t.to(x.dtype), condition, n);
    return layout === "cs231n" ? this.#assignment(x, context) : this.#ddpm(x, context);
  }

  #context(t: Tensor, condition: Tensor | null, n: number): Tensor {
    const { conditionDim, classes, conditionDropout: p } = this.options;
    const time = this.timeMlp.forward(t);
    const drops = this.training && p > 0 && condition !== null;
    if (this.conditionMlp) {
      let given = condition ?? zeros([n, conditionDim!], { dtype: t.dtype });
      expect(
        show(given.shape) === show([n, conditionDim!]),
        "UNet",
        `a condition [${n},${conditionDim}]`,
        show(given.shape),
      );
      if (drops) given = given.mul(greaterEqual(rand([n, 1]), p).to(given.dtype));
      return time.add(this.conditionMlp.forward(given));
    }
    if (this.labelEmbedding) {
      const none = full([n], classes!, { dtype: "int32" });
      let labels = condition ?? none;
      expect(labels.ndim === 1 && labels.shape[0] === n, "UNet", `labels [${n}]`, show(labels.shape));
      labels = labels.to("int32");
      if (drops) labels = where(greaterEqual(rand([n]), p), labels, none);
      return time.add(this.labelEmbedding.forward(labels));
    }
    expect(condition === null, "UNet", "no condition (neither conditionDim nor classes were given)", "one");
    return time;
  }

  #assignment(x: Tensor, context: Tensor): Tensor {
    const skips: Tensor[] = [];
    let y = this.initConv.forward(x);
    for (const level of this.downs) {
      const [a, b, down] = [...level] as [ResidualBlock, ResidualBlock, Conv2d];
      y = a.forward(y, context);
      skips.push(y);
      y = b.forward(y, context);
      skips.push(y);
      y = down.forward(y);
    }
    y = (this.midBlock1 as ResidualBlock).forward(y, context);
    y = (this.midBlock2 as ResidualBlock).forward(y, context);
    for (const level of this.ups) {
      const [up, a, b] = [...level] as [Sequential, ResidualBlock, ResidualBlock];
      y = a.forward(cat([up.forward(y), skips.pop()!], 1), context);
      y = b.forward(cat([y, skips.pop()!], 1), context);
    }
    return this.finalConv.forward(y);
  }

  #ddpm(x: Tensor, context: Tensor): Tensor {
    const skips: Tensor[] = [];
    const first = this.initConv.forward(x);
    let y = first;
    for (const level of this.downs) {
      const [a, b, attention, down] = [...level] as [ResidualBlock, ResidualBlock, Layer, Layer];
      y = a.forward(y, context);
      skips.push(y);
      y = b.forward(y, context);
      skips.push(y);
      y = down.forward(attention.forward(y));
    }
    y = (this.midBlock1 as ResidualBlock).forward(y, context);
    y = (this.midBlock2 as ResidualBlock).forward(this.midAttn!.forward(y), context);
    for (const level of this.ups) {
      const [a, b, attention, up] = [...level] as [ResidualBlock, ResidualBlock, Layer, Layer];
      y = a.forward(cat([y, skips.pop()!], 1), context);
      y = b.forward(cat([y, skips.pop()!], 1), context);
      y = up.forward(attention.forward(y));
    }
    return this.finalConv.forward((this.finalResBlock as ResidualBlock).forward(cat([y, first], 1), context));
  }
}
