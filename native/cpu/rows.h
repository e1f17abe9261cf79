// Walks and reductions along one contiguous row. Sums and maxima run in four partial vectors (for latency) that are
// combined in a fixed order, so a row's result depends on its length alone.
#pragma once
#include "simd.h"
#include "math.h"

namespace napier::ISA {

template <class T> using LaneMask = decltype(Vec<T>{} < Vec<T>{});
template <class T> constexpr T kInfinity = T(__builtin_inf());

template <class T> INLINE Vec<T> lane() {
  Vec<T> v;
  for (int i = 0; i < width<T>; i++) v[i] = T(i);
  return v;
}
// True in lanes 0 ... n - 1.
template <class T> INLINE LaneMask<T> lanesBelow(int64_t n) { return lane<T>() < splat(T(n)); }
// The first n lanes from memory, the others `fill`.
template <class T> INLINE Vec<T> loadPart(const T* p, int64_t n, T fill) {
  return lanesBelow<T>(n) ? loadPart(p, n) : splat(fill);
}

template <class T> INLINE void zeroRow(T* x, int64_t n) { memset(x, 0, size_t(n) * sizeof(T)); }

// whole(i) for every full vector of n elements, then part(i, n - i) for what is left.
template <class T, class Whole, class Part> INLINE void along(int64_t n, const Whole& whole, const Part& part) {
  int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) whole(i);
  if (i < n) part(i, n - i);
}

// Folds f(acc, i) over full vectors in four accumulators, then part(acc, i, n - i), then join.
template <class T, class F, class Part, class Join>
INLINE Vec<T> foldRow(int64_t n, Vec<T> zero, const F& f, const Part& part, const Join& join) {
  constexpr int w = width<T>;
  Vec<T> a0 = zero, a1 = zero, a2 = zero, a3 = zero;
  int64_t i = 0;
  for (; i + 4 * w <= n; i += 4 * w) {
    a0 = f(a0, i);
    a1 = f(a1, i + w);
    a2 = f(a2, i + 2 * w);
    a3 = f(a3, i + 3 * w);
  }
  for (; i + w <= n; i += w) a0 = f(a0, i);
  if (i < n) a1 = part(a1, i, n - i);
  return join(join(a0, a1), join(a2, a3));
}
template <class T, class F, class Part> INLINE T sumRow(int64_t n, const F& f, const Part& part) {
  return sumLanes<T>(foldRow<T>(n, Vec<T>{}, f, part, [](Vec<T> a, Vec<T> b) { return a + b; }));
}

// A register whose largest lane is the row's largest element. NaN is left out: whoever subtracts the maximum meets it
// again.
template <class T> INLINE Vec<T> foldMax(const T* x, int64_t n) {
  return foldRow<T>(
      n, splat(-kInfinity<T>), [=](Vec<T> m, int64_t i) { return vmax(load(x + i), m); },
      [=](Vec<T> m, int64_t i, int64_t rest) { return vmax(loadPart(x + i, rest, -kInfinity<T>), m); },
      [](Vec<T> a, Vec<T> b) { return vmax(a, b); });
}
template <class T> INLINE T maxRow(const T* x, int64_t n) { return maxLanes<T>(foldMax(x, n)); }

} // namespace napier::ISA
