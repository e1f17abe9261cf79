/**
 * Principal components and whitening (Pearson 1901; CS231n's notes on preprocessing). The eigenvectors come from the
 * smaller of the two matrices x^T x and x x^T, so either few dimensions or few points are fast.
 */
import { noGrad } from "../autograd.js";
import { expect } from "../errors.js";
import { keep, scope, unscoped } from "../memory.js";
import { add, div, sub } from "../ops/arithmetic.js";
import { to } from "../ops/cast.js";
import { expectFloat } from "../ops/common.js";
import { sqrt } from "../ops/elementwise.js";
import { matmul } from "../ops/matmul.js";
import { mean } from "../ops/reduce.js";
import { fromTyped, type Tensor } from "../tensor.js";
import { expectRows } from "./common.js";
import { symmetricEigen } from "./eigen.js";

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
    const { mu, centred, product } = noGrad(() =>
      scope(() => {
        const mu = mean(x, 0);
        const centred = to(sub(x, mu), "float64");
        return { mu, centred, product: matmul(centred, centred, wide ? { transB: true } : { transA: true }) };
      }),
    );
    const side = wide ? n : d;
    const { values, vectors } = symmetricEigen(await product.data("float64"), side);
    const total = values.reduce((sum, v) => sum + Math.max(0, v), 0);
    const variances = values.slice(0, count).map((v) => Math.max(0, v) / (n - 1));
    const rows = scope(() => {
      const top = fromTyped(vectors.slice(0, count * side), [count, side], "float64");
      // x x^T u = s^2 u gives the component x^T u / s.
      return wide ? matmul(top, centred) : add(top, 0);
    });
    const signed = orient(await rows.data("float64"), count, d);
    for (const t of [centred, product, rows]) t.free();
    return unscoped(
      () =>
        new PCA(
          keep(to(mu, x.dtype)),
          keep(to(fromTyped(signed, [count, d], "float64"), x.dtype)),
          keep(to(fromTyped(variances, [count], "float64"), x.dtype)),
          [...variances].map((v) => (total === 0 ? 0 : (v * (n - 1)) / total)),
        ),
    );
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

/** Rows scaled to length 1, their element of largest size positive: eigenvectors come with either sign. */
function orient(rows: Float64Array, count: number, d: number): Float64Array {
  for (let i = 0; i < count; i++) {
    const row = rows.subarray(i * d, (i + 1) * d);
    const length = Math.sqrt(row.reduce((sum, v) => sum + v * v, 0));
    const largest = row.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const scale = (largest < 0 ? -1 : 1) / (length || 1);
    for (let e = 0; e < d; e++) row[e]! *= scale;
  }
  return rows;
}
