// Softmax and its logarithm over the middle axis of x[outer, reduce, inner].
//
// inner = 1: a row is read from memory once and walked two or three times in cache (maximum, exp and sum, scale).
// inner > 1: the same steps for a block of neighbouring columns at once, whose maxima and sums stay in L1.
// Stable: the maximum is taken out first; a row of -inf gives -inf - -inf = NaN, as PyTorch does. 1 exp an element.
#include "rows.h"

namespace napier::ISA {

constexpr int kColumns = 512;

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
template <class T, class Body> INLINE void rowsOf(const ReduceSize& s, int arrays, const Body& body) {
  parallel(s.outer, grainOf(s.reduce * arrays * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++) body(o * s.reduce);
  });
}

// One value a column, padded so that whole registers can be read and written.
template <class T> struct Columns {
  alignas(64) T value[kColumns];
  INLINE Vec<T> at(int64_t j) const { return load(value + j); }
  INLINE void set(int64_t j, Vec<T> v) { store(value + j, v); }
  INLINE void fill(int64_t n, T x) {
    for (int64_t j = 0; j < n; j += width<T>) set(j, splat(x));
  }
};
// f(i, load, store) for each register of n columns; load(p) and store(p, v) leave out what lies behind the last.
template <class T, class F> INLINE void acrossColumns(int64_t n, const F& f) {
  along<T>(
      n,
      [&](int64_t j) {
        f(
            j, [=](const T* p) { return load(p + j); }, [=](T* p, Vec<T> v) { store(p + j, v); });
      },
      [&](int64_t j, int64_t rest) {
        f(
            j, [=](const T* p) { return loadPart(p + j, rest); }, [=](T* p, Vec<T> v) { storePart(p + j, v, rest); });
      });
}
template <class T> INLINE void maxColumns(Columns<T>& m, const T* x, const ReduceSize& s, int64_t n) {
  m.fill(n, -kInfinity<T>);
  for (int64_t r = 0; r < s.reduce; r++)
    acrossColumns<T>(n, [&](int64_t j, auto read, auto) { m.set(j, vmax(read(x + r * s.inner), m.at(j))); });
}

template <class T> void softmax(T* y, const T* x, const ReduceSize& s) {
  if (s.inner == 1)
    return rowsOf<T>(s, 2, [&](int64_t at) {
      const T* xr = x + at;
      T* yr = y + at;
      Vec<T> m = splat(maxRow(xr, s.reduce));
      T sum = sumRow<T>(
          s.reduce,
          [&](Vec<T> a, int64_t i) {
            Vec<T> e = exp(load(xr + i) - m);
            store(yr + i, e);
            return a + e;
          },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            Vec<T> e = exp(loadPart(xr + i, rest) - m);
            storePart(yr + i, e, rest);
            return a + (lanesBelow<T>(rest) ? e : Vec<T>{});
          });
      Vec<T> scale = splat(T(1) / sum);
      along<T>(
          s.reduce, [&](int64_t i) { store(yr + i, load(yr + i) * scale); },
          [&](int64_t i, int64_t rest) { storePart(yr + i, loadPart(yr + i, rest) * scale, rest); });
    });
  columnBlocks<T>(s, 2, [&](int64_t at, int64_t n) {
    Columns<T> m, sum;
    maxColumns(m, x + at, s, n);
    sum.fill(n, T(0));
    for (int64_t r = 0; r < s.reduce; r++)
      acrossColumns<T>(n, [&](int64_t j, auto read, auto write) {
        Vec<T> e = exp(read(x + at + r * s.inner) - m.at(j));
        write(y + at + r * s.inner, e);
        sum.set(j, sum.at(j) + e);
      });
    for (int64_t j = 0; j < n; j += width<T>) sum.set(j, T(1) / sum.at(j));
    for (int64_t r = 0; r < s.reduce; r++) {
      T* yr = y + at + r * s.inner;
      acrossColumns<T>(n, [&](int64_t j, auto read, auto write) { write(yr, read(yr) * sum.at(j)); });
    }
  });
}
KERNEL(softmax)

