/** @file In-place ops: what they write, what they refuse, and that backward notices them. */
import { add_, copy_, fill_, mul_, noGrad, ones, tensor, zero_, zeros } from "napier";
import { describe, expect, test } from "vitest";

describe("values", () => {
  test("add_ and mul_ return the tensor itself, changed", () => {
    const x = tensor([
      [1, 2, 3],
      [4, 5, 6],
    ]);
    expect(x.add_(tensor([10, 20, 30]))).toBe(x);
    expect(x.toArraySync()).toEqual([
      [11, 22, 33],
      [14, 25, 36],
    ]);
    expect(x.add_(1, { alpha: 2 }).toArraySync()).toEqual([
      [13, 24, 35],
      [16, 27, 38],
    ]);
    expect(x.add_(x, { alpha: -1 }).toArraySync()).toEqual([
      [0, 0, 0],
      [0, 0, 0],
    ]);
    expect(
      tensor([1, 2])
        .mul_(tensor([3, 4]))
        .mul_(2)
        .toArraySync(),
    ).toEqual([6, 16]);
  });
  test.each(["float32", "float64", "int32", "int64", "uint8", "int8"] as const)("in %s", (dtype) => {
    const x = tensor([1, 2, 3], { dtype });
    expect(
      x
        .add_(2)
        .mul_(3)
        .add_(tensor([1, 1, 1], { dtype: "uint8" }))
        .toArraySync(),
    ).toEqual([10, 13, 16]);
    expect(x.fill_(7).toArraySync()).toEqual([7, 7, 7]);
    expect(x.zero_().toArraySync()).toEqual([0, 0, 0]);
  });
  test("copy_ converts and broadcasts", () => {
    const x = zeros([2, 3], { dtype: "int32" });
    expect(x.copy_(tensor([1.9, -2.5, 3])).toArraySync()).toEqual([
      [1, -2, 3],
      [1, -2, 3],
    ]);
    expect(
      zeros([2], { dtype: "float16" })
        .copy_(tensor([0.5, 2]))
        .toArraySync(),
    ).toEqual([0.5, 2]);
    expect(zeros([2], { dtype: "bool" }).fill_(3).toArraySync()).toEqual([1, 1]);
    expect(zeros([2], { dtype: "bfloat16" }).fill_(3).toArraySync()).toEqual([3, 3]);
    expect(copy_(zeros([0, 3]), ones([3])).toArraySync()).toEqual([]);
  });
  test("what shares the memory sees it", () => {
    const x = zeros([2, 2]);
    const row = x.reshape([4]);
    x.fill_(5);
    expect(row.toArraySync()).toEqual([5, 5, 5, 5]);
  });
  test("a known range of indices is forgotten", () => {
    const ids = tensor([0, 1], { dtype: "int32" });
    ids.fill_(9);
    expect(() => ones([5, 2]).slice(0).mul(ids.to("float32"))).not.toThrow();
    expect(() => tensor([0, 9], { dtype: "int32" }).embedding(ones([5, 2]))).toThrow(/got 9/);
    expect(() => ids.embedding(ones([5, 2]))).not.toThrow(); // the kernel finds it out
  });
});

describe("the graph", () => {
  test("a leaf that requires a gradient is changed inside noGrad only", () => {
    const w = ones([2], { requiresGrad: true });
    for (const change of [
      () => add_(w, 1),
      () => mul_(w, 2),
      () => fill_(w, 1),
      () => zero_(w),
      () => copy_(w, ones([2])),
      () => w.uniform_(),
    ]) {
      expect(change).toThrow(/_: a leaf that requires a gradient is changed in place; do it inside noGrad/);
    }
    noGrad(() => w.add_(1));
    expect(w.toArraySync()).toEqual([2, 2]);
    expect(w.requiresGrad).toBe(true);
  });
  test("a result of the graph is refused, and so is an operand of one", () => {
    const w = ones([2], { requiresGrad: true });
    expect(() => w.mul(2).add_(1)).toThrow(
      /add_: in-place ops are not recorded, and this tensor was made by mulScalar/,
    );
    expect(() => zeros([2]).add_(w)).toThrow(
      /add_: in-place ops are not recorded, and the operand requires a gradient/,
    );
    expect(zeros([2]).add_(w.detach()).toArraySync()).toEqual([1, 1]);
  });
  test("backward notices a saved value that changed", () => {
    const w = ones([2], { requiresGrad: true });
    const x = tensor([3, 4]);
    const y = w.mul(x).sum();
    x.add_(1);
    expect(() => y.backward()).toThrow(/mul saved b \[2\] for its gradient, and it was changed in place since/);
  });
});

