// What is done to gradients and averages in one pass over all parameters: norm, clipping, moving average.
#include "optim.h"

namespace napier::ISA {

// norm = sqrt(sum of all squares): each chunk of the concatenation sums its own, the chunks are added in order.
template <class T> void gradNorm(T* norm, List<const T> g) {
  const int64_t total = totalCount(g.count, g.length), chunks = (total + kGrain - 1) / kGrain;
  Scratch<double> partial(chunks + 1);
  parallel(chunks, 1, [&](int64_t first, int64_t last) {
    for (int64_t c = first; c < last; c++) {
      double sum = 0;
      int64_t end = (c + 1) * kGrain < total ? (c + 1) * kGrain : total;
      partsOf(g.count, g.length, c * kGrain, end, [&](int64_t tensor, int64_t from, int64_t to) {
        const T* gt = g.data[tensor] + from;
        sum += double(sumRow<T>(
            to - from,
            [&](Vec<T> a, int64_t i) {
              Vec<T> v = load(gt + i);
              return fma(v, v, a);
            },
            [&](Vec<T> a, int64_t i, int64_t rest) {
              Vec<T> v = loadPart(gt + i, rest);
              return fma(v, v, a);
            }));
      });
      partial[c] = sum;
    }
  });
  double sum = 0;
  for (int64_t c = 0; c < chunks; c++) sum += partial[c];
  norm[0] = T(__builtin_sqrt(sum));
}
KERNEL(gradNorm)

// x[i] = f(x[i]) over a list
template <class T, class F> INLINE void updateAll(const List<T>& x, const F& f) {
  overAll(x.count, x.length, [&](int64_t tensor, int64_t from, int64_t to) {
    T* xt = x.data[tensor] + from;
    along<T>(
        to - from, [&](int64_t i) { store(xt + i, f(load(xt + i))); },
        [&](int64_t i, int64_t rest) { storePart(xt + i, f(loadPart(xt + i, rest)), rest); });
  });
}

// g *= min(1, maxNorm / (norm + 1e-6)), clip_grad_norm_ of PyTorch; NaN in norm reaches every gradient.
template <class T> void clipNorm(List<T> g, const T* norm, double maxNorm) {
  const T factor = T(maxNorm) / (norm[0] + T(1e-6)), scale = factor > 1 ? T(1) : factor;
  if (scale == 1) return;
  updateAll(g, [=](Vec<T> v) { return v * splat(scale); });
}
KERNEL(clipNorm)

// g = min(max(g, -limit), limit); NaN stays.
template <class T> void clipValue(List<T> g, double limit) {
  const Vec<T> high = splat(T(limit)), low = -high;
  updateAll(g, [=](Vec<T> v) {
    v = v < low ? low : v;
    return v > high ? high : v;
  });
}
KERNEL(clipValue)

// average = decay average + (1 - decay) p
template <class T> void ema(List<T> average, List<const T> p, double decay) {
  const T keep = T(decay), fresh = T(1 - decay);
  overAll(p.count, p.length, [&](int64_t tensor, int64_t from, int64_t to) {
    T* at = average.data[tensor];
    const T* pt = p.data[tensor];
    for (int64_t i = from; i < to; i++) at[i] = keep * at[i] + fresh * pt[i];
  });
}
KERNEL(ema)

} // namespace napier::ISA
