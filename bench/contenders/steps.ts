/**
 * The training steps of bench/rivals/torch_steps.py, with the same layers and sizes: what one step() of each does. Whether
 * it is captured is the caller's affair.
 */
import {
  bceWithLogits,
  cat,
  crossEntropy,
  manualSeed,
  mse,
  nn,
  optim,
  rand,
  randn,
  scaledDotProductAttention,
  type Tensor,
  tensor,
} from "napier";

/** One training step on fixed data: answers the loss. */
export type Step = { inputs: Tensor[]; run: (...inputs: Tensor[]) => Tensor };

const labels = (n: number) => tensor(Int32Array.from({ length: n }, (_, i) => (i * 7) % 10));

function stepOf(optimizer: optim.Optimizer, inputs: Tensor[], loss: (...inputs: Tensor[]) => Tensor): Step {
  const run = (...given: Tensor[]) => {
    optimizer.zeroGrad();
    const value = loss(...given);
    value.backward();
    optimizer.step();
    return value;
  };
  return { inputs, run };
}

function classifier(model: nn.Module & { forward(x: Tensor): Tensor }, x: Tensor, optimizer?: optim.Optimizer): Step {
  const adam = optimizer ?? new optim.Adam(model.parameters(), { lr: 1e-3 });
  return stepOf(adam, [x, labels(x.shape[0]!)], (x, y) => crossEntropy(model.forward(x!), y!));
}

// ---- 1. CS231n two-layer net

function twoLayer(): Step {
  const model = new nn.Sequential(new nn.Linear(3072, 100), new nn.ReLU(), new nn.Linear(100, 10));
  return classifier(model, randn([200, 3072]), new optim.SGD(model.parameters(), { lr: 1e-3 }));
}

// ---- 2. Small convnet

function smallConvnet(): Step {
  const model = new nn.Sequential(
    new nn.Conv2d(3, 32, 3, { padding: 1 }),
    new nn.BatchNorm2d(32),
    new nn.ReLU(),
    new nn.Conv2d(32, 32, 3, { padding: 1 }),
    new nn.ReLU(),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(32 * 16 * 16, 10),
  );
  return classifier(model, randn([64, 3, 32, 32]));
}

// ---- 3. ResNet-18 for CIFAR: 3x3 stem, no max pool

const conv = (from: number, to: number, size: number, stride = 1) =>
  new nn.Conv2d(from, to, size, { stride, padding: size >> 1, bias: false });

class Block extends nn.Module {
  conv1: nn.Conv2d;
  norm1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  norm2: nn.BatchNorm2d;
  shortcut: nn.Sequential | null;
  constructor(from: number, to: number, stride: number) {
    super();
    this.conv1 = conv(from, to, 3, stride);
    this.norm1 = new nn.BatchNorm2d(to);
    this.conv2 = conv(to, to, 3);
    this.norm2 = new nn.BatchNorm2d(to);
    const same = stride === 1 && from === to;
    this.shortcut = same ? null : new nn.Sequential(conv(from, to, 1, stride), new nn.BatchNorm2d(to));
  }
  forward(x: Tensor): Tensor {
    const h = this.norm1.forward(this.conv1.forward(x)).relu();
    const skip = this.shortcut ? this.shortcut.forward(x) : x;
    return this.norm2.forward(this.conv2.forward(h)).add(skip).relu();
  }
}

function resnet18(): Step {
  const blocks = [64, 64, 128, 128, 256, 256, 512, 512].map((to, i, all) => {
    const from = all[i - 1] ?? 64;
    return new Block(from, to, from === to ? 1 : 2);
  });
  const model = new nn.Sequential(
    conv(3, 64, 3),
    new nn.BatchNorm2d(64),
    new nn.ReLU(),
    ...blocks,
    new nn.AdaptiveAvgPool2d(1),
    new nn.Flatten(),
    new nn.Linear(512, 10),
  );
  return classifier(model, randn([32, 3, 32, 32]));
}

// ---- 4. ViT: patch 4, dim 192, depth 6, 3 heads

class Encoder extends nn.Module {
  norm1: nn.LayerNorm;
  norm2: nn.LayerNorm;
  qkv: nn.Linear;
  out: nn.Linear;
  up: nn.Linear;
  down: nn.Linear;
  constructor(
    private readonly dim: number,
    private readonly heads: number,
  ) {
    super();
    [this.norm1, this.norm2] = [new nn.LayerNorm(dim), new nn.LayerNorm(dim)];
    [this.qkv, this.out] = [new nn.Linear(dim, 3 * dim), new nn.Linear(dim, dim)];
    [this.up, this.down] = [new nn.Linear(dim, 4 * dim), new nn.Linear(4 * dim, dim)];
  }
  attend(x: Tensor): Tensor {
    const [b, t] = x.shape as [number, number];
    const each = this.dim / this.heads;
    const [q, k, v] = this.qkv.forward(x).reshape([b, t, 3, this.heads, each]).permute([2, 0, 3, 1, 4]).unbind(0);
    const y = scaledDotProductAttention(q!, k!, v!);
    return this.out.forward(y.permute([0, 2, 1, 3]).reshape([b, t, this.dim]));
  }
  forward(x: Tensor): Tensor {
    const h = x.add(this.attend(this.norm1.forward(x)));
    return h.add(this.down.forward(this.up.forward(this.norm2.forward(h)).gelu()));
  }
}

