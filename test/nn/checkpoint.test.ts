/** @file Checkpointing, hooks on gradients, collections of modules and parameters, stochastic depth as a layer. */
import {
  collectGarbage,
  Generator,
  grad,
  manualSeed,
  memory,
  nn,
  ones,
  randn,
  resetPeakMemory,
  type Tensor,
} from "napier";
import { describe, expect, test } from "vitest";
import { addon } from "#lib/native.js";

const close = (a: Tensor, b: Tensor) => expect(a.sub(b).abs().amax().itemSync()).toBeLessThan(1e-6);
const block = () => new nn.Sequential(new nn.Linear(6, 10), new nn.GELU(), new nn.Dropout(0.4), new nn.Linear(10, 6));

describe("checkpoint", () => {
  test("the same result and gradients, dropout included", () => {
    const net = block();
    const x = randn([5, 6], { requiresGrad: true });
    manualSeed(7);
    const plain = net.forward(x).square().sum();
    plain.backward();
    const want = [x.grad!.clone(), ...net.parameters().map((p) => p.grad!.clone())];
    net.zeroGrad();
    x.grad = null;
    manualSeed(7);
    const y = nn.checkpoint((t: Tensor) => net.forward(t), x);
    const after = randn([2]);
    const loss = y.square().sum();
    close(loss, plain);
    loss.backward();
    [x.grad!, ...net.parameters().map((p) => p.grad!)].forEach((g, i) => {
      close(g, want[i]!);
    });
    // The second run has not moved the generator.
    manualSeed(7);
    net.forward(x);
    close(randn([2]), after);
  });

  test("parameters learn though no input has a gradient; grad() works too", () => {
    const net = block();
    const x = randn([3, 6]);
    const [first] = net.parameters();
    const [d] = grad(nn.checkpoint((t) => net.eval().forward(t), x).sum(), [first!]);
    const [want] = grad(net.forward(x).sum(), [first!]);
    close(d!, want!);
  });

  test("several outputs, chained, and tensors that fn finds by itself", () => {
    const x = randn([4], { requiresGrad: true });
    const other = x.exp();
    const [a, b] = nn.checkpoint((t: Tensor) => [t.mul(other), t.sin().mul(x)], other);
    const y = nn.checkpoint((t: Tensor) => t.mul(a!), b!);
    const [d] = grad(y.sum(), [x], { retainGraph: true });
    const [want] = grad(other.sin().mul(x).mul(other.mul(other)).sum(), [x]);
    close(d!, want!);
  });

  test("second derivatives", () => {
    const x = randn([4], { requiresGrad: true });
    const twice = (f: (x: Tensor) => Tensor) => {
      const [d] = grad(f(x).sum(), [x], { createGraph: true });
      return grad(d!.square().sum(), [x])[0]!;
    };
    close(
      twice((t) => nn.checkpoint((u) => u.mul(u).sin(), t)),
      twice((t) => t.mul(t).sin()),
    );
  });

  test("a generator of one's own is set back", () => {
    const generator = new Generator(5);
    const x = ones([50], { requiresGrad: true });
    const y = nn.checkpointWith({ generators: [generator] }, (t: Tensor) => t.mul(2).dropout(0.5, { generator }), x);
    y.backward({ gradient: ones([50]) });
    close(x.grad!, y);
  });

  test("hooks on the inputs run once", () => {
    const x = randn([3], { requiresGrad: true });
    const h = x.mul(2);
    let calls = 0;
    h.registerHook(() => void calls++);
    nn.checkpoint((t) => t.exp(), h)
      .sum()
      .backward();
    expect(calls).toBe(1);
  });

  test("a function that changes is noticed", () => {
    const [x, z] = [randn([3], { requiresGrad: true }), randn([3], { requiresGrad: true })];
    let first = true;
    const y = nn.checkpoint((t) => (first ? t.mul(2) : t.mul(z)), x);
    first = false;
    expect(() => y.sum().backward()).toThrow(/checkpoint: expected fn to do the same/);
  });

  test("takes less memory", () => {
    const layers = Array.from({ length: 6 }, () =>
      new nn.Sequential(new nn.Linear(64, 64), new nn.SiLU(), new nn.Linear(64, 64), new nn.SiLU()).eval(),
    );
    const x = randn([2000, 64]);
    const peak = (through: (layer: (typeof layers)[0], h: Tensor) => Tensor) => {
      collectGarbage();
      addon.synchronize();
      resetPeakMemory();
      const before = memory().liveBytes;
      let h = x;
      for (const layer of layers) h = through(layer, h);
      collectGarbage();
      const held = memory().liveBytes - before;
      h.sum().backward();
      return held;
    };
    const plain = peak((layer, h) => layer.forward(h));
    const saved = peak((layer, h) => nn.checkpoint((t) => layer.forward(t), h));
    expect(saved).toBeLessThan(plain / 3);
  });
});

