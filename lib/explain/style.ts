/**
 * Style transfer (Gatys, Ecker & Bethge, "Image style transfer using convolutional neural networks", 2016), with CS231n's
 * scaling of the losses.
 */
import { grad } from "../autograd.js";
import { capture } from "../capture.js";
import { expect, show } from "../errors.js";
import { noGrad } from "../graph.js";
import { type GeneratorOption, rand } from "../ops/random.js";
import { Adam } from "../optim/index.js";
import { Tensor } from "../tensor.js";
import type { PixelRange } from "./common.js";

/** weight times the sum of (now - content)^2 over the maps. */
export const contentLoss = (now: Tensor, content: Tensor, weight = 1): Tensor =>
  now.sub(content).square().sum().mul(weight);

/**
 * Products of maps with each other, summed over places: [n, c, h, w] to [n, c, c].
 *
 * @param options normalize: divided by c h w. Default true
 */
export function gramMatrix(maps: Tensor, { normalize = true }: { normalize?: boolean } = {}): Tensor {
  expect(maps.ndim === 4, "gramMatrix", "maps [n,c,h,w]", show(maps.shape));
  const [n, c, h, w] = maps.shape as [number, number, number, number];
  const rows = maps.reshape([n, c, h * w]);
  const gram = rows.matmul(rows.transpose(1, 2));
  return normalize ? gram.div(c * h * w) : gram;
}

/** Sum over layers of weight times the squares of the Gram matrices' difference. */
export const styleLoss = (now: readonly Tensor[], style: readonly Tensor[], weights: readonly number[]): Tensor => {
  const fits = now.length > 0 && now.length === style.length && now.length === weights.length;
  expect(
    fits,
    "styleLoss",
    "as many maps, Gram matrices and weights",
    `${now.length}, ${style.length}, ${weights.length}`,
  );
  return now
    .map((maps, i) => gramMatrix(maps).sub(style[i]!).square().sum().mul(weights[i]!))
    .reduce((a, b) => a.add(b));
};

/** weight times the squares of differences between pixels below and beside each other. */
export function totalVariationLoss(x: Tensor, weight = 1): Tensor {
  expect(x.ndim === 4, "totalVariationLoss", "pictures [n,c,h,w]", show(x.shape));
  const down = x.slice(null, null, [1]).sub(x.slice(null, null, [0, -1]));
  const across = x.slice(null, null, null, [1]).sub(x.slice(null, null, null, [0, -1]));
  return down.square().sum().add(across.square().sum()).mul(weight);
}

/** Options of styleTransfer(). */
export interface StyleTransferOptions extends GeneratorOption {
  /**
   * What the picture begins as: the content, even noise over `range`, or a picture of the content's shape. From noise, with
   * the style's weights 0 the content is found again from its maps; with the content's 0 the style's texture comes. Default
   * "content".
   */
  init?: "content" | "noise" | Tensor;
  /** Which of the maps is the content. Default the last but one. */
  contentLayer?: number;
  /** Default 6e-2; 0: the content does not count. */
  contentWeight?: number;
  /** Which of the maps are the style. Default: all. */
  styleLayers?: readonly number[];
  /** One a style layer. Default 1,000 each; a layer of 0 does not count. */
  styleWeights?: readonly number[];
  /** Default 2e-2. */
  tvWeight?: number;
  /** Default 200. */
  steps?: number;
  /** Of Adam; a tenth of it in the last tenth. Default 0.05. */
  learningRate?: number;
  /** Bounds of a pixel. Default [-1.5, 1.5]. */
  range?: PixelRange;
  /** Called and awaited every `logEvery` steps and after the last, with the loss before that step. */
  onStep?: (step: number, loss: number, picture: Tensor) => void | Promise<void>;
  /** Default 50. */
  logEvery?: number;
}

