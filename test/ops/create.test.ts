/** @file Tensors made from values, in every dtype. */
import type { DType } from "napier";
import {
  arange,
  emptyLike,
  eye,
  full,
  fullLike,
  linspace,
  logspace,
  ones,
  onesLike,
  tensor,
  trilIndices,
  triuIndices,
  zeros,
  zerosLike,
} from "napier";
import { checkOp, describe, expect, expectClose, test, valuesOf } from "../check.js";
import { build, nd } from "../nd.js";

const DTYPES = ["float32", "float64", "int32", "int64", "uint8", "int8", "bool"] as const;

for (const dtype of DTYPES) {
  describe(dtype, () => {
    const options = { dtype };
    const one = dtype === "bool" ? 1 : 3;
    checkOp<[shape: number[]]>(`full ${dtype}`, {
      run: (_, shape) => full(shape, 3, options),
      reference: (_, shape) => build(shape, () => one, dtype),
      grad: false,
      cases: {
        scalar: { inputs: [], args: [[]] },
        matrix: { inputs: [], args: [[3, 5]] },
        empty: { inputs: [], args: [[2, 0]] },
        "long enough to be split": { inputs: [], args: [[300_007]] },
      },
    });
    test("zeros, ones and their likes", () => {
      const x = full([2, 2], 1, options);
      for (const [y, v] of [
        [zeros([2, 2], options), 0],
        [ones([2, 2], options), 1],
        [zerosLike(x), 0],
        [onesLike(x), 1],
        [fullLike(x, 3), one],
      ] as const) {
        expect([y.dtype, y.shape, valuesOf(y)]).toEqual([dtype, [2, 2], [v, v, v, v]]);
      }
    });
    test("tensor: a number, nested arrays, and data() in the dtype's own array", () => {
      expect(tensor(1, options).toArraySync()).toBe(1);
      expect(
        tensor(
          [
            [0, 1],
            [1, 0],
          ],
          options,
        ).toArraySync(),
      ).toEqual([
        [0, 1],
        [1, 0],
      ]);
      expect(tensor([], options).shape).toEqual([0]);
      const arrays = {
        float32: Float32Array,
        float64: Float64Array,
        int32: Int32Array,
        int64: BigInt64Array,
        uint8: Uint8Array,
        int8: Int8Array,
        bool: Uint8Array,
      };
      expect(tensor([1], options).dataSync(dtype)).toBeInstanceOf(arrays[dtype]);
    });
  });
}

test("full of NaN and infinity", () => {
  expect(full([1], Number.NaN).toArraySync()).toEqual([Number.NaN]);
  expect(full([1], Number.NEGATIVE_INFINITY, { dtype: "float64" }).toArraySync()).toEqual([Number.NEGATIVE_INFINITY]);
});

checkOp<[args: [number, number?, number?], dtype?: DType]>("arange", {
  run: (_, args, dtype) => arange(args[0], args[1], args[2], dtype ? { dtype } : {}),
  reference: (_, [start, end, step = 1], dtype) => {
    const [from, to] = end === undefined ? [0, start] : [start, end];
    const values: number[] = [];
    for (let i = 0; step > 0 ? from + i * step < to : from + i * step > to; i++) values.push(from + i * step);
    return nd([values.length], values, dtype ?? ([from, to, step].every(Number.isInteger) ? "int32" : "float32"));
  },
  grad: false,
  bound: { ulp: 1 },
  isaRms: 1,
  cases: {
    "to 5": { inputs: [], args: [[5]] },
    "2 to 7": { inputs: [], args: [[2, 7]] },
    "by 3": { inputs: [], args: [[1, 12, 3]] },
    "down by 2": { inputs: [], args: [[9, -2, -2]] },
    "by 0.25": { inputs: [], args: [[0, 2, 0.25]] },
    "by 0.1, float64": { inputs: [], args: [[0, 1, 0.1], "float64"] },
    "nothing: the wrong way": { inputs: [], args: [[5, 2]] },
    int64: { inputs: [], args: [[3, 40, 7], "int64"] },
    uint8: { inputs: [], args: [[250], "uint8"] },
    "long enough to be split": { inputs: [], args: [[0, 300_007]] },
    "long floats": { inputs: [], args: [[0, 100_003], "float32"] },
  },
  errors: {
    "step 0": [() => arange(0, 5, 0), /arange: expected finite bounds and a step that is not 0, got 0, 5, 0/],
    "an infinite end": [
      () => arange(Number.POSITIVE_INFINITY),
      /arange: expected finite bounds and a step that is not 0, got 0, Infinity, 1/,
    ],
    "an unknown dtype": [
      () => arange(0, 3, 1, { dtype: "int" as never }),
      /arange: expected a dtype such as "float32" or "int32", got "int"/,
    ],
  },
  bench: { "4M floats": { inputs: [], args: [[0, 1 << 22], "float32"] } },
});

