// Elementwise loops: one vector at a time, the tail by the same expression on a partial vector, chunks by size alone. What
// is too large for the caches is written past them.
#pragma once
#include "simd.h"

namespace napier::ISA {

// Elements a chunk: some 10 us of bandwidth-bound work from the cache, more of a polynomial.
constexpr int64_t kMapGrain = 32768;

// Whether y, of n elements, is written past the caches: then its lines are not read first, and 4 n bytes less move. Not
// where y is an input too, whose lines are there already.
template <class T> INLINE bool goesAround(const T* y, int64_t n) {
  return n >= streamBytes() / int64_t(sizeof(T)) && reinterpret_cast<uintptr_t>(y) % kVectorBytes == 0;
}
template <class T> INLINE void put(T* p, Vec<T> v, bool around) {
  if (around) stream<T>(p, v);
  else store<T>(p, v);
}

// y[i] = f(x[i]). y may be x.
template <class T, class F> INLINE void map1(T* y, const T* x, int64_t n, const F& f) {
  const bool around = y != x && goesAround(y, n);
  parallel(n, kMapGrain, [=, &f](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + width<T> <= end; i += width<T>) put<T>(y + i, f(load(x + i)), around);
    if (i < end) storePart<T>(y + i, f(loadPart(x + i, end - i)), end - i);
    if (around) streamed();
  });
}

// y[i] = f(a[i], b[i]). y may be a or b.
template <class T, class F> INLINE void map2(T* y, const T* a, const T* b, int64_t n, const F& f) {
  const bool around = y != a && y != b && goesAround(y, n);
  parallel(n, kMapGrain, [=, &f](int64_t begin, int64_t end) {
    int64_t i = begin;
    for (; i + width<T> <= end; i += width<T>) put<T>(y + i, f(load(a + i), load(b + i)), around);
    if (i < end) storePart<T>(y + i, f(loadPart(a + i, end - i), loadPart(b + i, end - i)), end - i);
    if (around) streamed();
  });
}

template <class T> struct WrapsAs { using type = T; };
template <> struct WrapsAs<int8_t> { using type = uint8_t; };
template <> struct WrapsAs<int32_t> { using type = uint32_t; };
template <> struct WrapsAs<int64_t> { using type = uint64_t; };
// The type in which + - * of T wrap around instead of overflowing.
template <class T> using Wrapping = typename WrapsAs<T>::type;

template <class T> constexpr bool isFloat = T(0.5) != T(0);

// The ends of T's order.
template <class T> INLINE constexpr T lowest() {
  if constexpr (isFloat<T>) return T(-__builtin_inf());
  else return T(-1) < T(0) ? T(uint64_t(1) << (8 * sizeof(T) - 1)) : T(0);
}
template <class T> INLINE constexpr T highest() {
  if constexpr (isFloat<T>) return T(__builtin_inf());
  else return T(~lowest<T>());
}

// A number from JavaScript as T: integers truncate and saturate, NaN is 0.
template <class T> INLINE T fromDouble(double v) {
  if constexpr (isFloat<T>) return T(v);
  else {
    // One past the highest is a power of two, and so exact.
    constexpr double low = double(lowest<T>()), end = 2.0 * double(T(highest<T>() / 2 + 1));
    return v != v ? T(0) : v >= end ? highest<T>() : v <= low ? lowest<T>() : T(v);
  }
}

} // namespace napier::ISA
