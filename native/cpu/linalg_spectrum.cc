// Eigenvalues of symmetric matrices and singular values, batched, in double.
//
//   eigh   Householder tridiagonalisation, 4 n^3 / 3 FLOPs, then QL steps with implicit shifts (Bowdler, Martin, Reinsch
//          & Wilkinson 1968), about 3 n^3 more with the vectors
//   svd    QR, then one-sided Jacobi rotations of the rows of R (Hestenes 1958; de Rijk 1989; Drmac & Veselic 2008),
//          about 6 n^3 a sweep and 5 to 10 sweeps: small singular values come out to full relative accuracy
#include "linalg.h"

namespace napier::ISA {

// a[n, n] (its lower triangle) to a tridiagonal matrix with diagonal d and off-diagonal e[1...]; q[n, n] becomes the
// transposed transformation: rows of q are columns of Q, A = Q T Q^T. v: [n, n], work: [n].
static INLINE void tridiagonalise(double* a, double* d, double* e, double* q, double* v, double* work, int64_t n) {
  for (int64_t i = 0; i < n; i++)
    for (int64_t j = 0; j < i; j++) a[j * n + i] = a[i * n + j];
  memset(v, 0, size_t(n * n) * sizeof(double));
  for (int64_t j = 0; j + 2 < n; j++) {
    // Row j beyond the diagonal (the matrix is symmetric) to a multiple of its first unit vector: u = x - norm e.
    double* x = a + j * n + j + 1;
    double* u = v + j * n + j + 1;
    const int64_t rest = n - j - 1;
    double most = 0, tail = 0;
    for (int64_t i = 0; i < rest; i++) most = absolute(x[i]) > most ? absolute(x[i]) : most;
    for (int64_t i = 1; i < rest; i++) tail += x[i] / most * (x[i] / most);
    e[j + 1] = x[0];
    work[j] = 0;
    if (most == 0 || tail == 0) continue;
    const double norm = most * root(x[0] / most * (x[0] / most) + tail);
    const double head = x[0] <= 0 ? x[0] - norm : -(most * tail * (most / (x[0] + norm)));
    const double beta = -head / norm;
    work[j] = beta;
    e[j + 1] = norm;
    u[0] = 1;
    for (int64_t i = 1; i < rest; i++) u[i] = x[i] / head;
    // A -= u w^T + w u^T, w = beta A u - (beta / 2)(u . beta A u) u
    double* w = q; // the first row serves until Q is made
    for (int64_t i = 0; i < rest; i++) w[i] = beta * dot(a + (j + 1 + i) * n + j + 1, u, rest);
    axpy(w, -0.5 * beta * dot(u, w, rest), u, rest);
    for (int64_t i = 0; i < rest; i++) {
      axpy(a + (j + 1 + i) * n + j + 1, -u[i], w, rest);
      axpy(a + (j + 1 + i) * n + j + 1, -w[i], u, rest);
    }
  }
  for (int64_t i = 0; i < n; i++) d[i] = a[i * n + i];
  e[0] = 0;
  if (n >= 2) e[n - 1] = a[(n - 1) * n + n - 2];
  // Rows of q: Q^T = H_last ... H_0, built so that each reflector meets only what it changes.
  identity(q, n);
  for (int64_t j = n - 3; j >= 0; j--) {
    if (work[j] == 0) continue;
    const double* u = v + j * n + j + 1;
    const int64_t rest = n - j - 1;
    for (int64_t i = j + 1; i < n; i++) {
      double* row = q + i * n + j + 1;
      axpy(row, -work[j] * dot(row, u, rest), u, rest);
    }
  }
}

// Eigenvalues of the tridiagonal matrix into d, the rows of q turned along. False: no convergence (NaN, infinity).
static INLINE bool implicitQl(double* d, double* e, double* q, int64_t n) {
  for (int64_t i = 1; i < n; i++) e[i - 1] = e[i];
  if (n > 0) e[n - 1] = 0;
  for (int64_t l = 0; l < n; l++) {
    for (int tries = 0;; tries++) {
      int64_t m = l;
      for (; m < n - 1; m++)
        if (absolute(e[m]) <= kEpsilon * (absolute(d[m]) + absolute(d[m + 1]))) break;
      if (m == l) break;
      if (tries == 60) return false;
      double g = (d[l + 1] - d[l]) / (2 * e[l]);
      double r = absolute(g) > 1e150 ? absolute(g) : root(g * g + 1);
      g = d[m] - d[l] + e[l] / (g + (g < 0 ? -r : r));
      double s = 1, c = 1, p = 0;
      int64_t i = m - 1;
      for (; i >= l; i--) {
        const double f = s * e[i], b = c * e[i];
        const double big = absolute(f) > absolute(g) ? absolute(f) : absolute(g);
        r = big == 0 ? 0 : big * root(f / big * (f / big) + g / big * (g / big));
        e[i + 1] = r;
        if (r == 0) {
          d[i + 1] -= p;
          e[m] = 0;
          break;
        }
        s = f / r;
        c = g / r;
        g = d[i + 1] - p;
        r = (d[i] - g) * s + 2 * c * b;
        p = s * r;
        d[i + 1] = g + p;
        g = c * r - b;
        rotate(q + i * n, q + (i + 1) * n, c, s, n);
      }
      if (i >= l) continue;
      d[l] -= p;
      e[l] = g;
      e[m] = 0;
    }
  }
  return true;
}

// A = V diag(w) V^T of symmetric a[n, n], of which the lower triangle is read: w ascending; in each column of v the
// first component of at least half the largest size is positive.
template <class T> void eigh(T* w, T* v, const T* a, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t n = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(n * n), q(n * n), u(n * n), d(n), e(n), work(n);
    Scratch<int64_t> order(n);
    bool finite = true;
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j <= i; j++) {
        x[i * n + j] = double(a[(b * n + i) * n + j]);
        finite &= absolute(x[i * n + j]) < __builtin_inf();
      }
    if (finite) {
      tridiagonalise(x, d, e, q, u, work, n);
      finite = implicitQl(d, e, q, n);
    }
    if (!finite) {
      fillNan(w + b * n, n);
      fillNan(v + b * n * n, n * n);
      return;
    }
    // Insertion sort: mostly sorted already, and n is small beside the work above.
    for (int64_t i = 0; i < n; i++) {
      int64_t at = i;
      for (; at > 0 && d[order[at - 1]] > d[i]; at--) order[at] = order[at - 1];
      order[at] = i;
    }
    for (int64_t i = 0; i < n; i++) {
      const int64_t from = order[i];
      const double* row = q + from * n;
      const double sign = leading(row, n) < 0 ? -1 : 1;
      w[b * n + i] = T(d[from]);
      for (int64_t j = 0; j < n; j++) v[(b * n + j) * n + i] = T(sign * row[j]);
    }
  });
}
KERNEL(eigh)

