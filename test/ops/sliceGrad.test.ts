/** @file Gradients of many slices of one tensor: added to one gradient in place, the same numbers as sums of whole ones. */
import { grad, memory, ones, randn, resetPeakMemory, type Tensor, zeros } from "napier";
import { describe, expect, test } from "vitest";

const flat = (t: Tensor) => [...t.dataSync("float32")];

describe("slices of one tensor", () => {
  const cases: Record<string, (x: Tensor) => Tensor[]> = {
    "rows that meet": (x) => [x.slice(0), x.slice([0, 2]), x.slice(1), x.slice([1, 4, 2])],
    "columns backwards, and an element": (x) => [x.slice(null, [null, null, -1]), x.slice(2, 3), x.slice(null, 1)],
    "narrow, select and the diagonal": (x) => [x.narrow(1, 1, 3), x.select(0, -1), x.diagonal(), x.narrow(0, 0, 0)],
    "beside x itself, before and after": (x) => [x.mul(2), x.slice(1), x, x.slice(2), x.mul(x)],
    "split, chunk and unbind, in part": (x) => [
      x.split(2)[1]!,
      x.split([1, 3], 1)[0]!,
      x.chunk(2, 1)[1]!,
      x.unbind(1)[3]!,
    ],
    "all parts of unbind": (x) => x.unbind(0),
  };
  const loss = (parts: Tensor[]) =>
    parts
      .map((p, i) =>
        p
          .mul(p)
          .mul(p)
          .sum()
          .mul(0.5 + i),
      )
      .reduce((a, b) => a.add(b));
  test.each(Object.entries(cases))("%s: as sums of whole gradients", (_, take) => {
    const x = randn([4, 4], { requiresGrad: true });
    loss(take(x)).backward();
    // createGraph never writes in place: its gradients are whole tensors, added.
    const [wanted] = grad(loss(take(x)), [x], { createGraph: true });
    expect(flat(x.grad!)).toEqual(flat(wanted!.detach()));
  });
  const parts = Object.entries(cases).filter(([name]) => !name.startsWith("beside"));
  test.each(parts)("%s: second derivatives", (_, take) => {
    const x = randn([4, 4], { requiresGrad: true });
    const [first] = grad(loss(take(x)), [x], { createGraph: true });
    const [second] = grad(first!.sum(), [x]);
    // d2 (w p^3) = 6 w p, where w is how often an element is taken
    const ofOnes = zeros([4, 4], { requiresGrad: true });
    const linear = take(ofOnes).map((p, i) => p.sum().mul(0.5 + i));
    linear.reduce((a, b) => a.add(b)).backward();
    expect(second!.sub(x.mul(ofOnes.grad!).mul(6)).abs().amax().itemSync()).toBeLessThan(1e-4);
  });
});

describe("what others hold is never written to", () => {
  test("the gradient that backward starts from", () => {
    const x = ones([4], { requiresGrad: true });
    const y = x.mul(1);
    const given = ones([4]);
    const [dx] = grad([y, y.slice(1), y.slice([2, 4])], [x], { gradOutputs: [given, null, ones([2])] });
    expect(flat(dx!)).toEqual([1, 2, 2, 2]);
    expect(flat(given)).toEqual([1, 1, 1, 1]);
  });
  test("a gradient kept by a hook or by retainGrad", () => {
    const x = ones([3], { requiresGrad: true });
    const y = x.mul(2).retainGrad();
    const kept: Tensor[] = [];
    y.registerHook((dy) => {
      kept.push(dy.mul(1));
      return undefined;
    });
    const z = y.add(0);
    z.slice(0).add(z.slice(1)).add(z.slice(0)).add(y.slice(2)).backward();
    expect(flat(y.grad!)).toEqual([2, 1, 1]);
    expect(flat(kept[0]!)).toEqual([2, 1, 1]);
    expect(flat(x.grad!)).toEqual([4, 2, 2]);
  });
  test("gradients that share memory: an addition passes one on to both", () => {
    const [a, b] = [ones([3], { requiresGrad: true }), ones([3], { requiresGrad: true })];
    const c = a.mul(1);
    const d = b.mul(1);
    const s = c.add(d);
    c.slice(0).add(d.slice(1)).add(s.sum()).backward();
    expect([flat(a.grad!), flat(b.grad!)]).toEqual([
      [2, 1, 1],
      [1, 2, 1],
    ]);
  });
});

test("a thousand slices make one gradient of the whole size", () => {
  const x = zeros([1000, 64], { requiresGrad: true });
  const parts = Array.from({ length: 1000 }, (_, i) => x.slice(i));
  const y = parts.map((p) => p.sum()).reduce((a, b) => a.add(b));
  resetPeakMemory();
  const before = memory().liveBytes;
  y.backward();
  expect(x.grad!.sum().itemSync()).toBe(64_000);
  expect(memory().peakBytes - before).toBeLessThan(4 * x.bytes);
});
