/**
 * Eigenvalues and eigenvectors of a symmetric matrix by Jacobi's rotations, on the host in float64: accurate, simple, and
 * for some hundred dimensions. O(n^3) a sweep, some eight sweeps. Golub & Van Loan, Matrix Computations, 8.5.
 */

/** Eigenvalues, largest first, and their vectors as rows of [n, n]. */
export function symmetricEigen(matrix: Float64Array, n: number): { values: Float64Array; vectors: Float64Array } {
  const a = matrix.slice();
  const v = new Float64Array(n * n); // rows are vectors
  for (let i = 0; i < n; i++) v[i * n + i] = 1;
  const norm = Math.sqrt(a.reduce((total, x) => total + x * x, 0));
  const offDiagonal = (): number => {
    let total = 0;
    for (let i = 0; i < n; i++) for (let j = 0; j < i; j++) total += 2 * a[i * n + j]! ** 2;
    return Math.sqrt(total);
  };
  for (let sweep = 0; sweep < 60 && offDiagonal() > 1e-15 * norm; sweep++) {
    for (let p = 0; p < n - 1; p++) for (let q = p + 1; q < n; q++) rotate(a, v, n, p, q);
  }
  const order = Array.from({ length: n }, (_, i) => i).sort((i, j) => a[j * n + j]! - a[i * n + i]!);
  const vectors = new Float64Array(n * n);
  for (const [row, i] of order.entries()) vectors.set(v.subarray(i * n, (i + 1) * n), row * n);
  return { values: Float64Array.from(order, (i) => a[i * n + i]!), vectors };
}

/** Makes a[p, q] zero by turning rows and columns p and q. */
function rotate(a: Float64Array, v: Float64Array, n: number, p: number, q: number): void {
  const apq = a[p * n + q]!;
  if (apq === 0) return;
  // The smaller of the two angles: t = tan of it.
  const theta = (a[q * n + q]! - a[p * n + p]!) / (2 * apq);
  const t = (theta < 0 ? -1 : 1) / (Math.abs(theta) + Math.sqrt(theta * theta + 1));
  const c = 1 / Math.sqrt(t * t + 1);
  const s = t * c;
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[p * n + i]!, a[q * n + i]!];
    a[p * n + i] = c * x - s * y;
    a[q * n + i] = s * x + c * y;
  }
  for (let i = 0; i < n; i++) {
    const [x, y] = [a[i * n + p]!, a[i * n + q]!];
    a[i * n + p] = c * x - s * y;
    a[i * n + q] = s * x + c * y;
  }
  for (let i = 0; i < n; i++) {
    const [x, y] = [v[p * n + i]!, v[q * n + i]!];
    v[p * n + i] = c * x - s * y;
    v[q * n + i] = s * x + c * y;
  }
}
