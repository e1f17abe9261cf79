/**
 * ResNet-18 (He et al. 2015) for pictures of 224 pixels, its weights by a formula, so that bench/rivals/resnet18.py makes
 * the same network.
 */
import { nn, noGrad, type Tensor, tensor } from "napier";

const conv = (from: number, to: number, size: number, stride = 1) =>
  new nn.Conv2d(from, to, size, { stride, padding: size >> 1, bias: false });

export class Block extends nn.Module {
  conv1: nn.Conv2d;
  bn1: nn.BatchNorm2d;
  conv2: nn.Conv2d;
  bn2: nn.BatchNorm2d;
  downsample: nn.Sequential | null;
  constructor(from: number, to: number, stride: number) {
    super();
    this.conv1 = conv(from, to, 3, stride);
    this.bn1 = new nn.BatchNorm2d(to);
    this.conv2 = conv(to, to, 3);
    this.bn2 = new nn.BatchNorm2d(to);
    const same = stride === 1 && from === to;
    this.downsample = same ? null : new nn.Sequential(conv(from, to, 1, stride), new nn.BatchNorm2d(to));
  }
  forward(x: Tensor): Tensor {
    const h = this.bn1.forward(this.conv1.forward(x), { activation: "relu" });
    const residual = this.downsample ? this.downsample.forward(x) : x;
    return this.bn2.forward(this.conv2.forward(h), { residual, activation: "relu" });
  }
}

const stage = (from: number, to: number) =>
  new nn.Sequential(new Block(from, to, from === to ? 1 : 2), new Block(to, to, 1));

class ResNet18 extends nn.Module {
  conv1 = conv(3, 64, 7, 2);
  bn1 = new nn.BatchNorm2d(64);
  layer1 = stage(64, 64);
  layer2 = stage(64, 128);
  layer3 = stage(128, 256);
  layer4 = stage(256, 512);
  fc = new nn.Linear(512, 1000);
  forward(x: Tensor): Tensor {
    let h = this.bn1.forward(this.conv1.forward(x), { activation: "relu" }).maxPool2d(3, { stride: 2, padding: 1 });
    for (const layer of [this.layer1, this.layer2, this.layer3, this.layer4]) h = layer.forward(h);
    return this.fc.forward(h.adaptiveAvgPool2d(1).flatten(1));
  }
}

/** [-0.5, 0.5) by the finisher of MurmurHash3. */
function noise(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => {
    let h = (i + Math.imul(seed, 0x9e3779b9)) | 0;
    h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
    return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32 - 0.5;
  });
}

/** The network in evaluation mode. */
export function resnet18(): ResNet18 {
  const model = new ResNet18().eval();
  const state = Object.entries(model.stateDict()).filter(([name]) => !name.includes("num_batches"));
  noGrad(() => {
    state.forEach(([name, t], seed) => {
      const u = tensor(noise(t.size, seed), t.shape);
      const scale = t.ndim > 1 ? Math.sqrt(24 / (t.size / t.shape[0]!)) : 0.2;
      const centre = t.ndim === 1 && /(bn\d|1)\.weight$|var$/.test(name) ? 1 : 0;
      t.copy_(u.mul(scale).add(centre));
    });
  });
  return model;
}

/** n pictures: [n, 3, 224, 224]. */
export const pictures = (n: number): Float32Array => noise(n * 3 * 224 * 224, 99).map((v) => 4 * v);
