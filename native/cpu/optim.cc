// Optimizers: one pass over all parameters, each element's state read and written once. The concatenation of all
// parameters is cut every kGrain elements, whatever their shapes, so small ones share a chunk and large ones are split.
#include "rows.h"

namespace napier::ISA {

constexpr int64_t kGrain = 16384;

INLINE int64_t totalCount(const int64_t* count, int64_t length) {
  int64_t total = 0;
  for (int64_t i = 0; i < length; i++) total += count[i];
  return total;
}

// body(tensor, from, to) for the parts of each tensor that lie in elements [begin, end) of their concatenation.
template <class Body>
INLINE void partsOf(const int64_t* count, int64_t length, int64_t begin, int64_t end, const Body& body) {
  int64_t start = 0;
  for (int64_t t = 0; t < length && start < end; start += count[t], t++) {
    int64_t from = begin > start ? begin - start : 0;
    int64_t to = end - start < count[t] ? end - start : count[t];
    if (from < to) body(t, from, to);
  }
}
template <class Body> INLINE void overAll(const int64_t* count, int64_t length, const Body& body) {
  parallel(totalCount(count, length), kGrain,
           [&](int64_t begin, int64_t end) { partsOf(count, length, begin, end, body); });
}

// Sutskever et al. 2013 as PyTorch writes it:
//   g += weightDecay p;  v = first ? g : momentum v + (1 - dampening) g;  p -= lr (nesterov ? g + momentum v : v)
// Without momentum (an empty v) p -= lr g. step counts on the device: after a skipped first call, v is still empty.
// 12 or 20 bytes of traffic an element.
template <class T>
void sgd(List<T> p, List<const T> g, List<T> v, T* step, double lr, double momentum, double dampening,
         double weightDecay, int64_t nesterov) {
  const bool first = step[0] == 0;
  step[0] += 1;
  const Vec<T> rate = splat(T(lr)), mu = splat(T(momentum)), fresh = splat(T(1 - dampening)),
               decay = splat(T(weightDecay));
  const bool keeps = v.length != 0;
  overAll(p.count, p.length, [&](int64_t t, int64_t from, int64_t to) {
    T *pt = p.data[t] + from, *vt = keeps ? v.data[t] + from : nullptr;
    const T* gt = g.data[t] + from;
    auto speed = [&](Vec<T> d, Vec<T> vi) { return first ? d : mu * vi + fresh * d; };
    auto moved = [&](Vec<T> pi, Vec<T> d, Vec<T> vi) { return pi - rate * (nesterov ? d + mu * vi : vi); };
    if (keeps)
      along<T>(
          to - from,
          [&](int64_t i) {
            Vec<T> pi = load(pt + i), d = load(gt + i) + decay * pi, vi = speed(d, load(vt + i));
            store(vt + i, vi);
            store(pt + i, moved(pi, d, vi));
          },
          [&](int64_t i, int64_t rest) {
            Vec<T> pi = loadPart(pt + i, rest), d = loadPart(gt + i, rest) + decay * pi,
                   vi = speed(d, loadPart(vt + i, rest));
            storePart(vt + i, vi, rest);
            storePart(pt + i, moved(pi, d, vi), rest);
          });
    else
      along<T>(
          to - from,
          [&](int64_t i) {
            Vec<T> pi = load(pt + i);
            store(pt + i, pi - rate * (load(gt + i) + decay * pi));
          },
          [&](int64_t i, int64_t rest) {
            Vec<T> pi = loadPart(pt + i, rest);
            storePart(pt + i, pi - rate * (loadPart(gt + i, rest) + decay * pi), rest);
          });
  });
}
KERNEL(sgd)

// Adam (Kingma & Ba 2014) and AdamW (decoupled: Loshchilov & Hutter 2017) as PyTorch writes them, with t = step + 1:
//   p *= 1 - lr weightDecay (decoupled), else g += weightDecay p
//   m += (1 - beta1)(g - m);  v = beta2 v + (1 - beta2) g^2
//   p -= lr / (1 - beta1^t) m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
// step counts on the device, so that a skipped call does not count. 28 bytes of traffic an element.
template <class T>
void adam(List<T> p, List<const T> g, List<T> m, List<T> v, T* step, double lr, double beta1, double beta2, double eps,
          double weightDecay, int64_t decoupled) {
  const double t = double(step[0] += 1);
  const double correction1 = 1 - __builtin_pow(beta1, t), correction2 = __builtin_sqrt(1 - __builtin_pow(beta2, t));
  const Vec<T> fresh1 = splat(T(1 - beta1)), keep2 = splat(T(beta2)), fresh2 = splat(T(1 - beta2));
  const Vec<T> rate = splat(T(lr / correction1)), root = splat(T(correction2)), small = splat(T(eps));
  const Vec<T> shrink = splat(T(decoupled ? 1 - lr * weightDecay : 1)), decay = splat(T(decoupled ? 0 : weightDecay));
  overAll(p.count, p.length, [&](int64_t tensor, int64_t from, int64_t to) {
    T *pt = p.data[tensor] + from, *mt = m.data[tensor] + from, *vt = v.data[tensor] + from;
    const T* gt = g.data[tensor] + from;
    auto update = [&](Vec<T>& pi, Vec<T> gi, Vec<T>& mi, Vec<T>& vi) {
      gi = gi + decay * pi;
      mi = mi + fresh1 * (gi - mi);
      vi = vi * keep2 + fresh2 * gi * gi;
      pi = pi * shrink - rate * mi / (vsqrt(vi) / root + small);
    };
    along<T>(
        to - from,
        [&](int64_t i) {
          Vec<T> pi = load(pt + i), mi = load(mt + i), vi = load(vt + i);
          update(pi, load(gt + i), mi, vi);
          store(pt + i, pi);
          store(mt + i, mi);
          store(vt + i, vi);
        },
        [&](int64_t i, int64_t rest) {
          Vec<T> pi = loadPart(pt + i, rest), mi = loadPart(mt + i, rest), vi = loadPart(vt + i, rest);
          update(pi, loadPart(gt + i, rest), mi, vi);
          storePart(pt + i, pi, rest);
          storePart(mt + i, mi, rest);
          storePart(vt + i, vi, rest);
        });
  });
}
KERNEL(adam)

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
