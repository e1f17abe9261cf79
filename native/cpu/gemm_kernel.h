// The inside of matrix multiplication: packing into panels, and the micro-kernel that multiplies one panel of A by one
// of B with all of its result in registers.
//
// Goto & van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (2008); BLIS. A panel of A, gemmRows x kDepth,
// stays in L1 while panels of B stream past it from L2; each step in k loads panelCols elements of B, broadcasts
// gemmRows of A, and does gemmRows x panelCols multiply-adds.
//
// B panel:  [depth][panelCols], the missing columns of the last one zero.
// A panel:  either by rows, [gemmRows][depth], or by columns, [depth][gemmRows]: the elements are broadcast one by one,
//           so A is never transposed, whichever way it comes. Missing rows are not touched.
#pragma once
#include <utility>
#include "simd.h"

namespace napier::ISA {

template <class T> constexpr int64_t panelCols = gemmVectors* width<T>;
constexpr int64_t panelRows = gemmRows;
// Most of k that one pass takes: a panel of A is then 18 KB (AVX-512), which leaves room for what streams past it in an
// L1 of 32 KB, and 256 columns of B are 384 KB of L2.
template <class T> constexpr int64_t kDepth = 1536 / int64_t(sizeof(T));

INLINE int64_t min(int64_t a, int64_t b) { return a < b ? a : b; }
INLINE int64_t max(int64_t a, int64_t b) { return a > b ? a : b; }
INLINE int64_t ceilDiv(int64_t a, int64_t b) { return (a + b - 1) / b; }
INLINE int64_t roundUp(int64_t a, int64_t b) { return ceilDiv(a, b) * b; }

// How deep the passes over a given k are: even ones.
template <class T> INLINE int64_t depthOf(int64_t k) {
  return k <= kDepth<T> ? max(1, k) : roundUp(ceilDiv(k, ceilDiv(k, kDepth<T>)), 8);
}

enum class Along { rows, columns }; // where the next element of a panel of A in k stands: beside, or a row further

// What becomes of finished sums as they are written: relu(alpha sum + beta addend). alpha and addend are for targets
// without spans.
template <class T> struct After {
  bool relu = false;
  T alpha = 1, beta = 1;
  const T* addend = nullptr; // of (i, j) at addend + i * ld + j
  int64_t ld = 0;            // 0: one row for all
};

// Where a product goes: element (i, j) stands at data + i * ld + (j / span) * spanStride + j % span, so that one matrix
// can cover the pictures of a batch. The first block in k writes (with the bias), the others add.
template <class T> struct Target {
  T* data;
  int64_t ld;
  int64_t span = INT64_MAX, spanStride = 0;
  const T* rowBias = nullptr; // one for each i
  bool add = false;           // adds from the first block on
  After<T> after = {};        // by macro() at once, by what is in gemm.h with its last block in k
};

// max(0, x), NaN where x is.
template <class V> INLINE V rectified(V x) { return vmax(V{}, x); }

// What results are raised to where a relu follows: max(least, x) is x without one.
template <class T> INLINE T leastOf(bool relu) { return relu ? T(0) : -T(__builtin_inff()); }
template <class T> INLINE T atLeast(T least, T x) { return least > x ? least : x; } // x where it is NaN

// How a tile's sums are written.
template <class T> struct Finish {
  const T* rowBias; // of the tile's first row, or null
  int64_t last;     // elements of the last vector
  bool add;
  After<T> after; // addend: of the tile's first element
};

// c[R, V vectors] = (c or bias) + sum over k of a[:, k] b[k, :], and what finish.after says
template <class T, int R, int V, Along along>
[[gnu::noinline]] static void micro(int64_t depth, const T* a, int64_t lda, const T* b, int64_t ldb, T* c, int64_t ldc,
                                    const Finish<T>& finish) {
  constexpr int W = width<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) acc[i][v] = Vec<T>{};
#pragma GCC unroll 16
  for (int i = 0; i < R; i++) __builtin_prefetch(c + i * ldc, 1), __builtin_prefetch(c + i * ldc + V * W - 1, 1);
  const After<T>& after = finish.after;
  if (after.ld != 0)
#pragma GCC unroll 1
    for (int i = 0; i < R; i++)
      __builtin_prefetch(after.addend + i * after.ld), __builtin_prefetch(after.addend + i * after.ld + V * W - 1);
  // Rows of A by one pointer for four of them: base + {0, 1, 2, 3} lda are addressing modes.
  constexpr int groups = along == Along::rows ? (R + 3) / 4 : 1;
  const T* row[groups];
#pragma GCC unroll 4
  for (int g = 0; g < groups; g++) {
    row[g] = a + 4 * g * lda;
    asm("" : "+r"(row[g])); // not as offsets from a
  }
  for (int64_t k = depth; k > 0; k--) {
    Vec<T> bk[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) bk[v] = load(b + v * W);
    b += ldb;
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      Vec<T> ai = splat(along == Along::rows ? row[i / 4][i % 4 * lda] : row[0][i]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) acc[i][v] = fma(ai, bk[v], acc[i][v]);
    }
#pragma GCC unroll 4
    for (int g = 0; g < groups; g++) row[g] += along == Along::rows ? 1 : lda;
  }
  auto each = [&](auto body) __attribute__((always_inline)) {
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) body(acc[i][v], i, v);
  };
  auto finished = [&](auto whole) __attribute__((always_inline)) {
    auto part = [&](int v) __attribute__((always_inline)) { return !decltype(whole)::value && v == V - 1; };
    const int64_t last = finish.last;
    if (finish.add)
      each([&](Vec<T>& sum, int i, int v) {
        const T* old = c + i * ldc + v * W;
        sum = (part(v) ? loadPart(old, last) : load(old)) + sum;
      });
    if (finish.rowBias) each([&](Vec<T>& sum, int i, int) { sum += finish.rowBias[i]; });
    if (after.alpha != T(1)) each([&](Vec<T>& sum, int, int) { sum *= splat(after.alpha); });
    if (after.addend)
      each([&](Vec<T>& sum, int i, int v) {
        const T* from = after.addend + i * after.ld + v * W;
        sum += splat(after.beta) * (part(v) ? loadPart(from, last) : load(from));
      });
    if (after.relu) each([&](Vec<T>& sum, int, int) { sum = rectified(sum); });
    each([&](Vec<T>& sum, int i, int v) {
      if (part(v)) storePart(c + i * ldc + v * W, sum, last);
      else store(c + i * ldc + v * W, sum);
    });
  };
  if (finish.last == W) finished(std::true_type());
  else finished(std::false_type());
}