/**
 * The content of one picture in the style of another. The network's own gradients stay as they are.
 *
 * @param maps a picture [1, c, h, w] to the maps of some layers of a network; the same kernels at each call
 * @param content [1, c, h, w]
 * @param style [1, c, h, w], of any size
 * @returns of the content's shape
 * @example
 * const net = new nn.Conv2d(3, 4, 3);
 * const [content, style] = [randn([1, 3, 8, 8]), randn([1, 3, 8, 8])];
 * const picture = await explain.styleTransfer((x) => [net.forward(x)], content, style, { steps: 5 });
 */
export async function styleTransfer(
  maps: (x: Tensor) => readonly Tensor[],
  content: Tensor,
  style: Tensor,
  {
    init = "content",
    contentLayer,
    contentWeight = 6e-2,
    styleLayers,
    styleWeights,
    tvWeight = 2e-2,
    steps = 200,
    learningRate = 0.05,
    range = [-1.5, 1.5],
    onStep,
    logEvery = 50,
    generator,
  }: StyleTransferOptions = {},
): Promise<Tensor> {
  for (const [option, n] of Object.entries({ steps, logEvery }))
    expect(Number.isSafeInteger(n) && n >= 1, "styleTransfer", `${option} from 1 up`, `${n}`);
  const contentMaps = noGrad(() => [...maps(content)]);
  const at = contentLayer ?? Math.max(0, contentMaps.length - 2);
  const layers = styleLayers ?? contentMaps.map((_, i) => i);
  const good = [at, ...layers].every((i) => Number.isInteger(i) && i >= 0 && i < contentMaps.length);
  expect(good, "styleTransfer", `layers from 0 to ${contentMaps.length - 1}`, `${at} and [${layers}]`);
  const weights = styleWeights ?? layers.map(() => 1000);
  const fits = weights.length === layers.length;
  expect(fits, "styleTransfer", `a style weight for each of the ${layers.length} style layers`, `${weights.length}`);
  const grams = noGrad(() => {
    const all = maps(style);
    return layers.map((i) => gramMatrix(all[i]!));
  });
  const picture = noGrad(() => begun(init, content, range, generator)).requiresGrad_();
  const optimizer = new Adam([picture], { lr: learningRate });
  const loss = (): Tensor => {
    const now = maps(picture);
    const content = contentLoss(now[at]!, contentMaps[at]!, contentWeight);
    const styled = layers.map((i) => now[i]!);
    const both = layers.length === 0 ? content : content.add(styleLoss(styled, grams, weights));
    return both.add(totalVariationLoss(picture, tvWeight));
  };
  const run = capture(() => {
    noGrad(() => picture.clamp_(...range));
    const value = loss();
    optimizer.zeroGrad();
    picture.grad = grad(value, [picture])[0]!; // of the picture alone: the network's weights are not learned
    optimizer.step();
    return value.detach();
  });
  try {
    for (let step = 1; step <= steps; step++) {
      if (step === Math.ceil(0.9 * steps)) optimizer.paramGroups[0]!.lr = learningRate / 10;
      const value = await run();
      if (step % logEvery === 0 || step === steps) await onStep?.(step, await value.item(), picture.detach());
      value.free();
    }
  } finally {
    run.free();
  }
  return noGrad(() => picture.detach().clamp(...range));
}

/** The picture that styleTransfer() begins with, not shared with anybody. */
function begun(
  init: "content" | "noise" | Tensor,
  content: Tensor,
  [low, high]: PixelRange,
  generator: GeneratorOption["generator"],
): Tensor {
  if (init === "content") return content.detach().clone();
  if (init === "noise") {
    const share = rand(content.shape, { dtype: content.dtype, generator });
    return share.mul(high).add(share.neg().add(1).mul(low));
  }
  const fits = init instanceof Tensor && show(init.shape) === show(content.shape);
  const wanted = `init to be "content", "noise" or a picture ${show(content.shape)}`;
  expect(fits, "styleTransfer", wanted, init instanceof Tensor ? show(init.shape) : JSON.stringify(init));
  return init.detach().clone();
}
