// Softmax and its logarithm over the middle axis of x[outer, reduce, inner].
//
// inner = 1: a row is read from memory once and walked two or three times in L1 (maximum, exp and sum, scale); short
// rows are taken a register's worth at a time (row_blocks.h). inner > 1: the same steps for a block of neighbouring
// columns at once, whose maxima and sums stay in L1. Stable: the maximum is taken out first; a row of -inf gives -inf -
// -inf = NaN, as PyTorch does. 1 exp an element.
#include "map.h"
#include "row_blocks.h"

namespace napier::ISA {

constexpr int kColumns = 512;

// One value a column, padded so that whole registers can be read and written.
template <class T> struct Columns {
  alignas(64) T value[kColumns];
  INLINE Vec<T> at(int64_t j) const { return load(value + j); }
  INLINE void set(int64_t j, Vec<T> v) { store(value + j, v); }
  INLINE void fill(int64_t n, T x) {
    for (int64_t j = 0; j < n; j += width<T>) set(j, splat(x));
  }
};
// body(offset, columns) for blocks of at most kColumns columns, narrower where they are long: a block fits in 256 KB.
template <class T, class Body> INLINE void columnBlocks(const ReduceSize& s, int arrays, const Body& body) {
  int64_t columns = 262144 / (s.reduce * arrays * int64_t(sizeof(T)) + 1) / 64 * 64;
  columns = columns < 64 ? 64 : columns > kColumns ? kColumns : columns;
  int64_t blocks = (s.inner + columns - 1) / columns;
  parallel(s.outer * blocks, grainOf(s.reduce * columns * arrays * int64_t(sizeof(T))),
           [&](int64_t begin, int64_t end) {
             for (int64_t unit = begin; unit < end; unit++) {
               int64_t o = unit / blocks, j = unit % blocks * columns;
               body(o * s.reduce * s.inner + j, s.inner - j < columns ? s.inner - j : columns);
             }
           });
}
// f(j, read, write) for each register of n columns; read(p) and write(p, v) leave out what lies behind the last.
template <class T, class F> INLINE void acrossColumns(int64_t n, bool around, const F& f) {
  along<T>(
      n,
      [&](int64_t j) {
        f(
            j, [=](const T* p) { return load(p + j); }, [=](T* p, Vec<T> v) { put<T>(p + j, v, around); });
      },
      [&](int64_t j, int64_t rest) {
        f(
            j, [=](const T* p) { return loadPart(p + j, rest); }, [=](T* p, Vec<T> v) { storePart(p + j, v, rest); });
      });
}
template <class T> INLINE void maxColumns(Columns<T>& m, const T* x, const ReduceSize& s, int64_t n) {
  m.fill(n, -kInfinity<T>);
  for (int64_t r = 0; r < s.reduce; r++)
    acrossColumns<T>(n, false, [&](int64_t j, auto read, auto) { m.set(j, vmax(read(x + r * s.inner), m.at(j))); });
}
// Whether every register of the result y can be written past the caches.
template <class T> INLINE bool streams(const T* y, const ReduceSize& s) {
  return goesAround(y, s.x()) && (s.inner == 1 ? s.reduce : s.inner) % width<T> == 0;
}

template <class T> void softmax(T* y, const T* x, const ReduceSize& s) {
  const int64_t n = s.reduce;
  const bool around = streams(y, s);
  if (s.inner == 1)
    return rowBlocks<T>(s.outer, n, n * 2 * int64_t(sizeof(T)), kShortRow, [&](int64_t first, int count, T* kept) {
      const T* xb = x + first * n;
      const RowValues<T> top(maxRows<T>(count, [&](int r) { return foldMax(xb + r * n, n); }));
      const RowValues<T> scale(T(1) / sumRows<T>(count, [&](int r) {
                                 T* to = kept + r * n;
                                 return foldExp(
                                     xb + r * n, n, top[r], [=](Vec<T> e, int64_t i) { store(to + i, e); },
                                     [=](Vec<T> e, int64_t i, int64_t rest) { storePart(to + i, e, rest); });
                               }));
      for (int r = 0; r < count; r++) {
        const T* from = kept + r * n;
        T* to = y + (first + r) * n;
        const Vec<T> share = scale[r];
        along<T>(
            n, [&](int64_t i) { put<T>(to + i, load(from + i) * share, around); },
            [&](int64_t i, int64_t rest) { storePart(to + i, loadPart(from + i, rest) * share, rest); });
      }
      if (around) streamed();
    });
  columnBlocks<T>(s, 2, [&](int64_t at, int64_t columns) {
    Columns<T> m, sum;
    maxColumns(m, x + at, s, columns);
    sum.fill(columns, T(0));
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, false, [&](int64_t j, auto read, auto write) {
        const Vec<T> e = liftedExp(read(x + k) - m.at(j));
        write(y + k, e);
        sum.set(j, sum.at(j) + e);
      });
    for (int64_t j = 0; j < columns; j += width<T>) sum.set(j, T(1) / sum.at(j));
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, false,
                       [&](int64_t j, auto read, auto write) { write(y + k, read(y + k) * sum.at(j)); });
  });
}
KERNEL(softmax)