checkOp<[number, number, number]>("linspace", {
  run: (_, start, end, steps) => linspace(start, end, steps),
  reference: (_, start, end, steps) =>
    nd(
      [steps],
      Array.from({ length: steps }, (_, i) => (i === 0 ? start : start + (i * (end - start)) / (steps - 1))),
      "float32",
    ),
  grad: false,
  bound: { rms: 1 },
  isaRms: 1,
  cases: {
    "0 to 1": { inputs: [], args: [0, 1, 11] },
    downwards: { inputs: [], args: [2, -3, 7] },
    "one step": { inputs: [], args: [4, 9, 1] },
    none: { inputs: [], args: [0, 1, 0] },
    long: { inputs: [], args: [-5, 5, 70_001] },
  },
  errors: {
    "steps that are no count": [() => linspace(0, 1, 2.5), /linspace: expected a number of steps from 0 up, got 2.5/],
  },
  bench: { "4M": { inputs: [], args: [0, 1, 1 << 22] } },
});
test("linspace ends where it says", () => {
  for (const n of [2, 3, 7, 10, 50, 1001])
    expectClose(valuesOf(linspace(0, 0.3, n)).slice(-1), [0.3], "float32", { ulp: 1 }, "the end");
});

checkOp<[number, number?]>("eye", {
  run: (_, n, m) => eye(n, m),
  reference: (_, n, m = n) => build([n, m], ([i, j]) => Number(i === j), "float32"),
  grad: false,
  cases: {
    "1": { inputs: [], args: [1] },
    "4": { inputs: [], args: [4] },
    "2x5": { inputs: [], args: [2, 5] },
    "5x2": { inputs: [], args: [5, 2] },
    "0": { inputs: [], args: [0] },
    "0x3": { inputs: [], args: [0, 3] },
  },
  bench: { "2048": { inputs: [], args: [2048] } },
});

