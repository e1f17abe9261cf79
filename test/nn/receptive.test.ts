/** @file Receptive fields of summary(): published ones, and what gradients say about small networks. */
import { addmm, grad, groupNorm, models, nn, ones, shapesOnly, type Tensor } from "napier";
import { describe, expect, test } from "vitest";

const fieldOf = (model: nn.Module, shape: readonly number[]): string =>
  /Receptive field: (.*)/.exec(shapesOnly(() => model.summary(shape)))![1]!;
const created = (name: models.ModelName, side: number) =>
  shapesOnly(() => fieldOf(models.create(name), [1, 3, side, side]));

// VGG-16: Araujo et al. 2019. ResNets: torchvision's have their strides at each stage's begin (435, 899, 427), those of
// Araujo's table (483 for ResNet-50) at its end, see below. MobileNetV2 and DenseNet-121: 491 and 2071 by the same formula.
test.each([
  ["vgg16", 224, "212 pixels, every 32, at features"],
  ["resnet18", 224, "435 pixels, every 32, at layer4"],
  ["resnet34", 224, "899 pixels, every 32, at layer4"],
  ["resnet50", 224, "427 pixels, every 32, at layer4"],
  ["mobilenet_v2", 224, "491 pixels, every 32, at features"],
  ["densenet121", 224, "2071 pixels, every 32, at features"],
  ["resnet20", 32, "81 pixels, every 4, at layer3"],
  ["vit_tiny", 224, "16 pixels, every 16, at patch_embed"],
] as const)("%s", (name, side, field) => {
  expect(created(name, side)).toBe(field);
});

type Layer = [window: number, stride: number, dilation?: number];
const stack = (layers: readonly Layer[]): nn.Sequential =>
  new nn.Sequential(
    ...layers.map(([k, stride, dilation = 1]) => new nn.Conv2d(1, 1, k, { stride, dilation, padding: (k - 1) >> 1 })),
  );
const repeat = (layer: Layer, n: number): Layer[] => Array.from({ length: n }, () => layer);
const STAGES = [...repeat([3, 1], 2), [3, 2], ...repeat([3, 1], 3), [3, 2], ...repeat([3, 1], 5), [3, 2]] as Layer[];

test.each([
  ["AlexNet", 195, [[11, 4], [3, 2], [5, 1], [3, 2], ...repeat([3, 1], 3), [3, 2]] as Layer[]],
  ["ResNet-50 with its strides at the stages' ends", 483, [[7, 2], [3, 2], ...STAGES, ...repeat([3, 1], 3)] as Layer[]],
  [
    "dilations 1, 2, 4, 8",
    31,
    [
      [3, 1],
      [3, 1, 2],
      [3, 1, 4],
      [3, 1, 8],
    ] as Layer[],
  ],
])("%s: %i", (_, field, layers) => {
  expect(fieldOf(stack(layers), [1, 1, 512, 512])).toMatch(new RegExp(`^${field} pixels`));
});

/** A module of a function. */
class Net extends nn.Module {
  readonly inner: nn.ModuleList;
  constructor(
    readonly fn: (x: Tensor, layers: nn.Layer[]) => Tensor,
    ...layers: nn.Layer[]
  ) {
    super();
    this.inner = new nn.ModuleList(layers);
  }
  forward(x: Tensor): Tensor {
    return this.fn(x, [...this.inner] as nn.Layer[]);
  }
}
const conv = (k: number | [number, number], options: object = {}) => new nn.Conv2d(2, 2, k, options);
const side = 48;

/** Rows and columns that the widest of the middle places of a result depends on. */
function measured(model: nn.Layer): [number, number] {
  for (const p of model.parameters()) nn.init.constant_(p, 1);
  const x = ones([1, 2, side, side], { requiresGrad: true });
  const y = model.forward(x);
  const [, , p, q] = y.shape as [number, number, number, number];
  const widest: [number, number] = [0, 0];
  for (let i = 0; i < 4; i++)
    for (let j = 0; j < 4; j++) {
      const [slope] = grad(y.slice(0, 0, (p >> 1) + i - 2, (q >> 1) + j - 2), [x], { retainGraph: true });
      const hit = slope!.slice(0, 0).notEqual(0);
      const extent = (axis: number) => {
        const along = [...hit.any(axis).dataSync()].flatMap((v, at) => (v ? [at] : []));
        return along.at(-1)! - along[0]! + 1;
      };
      widest[0] = Math.max(widest[0], extent(1));
      widest[1] = Math.max(widest[1], extent(0));
    }
  return widest;
}

