/**
 * Principal components and whitening (Pearson 1901; CS231n's notes on preprocessing). The eigenvectors come from the
 * smaller of the two matrices x^T x and x x^T in float64, so either few dimensions or few points are fast.
 */

import { expect } from "../errors.js";
import { noGrad } from "../graph.js";
import { keep, scope, unscoped } from "../memory.js";
import { add, div, equal, less, sub, where } from "../ops/arithmetic.js";
import { flip } from "../ops/arrange.js";
import { to } from "../ops/cast.js";
import { expectFloat } from "../ops/common.js";
import { abs, clamp, neg, sqrt } from "../ops/elementwise.js";
import { takeAlong } from "../ops/gather.js";
import { eigh, qr } from "../ops/linalg.js";
import { matmul } from "../ops/matmul.js";
import { argmax, mean, sum } from "../ops/reduce.js";
import { slice, t } from "../ops/shape.js";
import type { Tensor } from "../tensor.js";
import { expectRows } from "./common.js";

/** Options of PCA.fit(). */
export interface PcaOptions {
  /** Components kept. Default all that there are: min(n - 1, d). */
  components?: number;
}

/** Options of whitening. */
export interface WhitenOptions {
  /** Added to the variances, so that directions of noise are not blown up. Default 1e-5. */
  eps?: number;
  /** "pca": decorrelated coordinates; "zca": turned back, so that a picture stays one (Bell & Sejnowski 1997). Default "pca". */
  kind?: "pca" | "zca";
}

/**
 * Principal component analysis.
 *
 * @example
 * const x = randn([100, 3]).matmul(tensor([[5, 0, 0], [0, 1, 0], [0, 0, 0.1]]));
 * const pca = await classic.PCA.fit(x, { components: 2 });
 * const y = pca.transform(x);           // [100, 2]
 * const back = pca.inverseTransform(y); // [100, 3], near x
 */
export class PCA {
  private constructor(
    /** [d] */
    readonly mean: Tensor,
    /** Rows of length 1, largest variance first: [components, d]. The element of largest size of each is positive. */
    readonly components: Tensor,
    /** Variances along the components, divided by n - 1: [components]. */
    readonly explainedVariance: Tensor,
    /** Their shares of the whole variance. */
    readonly explainedVarianceRatio: readonly number[],
  ) {}

  /**
   * Finds the components.
   *
   * @param x [n, d] with n at least 2
   */
  static async fit(x: Tensor, { components }: PcaOptions = {}): Promise<PCA> {
    expectFloat("PCA.fit", x);
    expectRows("PCA.fit", "points", x);
    const [n, d] = x.shape as [number, number];
    expect(n >= 2, "PCA.fit", "at least 2 points", `${n}`);
    const most = Math.min(n - 1, d);
    const count = components ?? most;
    expect(
      Number.isSafeInteger(count) && count >= 1 && count <= most,
      "PCA.fit",
      `components from 1 to ${most}`,
      `${count}`,
    );
    const wide = d > n;
    const [mu, rows, variances, shares] = unscoped(() =>
      noGrad(() =>
        scope(() => {
          const mu = mean(x, 0);
          const centred = to(sub(x, mu), "float64");
          const { w, v } = eigh(matmul(centred, centred, wide ? { transB: true } : { transA: true }));
          const all = clamp(flip(w), 0); // eigh's are ascending; rounding may leave one below 0
          const top = slice(all, [0, count]);
          const vectors = slice(flip(t(v), 0), [0, count]);
          // x x^T u = s^2 u gives the component x^T u / s; by qr, which finds some where s is 0 and keeps them orthogonal.
          const rows = orient(wide ? t(qr(t(matmul(vectors, centred))).q) : vectors);
          const total = sum(all);
          const shares = div(top, where(equal(total, 0), 1, total));
          return [mu, to(rows, x.dtype), to(div(top, n - 1), x.dtype), shares];
        }),
      ),
    ) as [Tensor, Tensor, Tensor, Tensor];
    const ratios = [...(await shares.data("float64"))];
    shares.free();
    return new PCA(keep(mu), keep(rows), keep(variances), ratios);
  }

  /** Coordinates along the components: [n, components]. */
  transform(x: Tensor): Tensor {
    expectRows("PCA.transform", "points", x, this.mean.size);
    return matmul(sub(x, this.mean), this.components, { transB: true });
  }

  /** Points [n, d] from coordinates [n, components]. */
  inverseTransform(y: Tensor): Tensor {
    expectRows("PCA.inverseTransform", "coordinates", y, this.explainedVariance.size);
    return add(matmul(y, this.components), this.mean);
  }

  /** Points without correlation and of variance 1: coordinates / sqrt(variance + eps), [n, components] or (zca) [n, d]. */
  whiten(x: Tensor, { eps = 1e-5, kind = "pca" }: WhitenOptions = {}): Tensor {
    expect(kind === "pca" || kind === "zca", "PCA.whiten", 'kind "pca" or "zca"', JSON.stringify(kind));
    const white = div(this.transform(x), sqrt(add(this.explainedVariance, eps)));
    return kind === "pca" ? white : matmul(white, this.components);
  }
}

/** Rows whose element of largest size is positive: eigenvectors come with either sign. */
function orient(rows: Tensor): Tensor {
  const largest = takeAlong(rows, argmax(abs(rows), 1, { keepDims: true }), 1);
  return where(less(largest, 0), neg(rows), rows);
}
