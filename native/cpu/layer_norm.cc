// Layer normalisation of rows (Ba et al. 2016). A row is read from memory once and walked three times in L1.
#include "rows.h"

namespace napier::ISA {

INLINE double rootReciprocal(double v) { return 1 / __builtin_sqrt(v); }

// Over the last `cols` elements: mean, then the variance about it, then y, while the row is in L1.
// mean, rstd: [rows], saved for the gradient; w, b: [cols] or absent
template <class T>
void layerNorm(T* y, T* mean, T* rstd, const T* x, const T* w, const T* b, double eps, int64_t rows, int64_t cols) {
  parallel(rows, grainOf(cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      T* yr = y + row * cols;
      // About the row's first element, so that the sum of values far from 0 loses nothing.
      const Vec<T> first = splat(cols > 0 ? xr[0] : T(0));
      const T moved = sumRow<T>(
          cols, [&](Vec<T> a, int64_t i) { return a + (load(xr + i) - first); },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            return a + (lanesBelow<T>(rest) ? loadPart(xr + i, rest) - first : Vec<T>{});
          });
      // x - mean as (x - first) - near: both are small where the mean, rounded to T, is off by more than they differ.
      const T offset = T(double(moved) / double(cols)), m = T(double(first[0]) + double(offset));
      const Vec<T> near = splat(offset);
      T squares = sumRow<T>(
          cols,
          [&](Vec<T> a, int64_t i) {
            Vec<T> d = (load(xr + i) - first) - near;
            return fma(d, d, a);
          },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            Vec<T> d = lanesBelow<T>(rest) ? (loadPart(xr + i, rest) - first) - near : Vec<T>{};
            return fma(d, d, a);
          });
      T r = T(rootReciprocal(double(squares) / double(cols) + eps));
      Vec<T> scale = splat(r);
      mean[row] = m;
      rstd[row] = r;
      auto finish = [=](Vec<T> v, Vec<T> wi, Vec<T> bi) { return fma(((v - first) - near) * scale, wi, bi); };
      if (w && b)
        along<T>(
            cols, [&](int64_t i) { store(yr + i, finish(load(xr + i), load(w + i), load(b + i))); },
            [&](int64_t i, int64_t rest) {
              storePart(yr + i, finish(loadPart(xr + i, rest), loadPart(w + i, rest), loadPart(b + i, rest)), rest);
            });
      else
        for (int64_t i = 0; i < cols; i++) {
          T h = ((xr[i] - first[0]) - offset) * r;
          yr[i] = (w ? h * w[i] : h) + (b ? b[i] : T(0));
        }
    }
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
  const bool sums = dw || db;
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
        const Vec<T> c1 = splat(sumLanes<T>(sumG) / T(cols)), c2 = splat(sumLanes<T>(dot) / T(cols));
        auto slope = [&](Vec<T> g, Vec<T> v, Vec<T> wi) { return r * (g * wi - c1 - (v - m) * r * c2); };
        along<T>(
            cols, [&](int64_t i) { store(dr + i, slope(load(gr + i), load(xr + i), w ? load(w + i) : splat(T(1)))); },
            [&](int64_t i, int64_t rest) {
              storePart(dr + i,
                        slope(loadPart(gr + i, rest), loadPart(xr + i, rest), w ? loadPart(w + i, rest) : splat(T(1))),
                        rest);
            });
      }
    }
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