test("errors", () => {
  expect(() => zeros([2]).add_(ones([3]))).toThrow(/add_: expected an operand that broadcasts to \[2\], got \[3\]/);
  expect(() => zeros([3]).copy_(ones([2, 3]))).toThrow(
    /copy_: expected an operand that broadcasts to \[3\], got \[2,3\]/,
  );
  expect(() => zeros([2], { dtype: "int32" }).add_(ones([2]))).toThrow(
    /add_: a float32 result does not fit into int32/,
  );
  expect(() => zeros([2], { dtype: "int32" }).mul_(0.5)).toThrow(
    /mul_: a float result does not fit into int32 \(0.5\)/,
  );
  expect(() => zeros([2], { dtype: "bool" }).add_(1)).toThrow(/add_: expected numbers, got bool/);
  expect(() => zeros([2], { dtype: "float16" }).add_(1)).toThrow(/add_: float16 is for storage only/);
});

describe("more in-place ops", () => {
  test("sub_, div_, lerp_, addcmul_, addcdiv_ and clamp_ return the tensor itself, changed", () => {
    const x = tensor([1, 2, 3]);
    expect(x.sub_(tensor([1]), { alpha: 2 })).toBe(x);
    expect(x.toArraySync()).toEqual([-1, 0, 1]);
    expect(x.sub_(1).toArraySync()).toEqual([-2, -1, 0]);
    expect(x.div_(2).toArraySync()).toEqual([-1, -0.5, 0]);
    expect(x.div_(tensor([1, 0.5, 2])).toArraySync()).toEqual([-1, -1, 0]);
    expect(x.lerp_(tensor([1, 3, 4]), 0.25).toArraySync()).toEqual([-0.5, 0, 1]);
    expect(x.lerp_(tensor([0.1, 0.2, 0.3]), 1).toArraySync()).toEqual([0.1, 0.2, 0.3].map(Math.fround));
    expect(
      x
        .copy_(zeros([3]))
        .lerp_(ones([3]), tensor([0, 0.5, 1]))
        .toArraySync(),
    ).toEqual([0, 0.5, 1]);
    expect(x.addcmul_(tensor([1, 2, 3]), tensor([2]), { value: 0.5 }).toArraySync()).toEqual([1, 2.5, 4]);
    expect(x.addcdiv_(tensor([1, 2, 3]), tensor([2])).toArraySync()).toEqual([1.5, 3.5, 5.5]);
    expect(x.clamp_(2, 5).toArraySync()).toEqual([2, 3.5, 5]);
    expect(x.clamp_(null, tensor([1, 9, 4])).toArraySync()).toEqual([1, 3.5, 4]);
    expect(x.maskedFill_(tensor([1, 0, 0]), -1).toArraySync()).toEqual([-1, 3.5, 4]);
    expect(tensor([-5, 0, 5], { dtype: "int32" }).clamp_(-1, 2).toArraySync()).toEqual([-1, 0, 2]);
    const whole = tensor([2, 3], { dtype: "int64" });
    expect(tensor([7, 8], { dtype: "int64" }).addcmul_(whole, whole).toArraySync()).toEqual([11, 17]);
  });
  test("each counts as a change, and is refused on what the graph needs", () => {
    const w = ones([2], { requiresGrad: true });
    const mask = ones([2]);
    for (const change of [
      () => w.sub_(1),
      () => w.div_(2),
      () => w.lerp_(mask, 0.5),
      () => w.addcmul_(mask, mask),
      () => w.addcdiv_(mask, mask),
      () => w.clamp_(0),
      () => w.maskedFill_(mask, 0),
      () => w.assign_([0], 0),
    ])
      expect(change).toThrow(/_: a leaf that requires a gradient is changed in place/);
    expect(() => zeros([2]).assign_([], w)).toThrow(/assign_: .* the operand requires a gradient/);
    const x = tensor([3, 4]);
    const y = w.mul(x).sum();
    x.assign_([0], 1);
    expect(() => y.backward()).toThrow(/it was changed in place since/);
  });
  test("errors", () => {
    const whole = () => zeros([2], { dtype: "int32" });
    expect(() => whole().div_(2)).toThrow(/div_: a float result does not fit into int32; use the op without "_"/);
    expect(() => whole().lerp_(ones([2]), 0.5)).toThrow(/lerp_: a float result does not fit into int32/);
    expect(() => zeros([2]).div_(ones([3]))).toThrow(/div_: expected an operand that broadcasts to \[2\], got \[3\]/);
    expect(() => zeros([2]).lerp_(ones([3]), 0.1)).toThrow(/lerp_: expected an operand that broadcasts to \[2\]/);
    expect(() => zeros([2], { dtype: "float16" }).clamp_(0)).toThrow(/clamp_: float16 is for storage only/);
  });
});

