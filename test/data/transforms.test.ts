/**
 * @file Random transforms against slow references, and what all of them promise: the same bytes for (seed, epoch, sample) in
 * any batch, on every instruction set, for any number of threads; an untouched input.
 */
import { data, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";
import { Draws } from "#lib/data/draws.js";
import { inverseAffine, inversePerspective, type Matrix, warp } from "#lib/data/geometry.js";
import { addon } from "#lib/native.js";

const numbers = (n: number, first = 0) => Int32Array.from({ length: n }, (_, i) => first + i);
const key = (n: number, { epoch = 0, seed = 5, first = 0 } = {}): data.SampleKey => ({
  seed,
  epoch,
  samples: tensor(numbers(n, first)),
  indices: numbers(n, first),
});
const noise = (n: number) => Uint8Array.from({ length: n }, (_, i) => (Math.imul(i + 7, 0x9e3779b1) >>> 13) & 255);
const pictures = (n: number, c: number, h: number, w: number) => tensor(noise(n * c * h * w), [n, c, h, w]);
const bytes = (t: Tensor) => [...t.dataSync("uint8")];

const ALL: Record<string, data.Transform> = {
  RandomCrop: new data.RandomCrop(6, { padding: 2 }),
  RandomHorizontalFlip: new data.RandomHorizontalFlip(),
  RandomVerticalFlip: new data.RandomVerticalFlip(),
  RandomResizedCrop: new data.RandomResizedCrop(6),
  RandomRotation: new data.RandomRotation(40, { interpolation: "bilinear", fill: [1, 2, 3] }),
  RandomAffine: new data.RandomAffine(20, { translate: [0.2, 0.2], scale: [0.7, 1.4], shear: [-10, 10, -5, 5] }),
  RandomPerspective: new data.RandomPerspective({ p: 0.8 }),
  ColorJitter: new data.ColorJitter({ brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.2 }),
  RandomGrayscale: new data.RandomGrayscale(0.5),
  RandomInvert: new data.RandomInvert(),
  RandomSolarize: new data.RandomSolarize(128),
  RandomPosterize: new data.RandomPosterize(3),
  RandomEqualize: new data.RandomEqualize(),
  RandomAutocontrast: new data.RandomAutocontrast(),
  RandomAdjustSharpness: new data.RandomAdjustSharpness(2),
  GaussianBlur: new data.GaussianBlur(5),
  RandomErasing: new data.RandomErasing({ p: 0.9, value: 7 }),
  Cutout: new data.Cutout(4),
  AutoAugment: new data.AutoAugment(),
  RandAugment: new data.RandAugment(),
  TrivialAugmentWide: new data.TrivialAugmentWide(),
};

describe.each(Object.entries(ALL))("%s", (name, transform) => {
  const n = 24;
  const x = pictures(n, 3, 20, 19); // enough pixels for a histogram to be flattened
  test("depends on seed, epoch and sample alone, and changes no input", () => {
    const before = bytes(x);
    const y = transform.apply(x, key(n));
    const all = bytes(y);
    expect(bytes(x)).toEqual(before);
    expect(bytes(transform.apply(x, key(n)))).toEqual(all);
    expect(bytes(transform.apply(x, key(n, { epoch: 1 })))).not.toEqual(all);
    expect(bytes(transform.apply(x, key(n, { seed: 6 })))).not.toEqual(all);
    const [row] = new data.TensorDataset([x]).batch(Int32Array.of(7), { seed: 0, epoch: 0 });
    const picture = all.length / n;
    expect(bytes(transform.apply(row!, key(1, { first: 7 })))).toEqual(all.slice(7 * picture, 8 * picture));
    const { indices: _, ...waiting } = key(n);
    expect(bytes(transform.apply(x, waiting))).toEqual(all);
  });
  test("the same bits on every instruction set and for any number of threads, floats too", () => {
    const bytesOnly = /Augment|Posterize|Equalize/.test(name);
    const inputs = bytesOnly ? [x] : [x, x.to("float32").div(255), x.to("float64").div(255)];
    const [isa, threads] = [addon.isa(), addon.threads()];
    try {
      for (const input of inputs) {
        const want = Buffer.from(transform.apply(input, key(n)).dataSync(input.dtype).buffer);
        for (const other of addon.isas()) {
          addon.isa(other);
          for (const count of [1, 3]) {
            addon.threads(count);
            const got = Buffer.from(transform.apply(input, key(n)).dataSync(input.dtype).buffer);
            expect(got.equals(want), `${input.dtype} on ${other}, ${count} threads`).toBe(true);
          }
        }
      }
    } finally {
      addon.isa(isa);
      addon.threads(threads);
    }
  });
  test("no pictures are fine, other tensors are refused", () => {
    expect(transform.apply(tensor(new Uint8Array(0), [0, 3, 9, 8]), key(0)).shape[0]).toBe(0);
    expect(() => transform.apply(tensor([1, 2]), key(1))).toThrow(`${name}: expected pictures [n,c,h,w], got [2]`);
  });
});

// ---- Maps

/** y[row, column] of a plane by the definition, in float64. */
function slowWarp(x: number[], [h, w]: number[], m: Matrix, bilinear: boolean, fill: number): number[] {
  const at = (r: number, c: number) => x[Math.min(h! - 1, Math.max(0, r)) * w! + Math.min(w! - 1, Math.max(0, c))]!;
  return Array.from({ length: h! * w! }, (_, i) => {
    const [u, v] = [(i % w!) + 0.5, Math.floor(i / w!) + 0.5];
    const z = m[6] * u + m[7] * v + m[8];
    const [a, b] = [(m[0] * u + m[1] * v + m[2]) / z, (m[3] * u + m[4] * v + m[5]) / z];
    if (a < 0 || b < 0 || a >= w! || b >= h!) return fill;
    if (!bilinear) return at(Math.floor(b), Math.floor(a));
    const [left, top] = [Math.floor(a - 0.5), Math.floor(b - 0.5)];
    const [fa, fb] = [a - 0.5 - left, b - 0.5 - top];
    const row = (r: number) => at(r, left) * (1 - fa) + at(r, left + 1) * fa;
    return row(top) * (1 - fb) + row(top + 1) * fb;
  });
}

describe("maps", () => {
  const [h, w] = [7, 9];
  const x = pictures(1, 1, h, w);
  const plane = bytes(x);
  const maps: Record<string, Matrix> = {
    rotation: inverseAffine([h, w], { angle: 33 }),
    affine: inverseAffine([h, w], { angle: -12, translate: [2, -1], scale: 1.3, shear: [8, -5] }),
    perspective: inversePerspective(
      [h, w],
      [
        [1, 0.5],
        [8, 1],
        [7.5, 6],
        [0.5, 6.5],
      ],
    ),
  };
  for (const [name, m] of Object.entries(maps)) {
    test(`${name} is what the definition says`, () => {
      for (const interpolation of ["nearest", "bilinear"] as const) {
        const options = { interpolation, fill: 9 };
        const slow = slowWarp(plane, [h, w], m, interpolation === "bilinear", 9);
        expect(bytes(warp("test", x, [m], options))).toEqual(slow.map((v) => Math.floor(v + 0.5)));
        warp("test", x.to("float64"), [m], options)
          .dataSync("float64")
          .forEach((v, i) => {
            expect(v).toBeCloseTo(slow[i]!, 10);
          });
      }
    });
  }
  test("four quarter turns come back, and one is a transposition", () => {
    const square = pictures(1, 2, 6, 6);
    const turn = new data.RandomRotation([90, 90]);
    let y = turn.apply(square, key(1));
    const [before, after] = [bytes(square), bytes(y)];
    for (let r = 0; r < 6; r++) for (let c = 0; c < 6; c++) expect(after[(5 - c) * 6 + r]).toBe(before[r * 6 + c]); // counter-clockwise
    for (let i = 0; i < 3; i++) y = turn.apply(y, key(1));
    expect(bytes(y)).toEqual(before);
  });
  test("corners of a perspective map go to the picture's corners", () => {
    const quad = [
      [1, 0.5],
      [8, 1],
      [7.5, 6],
      [0.5, 6.5],
    ] as const;
    const m = inversePerspective([h, w], quad);
    const corners = [
      [0, 0],
      [w, 0],
      [w, h],
      [0, h],
    ];
    quad.forEach(([u, v], i) => {
      const z = m[6] * u + m[7] * v + m[8];
      expect(z).toBeGreaterThan(0);
      expect((m[0] * u + m[1] * v + m[2]) / z).toBeCloseTo(corners[i]![0]!, 10);
      expect((m[3] * u + m[4] * v + m[5]) / z).toBeCloseTo(corners[i]![1]!, 10);
    });
  });
  test("nothing to do is the identity", () => {
    const batch = pictures(3, 3, 5, 4);
    for (const transform of [
      new data.RandomRotation(0),
      new data.RandomAffine(0),
      new data.RandomPerspective({ distortion: 0, p: 1, interpolation: "nearest" }),
      new data.RandomPerspective({ p: 0 }),
      new data.RandomResizedCrop([5, 4], { scale: [1, 1], ratio: [0.8, 0.8] }),
      new data.CenterCrop([5, 4]),
      new data.Resize([5, 4]),
      new data.ColorJitter(),
      new data.RandomGrayscale(0),
      new data.RandomPosterize(8, 1),
      new data.RandomAdjustSharpness(1, 1),
      new data.GaussianBlur(1),
      new data.RandomErasing({ p: 0 }),
      new data.Cutout(0),
      new data.RandAugment({ ops: 0 }),
    ])
      expect(bytes(transform.apply(batch, key(3))), transform.constructor.name).toEqual(bytes(batch));
  });
});

test("CenterCrop cuts the middle, and refuses less", () => {
  const x = pictures(2, 1, 5, 6);
  const y = bytes(new data.CenterCrop([3, 2]).apply(x));
  const want = [0, 1].flatMap((i) => [1, 2, 3].flatMap((r) => [2, 3].map((c) => bytes(x)[i * 30 + r * 6 + c]!)));
  expect(y).toEqual(want);
  expect(() => new data.CenterCrop(7).apply(x)).toThrow("CenterCrop: expected pictures of at least 7x7, got [2,1,5,6]");
});

test("Resize of a number keeps the ratio: the shorter side gets it", () => {
  expect(new data.Resize(4).apply(pictures(1, 1, 8, 13)).shape).toEqual([1, 1, 4, 6]);
  expect(new data.Resize(4).apply(pictures(1, 1, 9, 6)).shape).toEqual([1, 1, 6, 4]);
});

test("RandomVerticalFlip turns rows around", () => {
  const x = pictures(1, 2, 3, 4);
  const before = bytes(x);
  const y = bytes(new data.RandomVerticalFlip(1).apply(x, key(1)));
  y.forEach((v, i) => {
    const [c, r, q] = [Math.floor(i / 12), Math.floor(i / 4) % 3, i % 4];
    expect(v).toBe(before[c * 12 + (2 - r) * 4 + q]);
  });
});

test("ToFloat", () => {
  const y = new data.ToFloat().apply(tensor(Uint8Array.of(0, 51, 255, 102), [1, 1, 2, 2]));
  expect([...y.dataSync()].map((v) => Math.round(v * 1e6) / 1e6)).toEqual([0, 0.2, 1, 0.4]);
  expect(new data.ToFloat().apply(y)).toBe(y);
});

test("GaussianBlur is the convolution with mirrored borders", () => {
  const [h, w, k, sigma] = [5, 6, 5, 0.9];
  const x = pictures(1, 1, h, w);
  const taps = Array.from({ length: k }, (_, i) => Math.exp(-0.5 * ((i - 2) / sigma) ** 2));
  const sum = taps.reduce((a, b) => a + b);
  const mirror = (i: number, n: number) => (i < 0 ? -i : i >= n ? 2 * n - 2 - i : i);
  const want = Array.from({ length: h * w }, (_, j) => {
    let v = 0;
    for (let a = 0; a < k; a++)
      for (let b = 0; b < k; b++)
        v +=
          ((taps[a]! * taps[b]!) / sum ** 2) *
          bytes(x)[mirror(Math.floor(j / w) + a - 2, h) * w + mirror((j % w) + b - 2, w)]!;
    return v;
  });
  const blur = new data.GaussianBlur(k, { sigma });
  expect(bytes(blur.apply(x, key(1)))).toEqual(want.map((v) => Math.floor(v + 0.5)));
  blur
    .apply(x.to("float64"), key(1))
    .dataSync("float64")
    .forEach((v, i) => {
      expect(v).toBeCloseTo(want[i]!, 10);
    });
  expect(() => blur.apply(pictures(1, 1, 2, 9), key(1))).toThrow("GaussianBlur: expected pictures larger than 2x2");
});

test("hue turns colours around the circle and leaves grey alone", () => {
  const x = tensor(Uint8Array.from([255, 10, 90, 0, 10, 90, 0, 10, 90]), [1, 3, 1, 3]); // red and two greys
  const turned = (by: number) => bytes(new data.ColorJitter({ hue: [by, by] }).apply(x, key(1)));
  expect(turned(1 / 3)).toEqual([0, 10, 90, 255, 10, 90, 0, 10, 90]);
  expect(turned(-1 / 3)).toEqual([0, 10, 90, 0, 10, 90, 255, 10, 90]);
  expect(turned(0.5)).toEqual([0, 10, 90, 255, 10, 90, 255, 10, 90]);
});

test("floats are recoloured as bytes are, white at 1", () => {
  const x = pictures(2, 3, 6, 6);
  const jitter = new data.ColorJitter({ brightness: [0.6, 0.9], contrast: [0.5, 1.4], saturation: [0, 2] });
  const asBytes = bytes(jitter.apply(x, key(2)));
  jitter
    .apply(x.to("float64").div(255), key(2))
    .dataSync("float64")
    .forEach((v, i) => {
      expect(Math.abs(v * 255 - asBytes[i]!)).toBeLessThan(4); // three steps that round down
    });
});

describe("RandomErasing with noise", () => {
  const n = 40;
  const x = tensor(new Float32Array(n * 3 * 20 * 24).fill(100), [n, 3, 20, 24]);
  const noise = new data.RandomErasing({ p: 1, value: "random", scale: [0.1, 0.3] });
  const floats = (t: Tensor) => [...t.dataSync("float32")];
  const all = floats(noise.apply(x, key(n)));

  test("stands where the same draws erase, standard normal, another number for each element", () => {
    const flat = new data.RandomErasing({ p: 1, value: -50, scale: [0.1, 0.3] });
    expect(all.map((v) => v !== 100)).toEqual(floats(flat.apply(x, key(n))).map((v) => v !== 100));
    const drawn = all.filter((v) => v !== 100);
    expect(drawn.length).toBeGreaterThan(5000);
    expect(new Set(drawn).size).toBeGreaterThan(0.99 * drawn.length);
    const mean = drawn.reduce((a, b) => a + b, 0) / drawn.length;
    const deviation = Math.sqrt(drawn.reduce((a, b) => a + (b - mean) ** 2, 0) / drawn.length);
    expect(Math.abs(mean)).toBeLessThan(4 / Math.sqrt(drawn.length));
    expect(Math.abs(deviation - 1)).toBeLessThan(4 / Math.sqrt(2 * drawn.length));
  });
  test("depends on seed, epoch and sample alone, on any instruction set and number of threads", () => {
    const [row] = new data.TensorDataset([x]).batch(Int32Array.of(7), { seed: 0, epoch: 0 });
    const picture = all.length / n;
    expect(floats(noise.apply(row!, key(1, { first: 7 })))).toEqual(all.slice(7 * picture, 8 * picture));
    expect(floats(noise.apply(x, key(n, { epoch: 1 })))).not.toEqual(all);
    expect(floats(noise.apply(x, key(n, { seed: 6 })))).not.toEqual(all);
    const isa = addon.isa();
    const threads = addon.threads();
    try {
      for (const name of addon.isas()) {
        addon.isa(name);
        for (const count of [1, 3]) {
          addon.threads(count);
          expect(floats(noise.apply(x, key(n))), `${name}, ${count} threads`).toEqual(all);
        }
      }
    } finally {
      addon.isa(isa);
      addon.threads(threads);
    }
  });
  test("float64 gets the same numbers, bytes are refused", () => {
    expect([...noise.apply(x.to("float64"), key(n)).dataSync("float64")]).toEqual(all);
    expect(() => noise.apply(x.to("uint8"), key(n))).toThrow(
      "RandomErasing: expected floats for noise (put it after Normalize or ToFloat), got uint8",
    );
    expect(() => new data.RandomErasing({ value: "noise" as "random" })).toThrow('numbers or "random", got "noise"');
  });
});

test("RandomErasing and Cutout erase one rectangle of the asked size", () => {
  const n = 50;
  const x = tensor(new Uint8Array(n * 10 * 12).fill(200), [n, 1, 10, 12]);
  const areaOf = (y: number[], i: number) => {
    const cells = [...Array(120).keys()].filter((j) => y[i * 120 + j] !== 200);
    if (cells.length === 0) return 0;
    const [rows, columns] = [cells.map((j) => Math.floor(j / 12)), cells.map((j) => j % 12)];
    const box = (Math.max(...rows) - Math.min(...rows) + 1) * (Math.max(...columns) - Math.min(...columns) + 1);
    expect(cells.length).toBe(box);
    return box;
  };
  const erased = bytes(new data.RandomErasing({ p: 0.6, scale: [0.1, 0.2], value: 3 }).apply(x, key(n)));
  const areas = Array.from({ length: n }, (_, i) => areaOf(erased, i));
  expect(new Set(erased)).toEqual(new Set([200, 3]));
  expect(areas.filter((a) => a > 0).length).toBeGreaterThan(13); // 30 expected, 5 deviations are 17
  expect(areas.filter((a) => a > 0).every((a) => a >= 120 * 0.1 - 8 && a <= 120 * 0.2 + 8)).toBe(true);
  const cut = bytes(new data.Cutout(4).apply(x, key(n)));
  for (let i = 0; i < n; i++) {
    expect(areaOf(cut, i)).toBeLessThanOrEqual(16);
    expect(areaOf(cut, i)).toBeGreaterThanOrEqual(4);
  }
});

describe("mixing", () => {
  const n = 6;
  const labels = tensor(Int32Array.of(0, 1, 2, 0, 1, 2));
  test("MixUp: pictures and targets with the same shares", () => {
    const x = tensor(
      Float64Array.from({ length: n * 4 }, (_, i) => (i % 7) + Math.floor(i / 4)),
      [n, 1, 2, 2],
    );
    const [mixed, soft] = new data.MixUp({ classes: 3, alpha: 0.4 }).applyBatch([x, labels], key(n)) as [
      Tensor,
      Tensor,
    ];
    const [before, after, targets] = [x.dataSync("float64"), mixed.dataSync("float64"), [...soft.dataSync()]];
    expect(soft.shape).toEqual([n, 3]);
    for (let i = 0; i < n; i++) {
      const other = (i + n - 1) % n;
      const share = targets[i * 3 + (i % 3)]!;
      expect(targets[i * 3 + (other % 3)]! + share).toBeCloseTo(1, 6);
      for (let j = 0; j < 4; j++)
        expect(after[i * 4 + j]).toBeCloseTo(share * before[i * 4 + j]! + (1 - share) * before[other * 4 + j]!, 5);
    }
  });
  test("CutMix: the share is the area that stayed", () => {
    const x = tensor(
      Uint8Array.from({ length: n * 80 }, (_, i) => Math.floor(i / 80) + 1),
      [n, 1, 8, 10],
    );
    const [mixed, soft] = new data.CutMix({ classes: 3 }).applyBatch([x, labels], key(n)) as [Tensor, Tensor];
    const [after, targets] = [bytes(mixed), soft.dataSync()];
    for (let i = 0; i < n; i++) {
      const mine = after.slice(i * 80, (i + 1) * 80).filter((v) => v === i + 1).length / 80;
      expect(targets[i * 3 + (i % 3)]).toBeCloseTo(mine, 6);
      expect(new Set(after.slice(i * 80, (i + 1) * 80)).size).toBeLessThanOrEqual(2);
    }
    const [same] = new data.CutMix({ classes: 3, p: 0 }).applyBatch([x, labels], key(n)) as [Tensor];
    expect(bytes(same)).toEqual(bytes(x));
  });
  test("wrong labels and pictures", () => {
    const x = pictures(2, 1, 2, 2);
    expect(() => new data.MixUp({ classes: 2 }).applyBatch([x, tensor(Int32Array.of(0, 1))], key(2))).toThrow(
      "MixUp: expected float32 or float64 (put it after Normalize or ToFloat), got uint8",
    );
    expect(() => new data.CutMix({ classes: 2 }).applyBatch([x, tensor(Int32Array.of(0, 2))], key(2))).toThrow(
      "CutMix: expected labels between 0 and 1, got 2",
    );
    expect(() => new data.CutMix({ classes: 2 }).applyBatch([x], key(2))).toThrow("pictures and labels, got 1 fields");
  });
});

test("draws are what their names say", () => {
  const draws = Array.from({ length: 4000 }, (_, i) => new Draws(3, 0, i));
  const moments = (values: number[]) => {
    const mean = values.reduce((a, b) => a + b) / values.length;
    return [mean, values.reduce((a, b) => a + (b - mean) ** 2, 0) / values.length] as const;
  };
  const [uniform, normal, gamma, beta] = [
    moments(draws.map((d) => d.uniform(2, 4))),
    moments(draws.map((d) => d.normal())),
    moments(draws.map((d) => d.gamma(0.5))),
    moments(draws.map((d) => d.beta(2))),
  ];
  expect(uniform[0]).toBeCloseTo(3, 1);
  expect(uniform[1]).toBeCloseTo(1 / 3, 1);
  expect(normal[0]).toBeCloseTo(0, 1);
  expect(normal[1]).toBeCloseTo(1, 0);
  expect(gamma[0]).toBeCloseTo(0.5, 1);
  expect(gamma[1]).toBeCloseTo(0.5, 0);
  expect(beta[0]).toBeCloseTo(0.5, 1);
  expect(beta[1]).toBeCloseTo(0.05, 1);
});

test.each<[string, () => unknown, string]>([
  ["rotation", () => new data.RandomRotation([20, 10]), "RandomRotation: expected degrees between -360 and 360"],
  ["affine", () => new data.RandomAffine(1, { translate: [2, 0] }), "expected shares of translate from 0 to 1"],
  ["size", () => new data.Resize(0), "Resize: expected a size of whole numbers from 1 up, got 0"],
  [
    "filter",
    () => new data.Resize(2, { interpolation: "lanczos" as data.Filter }),
    "one of nearest, bilinear, bicubic",
  ],
  ["scale", () => new data.RandomResizedCrop(2, { scale: [0, 2] }), "expected scale between 0 and 1"],
  ["perspective", () => new data.RandomPerspective({ distortion: 2 }), "a distortion from 0 to 1, got 2"],
  ["hue", () => new data.ColorJitter({ hue: 0.7 }), "ColorJitter: expected hue between -0.5 and 0.5"],
  ["bits", () => new data.RandomPosterize(9), "bits from 0 to 8, got 9"],
  ["blur", () => new data.GaussianBlur(4), "an odd size from 1 up, got 4"],
  ["magnitude", () => new data.RandAugment({ magnitude: 31 }), "a magnitude below bins"],
  ["classes", () => new data.MixUp({ classes: 0 }), "classes from 1 up, got 0"],
  ["probability", () => new data.RandomInvert(1.5), "RandomInvert: expected a probability from 0 to 1, got 1.5"],
  ["fill", () => new data.RandomRotation(1, { fill: [1, 2] }).apply(pictures(1, 3, 2, 2), key(1)), "3 values of fill"],
  [
    "floats",
    () => new data.RandomEqualize(1).apply(pictures(1, 1, 2, 2).to("float32"), key(1, { seed: 1 })),
    "RandomEqualize: expected pictures of uint8",
  ],
  ["policy of floats", () => new data.RandAugment().apply(pictures(1, 1, 2, 2).to("float32"), key(1)), "put it before"],
])("wrong options: %s", (_, make, message) => expect(make).toThrow(message));