template <class T>
using Micro = void (*)(int64_t, const T*, int64_t, const T*, int64_t, T*, int64_t, const Finish<T>&);

// The micro-kernel for `rows` rows and `vectors` vectors.
template <class T, Along along> INLINE Micro<T> microFor(int64_t rows, int64_t vectors) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    static constexpr Micro<T> table[] = {&micro<T, I / gemmVectors + 1, I % gemmVectors + 1, along>...};
    return table[(rows - 1) * gemmVectors + vectors - 1];
  }
  (std::make_integer_sequence<int, gemmRows * gemmVectors>());
}

// One micro-kernel's tile, rows x cols at (i, j) of the target, columns of b at ldb; tiles that cross from one span to
// the next go through a tile of their own.
template <class T, Along along>
INLINE void tile(int64_t rows, int64_t cols, int64_t depth, const T* a, int64_t lda, const T* b, int64_t ldb,
                 const Target<T>& c, int64_t i, int64_t j, bool first) {
  int64_t vectors = ceilDiv(cols, width<T>), at = c.span == INT64_MAX ? j : j % c.span;
  T* to = c.data + i * c.ld + (c.span == INT64_MAX ? j : j / c.span * c.spanStride + at);
  Finish<T> finish{first && c.rowBias ? c.rowBias + i : nullptr, cols - (vectors - 1) * width<T>, !first || c.add,
                   c.after};
  if (c.after.addend) finish.after.addend += i * c.after.ld + j;
  Micro<T> kernel = microFor<T, along>(rows, vectors);
  if (at + cols <= c.span) return kernel(depth, a, lda, b, ldb, to, c.ld, finish);
  alignas(64) T own[panelRows * panelCols<T>];
  kernel(depth, a, lda, b, ldb, own, panelCols<T>, {finish.rowBias, width<T>, false, {}});
  for (int64_t from = 0; from < cols;) {
    int64_t run = min(cols - from, c.span - at);
    for (int64_t r = 0; r < rows; r++) {
      const T* x = own + r * panelCols<T> + from;
      T* y = to + r * c.ld;
      for (int64_t e = 0; e < run; e++) {
        T sum = x[e];
        if (finish.add) sum = y[e] + sum;
        y[e] = c.after.relu && sum < T(0) ? T(0) : sum;
      }
    }
    from += run;
    to += c.spanStride - at;
    at = 0;
  }
}