describe("assign_", () => {
  const rows = () => zeros([3, 4]);
  test("numbers and tensors into rows, ranges, steps and single elements", () => {
    expect(rows().assign_([1], 5).toArraySync()).toEqual([
      [0, 0, 0, 0],
      [5, 5, 5, 5],
      [0, 0, 0, 0],
    ]);
    expect(
      rows()
        .assign_([null, [1, 3]], tensor([5, 6]))
        .toArraySync(),
    ).toEqual([0, 1, 2].map(() => [0, 5, 6, 0]));
    expect(
      rows()
        .assign_([[null, null, 2], -1], tensor([7, 8]))
        .toArraySync(),
    ).toEqual([
      [0, 0, 0, 7],
      [0, 0, 0, 0],
      [0, 0, 0, 8],
    ]);
    expect(rows().assign_([2, 3], 1.5).slice(2, 3).itemSync()).toBe(1.5);
    expect(
      tensor([1, 2, 3])
        .assign_([[null, null, -1]], tensor([7, 8, 9]))
        .toArraySync(),
    ).toEqual([9, 8, 7]);
    expect(
      rows()
        .assign_([[1, 1]], 5)
        .sum()
        .itemSync(),
    ).toBe(0);
  });
  test("converts to the dtype of what it writes into", () => {
    expect(zeros([2], { dtype: "int32" }).assign_([0], tensor(2.9)).toArraySync()).toEqual([2, 0]);
    expect(zeros([2], { dtype: "bool" }).assign_([1], 3).toArraySync()).toEqual([0, 1]);
    expect(zeros([2], { dtype: "bfloat16" }).assign_([1], 3).toArraySync()).toEqual([0, 3]);
  });
  test("reads its own memory before it writes", () => {
    const x = tensor([1, 2, 3]);
    expect(x.assign_([[null, null, -1]], x).toArraySync()).toEqual([3, 2, 1]);
  });
  test("errors", () => {
    expect(() => rows().assign_([3], 1)).toThrow(/assign_: expected an index from -3 to 2 in dimension 0, got 3/);
    expect(() => rows().assign_([0], ones([3]))).toThrow(
      /assign_: expected an operand that broadcasts to \[4\], got \[3\]/,
    );
    expect(() => rows().assign_([0, 0, 0], 1)).toThrow(/assign_: expected at most 2 dimensions, got 3/);
    expect(() => rows().assign_(0 as never, 1)).toThrow(/assign_: expected an array of ranges, got number/);
  });
});
