// Factorisations and the systems they solve, batched: Cholesky n^3/3, LU 2 n^3/3, QR 2 m n^2 - 2 n^3/3 FLOPs, each
// right-hand side 2 n^2. One matrix is one thread's; batches run in parallel.
#include "linalg.h"

namespace napier::ISA {

// A = L L^T from the lower triangle of a[n, n]. A matrix that is not positive definite gives NaN throughout.
template <class T> void cholesky(T* l, const T* a, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(n * n);
    memset(x, 0, size_t(n * n) * sizeof(double));
    bool positive = true;
    for (int64_t i = 0; i < n && positive; i++) {
      for (int64_t j = 0; j <= i; j++) {
        const double rest = double(a[(b * n + i) * n + j]) - dot(x + i * n, x + j * n, j);
        if (j < i) x[i * n + j] = rest / x[j * n + j];
        else if (rest > 0) x[i * n + i] = root(rest);
        else positive = false;
      }
    }
    if (!positive) fillNan(x.data, n * n);
    narrow(l + b * n * n, x, n * n);
  });
}
KERNEL(cholesky)

// A = P L U of a[m, n]: L (unit diagonal, not stored) below the diagonal of lu, U on and above it. Row i of L U is row
// order[i] of A.
template <class T> void lu(T* lu, int32_t* pivots, int32_t* order, const T* a, const MatrixSize& s) {
  if (s.batch == 0 || s.m == 0) return;
  if (s.empty()) {
    for (int64_t i = 0; i < s.batch * s.m; i++) order[i] = int32_t(i % s.m);
    return;
  }
  const int64_t n = s.n, count = s.m * n, k = s.least();
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(count);
    widen(x.data, a + b * count, count);
    factor(x.data, pivots + b * k, s.m, n);
    narrow(lu + b * count, x, count);
    int32_t* rows = order + b * s.m;
    for (int64_t i = 0; i < s.m; i++) rows[i] = int32_t(i);
    for (int64_t j = 0; j < k; j++) {
      const int32_t other = pivots[b * k + j], row = rows[j];
      rows[j] = rows[other];
      rows[other] = row;
    }
  });
}
KERNEL(lu)

// y[n, k] = A^-1 b, or A^-T b: n is s.m, k is s.n. A singular A gives infinities or NaN.
template <class T> void solve(T* y, const T* a, const T* rhs, int64_t transposed, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.m, k = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(n * n), z(n * k);
    Scratch<int64_t> pivots(n);
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) x[i * n + j] = double(a[b * n * n + (transposed ? j * n + i : i * n + j)]);
    widen(z.data, rhs + b * n * k, n * k);
    factor(x.data, pivots.data, n, n);
    solveFactored(z, x, pivots, n, k);
    narrow(y + b * n * k, z, n * k);
  });
}
KERNEL(solve)

// y[n, k] = A^-1 b for the triangle of a[n, n] named by `upper`, of A or (transposed) of A^T; unit: its diagonal is 1.
template <class T>
void solveTriangular(T* y, const T* a, const T* rhs, int64_t upper, int64_t transposed, int64_t unit,
                     const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.m, k = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(n * n), z(n * k);
    widen(x.data, a + b * n * n, n * n);
    widen(z.data, rhs + b * n * k, n * k);
    substitute(z, x, transposed ? 1 : n, transposed ? n : 1, (upper != 0) == (transposed != 0), unit != 0, n, k);
    narrow(y + b * n * k, z, n * k);
  });
}
KERNEL(solveTriangular)

// A = Q R of a[m, n] with R's diagonal not negative: q[m, columns], r[columns, n].
template <class T> void qr(T* q, T* r, const T* a, int64_t columns, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t m = s.m, n = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(m * n), y(m * columns), beta(s.least()), work(n + columns);
    widen(x.data, a + b * m * n, m * n);
    householder(x, beta, work, m, n);
    reflectors(y, x, beta, work, m, n, columns);
    T* to = r + b * columns * n;
    for (int64_t i = 0; i < columns; i++) {
      const bool turn = i < n && x[i * n + i] < 0;
      for (int64_t j = 0; j < n; j++) to[i * n + j] = j < i ? T(0) : T(turn ? -x[i * n + j] : x[i * n + j]);
      if (turn)
        for (int64_t e = 0; e < m; e++) y[e * columns + i] = -y[e * columns + i];
    }
    narrow(q + b * m * columns, y, m * columns);
  });
}
KERNEL(qr)

} // namespace napier::ISA
