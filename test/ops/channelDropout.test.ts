/** @file Channel dropout and alpha dropout: what is dropped, what stays, and the moments that remain. */
import { alphaDropout, dropout1d, dropout2d, dropout3d, Generator, grad, ones, randn } from "napier";
import { describe, expect, test } from "vitest";

describe.each([
  ["dropout1d", dropout1d, [8, 16, 5]],
  ["dropout2d", dropout2d, [8, 16, 3, 4]],
  ["dropout3d", dropout3d, [8, 16, 2, 3, 2]],
] as const)("%s", (name, op, shape) => {
  test("whole channels are dropped, the others grow", () => {
    const y = op(ones(shape), 0.25, { generator: new Generator(3) }).reshape([8 * 16, -1]);
    const rows = y.toArraySync() as number[][];
    const kept = rows.filter((row) => row[0] !== 0).length / rows.length;
    for (const row of rows) for (const v of row) expect(v).toBe(row[0]);
    for (const [v] of rows) expect(v === 0 || Math.abs(v! - 4 / 3) < 1e-6).toBe(true);
    expect(kept).toBeGreaterThan(0.6);
    expect(kept).toBeLessThan(0.9);
  });
  test("the gradient drops the same channels", () => {
    const x = ones(shape, { requiresGrad: true });
    const y = op(x, 0.5);
    expect(grad(y.sum(), [x])[0]!.sub(y.detach()).abs().amax().itemSync()).toBe(0);
  });
  test("eval mode and probability 0 give x itself", () => {
    const x = randn(shape);
    expect(op(x, 0.5, { training: false })).toBe(x);
    expect(op(x, 0)).toBe(x);
  });
  test("errors", () => {
    expect(() => op(ones([4]), 0.5)).toThrow(new RegExp(`${name}: expected x of shape \\[n,c,`));
    expect(() => op(ones(shape), 1.5)).toThrow(`${name}: expected a probability between 0 and 1, got 1.5`);
  });
});

describe("alphaDropout", () => {
  test("mean 0 and variance 1 stay", () => {
    const y = alphaDropout(randn([400, 250], { generator: new Generator(5) }), 0.3, { generator: new Generator(6) });
    expect(Math.abs(y.mean().itemSync())).toBeLessThan(0.02);
    expect(Math.abs(y.variance().itemSync() - 1)).toBeLessThan(0.02);
  });
  test("dropped elements have one value, the others a line through x", () => {
    const x = randn([64], { generator: new Generator(5), requiresGrad: true });
    const y = alphaDropout(x, 0.5, { generator: new Generator(6) });
    const [dx] = grad(y.sum(), [x]);
    const least = -1.0507009873554805 * 1.6732632423543772;
    const scale = 1 / Math.sqrt(0.5 * (1 + 0.5 * least ** 2));
    const [values, slopes, xs] = [y, dx!, x].map((t) => t.toArraySync() as number[]);
    values!.forEach((v, i) => {
      expect(slopes![i]).toBeCloseTo(slopes![i] === 0 ? 0 : scale, 6);
      expect(v).toBeCloseTo(scale * ((slopes![i] === 0 ? least : xs![i]!) - least * 0.5), 5);
    });
    expect(slopes!.filter((s) => s === 0).length).toBeGreaterThan(16);
  });
  test("limits", () => {
    const x = randn([4]);
    expect(alphaDropout(x, 0.5, { training: false })).toBe(x);
    expect(alphaDropout(x, 1).toArraySync()).toEqual([0, 0, 0, 0].map((v) => expect.closeTo(v)));
    expect(() => alphaDropout(x, -1)).toThrow("alphaDropout: expected a probability between 0 and 1, got -1");
  });
});