class ViT extends nn.Module {
  patch = new nn.Conv2d(3, 192, 4, { stride: 4 });
  position = new nn.Parameter(randn([1, 65, 192]).mul(0.02));
  token = new nn.Parameter(randn([1, 1, 192]).mul(0));
  encoder = new nn.Sequential(...Array.from({ length: 6 }, () => new Encoder(192, 3)));
  norm = new nn.LayerNorm(192);
  head = new nn.Linear(192, 10);
  forward(x: Tensor): Tensor {
    const patches = this.patch.forward(x).flatten(2).transpose(1, 2);
    const token = this.token.expand([x.shape[0]!, 1, 192]);
    const h = this.encoder.forward(cat([token, patches], 1).add(this.position));
    return this.head.forward(this.norm.forward(h).select(1, 0));
  }
}

// ---- 5. DCGAN on MNIST: one discriminator and one generator step

function dcgan(): Step {
  const generator = new nn.Sequential(
    new nn.Linear(96, 1024),
    new nn.ReLU(),
    new nn.BatchNorm1d(1024),
    new nn.Linear(1024, 7 * 7 * 128),
    new nn.ReLU(),
    new nn.BatchNorm1d(7 * 7 * 128),
    new nn.Unflatten(1, [128, 7, 7]),
    new nn.ConvTranspose2d(128, 64, 4, { stride: 2, padding: 1 }),
    new nn.ReLU(),
    new nn.BatchNorm2d(64),
    new nn.ConvTranspose2d(64, 1, 4, { stride: 2, padding: 1 }),
    new nn.Tanh(),
  );
  const discriminator = new nn.Sequential(
    new nn.Conv2d(1, 32, 5),
    new nn.LeakyReLU(0.01),
    new nn.MaxPool2d(2),
    new nn.Conv2d(32, 64, 5),
    new nn.LeakyReLU(0.01),
    new nn.MaxPool2d(2),
    new nn.Flatten(),
    new nn.Linear(1024, 1024),
    new nn.LeakyReLU(0.01),
    new nn.Linear(1024, 1),
  );
  const [forG, forD] = [generator, discriminator].map(
    (m) => new optim.Adam(m.parameters(), { lr: 1e-3, betas: [0.5, 0.999] }),
  ) as [optim.Adam, optim.Adam];
  const noise = () => generator.forward(rand([128, 96]).mul(2).sub(1));
  const judge = (x: Tensor, real: number) => {
    const logits = discriminator.forward(x);
    return bceWithLogits(logits, logits.detach().mul(0).add(real));
  };
  const run = (real: Tensor) => {
    generator.zeroGrad();
    discriminator.zeroGrad();
    const lossD = judge(real, 1).add(judge(noise().detach(), 0));
    lossD.backward();
    forD.step();
    generator.zeroGrad();
    const lossG = judge(noise(), 1);
    lossG.backward();
    forG.step();
    return lossD.detach().add(lossG.detach());
  };
  return { inputs: [rand([128, 1, 28, 28]).mul(2).sub(1)], run };
}

// ---- 6. DDPM U-Net: dim 32, multiples 1, 2, 4

class ResBlock extends nn.Module {
  mlp: nn.Linear;
  conv1: nn.Conv2d;
  norm1: nn.GroupNorm;
  conv2: nn.Conv2d;
  norm2: nn.GroupNorm;
  skip: nn.Conv2d | nn.Identity;
  constructor(from: number, to: number, time: number) {
    super();
    this.mlp = new nn.Linear(time, 2 * to);
    this.conv1 = new nn.Conv2d(from, to, 3, { padding: 1 });
    this.norm1 = new nn.GroupNorm(8, to);
    this.conv2 = new nn.Conv2d(to, to, 3, { padding: 1 });
    this.norm2 = new nn.GroupNorm(8, to);
    this.skip = from === to ? new nn.Identity() : new nn.Conv2d(from, to, 1);
  }
  forward(x: Tensor, t: Tensor): Tensor {
    const [scale, shift] = this.mlp.forward(t.silu()).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
    const h = this.norm1.forward(this.conv1.forward(x)).mul(scale!.add(1)).add(shift!).silu();
    return this.norm2.forward(this.conv2.forward(h)).silu().add(this.skip.forward(x));
  }
}

