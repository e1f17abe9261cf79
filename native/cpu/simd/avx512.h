// x86-64 with AVX-512 F, DQ, BW and VL: 64-byte vectors, 32 registers.
#pragma once
#include <immintrin.h>

namespace napier::ISA {

constexpr const char* kIsaName = "avx512";
constexpr int kVectorBytes = 64;
// Through a struct: g++ drops the attribute of a dependent alias.
template <class T> struct VecOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vec = typename VecOf<T>::type;
template <class T> constexpr int width = kVectorBytes / int(sizeof(T));

// 12 x 2 accumulators, 2 vectors of B and A broadcast from memory: 27 of 32 registers.
constexpr int gemmRows = 12, gemmVectors = 2;

INLINE Vec<float> fma(Vec<float> x, Vec<float> y, Vec<float> z) {
  return Vec<float>(_mm512_fmadd_ps(__m512(x), __m512(y), __m512(z)));
}
INLINE Vec<double> fma(Vec<double> x, Vec<double> y, Vec<double> z) {
  return Vec<double>(_mm512_fmadd_pd(__m512d(x), __m512d(y), __m512d(z)));
}
template <class V> INLINE V vmax(V a, V b) { return a > b ? a : b; } // b where either is NaN
template <class V> INLINE V vmin(V a, V b) { return a < b ? a : b; }
// g++ makes a comparison and a selection of those.
INLINE Vec<float> vmax(Vec<float> a, Vec<float> b) { return Vec<float>(_mm512_maskz_max_ps(-1, __m512(a), __m512(b))); }
INLINE Vec<float> vmin(Vec<float> a, Vec<float> b) { return Vec<float>(_mm512_maskz_min_ps(-1, __m512(a), __m512(b))); }
INLINE Vec<double> vmax(Vec<double> a, Vec<double> b) { return Vec<double>(_mm512_maskz_max_pd(-1, __m512d(a), __m512d(b))); }
INLINE Vec<double> vmin(Vec<double> a, Vec<double> b) { return Vec<double>(_mm512_maskz_min_pd(-1, __m512d(a), __m512d(b))); }
INLINE Vec<float> vsqrt(Vec<float> x) { return Vec<float>(_mm512_maskz_sqrt_ps(-1, __m512(x))); }
INLINE Vec<double> vsqrt(Vec<double> x) { return Vec<double>(_mm512_maskz_sqrt_pd(-1, __m512d(x))); }
// p 2^n for integers n
#define NAPIER_SCALES 1
INLINE Vec<float> vscale(Vec<float> p, Vec<float> n) { return Vec<float>(_mm512_maskz_scalef_ps(-1, __m512(p), __m512(n))); }
// Products of the even lanes.
INLINE Vec<uint64_t> mulEven(Vec<uint32_t> a, Vec<uint32_t> b) {
  return Vec<uint64_t>(_mm512_mul_epu32(__m512i(a), __m512i(b)));
}

// Past the caches, to a p on a register's boundary; streamed() before others may read what was written.
template <class T> INLINE void stream(T* p, Vec<T> v) { _mm512_stream_si512(reinterpret_cast<__m512i*>(p), __m512i(v)); }
INLINE void streamed() { _mm_sfence(); }
// The first n < width<T> elements; the others read as zero and are not written.
template <class T> INLINE Vec<T> loadPart(const T* p, int64_t n) {
  const uint64_t first = (uint64_t(1) << n) - 1;
  if constexpr (sizeof(T) == 1) return Vec<T>(_mm512_maskz_loadu_epi8(first, p));
  else if constexpr (sizeof(T) == 2) return Vec<T>(_mm512_maskz_loadu_epi16(__mmask32(first), p));
  else if constexpr (sizeof(T) == 4) return Vec<T>(_mm512_maskz_loadu_epi32(__mmask16(first), p));
  else return Vec<T>(_mm512_maskz_loadu_epi64(__mmask8(first), p));
}
template <class T> INLINE void storePart(T* p, Vec<T> v, int64_t n) {
  const uint64_t first = (uint64_t(1) << n) - 1;
  if constexpr (sizeof(T) == 1) _mm512_mask_storeu_epi8(p, first, __m512i(v));
  else if constexpr (sizeof(T) == 2) _mm512_mask_storeu_epi16(p, __mmask32(first), __m512i(v));
  else if constexpr (sizeof(T) == 4) _mm512_mask_storeu_epi32(p, __mmask16(first), __m512i(v));
  else _mm512_mask_storeu_epi64(p, __mmask8(first), __m512i(v));
}
// The first and the second half of x in double, and back.
INLINE void widen(Vec<float> x, Vec<double>& low, Vec<double>& high) {
  __m256 half[2];
  __builtin_memcpy(half, &x, sizeof x);
  low = Vec<double>(_mm512_maskz_cvtps_pd(-1, half[0]));
  high = Vec<double>(_mm512_maskz_cvtps_pd(-1, half[1]));
}
INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  const __m256 l = _mm512_maskz_cvtpd_ps(-1, __m512d(low)), h = _mm512_maskz_cvtpd_ps(-1, __m512d(high));
  return Vec<float>(_mm512_maskz_insertf32x8(-1, _mm512_castps256_ps512(l), h, 1));
}

} // namespace napier::ISA
