// Pixels are bytes from 0 to 255 or floats, whose white is 1; kernels compute in float64 and come back by toPixel().
#pragma once
#include "simd.h"

namespace napier::ISA {

template <class T> constexpr double kWhite = sizeof(T) == 1 ? 255 : 1;

// Bytes are rounded to the nearest and cut to 0-255 (NaN is 0); floats stay as they are.
template <class T> INLINE T toPixel(double v) {
  if constexpr (sizeof(T) == 1) return v >= 255 ? T(255) : v > 0 ? T(int64_t(v + 0.5)) : T(0);
  else return T(v);
}

} // namespace napier::ISA
