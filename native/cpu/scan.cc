// Scans along the middle of x[outer, n, inner]: running sums, products, maxima, and y_t = a_t y_{t-1} + b_t, which is
// what the gradients of the others come down to. Each result depends on the one before: columns are walked side by
// side, and shared out. Floats are carried in double.
#include "map.h"

namespace napier::ISA {

template <class T> struct CarryOf { using type = uint64_t; };
template <> struct CarryOf<float> { using type = double; };
template <> struct CarryOf<double> { using type = double; };
template <class T> using Carry = typename CarryOf<T>::type;

constexpr int64_t kColumns = 256;

// body(offset of the first row's piece, columns) for pieces of the rows [inner] of each of outer.
template <class Body> INLINE void eachColumns(const ReduceSize& s, int64_t bytes, const Body& body) {
  const int64_t tiles = (s.inner + kColumns - 1) / kColumns, width = s.inner < kColumns ? s.inner : kColumns;
  parallel(s.outer * tiles, grainOf(s.reduce * width * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) {
      const int64_t first = unit % tiles * kColumns;
      body(unit / tiles * s.reduce * s.inner + first, first + kColumns < s.inner ? kColumns : s.inner - first);
    }
  });
}

// Where rows are scanned, some of them side by side: the sums of one wait for each other, those of several do not. A line of
// each in turn, since rows that lie a power of two apart share a set of the cache.
constexpr int64_t kRows = 8, kStretch = 16;
template <int64_t rows, class T, class Next>
INLINE void scanTogether(T* y, int64_t at, int64_t step, int64_t n, Carry<T> first, const Next& next) {
  Carry<T> carry[rows];
  for (int64_t r = 0; r < rows; r++) carry[r] = first;
  for (int64_t t = 0; t < n; t += kStretch) {
    const int64_t length = t + kStretch < n ? kStretch : n - t;
    for (int64_t r = 0; r < rows; r++) {
      Carry<T> c = carry[r];
      for (int64_t i = 0, p = at + t * step + r * n; i < length; i++, p += step) {
        c = next(c, p);
        y[p] = T(c);
      }
      carry[r] = c;
    }
  }
}
template <class T, class Next>
INLINE void scanRows(T* y, int64_t reverse, const ReduceSize& s, Carry<T> first, const Next& next) {
  const int64_t n = s.reduce, step = reverse ? -1 : 1;
  parallel((s.outer + kRows - 1) / kRows, grainOf(3 * kRows * n * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t group = begin; group < end; group++) {
      int64_t row = group * kRows;
      const int64_t start = reverse ? n - 1 : 0, until = row + kRows < s.outer ? row + kRows : s.outer;
      if (until - row == kRows) scanTogether<kRows>(y, row * n + start, step, n, first, next);
      else
        for (; row < until; row++) scanTogether<1>(y, row * n + start, step, n, first, next);
    }
  });
}

// y_t = next(y_{t-1}, position of t), from `first`, forwards or in reverse.
template <class T, class Next>
INLINE void scan(T* y, int64_t reverse, const ReduceSize& s, Carry<T> first, const Next& next) {
  if (s.x() == 0) return;
  if (s.inner == 1) return scanRows(y, reverse, s, first, next);
  eachColumns(s, 3 * int64_t(sizeof(T)), [&](int64_t offset, int64_t columns) {
    Carry<T> carry[kColumns];
    for (int64_t c = 0; c < columns; c++) carry[c] = first;
    for (int64_t t = 0; t < s.reduce; t++) {
      const int64_t row = offset + (reverse ? s.reduce - 1 - t : t) * s.inner;
      for (int64_t c = 0; c < columns; c++) {
        carry[c] = next(carry[c], row + c);
        y[row + c] = T(carry[c]);
      }
    }
  });
}

template <class T> void cumsum(T* y, const T* x, int64_t reverse, const ReduceSize& s) {
  scan(y, reverse, s, 0, [=](Carry<T> sum, int64_t i) { return sum + Carry<T>(x[i]); });
}
KERNEL(cumsum)

template <class T> void cumprod(T* y, const T* x, int64_t reverse, const ReduceSize& s) {
  scan(y, reverse, s, 1, [=](Carry<T> product, int64_t i) { return product * Carry<T>(x[i]); });
}
KERNEL(cumprod)

template <class T> void linearScan(T* y, const T* a, const T* b, int64_t reverse, const ReduceSize& s) {
  scan(y, reverse, s, 0, [=](double before, int64_t i) { return double(a[i]) * before + double(b[i]); });
}
KERNEL(linearScan)

// The place of the largest so far: the last of equals, and a NaN stays until the next one, as in PyTorch.
template <class T, class Better> INLINE void extremes(int32_t* y, const T* x, const ReduceSize& s, const Better& better) {
  if (s.x() == 0) return;
  eachColumns(s, int64_t(sizeof(T) + sizeof(int32_t)), [&](int64_t offset, int64_t columns) {
    T best[kColumns];
    int32_t at[kColumns];
    for (int64_t c = 0; c < columns; c++) best[c] = x[offset + c], at[c] = 0;
    for (int64_t t = 0; t < s.reduce; t++) {
      const int64_t row = offset + t * s.inner;
      for (int64_t c = 0; c < columns; c++) {
        const T v = x[row + c];
        const bool wins = (v != v) | (better(v, best[c]) & (best[c] == best[c]));
        best[c] = wins ? v : best[c];
        at[c] = wins ? int32_t(t) : at[c];
        y[row + c] = at[c];
      }
    }
  });
}
template <class T> void cummax(int32_t* y, const T* x, const ReduceSize& s) {
  extremes(y, x, s, [](T a, T b) { return a >= b; });
}
KERNEL(cummax)
template <class T> void cummin(int32_t* y, const T* x, const ReduceSize& s) {
  extremes(y, x, s, [](T a, T b) { return a <= b; });
}
KERNEL(cummin)

} // namespace napier::ISA
