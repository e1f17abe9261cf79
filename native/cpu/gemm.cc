// Matrix multiplication. 2 m n k FLOPs; reads a and b once from memory, and twice more from the caches (packing, then
// the panels), for m and n well above the tile sizes of gemm.h.
//
//   one column or row (m or n = 1)     dot products of rows, or a sum of scaled rows: the speed of reading the matrix
//   small (up to about 64 a side)      A where it stands, B packed by the tile; batches of them parallel over the batch
//   m n small, k long                  parts in k, summed in order
//   otherwise                          panels of A and B packed once, tiles in parallel
#include "gemm.h"

namespace napier::ISA {

// y[rows] = a[rows, k] x + bias: four rows at a time share the loads of x.
template <class T, int R> INLINE void dots(T* y, const T* a, int64_t lda, const T* x, int64_t k) {
  constexpr int64_t W = width<T>, chains = R == 1 ? 4 : 2;
  Vec<T> sum[R][chains] = {};
  int64_t e = 0;
  for (; e + chains * W <= k; e += chains * W)
#pragma GCC unroll 4
    for (int v = 0; v < chains; v++)
#pragma GCC unroll 4
      for (int i = 0; i < R; i++) sum[i][v] = fma(load(a + i * lda + e + v * W), load(x + e + v * W), sum[i][v]);
  for (; e < k; e += W) {
    int64_t part = min(W, k - e);
#pragma GCC unroll 4
    for (int i = 0; i < R; i++) sum[i][0] = fma(loadPart(a + i * lda + e, part), loadPart(x + e, part), sum[i][0]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++) {
    Vec<T> all = sum[i][0];
    for (int v = 1; v < chains; v++) all += sum[i][v];
    y[i] = sumLanes<T>(all);
  }
}

// y[m] = a[m, k] x, a by rows.
template <class T>
static void matrixVector(T* y, const T* a, const T* x, const T* bias, int64_t biasStep, int64_t m, int64_t k) {
  parallel(m, roundUp(grainOf(k * int64_t(sizeof(T))), 4), [&](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + 4 <= end; i += 4) dots<T, 4>(y + i, a + i * k, k, x, k);
    for (; i < end; i++) dots<T, 1>(y + i, a + i * k, k, x, k);
    if (bias)
      for (i = begin; i < end; i++) y[i] += bias[i * biasStep];
  });
}

// y[n] = x[k] b[k, n]: columns in strips that stay in L1, four rows of b at a time.
template <class T>
static void vectorMatrix(T* y, const T* x, const T* b, const T* bias, int64_t biasStep, int64_t n, int64_t k) {
  constexpr int64_t strip = 1024;
  int64_t grain = min(strip, roundUp(grainOf(k * int64_t(sizeof(T))), 64));
  parallel(n, grain, [&](int64_t begin, int64_t end) {
    for (int64_t j = begin; j < end; j++) y[j] = bias ? bias[j * biasStep] : T(0);
    int64_t e = 0;
    for (; e + 4 <= k; e += 4) {
      const T* row = b + e * n;
      T x0 = x[e], x1 = x[e + 1], x2 = x[e + 2], x3 = x[e + 3];
      int64_t j = begin;
      for (; j + width<T> <= end; j += width<T>) {
        Vec<T> sum = fma(splat(x0), load(row + j), load(y + j));
        sum = fma(splat(x1), load(row + n + j), sum);
        sum = fma(splat(x2), load(row + 2 * n + j), sum);
        store(y + j, fma(splat(x3), load(row + 3 * n + j), sum));
      }
      if (j < end) {
        int64_t part = end - j;
        Vec<T> sum = fma(splat(x0), loadPart(row + j, part), loadPart(y + j, part));
        sum = fma(splat(x1), loadPart(row + n + j, part), sum);
        sum = fma(splat(x2), loadPart(row + 2 * n + j, part), sum);
        storePart(y + j, fma(splat(x3), loadPart(row + 3 * n + j, part), sum), part);
      }
    }
    for (; e < k; e++)
      for (int64_t j = begin; j < end; j++) y[j] += x[e] * b[e * n + j];
  });
}

// One product; a and b in their given order.
template <class T, Along alongA, Along alongB>
static void matrixMatrix(T* y, const T* a, const T* b, const T* bias, int64_t m, int64_t n, int64_t k) {
  MatrixA<T, alongA> left{a, alongA == Along::rows ? k : m};
  MatrixB<T, alongB> right{b, alongB == Along::rows ? n : k};
  Target<T> c{y, n};
  c.colBias = bias;
  if (m <= 64 && n <= 64 && k <= kDepth<T>) {
    Cut whole{m, roundUp(n, panelCols<T>), 1};
    multiply<T, Hold::direct, Hold::local>(m, n, k, left, right, c, whole);
    return;
  }
  Cut cut = cutFor<T>(m, n, k);
  auto run = [&](auto hold) {
    constexpr Hold once = decltype(hold)::value ? Hold::direct : Hold::shared;
    constexpr Hold each = decltype(hold)::value ? Hold::direct : Hold::local;
    if (cut.parts > 1) multiplyParts<T, each>(m, n, k, left, right, c, cut);
    else multiply<T, once, Hold::shared>(m, n, k, left, right, c, cut);
  };
  // Packing rows of A is not worth it for few columns, unless its rows are so spaced that a panel's fall into one set
  // of an L1 of 4 KB a way.
  int64_t spacing = k * int64_t(sizeof(T)) % 4096, sharing = panelRows * (spacing ? spacing & -spacing : 4096) / 4096;
  if constexpr (alongA == Along::rows)
    if (n <= 128 && sharing <= 6) return run(std::true_type());
  run(std::false_type());
}

template <class T> void gemm(T* y, const T* a, const T* b, const T* bias, const GemmSize& size) {
  GemmSize s = size;
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  // A batch of rows against one matrix is one product.
  if (s.batch > 1 && s.strideB == 0 && s.strideA != 0 && !s.transA) s.m *= s.batch, s.batch = 1;
  if (s.k == 0) s.transA = s.transB = 0;
  auto one = [&](int64_t e) {
    T* ye = y + e * s.m * s.n;
    const T *ae = a + e * s.strideA, *be = b + e * s.strideB;
    if (s.n == 1 && (!s.transA || s.m == 1)) matrixVector(ye, ae, be, bias, 0, s.m, s.k);
    else if (s.m == 1 && s.transB) matrixVector(ye, be, ae, bias, 1, s.n, s.k);
    else if (s.n == 1) vectorMatrix(ye, be, ae, bias, 0, s.m, s.k);
    else if (s.m == 1) vectorMatrix(ye, ae, be, bias, 1, s.n, s.k);
    else if (s.transA && s.transB) matrixMatrix<T, Along::columns, Along::columns>(ye, ae, be, bias, s.m, s.n, s.k);
    else if (s.transA) matrixMatrix<T, Along::columns, Along::rows>(ye, ae, be, bias, s.m, s.n, s.k);
    else if (s.transB) matrixMatrix<T, Along::rows, Along::columns>(ye, ae, be, bias, s.m, s.n, s.k);
    else matrixMatrix<T, Along::rows, Along::rows>(ye, ae, be, bias, s.m, s.n, s.k);
  };
  // Products worth 50 us and few of them: one after the other, each on all threads. Otherwise in parallel.
  double macs = double(s.m) * double(s.n) * double(s.k);
  if (s.batch < 8 && macs >= 2 * macsWorthwhile)
    for (int64_t e = 0; e < s.batch; e++) one(e);
  else
    parallel(s.batch, macs >= macsWorthwhile ? 1 : int64_t(macsWorthwhile / (macs + 1000)),
             [&](int64_t begin, int64_t end) {
               for (int64_t e = begin; e < end; e++) one(e);
             });
}
KERNEL(gemm)

} // namespace napier::ISA
