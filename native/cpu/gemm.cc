// Matrix multiplication: y = relu(alpha a b + beta c). 2 m n k FLOPs; reads a and b once from memory, and twice more from
// the caches (packing, then the panels), for m and n well above the tile sizes of gemm.h.
//
//   up to 8 columns or rows            gemv.h: the speed of reading the matrix
//   up to 2 million multiply-adds      A and whole panels of B where they stand, no threads; batches of them in parallel
//   m n small, k long                  parts in k, summed in order
//   otherwise                          panels of B, and of A where several tiles need it, packed once; tiles in parallel
#include "gemm.h"
#include "gemv.h"

namespace napier::ISA {

// Small ones: A and whole panels of B where they stand, the rest of B packed.
template <class T, Along alongA, Along alongB>
static void smallProduct(const Target<T>& c, const T* a, const T* b, int64_t m, int64_t n, int64_t k) {
  constexpr int64_t P = panelCols<T>, near = 4096;
  const int64_t lda = alongA == Along::rows ? k : m, stepA = alongA == Along::rows ? panelRows * k : panelRows;
  const int64_t direct = alongB == Along::rows ? n - n % P : 0; // columns
  MatrixB<T, alongB> right{b, alongB == Along::rows ? n : k};
  auto run = [&](T* packed) __attribute__((always_inline)) {
    if (direct < n) right.pack(packed, direct, n, 0, k);
    for (int64_t i = 0; i < m; i += panelRows, a += stepA) {
      const int64_t rows = min(panelRows, m - i);
      for (int64_t j = 0; j < direct; j += P) tile<T, alongA>(rows, P, k, a, lda, b + j, n, c, i, j, true);
      const T* panel = packed;
      for (int64_t j = direct; j < n; j += P, panel += P * k)
        tile<T, alongA>(rows, min(P, n - j), k, a, lda, panel, P, c, i, j, true);
    }
  };
  const int64_t room = roundUp(n - direct, P) * k;
  if (room <= near) {
    alignas(64) T packed[near];
    run(packed);
  } else {
    Scratch<T> packed(room);
    run(packed);
  }
}

// Elements of A that stay in an L2 of 1 MB beside a tile's B: 640 KB.
template <class T> constexpr int64_t nearMost = (int64_t(640) << 10) / int64_t(sizeof(T));

// One product; a and b in their given order.
template <class T, Along alongA, Along alongB>
static void matrixMatrix(const Target<T>& c, const T* a, const T* b, int64_t m, int64_t n, int64_t k) {
  MatrixA<T, alongA> left{a, alongA == Along::rows ? k : m};
  MatrixB<T, alongB> right{b, alongB == Along::rows ? n : k};
  if (double(m) * double(n) * double(k) < 2 * macsWorthwhile && k <= kDepth<T>)
    return smallProduct<T, alongA, alongB>(c, a, b, m, n, k);
  Cut cut = cutFor<T>(m, n, k);
  auto run = [&](auto hold) {
    constexpr Hold holdA = decltype(hold)::value;
    if (cut.parts > 1) multiplyParts<T, holdA == Hold::shared ? Hold::local : holdA>(m, n, k, left, right, c, cut);
    else if (m <= cut.tileRows) multiply<T, holdA, Hold::local>(m, n, k, left, right, c, cut);
    else multiply<T, holdA, Hold::shared>(m, n, k, left, right, c, cut);
  };
  // Packing rows of A is not worth it for few columns, nor where all of A stays in L2 beside a tile's B (and threads on
  // cores of their own would read what another has just written), unless its rows are so spaced that a panel's fall into
  // one set of an L1 of 4 KB a way.
  int64_t spacing = k * int64_t(sizeof(T)) % 4096, sharing = panelRows * (spacing ? spacing & -spacing : 4096) / 4096;
  if constexpr (alongA == Along::rows)
    if ((n <= 128 || m * k <= nearMost<T>) && sharing <= 6) return run(std::integral_constant<Hold, Hold::direct>());
  if (n <= cut.tileCols) run(std::integral_constant<Hold, Hold::local>());
  else run(std::integral_constant<Hold, Hold::shared>());
}

template <class T>
void gemm(T* y, const T* a, const T* b, const T* c, const GemmSize& size, int64_t relu, double alpha, double beta) {
  GemmSize s = size;
  if (s.batch == 0 || s.m == 0 || s.n == 0) return;
  if (beta == 0) c = nullptr; // so what is NaN there does not count
  // A batch of rows against one matrix is one product.
  if (s.batch > 1 && s.strideB == 0 && s.strideA != 0 && !s.transA && (!c || (s.strideC == 0) == (s.rowC == 0)))
    s.m *= s.batch, s.batch = 1;
  if (s.k == 0) s.transA = s.transB = 0;
  double macs = double(s.m) * double(s.n) * double(s.k);
  // Whether to take the path of gemv.h: packing the big matrix would cost more than its products.
  auto few = [&](int64_t count, bool byRows, int64_t rows) {
    return count == 1 || (rows > fewMost && (macs >= 2 * macsWorthwhile || (byRows && s.k >= 64)));
  };
  auto one = [&](int64_t e) {
    T* ye = y + e * s.m * s.n;
    const T *ae = a + e * s.strideA, *be = b + e * s.strideB;
    After<T> after{relu != 0, T(alpha), T(beta), c ? c + e * s.strideC : nullptr, c ? s.rowC : 0};
    Target<T> target{ye, s.n};
    target.after = after;
    if (s.n <= fewMost && few(s.n, !s.transA, s.m)) {
      Few<T> to{ye, s.n, 1, be, s.transB ? s.k : 1, s.transB ? 1 : s.n, after, s.rowC, 1};
      (s.transA ? fewByColumns<T> : fewByRows<T>)(to, s.n, ae, s.m, s.k);
    } else if (s.m <= fewMost && few(s.m, s.transB, s.n)) {
      Few<T> to{ye, 1, s.n, ae, s.transA ? 1 : s.k, s.transA ? s.m : 1, after, 1, s.rowC};
      (s.transB ? fewByRows<T> : fewByColumns<T>)(to, s.m, be, s.n, s.k);
    }
    else if (s.transA && s.transB) matrixMatrix<T, Along::columns, Along::columns>(target, ae, be, s.m, s.n, s.k);
    else if (s.transA) matrixMatrix<T, Along::columns, Along::rows>(target, ae, be, s.m, s.n, s.k);
    else if (s.transB) matrixMatrix<T, Along::rows, Along::columns>(target, ae, be, s.m, s.n, s.k);
    else matrixMatrix<T, Along::rows, Along::rows>(target, ae, be, s.m, s.n, s.k);
  };
  // Products worth 50 us and few of them: one after the other, each on all threads. Otherwise in parallel.
  if (s.batch < 8 && macs >= 2 * macsWorthwhile)
    for (int64_t e = 0; e < s.batch; e++) one(e);
  else
    parallel(s.batch, max(1, int64_t(macsWorthwhile / (macs + 1000))),
             [&](int64_t begin, int64_t end) {
               for (int64_t e = begin; e < end; e++) one(e);
             });
}
KERNEL(gemm)

} // namespace napier::ISA