// Rows i of x[k, n] whose singular value is 0 replaced by unit vectors orthogonal to the others.
static INLINE void completeRows(double* x, const double* sigma, int64_t k, int64_t n) {
  for (int64_t i = 0; i < k; i++) {
    if (sigma[i] != 0) continue;
    double* row = x + i * n;
    for (int64_t j = 0; j < n; j++) {
      memset(row, 0, size_t(n) * sizeof(double));
      row[j] = 1;
      for (int pass = 0; pass < 2; pass++)
        for (int64_t o = 0; o < k; o++)
          if (o < i || (o > i && sigma[o] != 0)) axpy(row, -dot(row, x + o * n, n), x + o * n, n);
      const double norm = root(dot(row, row, n));
      if (norm * norm * double(2 * n) < 1) continue; // some unit vector keeps at least 1 / n of its square
      scale(row, 1 / norm, n);
      break;
    }
  }
}

// A = U diag(sigma) V^T of a[m, n], m >= n: u[m, n], sigma[n] descending, vt[n, n]; in each column of u the first
// component of at least half the largest size is positive.
template <class T> void svd(T* u, T* sigma, T* vt, const T* a, const MatrixSize& s) {
  if (s.empty()) return;
  const int64_t m = s.m, n = s.n;
  eachMatrix(s, [&](int64_t b) {
    Scratch<double> x(m * n), q(m * n), r(n * n), w(n * n), norms(n), beta(n), work(n), left(m * n);
    Scratch<int64_t> order(n);
    widen(x.data, a + b * m * n, m * n);
    double most = 0;
    bool good = true;
    for (int64_t i = 0; i < m * n; i++) {
      good &= absolute(x[i]) < __builtin_inf();
      most = absolute(x[i]) > most ? absolute(x[i]) : most;
    }
    if (!good) {
      fillNan(u + b * m * n, m * n);
      fillNan(sigma + b * n, n);
      fillNan(vt + b * n * n, n * n);
      return;
    }
    if (most == 0) most = 1;
    for (int64_t i = 0; i < m * n; i++) x[i] /= most; // their squares neither overflow nor vanish
    householder(x, beta, work, m, n);
    reflectors(q, x, beta, work, m, n, n);
    for (int64_t i = 0; i < n; i++)
      for (int64_t j = 0; j < n; j++) r[i * n + j] = j < i ? 0 : x[i * n + j];
    // Rotations W make the rows of W R orthogonal: W R = diag(sigma) V^T, so A = (Q W^T) diag(sigma) V^T.
    identity(w, n);
    bool turned = true;
    for (int sweep = 0; turned && sweep < 60; sweep++) {
      turned = false;
      for (int64_t i = 0; i + 1 < n; i++)
        for (int64_t j = i + 1; j < n; j++) {
          const double p = dot(r + i * n, r + i * n, n), o = dot(r + j * n, r + j * n, n);
          const double g = dot(r + i * n, r + j * n, n);
          if (g == 0 || absolute(g) <= 4 * kEpsilon * root(p) * root(o)) continue;
          turned = true;
          const double zeta = (o - p) / (2 * g);
          const double size = absolute(zeta) > 1e150 ? 2 * absolute(zeta) : absolute(zeta) + root(1 + zeta * zeta);
          const double t = (zeta < 0 ? -1 : 1) / size, c = 1 / root(1 + t * t), sine = c * t;
          rotate(r + i * n, r + j * n, c, sine, n);
          rotate(w + i * n, w + j * n, c, sine, n);
        }
    }
    for (int64_t i = 0; i < n; i++) {
      norms[i] = root(dot(r + i * n, r + i * n, n));
      if (norms[i] < 1e-290) norms[i] = 0;
      else scale(r + i * n, 1 / norms[i], n);
    }
    completeRows(r, norms, n, n);
    memset(left, 0, size_t(m * n) * sizeof(double));
    for (int64_t i = 0; i < m; i++)
      for (int64_t j = 0; j < n; j++) left[i * n + j] = dot(q + i * n, w + j * n, n);
    for (int64_t i = 0; i < n; i++) {
      int64_t at = i;
      for (; at > 0 && norms[order[at - 1]] < norms[i]; at--) order[at] = order[at - 1];
      order[at] = i;
    }
    for (int64_t i = 0; i < n; i++) {
      const int64_t from = order[i];
      const double sign = leading(left + from, m, n) < 0 ? -1 : 1;
      sigma[b * n + i] = T(norms[from] * most);
      for (int64_t j = 0; j < m; j++) u[(b * m + j) * n + i] = T(sign * left[j * n + from]);
      for (int64_t j = 0; j < n; j++) vt[(b * n + i) * n + j] = T(sign * r[from * n + j]);
    }
  });
}
KERNEL(svd)

} // namespace napier::ISA