// Panels of A, rows i0 to i1 of the target and `depth` deep, by panels of B, columns j0 to j1. strideA, strideB: from
// one panel to the next; lda as in micro().
template <class T, Along along>
INLINE void macro(int64_t i0, int64_t i1, int64_t j0, int64_t j1, int64_t depth, const T* a, int64_t strideA,
                  int64_t lda, const T* b, int64_t strideB, const Target<T>& c, bool first) {
  for (int64_t i = i0; i < i1; i += panelRows, a += strideA) {
    const T* panel = b;
    for (int64_t j = j0; j < j1; j += panelCols<T>, panel += strideB)
      tile<T, along>(min(panelRows, i1 - i), min(panelCols<T>, j1 - j), depth, a, lda, panel, panelCols<T>, c, i, j,
                     first);
  }
}

// ---- Packing

// Swaps the blocks of D x D off the diagonal, for D = W/2 down to 1: together a transpose (Eklundh 1972).
template <class T, int D, int... L> INLINE void swapBlocks(Vec<T> (&x)[width<T>], std::integer_sequence<int, L...>) {
  constexpr int W = width<T>;
#pragma GCC unroll 16
  for (int i = 0; i < W; i++)
    if (!(i & D)) {
      Vec<T> a = x[i], b = x[i + D];
      x[i] = __builtin_shufflevector(a, b, (L & D ? L - D + W : L)...);
      x[i + D] = __builtin_shufflevector(a, b, (L & D ? L + W : L + D)...);
    }
  if constexpr (D > 1) swapBlocks<T, D / 2>(x, std::integer_sequence<int, L...>());
}
template <class T> INLINE void transpose(Vec<T> (&x)[width<T>]) {
  swapBlocks<T, width<T> / 2>(x, std::make_integer_sequence<int, width<T>>());
}

// y[cols][ldy] from x[rows][ldx] of rows x cols, rows at most width<T>; rows that are missing are written as zero.
template <class T> INLINE void transposeStrip(T* y, int64_t ldy, const T* x, int64_t ldx, int64_t rows, int64_t cols) {
  constexpr int64_t W = width<T>;
  int64_t k = 0;
  for (; k + W <= cols; k += W) {
    Vec<T> block[W];
    if (rows == W)
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) block[i] = load(x + i * ldx + k);
    else
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) block[i] = i < rows ? load(x + i * ldx + k) : Vec<T>{};
    transpose<T>(block);
#pragma GCC unroll 16
    for (int64_t i = 0; i < W; i++) store(y + (k + i) * ldy, block[i]);
  }
  for (; k < cols; k++)
    for (int64_t i = 0; i < W; i++) y[k * ldy + i] = i < rows ? x[i * ldx + k] : T(0);
}

// Packing fetches rows so many further: its runs are too short for the hardware to see them coming.
constexpr int64_t ahead = 4;

// n elements of a row of x.
template <class T> INLINE void copyAhead(T* y, const T* x, int64_t ld, int64_t n) {
  constexpr int64_t W = width<T>, line = 64 / int64_t(sizeof(T));
  for (int64_t e = 0; e < n; e += line) __builtin_prefetch(x + ahead * ld + e);
  int64_t e = 0;
  for (; e + W <= n; e += W) store(y + e, load(x + e));
  for (; e < n; e++) y[e] = x[e];
}

// A panel of B, depth x cols, from x[k * ld + j], j beside each other.
template <class T> INLINE void packBeside(T* panel, const T* x, int64_t ld, int64_t depth, int64_t cols) {
  constexpr int64_t W = width<T>;
  if (cols == panelCols<T>) {
    for (int64_t k = 0; k < depth; k++)
#pragma GCC unroll 4
      for (int v = 0; v < gemmVectors; v++) {
        __builtin_prefetch(x + (k + 2 * ahead) * ld + v * W);
        store(panel + k * panelCols<T> + v * W, load(x + k * ld + v * W));
      }
    return;
  }
  const int64_t whole = cols / W, rest = cols % W;
  for (int64_t k = 0; k < depth; k++, x += ld, panel += panelCols<T>) {
    for (int64_t v = 0; v < whole; v++) store(panel + v * W, load(x + v * W));
    if (rest) store(panel + whole * W, loadPart(x + whole * W, rest));
    for (int64_t v = whole + (rest > 0); v < gemmVectors; v++) store(panel + v * W, Vec<T>{});
  }
}

// The same from x[j * ld + k], k beside each other.
template <class T> INLINE void packTransposed(T* panel, const T* x, int64_t ld, int64_t depth, int64_t cols) {
  for (int64_t j = 0; j < panelCols<T>; j += width<T>)
    transposeStrip(panel + j, panelCols<T>, x + j * ld, ld, max(0, min(width<T>, cols - j)), depth);
}

} // namespace napier::ISA
