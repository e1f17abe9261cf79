// aarch64: 16-byte vectors, 32 registers.
#pragma once
#include <arm_neon.h>

namespace napier::ISA {

constexpr const char* kIsaName = "neon";
constexpr int kVectorBytes = 16;
// Through a struct: g++ drops the attribute of a dependent alias.
template <class T> struct VecOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vec = typename VecOf<T>::type;
template <class T> constexpr int width = kVectorBytes / int(sizeof(T));

// 8 x 2 accumulators, 2 vectors of B, 2 of A.
constexpr int gemmRows = 8, gemmVectors = 2;

INLINE Vec<float> fma(Vec<float> x, Vec<float> y, Vec<float> z) {
  return Vec<float>(vfmaq_f32(float32x4_t(z), float32x4_t(x), float32x4_t(y)));
}
INLINE Vec<double> fma(Vec<double> x, Vec<double> y, Vec<double> z) {
  return Vec<double>(vfmaq_f64(float64x2_t(z), float64x2_t(x), float64x2_t(y)));
}
template <class V> INLINE V vmax(V a, V b) { return a > b ? a : b; } // b where either is NaN
template <class V> INLINE V vmin(V a, V b) { return a < b ? a : b; }
INLINE Vec<float> vsqrt(Vec<float> x) { return Vec<float>(vsqrtq_f32(float32x4_t(x))); }
INLINE Vec<double> vsqrt(Vec<double> x) { return Vec<double>(vsqrtq_f64(float64x2_t(x))); }
// Products of the even lanes.
INLINE Vec<uint64_t> mulEven(Vec<uint32_t> a, Vec<uint32_t> b) {
  return Vec<uint64_t>(vmull_u32(vmovn_u64(uint64x2_t(a)), vmovn_u64(uint64x2_t(b))));
}

// Through the caches as any store: what goes past them on x86 (avx2.h).
template <class T> INLINE void stream(T* p, Vec<T> v) { memcpy(p, &v, sizeof v); }
INLINE void streamed() {}
// The first n < width<T> elements; the others read as zero and are not written.
template <class T> INLINE Vec<T> loadPart(const T* p, int64_t n) {
  Vec<T> v{};
  memcpy(&v, p, size_t(n) * sizeof(T));
  return v;
}
template <class T> INLINE void storePart(T* p, Vec<T> v, int64_t n) { memcpy(p, &v, size_t(n) * sizeof(T)); }
// The first and the second half of x in double, and back.
INLINE void widen(Vec<float> x, Vec<double>& low, Vec<double>& high) {
  low = Vec<double>(vcvt_f64_f32(vget_low_f32(float32x4_t(x))));
  high = Vec<double>(vcvt_high_f64_f32(float32x4_t(x)));
}
INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return Vec<float>(vcvt_high_f32_f64(vcvt_f32_f64(float64x2_t(low)), float64x2_t(high)));
}

} // namespace napier::ISA
