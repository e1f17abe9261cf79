// What the factorisations share: every matrix is computed in double, in scratch memory of the thread that takes it;
// batches run in parallel. Loops go along rows, as axpy and dot products, so that they run at the vectors' width.
#pragma once
#include "simd.h"

namespace napier::ISA {

constexpr double kEpsilon = 0x1p-52;

INLINE double absolute(double x) { return x < 0 ? -x : x; }
INLINE double root(double x) { return __builtin_sqrt(x); }

// y[n] += a x[n]
INLINE void axpy(double* y, double a, const double* x, int64_t n) {
  constexpr int64_t w = width<double>;
  const Vec<double> va = splat(a);
  int64_t i = 0;
  for (; i + w <= n; i += w) store(y + i, fma(va, load(x + i), load(y + i)));
  if (i < n) storePart(y + i, fma(va, loadPart(x + i, n - i), loadPart(y + i, n - i)), n - i);
}
INLINE double dot(const double* x, const double* y, int64_t n) {
  constexpr int64_t w = width<double>;
  Vec<double> a{}, b{};
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    a = fma(load(x + i), load(y + i), a);
    b = fma(load(x + i + w), load(y + i + w), b);
  }
  for (; i + w <= n; i += w) a = fma(load(x + i), load(y + i), a);
  if (i < n) b = fma(loadPart(x + i, n - i), loadPart(y + i, n - i), b);
  return sumLanes<double>(a + b);
}
// Rows x and y turned by the angle of (c, s): x = c x - s y, y = s x + c y.
INLINE void rotate(double* x, double* y, double c, double s, int64_t n) {
  constexpr int64_t w = width<double>;
  const Vec<double> vc = splat(c), vs = splat(s);
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    const Vec<double> a = load(x + i), b = load(y + i);
    store(x + i, vc * a - vs * b);
    store(y + i, vs * a + vc * b);
  }
  for (; i < n; i++) {
    const double a = x[i], b = y[i];
    x[i] = c * a - s * b;
    y[i] = s * a + c * b;
  }
}
INLINE void scale(double* x, double a, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] *= a;
}
INLINE void swapRows(double* x, double* y, int64_t n) {
  for (int64_t i = 0; i < n; i++) {
    const double t = x[i];
    x[i] = y[i];
    y[i] = t;
  }
}
// c[m, n] = a[m, k] b[k, n]
INLINE void multiply(double* c, const double* a, const double* b, int64_t m, int64_t k, int64_t n) {
  for (int64_t i = 0; i < m; i++) {
    double* row = c + i * n;
    memset(row, 0, size_t(n) * sizeof(double));
    for (int64_t e = 0; e < k; e++) axpy(row, a[i * k + e], b + e * n, n);
  }
}
INLINE void identity(double* x, int64_t n) {
  memset(x, 0, size_t(n * n) * sizeof(double));
  for (int64_t i = 0; i < n; i++) x[i * n + i] = 1;
}

template <class T> INLINE void widen(double* to, const T* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = double(from[i]);
}
template <class T> INLINE void narrow(T* to, const double* from, int64_t n) {
  for (int64_t i = 0; i < n; i++) to[i] = T(from[i]);
}

template <class T> INLINE void fillNan(T* x, int64_t n) {
  for (int64_t i = 0; i < n; i++) x[i] = T(__builtin_nan(""));
}

// body(b) for every matrix of a batch; a chunk is worth some 10^5 FLOPs.
template <class Body> INLINE void eachMatrix(const MatrixSize& s, const Body& body) {
  const double work = s.flops() / double(s.batch);
  parallel(s.batch, work >= 1e5 ? 1 : int64_t(1e5 / (work + 1)) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) body(b);
  });
}

// The first component of at least half the largest size: the one whose sign is made positive. A tie between components
// of one size is no matter of rounding then.
INLINE double leading(const double* x, int64_t n, int64_t step = 1) {
  double most = 0;
  for (int64_t i = 0; i < n; i++) most = absolute(x[i * step]) > most ? absolute(x[i * step]) : most;
  for (int64_t i = 0; i < n; i++)
    if (absolute(x[i * step]) >= 0.5 * most) return x[i * step];
  return 0;
}