// y = x - m - log sum_j exp(x_j - m)
template <class T> void logSoftmax(T* y, const T* x, const ReduceSize& s) {
  const int64_t n = s.reduce;
  const bool around = streams(y, s);
  if (s.inner == 1)
    return rowBlocks<T>(s.outer, n, n * 2 * int64_t(sizeof(T)), kShortRow, [&](int64_t first, int count, T*) {
      const T* xb = x + first * n;
      const Vec<T> tops = maxRows<T>(count, [&](int r) { return foldMax(xb + r * n, n); });
      const RowValues<T> top(tops);
      const Vec<T> sums = sumRows<T>(count, [&](int r) { return foldExp(xb + r * n, n, top[r]); });
      const RowValues<T> logSum(log(sums * (1 / kLift<T>)));
      for (int r = 0; r < count; r++) {
        const T* from = xb + r * n;
        T* to = y + (first + r) * n;
        const Vec<T> m = top[r], l = logSum[r];
        along<T>(
            n, [&](int64_t i) { put<T>(to + i, load(from + i) - m - l, around); },
            [&](int64_t i, int64_t rest) { storePart(to + i, loadPart(from + i, rest) - m - l, rest); });
      }
      if (around) streamed();
    });
  columnBlocks<T>(s, 2, [&](int64_t at, int64_t columns) {
    Columns<T> m, sum;
    maxColumns(m, x + at, s, columns);
    sum.fill(columns, T(0));
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, false,
                       [&](int64_t j, auto read, auto) { sum.set(j, sum.at(j) + liftedExp(read(x + k) - m.at(j))); });
    for (int64_t j = 0; j < columns; j += width<T>) sum.set(j, log(sum.at(j) * (1 / kLift<T>)));
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, around, [&](int64_t j, auto read, auto write) {
        write(y + k, read(x + k) - m.at(j) - sum.at(j));
      });
    if (around) streamed();
  });
}
KERNEL(logSoftmax)

// dx = slope(y, dy, sum of term(y, dy) along the axis)
template <class T, class Term, class Slope>
INLINE void gradient(T* dx, const T* dy, const T* y, const ReduceSize& s, const Term& term, const Slope& slope) {
  const int64_t n = s.reduce;
  const bool around = streams(dx, s);
  if (s.inner == 1)
    return rowBlocks<T>(s.outer, n, n * 3 * int64_t(sizeof(T)), kShortRow, [&](int64_t first, int count, T*) {
      const RowValues<T> sum(sumRows<T>(count, [&](int r) {
        const T *gr = dy + (first + r) * n, *yr = y + (first + r) * n;
        return foldRow<T>(
            n, Vec<T>{}, [&](Vec<T> a, int64_t i) { return term(load(yr + i), load(gr + i), a); },
            [&](Vec<T> a, int64_t i, int64_t rest) { return term(loadPart(yr + i, rest), loadPart(gr + i, rest), a); },
            [](Vec<T> a, Vec<T> b) { return a + b; });
      }));
      for (int r = 0; r < count; r++) {
        const int64_t at = (first + r) * n;
        const T *gr = dy + at, *yr = y + at;
        T* to = dx + at;
        const Vec<T> total = sum[r];
        along<T>(
            n, [&](int64_t i) { put<T>(to + i, slope(load(yr + i), load(gr + i), total), around); },
            [&](int64_t i, int64_t rest) {
              storePart(to + i, slope(loadPart(yr + i, rest), loadPart(gr + i, rest), total), rest);
            });
      }
      if (around) streamed();
    });
  columnBlocks<T>(s, 3, [&](int64_t at, int64_t columns) {
    Columns<T> sum;
    sum.fill(columns, T(0));
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, false,
                       [&](int64_t j, auto read, auto) { sum.set(j, term(read(y + k), read(dy + k), sum.at(j))); });
    for (int64_t r = 0, k = at; r < n; r++, k += s.inner)
      acrossColumns<T>(columns, around, [&](int64_t j, auto read, auto write) {
        write(dx + k, slope(read(y + k), read(dy + k), sum.at(j)));
      });
    if (around) streamed();
  });
}

// dx = y (dy - sum_j y_j dy_j)
template <class T> void softmaxGrad(T* dx, const T* dy, const T* y, const ReduceSize& s) {
  gradient(
      dx, dy, y, s, [](Vec<T> v, Vec<T> g, Vec<T> sum) { return fma(v, g, sum); },
      [](Vec<T> v, Vec<T> g, Vec<T> sum) { return v * (g - sum); });
}
KERNEL(softmaxGrad)

// dx = dy - exp(y) sum_j dy_j
template <class T> void logSoftmaxGrad(T* dx, const T* dy, const T* y, const ReduceSize& s) {
  gradient(
      dx, dy, y, s, [](Vec<T>, Vec<T> g, Vec<T> sum) { return sum + g; },
      [](Vec<T> v, Vec<T> g, Vec<T> sum) { return g - liftedExp(v) * (sum * (1 / kLift<T>)); });
}
KERNEL(logSoftmaxGrad)

} // namespace napier::ISA