describe("tensor", () => {
  test("typed arrays keep their dtype and are copied", () => {
    const source = Float64Array.of(1, 2, 3, 4);
    const x = tensor(source, [2, 2]);
    source[0] = 9;
    expect(x.dtype).toBe("float64");
    expect(x.toArraySync()).toEqual([
      [1, 2],
      [3, 4],
    ]);
    expect(tensor(Int8Array.of(-1)).dtype).toBe("int8");
    expect(tensor(Uint8Array.of(255)).dtype).toBe("uint8");
    expect(tensor(BigInt64Array.of(5n)).dtype).toBe("int64");
    expect(tensor(Int32Array.of(5, 0), { dtype: "bool" }).toArraySync()).toEqual([1, 0]);
  });
  test("a view of part of a buffer", () => {
    const all = Float32Array.of(0, 1, 2, 3);
    expect(tensor(all.subarray(1, 3)).toArraySync()).toEqual([1, 2]);
  });
  test("int64 beyond the safe integers: data() has it, item() refuses", () => {
    const x = tensor(BigInt64Array.of(2n ** 60n));
    expect(x.dataSync("int64")[0]).toBe(2n ** 60n);
    expect(() => x.itemSync()).toThrow(
      /itemSync: the int64 1152921504606846976 is no safe integer; read it with data\("int64"\)/,
    );
  });
  test.each([
    ["ragged", () => tensor([[1, 2], [3]]), /tensor: expected nested arrays of even lengths, got 1 items beside 2/],
    [
      "uneven depth",
      () => tensor([[1], 2]),
      /tensor: expected nested arrays of even depth, got a number beside an array/,
    ],
    ["a string", () => tensor(["1"] as never), /tensor: expected numbers, got string \(1\)/],
    [
      "another length",
      () => tensor(new Float32Array(5), [2, 3]),
      /tensor: expected 6 elements for shape \[2,3\], got 5/,
    ],
    [
      "a negative extent",
      () => zeros([2, -1]),
      /full: expected a shape \(an array of integers from 0 up\), got \[ 2, -1 \]/,
    ],
    [
      "a shape that is a number",
      () => ones(3 as never),
      /full: expected a shape \(an array of integers from 0 up\), got 3/,
    ],
    [
      "too many elements",
      () => zeros([2 ** 30, 2 ** 30]),
      /full: a shape of \[1073741824,1073741824\] has too many elements/,
    ],
    [
      "an unknown dtype",
      () => tensor([1], { dtype: "float" as never }),
      /tensor: expected a dtype such as "float32" or "int32", got "float"/,
    ],
    ["a Uint16Array", () => tensor(new Uint16Array(2) as never), /tensor: expected Float32Array, .*got Uint16Array/],
    [
      "a gradient of integers",
      () => tensor([1], { dtype: "int32", requiresGrad: true }),
      /requiresGrad_: expected float32 or float64, got int32; only floats have gradients/,
    ],
    ["a value that is no number", () => full([2], "1" as never), /full: expected a number, got string/],
  ] as const)("error: %s", (_, call, message) => {
    expect(call).toThrow(message);
  });
});

checkOp<[start: number, end: number, steps: number, base?: number]>("logspace", {
  run: (_, start, end, steps, base) => logspace(start, end, steps, base === undefined ? {} : { base }),
  reference: (_, start, end, steps, base = 10) =>
    build([steps], ([i]) => base ** (start + (steps > 1 ? (i! * (end - start)) / (steps - 1) : 0)), "float32"),
  grad: false,
  cases: {
    "powers of ten": { inputs: [], args: [-3, 2, 6] },
    "powers of two, downwards": { inputs: [], args: [3, -3, 7, 2] },
    "one step": { inputs: [], args: [2, 5, 1] },
    "no step": { inputs: [], args: [0, 1, 0] },
  },
  errors: { "half a step": [() => logspace(0, 1, 1.5), /logspace: expected a number of steps from 0 up, got 1.5/] },
  bench: { "64K": { inputs: [], args: [-3, 3, 1 << 16] } },
});

describe("indices of triangles", () => {
  test("lower and upper, with an offset", () => {
    expect(trilIndices(3).toArraySync()).toEqual([
      [0, 1, 1, 2, 2, 2],
      [0, 0, 1, 0, 1, 2],
    ]);
    expect(trilIndices(2, 3, 1).toArraySync()).toEqual([
      [0, 0, 1, 1, 1],
      [0, 1, 0, 1, 2],
    ]);
    expect(triuIndices(3, 2, 1).toArraySync()).toEqual([[0], [1]]);
    expect([trilIndices(0).dtype, ...trilIndices(0).shape]).toEqual(["int32", 2, 0]);
  });
  test("errors", () => {
    expect(() => trilIndices(-1)).toThrow(/trilIndices: expected rows and columns from 0 up, got -1/);
    expect(() => triuIndices(2, 0.5)).toThrow(/triuIndices: expected rows and columns from 0 up, got 0.5/);
  });
});

test("emptyLike has the shape and the dtype asked for", () => {
  const x = emptyLike(zeros([2, 3], { dtype: "int32" }));
  expect([x.dtype, ...x.shape]).toEqual(["int32", 2, 3]);
  expect(x.fill_(4).toArraySync()).toEqual([
    [4, 4, 4],
    [4, 4, 4],
  ]);
  expect(emptyLike(x, { dtype: "float64" }).dtype).toBe("float64");
});
