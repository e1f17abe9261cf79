/**
 * The plain TypeScript that a Node developer would write: loops over typed arrays, no library. The first contender.
 */

/** y[m, n] = a[m, k] b[k, n] */
export function matmul(a: Float32Array, b: Float32Array, m: number, k: number, n: number): Float32Array {
  const y = new Float32Array(m * n);
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let l = 0; l < k; l++) sum += a[i * k + l]! * b[l * n + j]!;
      y[i * n + j] = sum;
    }
  }
  return y;
}

export interface Conv {
  n: number;
  c: number;
  h: number;
  o: number;
  r: number;
  stride: number;
  pad: number;
}
const extent = ({ h, r, stride, pad }: Conv) => Math.floor((h + 2 * pad - r) / stride) + 1;

/** y[n, o, p, p] of x[n, c, h, h] and w[o, c, r, r] */
export function conv2d(x: Float32Array, w: Float32Array, s: Conv): Float32Array {
  const { n, c, h, o, r, stride, pad } = s;
  const p = extent(s);
  const y = new Float32Array(n * o * p * p);
  for (let b = 0; b < n; b++)
    for (let f = 0; f < o; f++)
      for (let i = 0; i < p; i++)
        for (let j = 0; j < p; j++) {
          let sum = 0;
          for (let d = 0; d < c; d++)
            for (let u = 0; u < r; u++) {
              const row = i * stride + u - pad;
              if (row < 0 || row >= h) continue;
              for (let v = 0; v < r; v++) {
                const col = j * stride + v - pad;
                if (col >= 0 && col < h)
                  sum += x[((b * c + d) * h + row) * h + col]! * w[((f * c + d) * r + u) * r + v]!;
              }
            }
          y[((b * o + f) * p + i) * p + j] = sum;
        }
  return y;
}

/** dx and dw from dy */
export function conv2dGrad(dy: Float32Array, x: Float32Array, w: Float32Array, s: Conv): [Float32Array, Float32Array] {
  const { n, c, h, o, r, stride, pad } = s;
  const p = extent(s);
  const dx = new Float32Array(x.length);
  const dw = new Float32Array(w.length);
  for (let b = 0; b < n; b++)
    for (let f = 0; f < o; f++)
      for (let i = 0; i < p; i++)
        for (let j = 0; j < p; j++) {
          const d = dy[((b * o + f) * p + i) * p + j]!;
          for (let e = 0; e < c; e++)
            for (let u = 0; u < r; u++) {
              const row = i * stride + u - pad;
              if (row < 0 || row >= h) continue;
              for (let v = 0; v < r; v++) {
                const col = j * stride + v - pad;
                if (col < 0 || col >= h) continue;
                const at = ((b * c + e) * h + row) * h + col;
                const tap = ((f * c + e) * r + u) * r + v;
                dx[at]! += d * w[tap]!;
                dw[tap]! += d * x[at]!;
              }
            }
        }
  return [dx, dw];
}

/** y, mean and 1/std of x[n, c, inner] by channel */
export function batchnorm(
  x: Float32Array,
  n: number,
  c: number,
  inner: number,
): { y: Float32Array; mean: Float64Array; rstd: Float64Array } {
  const y = new Float32Array(x.length);
  const mean = new Float64Array(c);
  const rstd = new Float64Array(c);
  const count = n * inner;
  for (let ch = 0; ch < c; ch++) {
    let sum = 0;
    for (let b = 0; b < n; b++) for (let i = 0; i < inner; i++) sum += x[(b * c + ch) * inner + i]!;
    const mu = sum / count;
    let squares = 0;
    for (let b = 0; b < n; b++) for (let i = 0; i < inner; i++) squares += (x[(b * c + ch) * inner + i]! - mu) ** 2;
    mean[ch] = mu;
    rstd[ch] = 1 / Math.sqrt(squares / count + 1e-5);
    for (let b = 0; b < n; b++)
      for (let i = 0; i < inner; i++) y[(b * c + ch) * inner + i] = (x[(b * c + ch) * inner + i]! - mu) * rstd[ch]!;
  }
  return { y, mean, rstd };
}

/** dx of batchnorm */
export function batchnormGrad(
  dy: Float32Array,
  x: Float32Array,
  mean: Float64Array,
  rstd: Float64Array,
  n: number,
  c: number,
  inner: number,
): Float32Array {
  const dx = new Float32Array(x.length);
  const count = n * inner;
  for (let ch = 0; ch < c; ch++) {
    let sum = 0;
    let dot = 0;
    for (let b = 0; b < n; b++)
      for (let i = 0; i < inner; i++) {
        const at = (b * c + ch) * inner + i;
        sum += dy[at]!;
        dot += dy[at]! * (x[at]! - mean[ch]!) * rstd[ch]!;
      }
    for (let b = 0; b < n; b++)
      for (let i = 0; i < inner; i++) {
        const at = (b * c + ch) * inner + i;
        dx[at] = rstd[ch]! * (dy[at]! - sum / count - ((x[at]! - mean[ch]!) * rstd[ch]! * dot) / count);
      }
  }
  return dx;
}