class SpatialAttention extends nn.Module {
  norm: nn.GroupNorm;
  qkv: nn.Conv2d;
  out: nn.Conv2d;
  constructor(channels: number) {
    super();
    this.norm = new nn.GroupNorm(1, channels);
    this.qkv = new nn.Conv2d(channels, 3 * 4 * 32, 1, { bias: false });
    this.out = new nn.Conv2d(4 * 32, channels, 1);
  }
  forward(x: Tensor): Tensor {
    const [b, , h, w] = x.shape as [number, number, number, number];
    const parts = this.qkv
      .forward(this.norm.forward(x))
      .reshape([b, 3, 4, 32, h * w])
      .transpose(-1, -2)
      .unbind(1);
    const y = scaledDotProductAttention(parts[0]!, parts[1]!, parts[2]!);
    return x.add(this.out.forward(y.transpose(-1, -2).reshape([b, 4 * 32, h, w])));
  }
}

class Level extends nn.Module {
  constructor(
    readonly first: ResBlock,
    readonly second: ResBlock,
    readonly attention: SpatialAttention | nn.Identity,
    readonly resize: nn.Module & { forward(x: Tensor): Tensor },
  ) {
    super();
  }
  forward(x: Tensor): Tensor {
    return x;
  }
}

class UNet extends nn.Module {
  init = new nn.Conv2d(3, 32, 7, { padding: 3 });
  time = new nn.Sequential(new nn.Linear(32, 128), new nn.GELU(), new nn.Linear(128, 128));
  downs: nn.ModuleList<Level>;
  middle1 = new ResBlock(128, 128, 128);
  middleAttention = new SpatialAttention(128);
  middle2 = new ResBlock(128, 128, 128);
  ups: nn.ModuleList<Level>;
  last = new ResBlock(64, 32, 128);
  out = new nn.Conv2d(32, 3, 1);
  constructor() {
    super();
    const channels = [32, 64, 128];
    this.downs = new nn.ModuleList(
      channels.map((to, i) => {
        const from = channels[i - 1] ?? 32;
        const end = i === 2;
        const resize = end
          ? new nn.Conv2d(from, to, 3, { padding: 1 })
          : new nn.Conv2d(from, to, 4, { stride: 2, padding: 1 });
        const attention = end ? new SpatialAttention(from) : new nn.Identity();
        return new Level(new ResBlock(from, from, 128), new ResBlock(from, from, 128), attention, resize);
      }),
    );
    this.ups = new nn.ModuleList(
      [2, 1, 0].map((i) => {
        const from = channels[i]!;
        const to = channels[i - 1] ?? 32;
        const thin = new nn.Conv2d(from, to, 3, { padding: 1 });
        const resize = i === 0 ? thin : new nn.Sequential(new nn.Upsample({ scaleFactor: 2 }), thin);
        const attention = i === 2 ? new SpatialAttention(from) : new nn.Identity();
        return new Level(new ResBlock(from + to, from, 128), new ResBlock(from + to, from, 128), attention, resize);
      }),
    );
  }
  forward(x: Tensor, angles: Tensor): Tensor {
    const t = this.time.forward(cat([angles.sin(), angles.cos()], -1));
    const start = this.init.forward(x);
    const kept: Tensor[] = [];
    let h = start;
    for (const level of this.downs) {
      kept.push((h = level.first.forward(h, t)));
      kept.push((h = level.attention.forward(level.second.forward(h, t))));
      h = level.resize.forward(h);
    }
    h = this.middle2.forward(this.middleAttention.forward(this.middle1.forward(h, t)), t);
    for (const level of this.ups) {
      h = level.first.forward(cat([h, kept.pop()!], 1), t);
      h = level.attention.forward(level.second.forward(cat([h, kept.pop()!], 1), t));
      h = level.resize.forward(h);
    }
    return this.out.forward(this.last.forward(cat([h, start], 1), t));
  }
}

function ddpm(): Step {
  const model = new UNet();
  const times = Float32Array.from(
    { length: 16 * 16 },
    (_, i) => ((i >> 4) * 61 + 7) * Math.exp(((i & 15) * -Math.log(10000)) / 15),
  );
  const inputs = [randn([16, 3, 32, 32]), tensor(times, [16, 16]), randn([16, 3, 32, 32])];
  return stepOf(new optim.Adam(model.parameters(), { lr: 1e-4 }), inputs, (x, t, noise) =>
    mse(model.forward(x!, t!), noise!),
  );
}

const STEPS: Record<string, () => Step> = {
  two_layer: twoLayer,
  small_convnet: smallConvnet,
  resnet18_cifar: resnet18,
  vit_tiny: () => classifier(new ViT(), randn([64, 3, 32, 32])),
  dcgan_mnist: dcgan,
  ddpm_unet: ddpm,
};

/** The step of that name, its model made from seed 0. */
export function makeStep(name: string): Step {
  manualSeed(0);
  return STEPS[name]!();
}