describe("what gradients say", () => {
  test.each([
    [
      "3x5 with strides 2x1",
      () => new Net((x, [a, b]) => b!.forward(a!.forward(x)), conv([3, 5], { stride: [2, 1] }), conv(3)),
    ],
    [
      "pooling by mean",
      () => new Net((x, [a, b]) => a!.forward(b!.forward(x).avgPool2d(3, { stride: 2 })), conv(3), conv(3)),
    ],
    [
      "a residual",
      () => new Net((x, [a, b]) => b!.forward(a!.forward(x)).add(x), conv(3, { padding: 1 }), conv(5, { padding: 2 })),
    ],
    [
      "two branches joined",
      () =>
        new Net(
          (x, [a, b]) => {
            const [u, v] = [a!.forward(x), b!.forward(x)];
            return u.mul(v);
          },
          conv(3, { padding: 1 }),
          conv(7, { padding: 3 }),
        ),
    ],
    [
      "every other place, padded with channels",
      () =>
        new Net(
          (x, [a, b]) => {
            const y = a!.forward(x).slice(null, null, [0, null, 2], [0, null, 2]).pad([0, 0, 0, 0, 1, 1]);
            return b!.forward(y.slice(null, [1, 3]));
          },
          conv(3),
          conv(3),
        ),
    ],
    [
      "a linear layer over channels, channels last and back",
      () =>
        new Net(
          (x, [a, b, c]) => c!.forward(b!.forward(a!.forward(x).permute([0, 2, 3, 1])).permute([0, 3, 1, 2])),
          conv(3),
          new nn.Linear(2, 2),
          conv(3, { dilation: 2 }),
        ),
    ],
    [
      "a product with an addend of the same rows",
      () =>
        new Net(
          (x, [a, b]) => {
            const y = a!.forward(x).permute([0, 2, 3, 1]);
            const rows = y.reshape([-1, 2]);
            return b!.forward(
              addmm(rows, rows, ones([2, 2]))
                .reshape(y.shape)
                .permute([0, 3, 1, 2]),
            );
          },
          conv(3),
          conv(3),
        ),
    ],
    [
      "transposed",
      () =>
        new Net(
          (x, [a, b]) => b!.forward(a!.forward(x)),
          conv(3, { stride: 2 }),
          new nn.ConvTranspose2d(2, 2, 4, { stride: 2, padding: 1 }),
        ),
    ],
    [
      "a gate for each channel of each place",
      () => new Net((x, [a]) => a!.forward(x).sum(1, { keepDims: true }).add(a!.forward(x)), conv(3)),
    ],
  ])("%s", (_, make) => {
    const model = make();
    const [rows, columns] = measured(model);
    const line = model
      .summary([1, 2, side, side])
      .split("\n")
      .find((l) => l.startsWith("Net"))!;
    expect(
      line
        .trim()
        .split(/\s{2,}/)
        .at(-1),
    ).toBe(rows === columns ? `${rows}` : `${rows}x${columns}`);
  });

  test.each([
    ["a mean over the picture", (x: Tensor) => x.add(x.mean([2, 3], { keepDims: true }))],
    ["attention of places", (x: Tensor) => x.flatten(2).softmax(2)],
    ["group normalisation", (x: Tensor) => groupNorm(x, 1)],
    ["places against places", (x: Tensor) => x.flatten(2).transpose(1, 2).matmul(x.flatten(2))],
    ["a flip added", (x: Tensor) => x.flip([3]).add(x)],
    [
      "squares of four places beside each other as channels",
      (x: Tensor) => x.reshape([1, 2, 24, 2, 24, 2]).permute([0, 3, 5, 1, 2, 4]),
    ],
  ])("%s: all", (_, fn) => {
    const text = new Net(fn).summary([1, 2, side, side]);
    expect(text.split("\n").find((l) => l.startsWith("Net"))!).toMatch(/ all$/);
  });

  test("what does not come from the picture has none", () => {
    expect(new Net(() => ones([3])).summary([1, 2, 8, 8])).toMatch(/Net {2,}\[3\] .* -\n/);
  });
});

test("activation memory: VGG-16's results by its shapes", () => {
  // Each convolution's and each ReLU's result, pooling's with an index of 4 bytes each, classifier's.
  const plan = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"] as const;
  let [places, channels, numbers] = [224 * 224, 3, 0];
  for (const step of plan) {
    if (step === "M") places /= 4;
    else channels = step;
    numbers += 2 * channels * places;
  }
  numbers += 512 * 7 * 7 + 4 * 4096 + 1000;
  const text = shapesOnly(() => models.create("vgg16").summary([1, 3, 224, 224]));
  expect(text).toContain(`activations ${((numbers * 4) / 2 ** 20).toFixed(2)} MiB`);
});

test("FLOPs of attention and of transposed convolutions", () => {
  const flops = (model: nn.Module, shape: number[]) => /attention: (.*)/.exec(model.summary(shape))![1];
  // timm: 1.26 G multiply-adds
  expect(shapesOnly(() => flops(models.create("vit_tiny"), [1, 3, 224, 224]))).toBe("2.51 G");
  // A window of 4x4 for each of 2 to 3 channels at each of 8x8 places of the input.
  const up = new nn.ConvTranspose2d(2, 3, 4, { stride: 2, padding: 1 });
  expect(flops(up, [1, 2, 8, 8])).toBe(`${((2 * 16 * 6 * 64) / 1000).toFixed(2)} k`);
});
