/**
 * What the normalisations share: the check of their vectors, and the gradient in ops, for second derivatives.
 */
import { expect, show } from "../errors.js";
import type { Tensor } from "../tensor.js";
import { add, mul, sub } from "./arithmetic.js";
import { expectSameDType } from "./common.js";
import { rsqrt } from "./elementwise.js";
import { mean as meanOf, sum, variance as varianceOf } from "./reduce.js";
import { reshape } from "./shape.js";

export type Maybe = Tensor | null;

/** Throws unless the vectors that are there have x's dtype and this shape. */
export function expectVectors(op: string, x: Tensor, shape: readonly number[], vectors: Record<string, Maybe>): void {
  for (const [name, v] of Object.entries(vectors)) {
    if (!v) continue;
    expectSameDType(op, x, v);
    expect(show(v.shape) === show(shape), op, `${name} of shape ${show(shape)} for x ${show(x.shape)}`, show(v.shape));
  }
}

/** x as rows of its last dimensions: their shape, and the extents before them. Throws unless x ends in normalizedShape. */
export function trailing(
  op: string,
  x: Tensor,
  normalizedShape: number | readonly number[],
): { shape: readonly number[]; lead: readonly number[] } {
  const shape = typeof normalizedShape === "number" ? [normalizedShape] : normalizedShape;
  const lead = x.shape.slice(0, x.ndim - shape.length);
  expect(
    shape.length >= 1 && show([...lead, ...shape]) === show(x.shape),
    op,
    `x of shape [...,${shape.join(",")}]`,
    show(x.shape),
  );
  return { shape, lead };
}

/** What the composed gradient of a normalisation needs. */
export interface Composed {
  dy: Tensor;
  x: Tensor;
  weight: Maybe;
  eps: number;
  /** The dimensions that statistics are taken over. */
  over: number[];
  /** The weight's shape, as it broadcasts to x. */
  along: readonly number[];
  /** The dimensions that the weight is repeated along. */
  weightOver: number[];
  /** Statistics that do not depend on x. */
  given: { mean: Tensor; rstd: Tensor } | null;
  biased: boolean;
}

// g = dy w:  dx = rstd (g - mean g - xh mean(g xh)), or rstd g with given statistics;  dw = sum dy xh;  db = sum dy
export function composed({ dy, x, weight, eps, over, along, weightOver, given, biased }: Composed) {
  const keepDims = true;
  const mean = given?.mean ?? meanOf(x, over, { keepDims });
  const rstd = given?.rstd ?? rsqrt(add(varianceOf(x, over, { keepDims, correction: 0 }), eps));
  const xh = mul(sub(x, mean), rstd);
  const total = (t: Tensor) => (weightOver.length > 0 ? sum(t, weightOver) : t);
  return {
    x: () => {
      const g = weight ? mul(dy, reshape(weight, along)) : dy;
      if (given) return mul(g, rstd);
      return mul(rstd, sub(sub(g, meanOf(g, over, { keepDims })), mul(xh, meanOf(mul(g, xh), over, { keepDims }))));
    },
    weight: weight ? () => total(mul(dy, xh)) : null,
    bias: biased ? () => total(dy) : null,
  };
}