// Householder QR of a[m, n] in place (Golub & Van Loan, algorithm 5.2.1). Reflector j, whose first component is 1, is
// left in column j below the diagonal, its factor in beta[j]; R stands on and above the diagonal. work: [n].
INLINE void householder(double* a, double* beta, double* work, int64_t m, int64_t n) {
  const int64_t k = m < n ? m : n;
  for (int64_t j = 0; j < k; j++) {
    double most = 0;
    for (int64_t i = j; i < m; i++) most = absolute(a[i * n + j]) > most ? absolute(a[i * n + j]) : most;
    double tail = 0;
    for (int64_t i = j + 1; i < m; i++) tail += a[i * n + j] / most * (a[i * n + j] / most);
    beta[j] = 0;
    if (most == 0 || tail == 0) continue;
    const double x = a[j * n + j], norm = most * root(x / most * (x / most) + tail);
    const double v = x <= 0 ? x - norm : -(most * tail * (most / (x + norm)));
    beta[j] = -v / norm; // of v / v_0: 2 / |v|^2 = -v_0 / norm, for v_0 = x - norm
    for (int64_t i = j + 1; i < m; i++) a[i * n + j] /= v;
    a[j * n + j] = norm;
    const int64_t rest = n - j - 1;
    memcpy(work, a + j * n + j + 1, size_t(rest) * sizeof(double));
    for (int64_t i = j + 1; i < m; i++) axpy(work, a[i * n + j], a + i * n + j + 1, rest);
    axpy(a + j * n + j + 1, -beta[j], work, rest);
    for (int64_t i = j + 1; i < m; i++) axpy(a + i * n + j + 1, -beta[j] * a[i * n + j], work, rest);
  }
}

// q[m, columns] = the first columns of the product of householder()'s reflectors. work: [columns].
INLINE void reflectors(double* q, const double* a, const double* beta, double* work, int64_t m, int64_t n,
                       int64_t columns) {
  memset(q, 0, size_t(m * columns) * sizeof(double));
  for (int64_t i = 0; i < columns; i++) q[i * columns + i] = 1;
  for (int64_t j = (m < n ? m : n) - 1; j >= 0; j--) {
    if (beta[j] == 0) continue;
    const int64_t rest = columns - j;
    memcpy(work, q + j * columns + j, size_t(rest) * sizeof(double));
    for (int64_t i = j + 1; i < m; i++) axpy(work, a[i * n + j], q + i * columns + j, rest);
    axpy(q + j * columns + j, -beta[j], work, rest);
    for (int64_t i = j + 1; i < m; i++) axpy(q + i * columns + j, -beta[j] * a[i * n + j], work, rest);
  }
}

// LU of a[m, n] in place with rows exchanged (Golub & Van Loan, algorithm 3.4.1): row j changed places with pivots[j].
template <class I> INLINE void factor(double* a, I* pivots, int64_t m, int64_t n) {
  const int64_t k = m < n ? m : n;
  for (int64_t j = 0; j < k; j++) {
    int64_t p = j;
    for (int64_t i = j + 1; i < m; i++)
      if (absolute(a[i * n + j]) > absolute(a[p * n + j])) p = i;
    pivots[j] = I(p);
    if (p != j) swapRows(a + j * n, a + p * n, n);
    if (a[j * n + j] == 0) continue;
    for (int64_t i = j + 1; i < m; i++) {
      const double l = a[i * n + j] /= a[j * n + j];
      axpy(a + i * n + j + 1, -l, a + j * n + j + 1, n - j - 1);
    }
  }
}

// b[n, k] = L^-1 b or U^-1 b: a[n, n] read by (row, column) steps, so that transposes cost nothing.
INLINE void substitute(double* b, const double* a, int64_t rowStep, int64_t columnStep, bool lower, bool unit,
                       int64_t n, int64_t k) {
  for (int64_t r = 0; r < n; r++) {
    const int64_t i = lower ? r : n - 1 - r;
    for (int64_t j = lower ? 0 : i + 1; j < (lower ? i : n); j++)
      axpy(b + i * k, -a[i * rowStep + j * columnStep], b + j * k, k);
    if (!unit)
      for (int64_t c = 0; c < k; c++) b[i * k + c] /= a[i * (rowStep + columnStep)];
  }
}

// b[n, k] = A^-1 b from factor()'s result.
INLINE void solveFactored(double* b, const double* a, const int64_t* pivots, int64_t n, int64_t k) {
  for (int64_t j = 0; j < n; j++)
    if (pivots[j] != j) swapRows(b + j * k, b + pivots[j] * k, k);
  substitute(b, a, n, 1, true, true, n, k);
  substitute(b, a, n, 1, false, false, n, k);
}

} // namespace napier::ISA
