/** live(): numbers that a captured step reads anew, and the errors of what cannot take one. */
import { add, capture, full, live, manualSeed, nn, noGrad, ones, optim, randn, type Tensor, tensor } from "napier";
import { describe, expect, test } from "vitest";

const bits = (t: Tensor) => Array.from(new Uint32Array(t.dataSync().buffer));

/** Steps of a small network, whose numbers of `at(i)` change by step; what each leaves behind. */
async function run(captured: boolean, body: (layer: nn.Linear, x: Tensor) => Tensor, before: (i: number) => void) {
  manualSeed(23);
  const layer = new nn.Linear(6, 5);
  const optimizer = new optim.SGD(layer.parameters(), { lr: 0.1, momentum: 0.9 });
  const plain = (x: Tensor) => {
    optimizer.zeroGrad();
    const result = body(layer, x);
    optimizer.step();
    return result;
  };
  const step = captured ? capture(plain, { warmup: 0 }) : plain;
  const seen: number[][] = [];
  for (let i = 0; i < 4; i++) {
    before(i);
    seen.push(bits(await step(randn([7, 6]))), ...layer.parameters().flatMap((p) => [bits(p), bits(p.grad!)]));
  }
  if (captured) expect((step as { variants: number }).variants).toBe(1);
  return seen;
}

describe("a captured step has the bits of the plain one", () => {
  test("with a loss scale that changes", async () => {
    let scale = 0;
    const body = (layer: nn.Linear, x: Tensor) => {
      const loss = layer.forward(x).square().mean();
      loss.mul(live(() => scale)).backward();
      noGrad(() => {
        for (const p of layer.parameters()) p.grad!.mul_(live(() => 1 / scale));
      });
      return loss;
    };
    const before = (i: number) => {
      scale = 3 ** (5 - i);
    };
    expect(await run(true, body, before)).toEqual(await run(false, body, before));
  });

  test("with bounds of gradients that change", async () => {
    let bound = 0;
    const body = (layer: nn.Linear, x: Tensor) => {
      layer.forward(x).square().sum().backward();
      const norm = optim.clipGradNorm(
        layer.parameters(),
        live(() => bound),
      );
      optim.clipGradValue(
        layer.parameters(),
        live(() => bound / 5),
      );
      return norm;
    };
    const before = (i: number) => {
      bound = 2 / (i + 1);
    };
    const captured = await run(true, body, before);
    expect(captured).toEqual(await run(false, body, before));
    // With the first bound throughout it is another run.
    expect(captured).not.toEqual(await run(false, body, () => before(0)));
  });

  test("by every function that takes one", async () => {
    let by = 0;
    const n = () => live(() => by);
    const fn = (x: Tensor) => [
      x.add(n()),
      add(n(), x),
      x.sub(n()),
      x.mul(n()),
      x.div(n()),
      x.pow(n()),
      x.greater(n()).to("float32"),
      x.maximum(n()),
      full([3], n()),
      x.clone().add_(n(), { alpha: 3 }),
      x.clone().sub_(n()),
      x.clone().mul_(n()),
      x.clone().fill_(n()),
    ];
    const step = capture(fn, { warmup: 0 });
    const x = randn([5]).abs();
    for (by of [0.5, 3, -1.25]) expect((await step(x)).map(bits)).toEqual(fn(x).map(bits));
    expect(step.variants).toBe(1);
  });
});

describe("errors", () => {
  const once = (fn: (x: Tensor) => Tensor) => capture(fn, { warmup: 0 })(ones([2]));

  test("a bound that is none, at the recording and at a replay", async () => {
    let bound = -1;
    const w = tensor([3, 4], { requiresGrad: true });
    const step = capture(
      (x: Tensor) => {
        w.grad = null;
        w.mul(x).sum().backward();
        return optim.clipGradNorm(
          [w],
          live(() => bound),
        );
      },
      { warmup: 0 },
    );
    await expect(step(ones([2]))).rejects.toThrow("clipGradNorm: expected maxNorm to be a number from 0 up, got -1");
    bound = 1;
    await step(ones([2]));
    bound = Number.NaN;
    await expect(step(ones([2]))).rejects.toThrow("clipGradNorm: expected maxNorm to be a number from 0 up, got NaN");
  });

  test("beside integers, and where something computes with it", async () => {
    await expect(once((x) => x.to("int32").mul(live(() => 2)))).rejects.toThrow(
      /expected a float tensor beside a number of live\(\), got int32/,
    );
    await expect(once((x) => x.mul(live(() => 2) * 2))).rejects.toThrow(/BigInt/);
    await expect(once((x) => x.mul(live(() => 2) * live(() => 2)))).rejects.toThrow(
      /compute it inside live\(\)|expected/,
    );
  });
});