// dx = y (dy - sum_j y_j dy_j)
template <class T> void softmaxGrad(T* dx, const T* dy, const T* y, const ReduceSize& s) {
  if (s.inner == 1)
    return rowsOf<T>(s, 3, [&](int64_t at) {
      const T *dyr = dy + at, *yr = y + at;
      T* dxr = dx + at;
      Vec<T> dot = splat(sumRow<T>(
          s.reduce, [&](Vec<T> a, int64_t i) { return fma(load(yr + i), load(dyr + i), a); },
          [&](Vec<T> a, int64_t i, int64_t rest) { return fma(loadPart(yr + i, rest), loadPart(dyr + i, rest), a); }));
      along<T>(
          s.reduce, [&](int64_t i) { store(dxr + i, load(yr + i) * (load(dyr + i) - dot)); },
          [&](int64_t i, int64_t rest) {
            storePart(dxr + i, loadPart(yr + i, rest) * (loadPart(dyr + i, rest) - dot), rest);
          });
    });
  columnBlocks<T>(s, 3, [&](int64_t at, int64_t n) {
    Columns<T> dot;
    dot.fill(n, T(0));
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(n, [&](int64_t j, auto read, auto) { dot.set(j, fma(read(y + k), read(dy + k), dot.at(j))); });
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(
          n, [&](int64_t j, auto read, auto write) { write(dx + k, read(y + k) * (read(dy + k) - dot.at(j))); });
  });
}
KERNEL(softmaxGrad)

// y = x - m - log sum_j exp(x_j - m)
template <class T> void logSoftmax(T* y, const T* x, const ReduceSize& s) {
  if (s.inner == 1)
    return rowsOf<T>(s, 2, [&](int64_t at) {
      const T* xr = x + at;
      T* yr = y + at;
      T top = maxRow(xr, s.reduce);
      Vec<T> m = splat(top), logSum = log(splat(sumExpRow(xr, s.reduce, top)));
      along<T>(
          s.reduce, [&](int64_t i) { store(yr + i, load(xr + i) - m - logSum); },
          [&](int64_t i, int64_t rest) { storePart(yr + i, loadPart(xr + i, rest) - m - logSum, rest); });
    });
  columnBlocks<T>(s, 2, [&](int64_t at, int64_t n) {
    Columns<T> m, sum;
    maxColumns(m, x + at, s, n);
    sum.fill(n, T(0));
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(n, [&](int64_t j, auto read, auto) { sum.set(j, sum.at(j) + exp(read(x + k) - m.at(j))); });
    for (int64_t j = 0; j < n; j += width<T>) sum.set(j, log(sum.at(j)));
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(n, [&](int64_t j, auto read, auto write) { write(y + k, read(x + k) - m.at(j) - sum.at(j)); });
  });
}
KERNEL(logSoftmax)

// dx = dy - exp(y) sum_j dy_j
template <class T> void logSoftmaxGrad(T* dx, const T* dy, const T* y, const ReduceSize& s) {
  if (s.inner == 1)
    return rowsOf<T>(s, 3, [&](int64_t at) {
      const T *dyr = dy + at, *yr = y + at;
      T* dxr = dx + at;
      Vec<T> sum = splat(sumRow<T>(
          s.reduce, [&](Vec<T> a, int64_t i) { return a + load(dyr + i); },
          [&](Vec<T> a, int64_t i, int64_t rest) { return a + loadPart(dyr + i, rest); }));
      along<T>(
          s.reduce, [&](int64_t i) { store(dxr + i, load(dyr + i) - exp(load(yr + i)) * sum); },
          [&](int64_t i, int64_t rest) {
            storePart(dxr + i, loadPart(dyr + i, rest) - exp(loadPart(yr + i, rest)) * sum, rest);
          });
    });
  columnBlocks<T>(s, 3, [&](int64_t at, int64_t n) {
    Columns<T> sum;
    sum.fill(n, T(0));
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(n, [&](int64_t j, auto read, auto) { sum.set(j, sum.at(j) + read(dy + k)); });
    for (int64_t r = 0, k = at; r < s.reduce; r++, k += s.inner)
      acrossColumns<T>(
          n, [&](int64_t j, auto read, auto write) { write(dx + k, read(dy + k) - exp(read(y + k)) * sum.at(j)); });
  });
}
KERNEL(logSoftmaxGrad)

} // namespace napier::ISA
