/**
 * Lifetimes: scopes, and memory that stays bounded without them.
 */

import {
  collectGarbage,
  conv2d,
  emptyCache,
  grad,
  keep,
  memory,
  ones,
  resetPeakMemory,
  scope,
  type Tensor,
  zeros,
} from "napier";
import { describe, expect, test } from "vitest";
import { addon } from "#lib/native.js";

const MB = 2 ** 20;

describe("without scopes", () => {
  test("a bare synchronous loop of large tensors stays bounded, with no step to collect at", () => {
    collectGarbage();
    resetPeakMemory();
    const before = memory().liveBytes;
    const x = zeros([MB]); // 4 MB
    for (let i = 0; i < 500; i++) x.add(1);
    addon.synchronize();
    expect(memory().peakBytes - before).toBeLessThan(400 * MB); // 2 GB were made
  });

  test("tensors returned from scopes and dropped are found too", () => {
    collectGarbage();
    resetPeakMemory();
    const before = memory().liveBytes;
    const x = zeros([MB]);
    for (let i = 0; i < 500; i++) scope(() => x.add(1));
    addon.synchronize();
    expect(memory().peakBytes - before).toBeLessThan(400 * MB);
  });

  test("what is still referred to is never freed", async () => {
    const held: Tensor[] = [];
    for (let i = 0; i < 40; i++) {
      held.push(ones([MB]).mul(i));
      ones([MB]).add(1);
    }
    for (const [i, t] of held.entries()) expect((await t.data())[i]).toBe(i);
  });
});

describe("scope", () => {
  test("frees what was made inside, but not what is returned or kept", () => {
    let inner!: Tensor;
    let saved!: Tensor;
    const out = scope(() => {
      inner = ones([2]).add(1);
      saved = keep(ones([3]));
      return { list: [inner.mul(2)] };
    });
    expect(inner.isFreed).toBe(true);
    expect(saved.isFreed).toBe(false);
    expect(out.list[0]!.toArraySync()).toEqual([4, 4]);
    expect(() => inner.dataSync()).toThrow(/dataSync: this tensor was freed .*Return it from the scope/);
  });

  test("frees what grad() answered, as any result", () => {
    const x = ones([64]).requiresGrad_();
    const y = x.mul(2).sum();
    const before = memory().tensors;
    scope(() => void grad(y, [x, x], { retainGraph: true }));
    expect(memory().tensors).toBe(before);
    const [dx] = scope(() => grad(y, [x]));
    expect(dx!.dataSync()[0]).toBe(2);
  });

  test("nested scopes hand results outwards, and an error frees everything", () => {
    let y!: Tensor;
    const sum = scope(() => {
      const x = scope(() => ones([2]).add(1));
      return x.sum();
    });
    expect(sum.itemSync()).toBe(4);
    const live = memory().tensors;
    expect(() =>
      scope(() => {
        y = ones([2]);
        throw new Error("stop");
      }),
    ).toThrow("stop");
    expect(y.isFreed).toBe(true);
    expect(memory().tensors).toBe(live);
  });

  test("an asynchronous callback is refused, with the way to do it", () => {
    // @ts-expect-error: the types refuse it too
    expect(() => scope(async () => 1)).toThrow(/scope: expected a synchronous callback/);
  });

  test("emptyCache() gives memory back", () => {
    scope(() => void zeros([4 * MB]).add(1));
    addon.synchronize();
    expect(emptyCache()).toBeGreaterThanOrEqual(16 * MB);
    expect(memory().cachedBytes).toBe(0);
  });

  test("emptyCache() gives scratch memory back, also while kernels run", () => {
    const [x, w] = [ones([2, 64, 28, 28]), ones([64, 64, 3, 3])];
    const run = () => conv2d(x, w, null, { padding: 1 });
    const want = Buffer.from(run().dataSync().buffer.slice(0));
    expect(memory().scratchBytes).toBeGreaterThan(100_000);
    const given = emptyCache();
    expect(memory().scratchBytes).toBe(0);
    expect(given).toBeGreaterThan(100_000);
    for (let i = 0; i < 20; i++) {
      const y = run();
      for (let e = 0; e < 50; e++) emptyCache(); // some of them while y is computed
      expect(Buffer.from(y.dataSync().buffer.slice(0)).equals(want)).toBe(true);
      y.free();
    }
  });
});
