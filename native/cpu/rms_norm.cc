// Root-mean-square normalisation of rows (Zhang & Sennrich 2019): y = x rstd w with rstd = 1 / sqrt(mean(x^2) + eps). As
// layerNorm: a row is in L1 from its statistics to y.
#include "rows.h"

namespace napier::ISA {

// rstd: [rows], saved for the gradient; w: [cols] or absent
template <class T>
void rmsNorm(T* y, T* rstd, const T* x, const T* w, double eps, int64_t rows, int64_t cols) {
  parallel(rows, grainOf(cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      T* yr = y + row * cols;
      const T squares = sumRow<T>(
          cols,
          [&](Vec<T> a, int64_t i) {
            Vec<T> v = load(xr + i);
            return fma(v, v, a);
          },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            Vec<T> v = loadPart(xr + i, rest);
            return fma(v, v, a);
          });
      const T r = T(1 / __builtin_sqrt(double(squares) / double(cols) + eps));
      const Vec<T> scale = splat(r), one = splat(T(1));
      rstd[row] = r;
      along<T>(
          cols, [&](int64_t i) { store(yr + i, load(xr + i) * scale * (w ? load(w + i) : one)); },
          [&](int64_t i, int64_t rest) {
            storePart(yr + i, loadPart(xr + i, rest) * scale * (w ? loadPart(w + i, rest) : one), rest);
          });
    }
  });
}
KERNEL(rmsNorm)

// With g = dy w, xh = x rstd: dx = rstd (g - xh mean(g xh)), dw = sum over rows of dy xh. Rows go in chunks of kRowChunk;
// a chunk sums its dw in one line of `partial`, the lines are added in order.
template <class T>
void rmsNormGrad(T* dx, T* dw, const T* dy, const T* x, const T* rstd, const T* w, int64_t rows, int64_t cols) {
  constexpr int64_t kRowChunk = 64;
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  Scratch<T> partial(dw ? chunks * cols : 1); // [chunks, cols]
  parallel(chunks, grainOf(kRowChunk * cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk++) {
      T* pw = partial + chunk * cols;
      if (dw) memset(pw, 0, size_t(cols) * sizeof(T));
      const int64_t last = (chunk + 1) * kRowChunk < rows ? (chunk + 1) * kRowChunk : rows;
      for (int64_t row = chunk * kRowChunk; row < last; row++) {
        const T *xr = x + row * cols, *gr = dy + row * cols;
        const Vec<T> r = splat(rstd[row]), one = splat(T(1));
        if (dw)
          along<T>(
              cols, [&](int64_t i) { store(pw + i, fma(load(gr + i), load(xr + i) * r, load(pw + i))); },
              [&](int64_t i, int64_t rest) {
                storePart(pw + i, fma(loadPart(gr + i, rest), loadPart(xr + i, rest) * r, loadPart(pw + i, rest)), rest);
              });
        if (!dx) continue;
        const T dot = sumRow<T>(
            cols,
            [&](Vec<T> a, int64_t i) { return fma(load(gr + i) * (w ? load(w + i) : one), load(xr + i) * r, a); },
            [&](Vec<T> a, int64_t i, int64_t rest) {
              return fma(loadPart(gr + i, rest) * (w ? loadPart(w + i, rest) : one), loadPart(xr + i, rest) * r, a);
            });
        const Vec<T> share = splat(dot / T(cols));
        T* dr = dx + row * cols;
        auto slope = [&](Vec<T> g, Vec<T> v, Vec<T> wi) { return r * (g * wi - v * r * share); };
        along<T>(
            cols, [&](int64_t i) { store(dr + i, slope(load(gr + i), load(xr + i), w ? load(w + i) : one)); },
            [&](int64_t i, int64_t rest) {
              storePart(dr + i, slope(loadPart(gr + i, rest), loadPart(xr + i, rest), w ? loadPart(w + i, rest) : one),
                        rest);
            });
      }
    }
  });
  if (dw)
    parallel(cols, grainOf(chunks * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; j++) {
        double sum = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) sum += double(partial[chunk * cols + j]);
        dw[j] = T(sum);
      }
    });
}
KERNEL(rmsNormGrad)

} // namespace napier::ISA
