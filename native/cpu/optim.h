// What optimizer kernels share: one pass over all parameters, each element's state read and written once. The
// concatenation of all parameters is cut every kGrain elements, whatever their shapes, so small ones share a chunk and
// large ones are split.
#pragma once
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

// f(x, g) on every element: g of the gradients, x[i] of states[i], which it updates (states[0] are the parameters).
template <class T, int N, class F> INLINE void stepAll(const List<T> (&states)[N], List<const T> g, const F& f) {
  overAll(g.count, g.length, [&](int64_t tensor, int64_t from, int64_t to) {
    T* at[N];
    for (int k = 0; k < N; k++) at[k] = states[k].data[tensor] + from;
    const T* gt = g.data[tensor] + from;
    along<T>(
        to - from,
        [&](int64_t i) {
          Vec<T> x[N];
          for (int k = 0; k < N; k++) x[k] = load(at[k] + i);
          f(x, load(gt + i));
          for (int k = 0; k < N; k++) store(at[k] + i, x[k]);
        },
        [&](int64_t i, int64_t rest) {
          Vec<T> x[N];
          for (int k = 0; k < N; k++) x[k] = loadPart(at[k] + i, rest);
          f(x, loadPart(gt + i, rest));
          for (int k = 0; k < N; k++) storePart(at[k] + i, x[k], rest);
        });
  });
}

// The gradient that a step descends: its sign turned to climb, and weight decay added.
template <class T> struct Slope {
  Vec<T> sign, decay;
  INLINE Slope(double weightDecay, int64_t maximize)
      : sign(splat(T(maximize ? -1 : 1))), decay(splat(T(weightDecay))) {}
  INLINE Vec<T> operator()(Vec<T> p, Vec<T> g) const { return sign * g + decay * p; }
};

} // namespace napier::ISA
