// Group normalisation of x[n, c, inner] (Wu & He 2018): the channels of an example in `groups` blocks, each by its own
// mean and variance. A thread takes a group (a contiguous row of c / groups inner elements) from the statistics to y,
// while it is in L2. Sums of up to kRun elements in T, then in double.
#include "map.h"
#include "rows.h"

namespace napier::ISA {

constexpr int64_t kRun = 1024;

// Sum over n elements of f(accumulator, i), part(accumulator, i, rest).
template <class T, class F, class Part> INLINE double pieceSum(int64_t n, const F& f, const Part& part) {
  double total = 0;
  for (int64_t start = 0; start < n; start += kRun) {
    const int64_t length = n - start < kRun ? n - start : kRun;
    total += double(sumRow<T>(
        length, [&](Vec<T> a, int64_t i) { return f(a, start + i); },
        [&](Vec<T> a, int64_t i, int64_t rest) { return part(a, start + i, rest); }));
  }
  return total;
}

template <class T>
void groupNorm(T* y, T* mean, T* rstd, const T* x, const T* w, const T* b, double eps, int64_t groups,
               const ChannelSize& s) {
  const bool around = goesAround(y, s.n * s.c * s.inner) && s.inner % width<T> == 0;
  const int64_t channels = s.c / groups, cols = channels * s.inner;
  parallel(s.n * groups, grainOf(cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      // About the first element, so that the sum of values far from 0 loses nothing.
      const Vec<T> first = splat(cols > 0 ? xr[0] : T(0));
      const double moved = pieceSum<T>(
          cols, [&](Vec<T> a, int64_t i) { return a + (load(xr + i) - first); },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            return a + (lanesBelow<T>(rest) ? loadPart(xr + i, rest) - first : Vec<T>{});
          });
      const T m = T(double(first[0]) + moved / double(cols));
      const Vec<T> shift = splat(m);
      const double squares = pieceSum<T>(
          cols,
          [&](Vec<T> a, int64_t i) {
            Vec<T> d = load(xr + i) - shift;
            return fma(d, d, a);
          },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            Vec<T> d = lanesBelow<T>(rest) ? loadPart(xr + i, rest) - shift : Vec<T>{};
            return fma(d, d, a);
          });
      const double r = 1 / __builtin_sqrt(squares / double(cols) + eps);
      mean[row] = m;
      rstd[row] = T(r);
      for (int64_t k = 0; k < channels; k++) {
        const int64_t c = row % groups * channels + k;
        const T p = T(r * (w ? double(w[c]) : 1)), o = b ? b[c] : T(0);
        const T* from = xr + k * s.inner;
        T* to = y + row * cols + k * s.inner;
        const Vec<T> scale = splat(p), offset = splat(o);
        along<T>(
            s.inner, [&](int64_t i) { put<T>(to + i, fma(load(from + i) - shift, scale, offset), around); },
            [&](int64_t i, int64_t rest) { storePart(to + i, fma(loadPart(from + i, rest) - shift, scale, offset), rest); });
      }
    }
    if (around) streamed();
  });
}
KERNEL(groupNorm)

// sum g, sum g (x - m) over n elements
template <class T> struct PairOfSums {
  T g, dot;
};
template <class T> INLINE PairOfSums<T> sumPairs(const T* g, const T* x, Vec<T> m, int64_t n) {
  constexpr int w = width<T>;
  Vec<T> g0{}, g1{}, dot0{}, dot1{};
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    const Vec<T> a = load(g + i), b = load(g + i + w);
    g0 += a, g1 += b;
    dot0 = fma(a, load(x + i) - m, dot0), dot1 = fma(b, load(x + i + w) - m, dot1);
  }
  along<T>(
      n - i,
      [&](int64_t k) {
        const Vec<T> a = load(g + i + k);
        g0 += a;
        dot0 = fma(a, load(x + i + k) - m, dot0);
      },
      [&](int64_t k, int64_t rest) {
        const Vec<T> a = loadPart(g + i + k, rest);
        g1 += a;
        dot1 = fma(a, lanesBelow<T>(rest) ? loadPart(x + i + k, rest) - m : Vec<T>{}, dot1);
      });
  return {sumLanes<T>(g0 + g1), sumLanes<T>(dot0 + dot1)};
}

// With g = dy w, xh = (x - mean) rstd: dx = rstd (g - mean(g) - xh mean(g xh)) over the group; dw = sum dy xh, db = sum dy
// over examples and inner. Every (n, c) leaves its two sums in `sums`, the examples are added in order.
template <class T>
void groupNormGrad(T* dx, T* dw, T* db, const T* dy, const T* x, const T* mean, const T* rstd, const T* w,
                   int64_t groups, const ChannelSize& s) {
  const bool around = dx && goesAround(dx, s.n * s.c * s.inner) && s.inner % width<T> == 0;
  const int64_t channels = s.c / groups, cols = channels * s.inner;
  Scratch<double> sums(s.n * s.c * 2); // sum dy, sum dy (x - mean)
  parallel(s.n * groups, grainOf(cols * 5 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const Vec<T> m = splat(mean[row]);
      const double r = double(rstd[row]);
      double sumG = 0, dot = 0;
      for (int64_t k = 0; k < channels; k++) {
        const int64_t c = row % groups * channels + k;
        const T *xp = x + row * cols + k * s.inner, *gp = dy + row * cols + k * s.inner;
        double* own = sums + (row * channels + k) * 2;
        own[0] = own[1] = 0;
        for (int64_t start = 0; start < s.inner; start += kRun) {
          const int64_t length = s.inner - start < kRun ? s.inner - start : kRun;
          const PairOfSums<T> run = sumPairs<T>(gp + start, xp + start, m, length);
          own[0] += double(run.g), own[1] += double(run.dot);
        }
        const double wc = w ? double(w[c]) : 1;
        sumG += wc * own[0];
        dot += wc * own[1];
      }
      if (!dx) continue;
      // dx = dy w rstd - (x - mean) rstd^3 mean(g (x - mean)) - rstd mean(g)
      const Vec<T> q = splat(T(-r * r * r * dot / double(cols))), o = splat(T(-r * sumG / double(cols)));
      for (int64_t k = 0; k < channels; k++) {
        const int64_t c = row % groups * channels + k, at = row * cols + k * s.inner;
        const Vec<T> p = splat(T(r * (w ? double(w[c]) : 1)));
        const T *xp = x + at, *gp = dy + at;
        T* dp = dx + at;
        along<T>(
            s.inner, [&](int64_t i) { put<T>(dp + i, fma(load(gp + i), p, fma(load(xp + i) - m, q, o)), around); },
            [&](int64_t i, int64_t rest) {
              storePart(dp + i, fma(loadPart(gp + i, rest), p, fma(loadPart(xp + i, rest) - m, q, o)), rest);
            });
      }
    }
    if (around) streamed();
  });
  if (!dw && !db) return;
  parallel(s.c, grainOf(s.n * 2 * int64_t(sizeof(double))), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      double sw = 0, sb = 0;
      for (int64_t n = 0; n < s.n; n++) {
        const double* own = sums + (n * s.c + c) * 2;
        sb += own[0];
        sw += own[1] * double(rstd[n * groups + c / channels]);
      }
      if (dw) dw[c] = T(sw);
      if (db) db[c] = T(sb);
    }
  });
}
KERNEL(groupNormGrad)

} // namespace napier::ISA
