/** @file The tape: what record, backward, grad and their options promise, beyond the gradients of single ops. */
import type { Tensor } from "napier";
import {
  add,
  backward,
  collectGarbage,
  crossEntropy,
  customFunction,
  enableGrad,
  grad,
  gradcheck,
  gradgradcheck,
  isGradEnabled,
  memory,
  mul,
  noGrad,
  ones,
  scope,
  tensor,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";
import { noSecondDerivative, record, recordAll } from "#lib/graph.js";
import { k } from "#lib/native.js";
import { empty } from "#lib/tensor.js";

const leaf = (values: number[]): Tensor => tensor(values, { requiresGrad: true });
const gradOf = (x: Tensor) => x.grad?.toArraySync();

describe("backward", () => {
  test("a leaf used several times sums its gradients", () => {
    const x = leaf([2]);
    add(mul(x, x), mul(x, 3)).sum().backward(); // 2x + 3
    expect(gradOf(x)).toEqual([7]);
  });
  test("a diamond: each record runs once, after all that use it", () => {
    const x = leaf([3]);
    let runs = 0;
    const h = record(mul(x.detach(), 2), "twice", { x }, {}, (dy) => ({
      x: () => {
        runs++;
        return mul(dy, 2);
      },
    }));
    add(mul(h, h), add(h, h)).sum().backward(); // d(h^2 + 2h)/dx = (2h + 2) 2
    expect(runs).toBe(1);
    expect(gradOf(x)).toEqual([28]);
  });
  test("a ladder of diamonds takes linear time", () => {
    const x = leaf([1]);
    let y: Tensor = x;
    for (let i = 0; i < 60; i++) y = add(y, y);
    y.backward();
    expect(gradOf(x)).toEqual([2 ** 60]);
  });
  test("a chain of 10,000 ops: no recursion", () => {
    const x = leaf([0.5]);
    let y: Tensor = x;
    for (let i = 0; i < 10_000; i++) y = add(y, 1);
    y.backward();
    expect(gradOf(x)).toEqual([1]);
  });
  test("a second backward adds to .grad", () => {
    const x = leaf([1, 2]);
    for (let i = 0; i < 2; i++) mul(x, x).sum().backward();
    expect(gradOf(x)).toEqual([4, 8]);
    x.grad = null;
    mul(x, x).sum().backward();
    expect(gradOf(x)).toEqual([2, 4]);
  });
  test("with a gradient for a result of several elements, of its shape and dtype", () => {
    const x = leaf([1, 2]);
    mul(x, x).backward({ gradient: tensor([1, 10]) });
    expect(gradOf(x)).toEqual([2, 40]);
    expect(() => mul(x, x).backward()).toThrow(
      /backward: expected one element to start from, got \[2\]; reduce it with sum\(\) or mean\(\), or pass a gradient/,
    );
    expect(() => mul(x, x).backward({ gradient: ones([3]) })).toThrow(
      /backward: expected a gradient of shape \[2\], got \[3\]/,
    );
    expect(() => mul(x, x).backward({ gradient: ones([2], { dtype: "float64" }) })).toThrow(
      /backward: expected a gradient of dtype float32, got float64/,
    );
  });
  test("of a leaf itself", () => {
    const x = leaf([4]);
    backward(x);
    expect(gradOf(x)).toEqual([1]);
  });
  test("only inputs that want a gradient are computed", () => {
    const a = leaf([2]);
    const y = record(mul(a.detach(), 5), "times5", { a, b: ones([1]) }, {}, (dy) => ({
      a: () => mul(dy, 5),
      b: () => {
        throw new Error("nobody asked");
      },
    }));
    y.backward();
    expect(gradOf(a)).toEqual([5]);
  });
  test("twice over one graph needs retainGraph", () => {
    const x = leaf([3]);
    const y = mul(x, x).sum();
    y.backward({ retainGraph: true });
    y.backward();
    expect(gradOf(x)).toEqual([12]);
    expect(() => y.backward()).toThrow(
      /backward: the graph through \w+ was freed by an earlier backward\(\); pass \{ retainGraph: true \} to that one/,
    );
  });
  test("on something without a graph says what to do", () => {
    expect(() => ones([1]).backward()).toThrow(
      /backward: this tensor was not made from one that requires a gradient; call requiresGrad_\(\) on the leaf, outside noGrad\(\)/,
    );
  });
  test("a gradient that the op forgot, and one of the wrong size, are errors", () => {
    const x = leaf([1, 2]);
    const bad = (gradients: object) => record(ones([2]), "bad", { x }, {}, () => gradients as never).sum();
    expect(() => bad({}).backward()).toThrow(/backward: bad gives no gradient for x/);
    expect(() => bad({ x: () => ones([3]) }).backward()).toThrow(
      /backward: bad gave x of shape \[2\] a gradient of shape \[3\]/,
    );
  });
  test("null says not differentiable", () => {
    const [x, y] = [leaf([1]), leaf([2])];
    record(ones([1]), "half", { x, y }, {}, (dy) => ({ x: () => mul(dy, 3), y: null })).backward();
    expect(gradOf(x)).toEqual([3]);
    expect(y.grad).toBeNull();
  });
  test("several outputs: null where no gradient arrived", () => {
    const x = leaf([1, 2]);
    const seen: (null | unknown)[] = [];
    const split = () =>
      recordAll([ones([2]), ones([2])], "two", { x }, {}, ([first, second]) => {
        seen.push(first, second);
        return { x: () => (first && second ? add(first, second) : (first ?? second)!.clone()) };
      }) as [Tensor, Tensor];
    split()[1].sum().backward();
    expect(seen[0]).toBeNull();
    expect(gradOf(x)).toEqual([1, 1]);
    const [a, b] = split();
    add(a, mul(b, 4)).sum().backward();
    expect(gradOf(x)).toEqual([6, 6]);
  });
});

describe("gradients never share memory", () => {
  test("add(a, b): each leaf has its own", () => {
    const [a, b] = [leaf([1]), leaf([2])];
    add(a, b).backward();
    a.grad!.mul_(10);
    expect([gradOf(a), gradOf(b)]).toEqual([[10], [1]]);
  });
  test("a given gradient stays the caller's", () => {
    const x = leaf([1, 2]);
    const dy = ones([2]);
    x.identity().backward({ gradient: dy });
    x.grad!.mul_(5);
    expect(dy.toArraySync()).toEqual([1, 1]);
    expect(dy.isFreed).toBe(false);
  });
  test("views of one gradient", () => {
    const [a, b] = [leaf([1, 2]), leaf([3, 4])];
    add(a.reshape([2, 1]), b.reshape([2, 1]))
      .sum()
      .backward();
    a.grad!.fill_(0);
    expect(gradOf(b)).toEqual([1, 1]);
  });
});

describe("noGrad, enableGrad, detach, requiresGrad_", () => {
  test("noGrad records nothing and ends with the callback, an error too", () => {
    const x = leaf([1]);
    expect(noGrad(() => mul(x, 2).requiresGrad)).toBe(false);
    expect(() =>
      noGrad(() => {
        throw new Error("inside");
      }),
    ).toThrow("inside");
    expect(isGradEnabled()).toBe(true);
    expect(noGrad(() => enableGrad(() => mul(x, 2).requiresGrad))).toBe(true);
    // @ts-expect-error: the types refuse it too
    expect(() => noGrad(async () => 1)).toThrow(
      /noGrad: expected a synchronous callback, got one that returns a promise/,
    );
  });
  test("detach shares memory and ends the graph", () => {
    const x = leaf([1]);
    const d = mul(x, 2).detach();
    expect([d.requiresGrad, d.isLeaf]).toEqual([false, true]);
    expect(() => d.backward()).toThrow(/was not made from one that requires a gradient/);
  });
  test("requiresGrad_(false) only on leaves", () => {
    const x = leaf([1]);
    expect(() => mul(x, 2).requiresGrad_(false)).toThrow(
      /requiresGrad_\(false\): this tensor was made by an op; use detach\(\)/,
    );
    expect(x.requiresGrad_(false).requiresGrad).toBe(false);
    expect(x.grad).toBeNull();
  });
  test("assigning .grad checks shape and dtype", () => {
    const x = leaf([1, 2]);
    expect(() => {
      x.grad = ones([3]);
    }).toThrow(/grad: expected float32 \[2\], got float32 \[3\]/);
    expect(() => {
      ones([1]).grad = ones([1]);
    }).toThrow(/grad: this tensor does not require a gradient/);
  });
});

describe("hooks and retainGrad", () => {
  test("a hook sees the summed gradient, may replace it, and can be removed", () => {
    const x = leaf([2]);
    const h = mul(x, 3);
    const seen: number[] = [];
    const remove = h.registerHook((dy) => {
      seen.push(dy.itemSync());
      return mul(dy, 10);
    });
    add(h, h).sum().backward({ retainGraph: true });
    expect(seen).toEqual([2]);
    expect(gradOf(x)).toEqual([60]);
    remove();
    x.grad = null;
    add(h, h).sum().backward();
    expect(gradOf(x)).toEqual([6]);
  });
  test("on a leaf, before .grad", () => {
    const x = leaf([1]);
    x.registerHook((dy) => mul(dy, -1));
    mul(x, 4).backward();
    expect(gradOf(x)).toEqual([-4]);
  });
  test("a hook that answers nothing, or dy itself, changes nothing", () => {
    const x = leaf([1]);
    const h = mul(x, 2);
    h.registerHook((dy) => dy);
    h.registerHook(() => undefined);
    mul(h, 4).backward();
    expect(gradOf(x)).toEqual([8]);
  });
  test("retainGrad keeps .grad of what is no leaf", () => {
    const x = leaf([1]);
    const [h, other] = [mul(x, 2).retainGrad(), mul(x, 2)];
    add(mul(h, 5), other).backward();
    expect(gradOf(h)).toEqual([5]);
    expect(other.grad).toBeNull();
  });
  test("without a gradient they say so", () => {
    expect(() => ones([1]).registerHook(() => undefined)).toThrow(
      /registerHook: this tensor does not require a gradient; call requiresGrad_\(\) on it first/,
    );
    expect(() => ones([1]).retainGrad()).toThrow(/retainGrad: this tensor does not require a gradient/);
  });
});

describe("lifetimes", () => {
  test("freeing handles in mid-graph does not break backward", () => {
    const x = leaf([2]);
    const a = mul(x, x);
    const b = a.exp();
    const y = mul(b, a).sum();
    a.free();
    b.free();
    y.backward();
    const e = Math.exp(4);
    expect((gradOf(x) as number[])[0]).toBeCloseTo(4 * (e + 4 * e), 2);
  });
  test("forward in a scope, backward outside", () => {
    const x = leaf([3]);
    const y = scope(() => mul(mul(x, x), x).sum());
    y.backward();
    expect(gradOf(x)).toEqual([27]);
  });
  test("backward in a scope: .grad survives it", () => {
    const x = leaf([3]);
    scope(() => mul(x, x).sum().backward());
    expect(gradOf(x)).toEqual([6]);
  });
  test("backward frees its records and gradients: a step leaves nothing behind", () => {
    const x = tensor(new Float32Array(1000), { requiresGrad: true });
    const step = () =>
      scope(() => {
        x.mul(2).exp().add(x).tanh().sum().backward();
      });
    step();
    collectGarbage();
    const before = memory();
    for (let i = 0; i < 50; i++) step();
    collectGarbage();
    const after = memory();
    expect([after.tensors, after.liveBytes]).toEqual([before.tensors, before.liveBytes]);
  });
  test("a saved tensor that was changed in place is noticed, through any alias", () => {
    const x = leaf([1, 2]);
    const h = mul(x, 2);
    const y = h.exp().mul(h).sum();
    noGrad(() => h.reshape([2, 1]).fill_(0));
    expect(() => y.backward()).toThrow(
      /backward: mul saved \w+ \[2\] for its gradient, and it was changed in place since \(version 1, expected 0\); change a clone\(\) instead/,
    );
  });
  test("a change of what no gradient needs is fine", () => {
    const x = leaf([1, 2]);
    const h = add(x, 1);
    const y = add(h, 5).sum();
    noGrad(() => h.fill_(0));
    y.backward();
    expect(gradOf(x)).toEqual([1, 1]);
  });
});

describe("grad()", () => {
  test("gives gradients without touching .grad, of values inside the graph too", () => {
    const x = leaf([3]);
    const h = mul(x, x);
    const [dx, dh] = grad(mul(h, 2), [x, h], { retainGraph: true });
    expect([dx!.toArraySync(), dh!.toArraySync(), x.grad]).toEqual([[12], [2], null]);
  });
  test("what stands before a wanted value is not run, and its graph stays", () => {
    const x = leaf([3]);
    const h = mul(x, x);
    expect(grad(mul(h, 2), [h])[0]!.toArraySync()).toEqual([2]);
    h.backward();
    expect(gradOf(x)).toEqual([6]);
  });
  test("the same input twice gives two tensors", () => {
    const x = leaf([3]);
    const [a, b] = grad(mul(x, x), [x, x]);
    a!.free();
    expect(b!.toArraySync()).toEqual([6]);
  });
  test("several outputs add up, each with its gradOutput", () => {
    const x = leaf([1, 2]);
    const [dx] = grad([mul(x, 2), mul(x, x)], [x], { gradOutputs: [tensor([1, 0]), tensor([0, 1])] });
    expect(dx!.toArraySync()).toEqual([2, 4]);
  });
  test("an input that does not matter: an error, or null with allowUnused", () => {
    const [x, y] = [leaf([1]), leaf([2])];
    expect(() => grad(mul(x, 2), [y])).toThrow(
      /grad: the outputs do not depend on input 0 \[1\]; pass \{ allowUnused: true \} to get null/,
    );
    expect(grad(mul(x, 2), [x, y], { allowUnused: true })[1]).toBeNull();
    expect(() => grad(mul(x, 2), [ones([1])])).toThrow(/grad: input 0 \[1\] does not require a gradient/);
  });
  test("createGraph: derivatives of derivatives", () => {
    const x = leaf([2]);
    const y = mul(mul(x, x), x); // x^3
    const [d1] = grad(y, [x], { createGraph: true });
    const [d2] = grad(d1!, [x], { createGraph: true });
    const [d3] = grad(d2!, [x]);
    expect([d1, d2, d3].map((d) => d!.itemSync())).toEqual([12, 12, 6]);
  });
  test("backward with createGraph leaves .grad in the graph", () => {
    const x = leaf([2]);
    mul(mul(x, x), x).backward({ createGraph: true });
    const first = x.grad!;
    expect(first.requiresGrad).toBe(true);
    expect(grad(first, [x])[0]!.itemSync()).toBe(12);
  });
  test("a gradient penalty trains", () => {
    const w = leaf([1, -2]);
    const x = leaf([3, 4]);
    const [dx] = grad(mul(mul(w, w), x).sum(), [x], { createGraph: true }); // w^2
    mul(dx!, dx!).sum().backward(); // d sum w^4 = 4 w^3
    expect(gradOf(w)).toEqual([4, -32]);
  });
  test("an op whose gradient has none of its own says so, and is never zero", () => {
    const x = leaf([2]);
    const y = record(mul(x.detach(), 3), "opaque", { x }, {}, (dy) => ({
      x: () => noSecondDerivative("opaque", mul(dy.detach(), 3), { dy, x }),
    }));
    const [dx] = grad(y, [x], { createGraph: true });
    expect(dx!.itemSync()).toBe(3);
    expect(() => dx!.backward()).toThrow(/opaque has no second derivative/);
  });
});

describe("customFunction", () => {
  const cube = customFunction({
    name: "cube",
    forward: (ctx, x: Tensor) => {
      ctx.save(x);
      return mul(mul(x, x), x);
    },
    backward: ({ saved: [x] }, dy) => [mul(dy, mul(mul(x!, x!), 3))],
  });
  test("its gradient, and the second one where backward is made of ops", () => {
    const x = tensor([0.5, -1.5], { dtype: "float64", requiresGrad: true });
    gradcheck((x) => cube(x), [x], { secondOrder: true });
  });
  test("arguments that are no tensors take no gradient; null is allowed", () => {
    const scaled = customFunction({
      forward: (_, x: Tensor, factor: number, y: Tensor) => mul(add(x, y), factor),
      backward: (_, dy) => [mul(dy, 7), null],
    });
    const [x, y] = [leaf([1]), leaf([2])];
    scaled(x, 3, y).backward();
    expect([gradOf(x), y.grad]).toEqual([[7], null]);
  });
  test("a forward that returns its input, and a backward that returns dy or a saved value", () => {
    const pass = customFunction({
      forward: (ctx, x: Tensor) => {
        ctx.save(x);
        return x;
      },
      backward: ({ saved: [x] }) => [x!],
    });
    const x = leaf([5]);
    const y = pass(x);
    expect(y).not.toBe(x);
    y.backward();
    x.grad!.fill_(0);
    expect(x.toArraySync()).toEqual([5]);
  });
  test("too few gradients are an error", () => {
    const bad = customFunction({
      name: "bad",
      forward: (_, x: Tensor, y: Tensor) => add(x, y),
      backward: (_, dy) => [dy],
    });
    expect(() => bad(leaf([1]), leaf([2])).backward()).toThrow(
      /bad: backward must give 2 gradients \(or null\), gave 1/,
    );
  });
});

describe("gradcheck", () => {
  const x = () => tensor([0.3, -1.2, 2], { dtype: "float64", requiresGrad: true });
  const wrong = customFunction({
    forward: (ctx, x: Tensor) => {
      ctx.save(x);
      return mul(x, x);
    },
    backward: ({ saved: [x] }, dy) => [mul(dy, x!)],
  });
  test("finds a wrong gradient and names input, index and both values", () => {
    expect(() => gradcheck((x) => wrong(x), [x()])).toThrow(
      /gradcheck: 3 of 3 entries differ .*\n {2}input 0 \[3\] at flat index 0: numerical -?[\d.]+, analytic -?[\d.]+, relative error 5\.00e-1/,
    );
  });
  test("raise: false answers instead", () => {
    const result = gradcheck((x) => wrong(x), [x()], { raise: false });
    expect(result.ok).toBe(false);
    expect(result.maxRelativeError).toBeCloseTo(0.5, 5);
    expect(result.entries.map((e) => [e.input, e.index, e.ok])).toEqual([
      [0, 0, false],
      [0, 1, false],
      [0, 2, false],
    ]);
  });
  test("finds a gradient that is missing", () => {
    expect(() => gradcheck((x) => add(x.detach().exp(), x), [x()])).toThrow(/gradcheck: 3 of 3 entries differ/);
    expect(() => gradcheck((x) => x.detach().exp(), [x()])).toThrow(/gradcheck: 3 of 3 entries differ/);
  });
  test("numChecks draws that many entries an input, the same for the same seed", () => {
    const big = tensor(new Float64Array(500).fill(0.5), { requiresGrad: true });
    const of = (seed: number) => gradcheck((x) => x.tanh(), [big], { numChecks: 7, seed }).entries.map((e) => e.index);
    expect(of(1)).toHaveLength(7);
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
  });
  test("wants float64 and something to differentiate", () => {
    expect(() => gradcheck((x) => x.exp(), [leaf([1])])).toThrow(
      /gradcheck: expected input 0 to be float64, got float32/,
    );
    expect(() => gradcheck((x) => x.exp(), [ones([1], { dtype: "float64" })])).toThrow(
      /gradcheck: expected an input that requires a gradient/,
    );
  });
  test("gradgradcheck finds a second derivative that is wrong although the first is right", () => {
    const broken = (x: Tensor) =>
      record(mul(x.detach(), x.detach()), "broken", { x }, { x }, (dy, { x }) => ({
        x: () => (isGradEnabled() ? mul(dy, mul(x.detach(), 2)) : mul(dy, mul(x, 2))),
      }));
    gradcheck(broken, [x()]);
    expect(() => gradgradcheck(broken, [x()])).toThrow(/gradgradcheck: 3 of 6 entries differ/);
  });
  test("leaves inputs and their .grad alone", () => {
    const input = x();
    gradcheck((x) => x.exp(), [input], { secondOrder: true });
    expect(input.grad).toBeNull();
    expect(input.toArraySync()).toEqual([0.3, -1.2, 2]);
  });
});

describe("a failed gradient", () => {
  test("skips the fused step: the weights stay good, the gradient says why", async () => {
    const w = ones([3, 4], { requiresGrad: true });
    const labels = tensor([0, 11, 1], { dtype: "int32" }).mul(1); // its range is unknown until it is read
    const loss = crossEntropy(w, labels);
    loss.backward();
    const other = ones([2], { requiresGrad: true });
    mul(other, 3).sum().backward();
    const steps = zeros([1]);
    k.sgd([w, other], [w.grad!, other.grad!], [], steps, 0.1, 0, 0, 0, 0, 0);
    await expect(loss.item()).rejects.toThrow(
      /crossEntropy: expected a value between 0 and 3, got 11 \(at flat index 1\)/,
    );
    await expect(w.grad!.data()).rejects.toThrow(/got 11/);
    expect(await w.data()).toEqual(new Float32Array(12).fill(1));
    expect(await other.data()).toEqual(new Float32Array(2).fill(1));
    expect(await steps.item()).toBe(0);
  });
  test("the buffer is good again once it is written anew", async () => {
    const labels = tensor([5], { dtype: "int32" }).mul(1);
    const loss = empty([1], "float32");
    const logSumExp = empty([1], "float32");
    k.crossEntropy(loss, logSumExp, ones([1, 2]), labels, -100, 1, 2);
    await expect(loss.data()).rejects.toThrow(/got 5/);
    k.fill(loss, 2, 1);
    expect(await loss.item()).toBe(2);
  });
});
