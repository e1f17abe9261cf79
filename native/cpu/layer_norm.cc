// Layer normalisation of rows (Ba et al. 2016). A row is read from memory once and walked three times in L1; short rows
// are taken a register's worth at a time (row_blocks.h).
#include "map.h"
#include "row_blocks.h"

namespace napier::ISA {

INLINE double rootReciprocal(double v) { return 1 / __builtin_sqrt(v); }

// Over the last `cols` elements: mean, then the variance about it, then y, while the row is in L1.
// mean, rstd: [rows], saved for the gradient; w, b: [cols] or absent
template <class T>
void layerNorm(T* y, T* mean, T* rstd, const T* x, const T* w, const T* b, double eps, int64_t rows, int64_t cols) {
  const bool around = goesAround(y, rows * cols) && cols % width<T> == 0;
  const Vec<T> one = splat(T(1)), zero{};
  rowBlocks<T>(rows, cols, cols * 2 * int64_t(sizeof(T)), kShortRow, [&](int64_t at, int count, T*) {
    const T* xb = x + at * cols;
    // About a row's first element, so that the sum of values far from 0 loses nothing.
    RowValues<T> first, near, scale;
    for (int r = 0; r < count; r++) first.value[r] = cols > 0 ? xb[r * cols] : T(0);
    const RowValues<T> moved(sumRows<T>(count, [&](int r) {
      const T* xr = xb + r * cols;
      const Vec<T> from = first[r];
      return foldRow<T>(
          cols, zero, [=](Vec<T> a, int64_t i) { return a + (load(xr + i) - from); },
          [=](Vec<T> a, int64_t i, int64_t rest) {
            return a + (lanesBelow<T>(rest) ? loadPart(xr + i, rest) - from : zero);
          },
          [](Vec<T> a, Vec<T> b) { return a + b; });
    }));
    // x - mean as (x - first) - near: both are small where the mean, rounded to T, is off by more than they differ.
    for (int r = 0; r < count; r++) near.value[r] = T(double(moved.value[r]) / double(cols));
    const RowValues<T> squares(sumRows<T>(count, [&](int r) {
      const T* xr = xb + r * cols;
      const Vec<T> from = first[r], middle = near[r];
      auto square = [=](Vec<T> d, Vec<T> a) { return fma(d, d, a); };
      return foldRow<T>(
          cols, zero, [=](Vec<T> a, int64_t i) { return square((load(xr + i) - from) - middle, a); },
          [=](Vec<T> a, int64_t i, int64_t rest) {
            return square(lanesBelow<T>(rest) ? (loadPart(xr + i, rest) - from) - middle : zero, a);
          },
          [](Vec<T> a, Vec<T> b) { return a + b; });
    }));
    for (int r = 0; r < count; r++) {
      mean[at + r] = T(double(first.value[r]) + double(near.value[r]));
      rstd[at + r] = scale.value[r] = T(rootReciprocal(double(squares.value[r]) / double(cols) + eps));
    }
    for (int r = 0; r < count; r++) {
      const T* xr = xb + r * cols;
      T* yr = y + (at + r) * cols;
      const Vec<T> from = first[r], middle = near[r], times = scale[r];
      auto finish = [=](Vec<T> v, Vec<T> wi, Vec<T> bi) { return fma(((v - from) - middle) * times, wi, bi); };
      auto walk = [&](auto scaled, auto offset) {
        along<T>(
            cols, [&](int64_t i) { put<T>(yr + i, finish(load(xr + i), scaled(i), offset(i)), around); },
            [&](int64_t i, int64_t rest) {
              const Vec<T> wi = w ? loadPart(w + i, rest) : one, bi = b ? loadPart(b + i, rest) : zero;
              storePart(yr + i, finish(loadPart(xr + i, rest), wi, bi), rest);
            });
      };
      if (w && b) walk([=](int64_t i) { return load(w + i); }, [=](int64_t i) { return load(b + i); });
      else walk([=](int64_t i) { return w ? load(w + i) : one; }, [=](int64_t i) { return b ? load(b + i) : zero; });
    }
    if (around) streamed();
  });
}
KERNEL(layerNorm)

// With g = dy w, xh = (x - mean) rstd: dx = rstd (g - mean(g) - xh mean(g xh)), dw = sum dy xh, db = sum dy over rows.
// Rows go in chunks of kRowChunk; a chunk sums its dw and db in one line of `partial`, the lines are added in order.
template <class T>
void layerNormGrad(T* dx, T* dw, T* db, const T* dy, const T* x, const T* mean, const T* rstd, const T* w, int64_t rows,
                   int64_t cols) {
  constexpr int64_t kRowChunk = 64;
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  const bool sums = dw || db, around = dx && goesAround(dx, rows * cols) && cols % width<T> == 0;
  Scratch<T> partial(sums ? chunks * 2 * cols : 1); // [chunks, 2, cols]
  parallel(chunks, grainOf(kRowChunk * cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk++) {
      T *pw = partial + chunk * 2 * cols, *pb = pw + cols;
      if (sums) memset(pw, 0, size_t(2 * cols) * sizeof(T));
      int64_t last = (chunk + 1) * kRowChunk < rows ? (chunk + 1) * kRowChunk : rows;
      for (int64_t row = chunk * kRowChunk; row < last; row++) {
        const T *xr = x + row * cols, *gr = dy + row * cols;
        const Vec<T> m = splat(mean[row]), r = splat(rstd[row]);
        Vec<T> sumG{}, dot{};
        auto gather = [&](Vec<T> g, Vec<T> xh, Vec<T> wi) {
          sumG = fma(g, wi, sumG);
          dot = fma(g * wi, xh, dot);
        };
        along<T>(
            cols,
            [&](int64_t i) {
              Vec<T> g = load(gr + i), xh = (load(xr + i) - m) * r;
              if (dx) gather(g, xh, w ? load(w + i) : splat(T(1)));
              if (!sums) return;
              store(pw + i, fma(g, xh, load(pw + i)));
              store(pb + i, g + load(pb + i));
            },
            [&](int64_t i, int64_t rest) {
              Vec<T> g = loadPart(gr + i, rest), xh = (loadPart(xr + i, rest) - m) * r;
              xh = lanesBelow<T>(rest) ? xh : Vec<T>{};
              if (dx) gather(g, xh, w ? loadPart(w + i, rest) : splat(T(1)));
              if (!sums) return;
              storePart(pw + i, fma(g, xh, loadPart(pw + i, rest)), rest);
              storePart(pb + i, g + loadPart(pb + i, rest), rest);
            });
        if (!dx) continue;
        T* dr = dx + row * cols;
        auto plus = [](Vec<T> a, Vec<T> b) { return a + b; };
        const Vec<T> c1 = joinLanes<T>(sumG, plus) / T(cols), c2 = joinLanes<T>(dot, plus) / T(cols);
        auto slope = [&](Vec<T> g, Vec<T> v, Vec<T> wi) { return r * (g * wi - c1 - (v - m) * r * c2); };
        along<T>(
            cols, [&](int64_t i) {
              put<T>(dr + i, slope(load(gr + i), load(xr + i), w ? load(w + i) : splat(T(1))), around);
            },
            [&](int64_t i, int64_t rest) {
              storePart(dr + i,
                        slope(loadPart(gr + i, rest), loadPart(xr + i, rest), w ? loadPart(w + i, rest) : splat(T(1))),
                        rest);
            });
      }
    }
    if (around) streamed();
  });
  if (sums)
    parallel(cols, grainOf(chunks * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; j++) {
        double sw = 0, sb = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
          sw += double(partial[chunk * 2 * cols + j]);
          sb += double(partial[(chunk * 2 + 1) * cols + j]);
        }
        if (dw) dw[j] = T(sw);
        if (db) db[j] = T(sb);
      }
    });
}
KERNEL(layerNormGrad)

} // namespace napier::ISA
