// Functions of square matrices, batched, in double.
//
//   matrixExp    scaling and squaring with the [13/13] Pade approximant (Higham 2005): 6 products, a solve, squarings
//   sqrtm        the product form of Denman and Beavers' iteration with determinantal scaling (Cheng, Higham, Kenney &
//                Laub 2001): an inverse a step, quadratic convergence
#include "linalg.h"

namespace napier::ISA {

static INLINE double norm1(const double* x, int64_t n) {
  double most = 0;
  for (int64_t j = 0; j < n; j++) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += absolute(x[i * n + j]);
    if (!(sum <= most)) most = sum;
  }
  return most;
}

template <class T> void matrixExp(T* y, const T* a, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.n, count = n * n;
  constexpr double c[14] = {64764752532480000., 32382376266240000., 7771770303897600., 1187353796428800.,
                            129060195264000.,   10559470521600.,    670442572800.,     33522128640.,
                            1323241920.,        40840800.,          960960.,           16380.,
                            182.,               1.};
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(count), x2(count), x4(count), x6(count), u(count), v(count), t(count);
    Scratch<int64_t> pivots(n);
    widen(x.data, a + b * count, count);
    const double norm = norm1(x, n);
    if (!(norm < __builtin_inf())) {
      fillNan(y + b * count, count);
      return;
    }
    int squarings = 0;
    for (double size = norm; size > 5.371920351148152; size /= 2) squarings++;
    for (int i = 0; i < squarings; i++) scale(x, 0.5, count);
    multiply(x2, x, x, n, n, n);
    multiply(x4, x2, x2, n, n, n);
    multiply(x6, x4, x2, n, n, n);
    // u = x (x6 (c13 x6 + c11 x4 + c9 x2) + c7 x6 + c5 x4 + c3 x2 + c1), v the even terms
    for (int64_t i = 0; i < count; i++) t[i] = c[13] * x6[i] + c[11] * x4[i] + c[9] * x2[i];
    multiply(v, x6, t, n, n, n);
    for (int64_t i = 0; i < count; i++) v[i] += c[7] * x6[i] + c[5] * x4[i] + c[3] * x2[i];
    for (int64_t i = 0; i < n; i++) v[i * n + i] += c[1];
    multiply(u, x, v, n, n, n);
    for (int64_t i = 0; i < count; i++) t[i] = c[12] * x6[i] + c[10] * x4[i] + c[8] * x2[i];
    multiply(v, x6, t, n, n, n);
    for (int64_t i = 0; i < count; i++) v[i] += c[6] * x6[i] + c[4] * x4[i] + c[2] * x2[i];
    for (int64_t i = 0; i < n; i++) v[i * n + i] += c[0];
    // (v - u) r = v + u
    for (int64_t i = 0; i < count; i++) t[i] = v[i] - u[i], x[i] = v[i] + u[i];
    factor(t.data, pivots.data, n, n);
    solveFactored(x, t, pivots, n, n);
    double *r = x, *other = x2;
    for (int i = 0; i < squarings; i++) {
      multiply(other, r, r, n, n, n);
      double* swap = r;
      r = other;
      other = swap;
    }
    narrow(y + b * count, r, count);
  });
}
KERNEL(matrixExp)

// The principal square root: its eigenvalues have positive real parts. A matrix without one (an eigenvalue on the closed
// negative axis, 0 included) gives NaN.
template <class T> void sqrtm(T* y, const T* a, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.n, count = n * n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> m(count), x(count), inverse(count), lu(count), next(count);
    Scratch<int64_t> pivots(n);
    widen(m.data, a + b * count, count);
    widen(x.data, a + b * count, count);
    // M -> (I + (mu^2 M + (mu^2 M)^-1) / 2) / 2 goes to I, X -> mu X (I + (mu^2 M)^-1) / 2 to the root.
    bool good = false, scaling = true;
    double before = __builtin_inf();
    for (int step = 0; step < 50 && !good; step++) {
      memcpy(lu, m, size_t(count) * sizeof(double));
      factor(lu.data, pivots.data, n, n);
      double logDet = 0;
      for (int64_t i = 0; i < n; i++) logDet += __builtin_log(absolute(lu[i * n + i]));
      const double mu = scaling ? __builtin_exp(-logDet / double(2 * n)) : 1;
      if (!(mu > 0 && mu < __builtin_inf())) break;
      identity(inverse, n);
      solveFactored(inverse, lu, pivots, n, n);
      double distance = 0, size = 0, change = 0;
      for (int64_t i = 0; i < count; i++) {
        const double unit = i % (n + 1) == 0 ? 1 : 0, back = inverse[i] / (mu * mu);
        const double value = 0.5 * (unit + 0.5 * (mu * mu * m[i] + back));
        distance += (value - unit) * (value - unit);
        m[i] = value;
        inverse[i] = 0.5 * mu * (unit + back);
      }
      multiply(next, x, inverse, n, n, n);
      for (int64_t i = 0; i < count; i++) {
        change += (next[i] - x[i]) * (next[i] - x[i]);
        size += next[i] * next[i];
      }
      memcpy(x, next, size_t(count) * sizeof(double));
      change = root(change / size);
      if (!(change < __builtin_inf())) break;
      if (change < 1e-2) scaling = false; // near the root the scaling only disturbs
      good = root(distance) < 1e-2 && (change <= 4 * kEpsilon * double(n) || (change < 1e-7 && change >= 0.5 * before));
      before = change;
    }
    if (!good) fillNan(x.data, count);
    narrow(y + b * count, x, count);
  });
}
KERNEL(sqrtm)

} // namespace napier::ISA