describe("hooks on the gradients of a module", () => {
  test("see and change them", () => {
    const linear = new nn.Linear(3, 2);
    const x = randn([4, 3], { requiresGrad: true });
    const seen: number[][] = [];
    const remove = linear.registerFullBackwardHook((module, gradInputs, gradOutputs) => {
      expect(module).toBe(linear);
      seen.push([...gradInputs[0]!.shape], [...gradOutputs[0]!.shape]);
      return [gradInputs[0]!.mul(2)];
    });
    linear.forward(x).sum().backward();
    expect(seen).toEqual([
      [4, 3],
      [4, 2],
    ]);
    const doubled = x.grad!.clone();
    x.grad = null;
    remove();
    linear.forward(x).sum().backward();
    close(doubled, x.grad!.mul(2));
    expect(Object.hasOwn(linear, "forward")).toBe(false);
  });

  test("before its own gradients", () => {
    const linear = new nn.Linear(3, 2);
    linear.registerFullBackwardPreHook((_, [dy]) => [dy!.mul(3)]);
    linear
      .forward(randn([4, 3]))
      .sum()
      .backward();
    expect(linear.bias!.grad!.toArraySync()).toEqual([12, 12]);
  });

  test("run where no input has a gradient", () => {
    const linear = new nn.Linear(3, 2);
    let given: readonly (Tensor | null)[] = [];
    linear.registerFullBackwardHook((_, gradInputs) => {
      given = gradInputs;
      return undefined;
    });
    linear
      .forward(randn([4, 3]))
      .sum()
      .backward();
    expect(given).toEqual([null]);
    linear.eval();
    expect(linear.forward(randn([4, 3])).requiresGrad).toBe(true);
  });

  test("a wrong number of gradients is an error", () => {
    const relu = new nn.ReLU();
    relu.registerFullBackwardHook(() => []);
    const x = ones([2], { requiresGrad: true });
    expect(() => relu.forward(x).sum().backward()).toThrow(/backward hook: expected 1 gradients/);
  });
});

describe("collections", () => {
  test("ModuleDict", () => {
    const heads = new nn.ModuleDict({ a: new nn.Linear(2, 1), b: new nn.ReLU() });
    heads.set("c", new nn.Linear(2, 3));
    expect(heads.keys()).toEqual(["a", "b", "c"]);
    expect(Object.keys(heads.stateDict())).toEqual(["a.weight", "a.bias", "c.weight", "c.bias"]);
    expect(heads.delete("a")).toBe(true);
    expect(heads.size).toBe(2);
    expect([...heads].map(([name]) => name)).toEqual(["b", "c"]);
    expect(() => heads.get("a")).toThrow(/ModuleDict: expected one of b, c, got "a"/);
    expect(() => heads.set("forward", new nn.ReLU())).toThrow(/expected a name that no property of modules has/);
    expect(() => heads.set("x.y", new nn.ReLU())).toThrow(/has no dot/);
    expect(() => heads.forward()).toThrow(/no forward/);
  });

  test("ParameterList and ParameterDict", () => {
    const list = new nn.ParameterList([new nn.Parameter(ones([2])), new nn.Parameter(ones([3]))]);
    expect(Object.keys(list.stateDict())).toEqual(["0", "1"]);
    expect(list.append(new nn.Parameter(ones([4]))).length).toBe(3);
    expect(list.at(-1).size).toBe(4);
    expect([...list].map((p) => p.size)).toEqual([2, 3, 4]);
    expect(() => list.at(3)).toThrow(/ParameterList: expected an index from -3 to 2, got 3/);
    expect(() => list.append(ones([2]) as nn.Parameter)).toThrow(/expected parameters/);
    const dict = new nn.ParameterDict({ w: new nn.Parameter(ones([2])) });
    expect(dict.namedParameters().map(([name]) => name)).toEqual(["w"]);
    expect(dict.get("w")).toBe(dict.parameters()[0]);
  });
});

test("StochasticDepth drops in training only", () => {
  const layer = new nn.StochasticDepth(0.5, { generator: new Generator(1) });
  const x = ones([1000, 2]);
  const kept = layer.forward(x).slice(null, 0).mean().itemSync();
  expect(Math.abs(kept - 1)).toBeLessThan(0.15);
  expect(layer.eval().forward(x)).toBe(x);
  expect(String(layer)).toBe("StochasticDepth(0.5)");
  expect(() => new nn.DropPath(2)).toThrow(/StochasticDepth: expected a probability/);
});
