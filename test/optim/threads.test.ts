/** @file Optimizers and clipping of a parameter long enough to be cut: the same bits for any number of threads. */
import { optim, randn, scope, Tensor } from "napier";
import { afterEach, expect, test } from "vitest";
import { addon } from "#lib/native.js";
import { makes } from "./optimizers.js";

const threads = addon.threads();
function useThreads(count: number): void {
  addon.synchronize();
  addon.threads(count);
}
afterEach(() => useThreads(threads));

const SHAPE = [400, 500]; // 200,000 elements; Muon wants a matrix
const first = randn(SHAPE);
const gradients = [randn(SHAPE), randn(SHAPE)];
const bytes = (t: Tensor) => Buffer.from(t.dataSync().buffer.slice(0));

/** What `fn` makes, by 1, 2 and 4 threads. */
function onThreads(fn: () => Buffer[]): Buffer[][] {
  return [1, 2, 4].map((count) => {
    useThreads(count);
    return scope(fn);
  });
}
function expectSame([one, ...others]: Buffer[][]): void {
  for (const other of others)
    for (const [i, each] of other.entries()) expect(each.equals(one![i]!), `tensor ${i}`).toBe(true);
}

test.each(Object.entries(makes))("%s", (_, make) => {
  expectSame(
    onThreads(() => {
      const w = first.clone().requiresGrad_();
      const optimizer = make([w]);
      for (const gradient of gradients) {
        w.grad = gradient.clone(); // steps may free it
        optimizer.step();
      }
      const { state } = optimizer.stateDict();
      const kept = Object.values(state[0] ?? {}).filter((t) => t instanceof Tensor && t.dtype === "float32");
      expect(bytes(w).equals(bytes(first))).toBe(false);
      return [w.detach(), ...kept].map(bytes);
    }),
  );
});

test("clipGradNorm and clipGradValue", () => {
  const results = onThreads(() => {
    const w = first.clone().requiresGrad_();
    const small = randn([3]).mul(0).add(1).requiresGrad_();
    w.grad = gradients[0]!.clone();
    small.grad = gradients[1]!.flatten().slice([0, 3]).clone();
    const norm = optim.clipGradNorm([w, small], 1);
    const clipped = [w.grad, small.grad].map(bytes);
    optim.clipGradValue([w, small], 1e-3);
    return [bytes(norm), ...clipped, bytes(w.grad), bytes(small.grad)];
  });
  expectSame(results);
  expect(results[0]![1]!.equals(bytes(gradients[0]!))).toBe(false);
});
