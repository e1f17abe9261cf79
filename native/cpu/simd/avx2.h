// x86-64 with AVX2 and FMA: 32-byte vectors, 16 registers.
#pragma once
#include <immintrin.h>

namespace napier::ISA {

constexpr const char* kIsaName = "avx2";
constexpr int kVectorBytes = 32;
// Through a struct: g++ drops the attribute of a dependent alias.
template <class T> struct VecOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vec = typename VecOf<T>::type;
template <class T> constexpr int width = kVectorBytes / int(sizeof(T));

// 6 x 2 accumulators, 2 vectors of B and 1 of A fill 15 of the 16 registers.
constexpr int gemmRows = 6, gemmVectors = 2;

INLINE Vec<float> fma(Vec<float> x, Vec<float> y, Vec<float> z) {
  return Vec<float>(_mm256_fmadd_ps(__m256(x), __m256(y), __m256(z)));
}
INLINE Vec<double> fma(Vec<double> x, Vec<double> y, Vec<double> z) {
  return Vec<double>(_mm256_fmadd_pd(__m256d(x), __m256d(y), __m256d(z)));
}
template <class V> INLINE V vmax(V a, V b) { return a > b ? a : b; } // b where either is NaN
template <class V> INLINE V vmin(V a, V b) { return a < b ? a : b; }
// g++ makes a comparison and a selection of those.
INLINE Vec<float> vmax(Vec<float> a, Vec<float> b) { return Vec<float>(_mm256_max_ps(__m256(a), __m256(b))); }
INLINE Vec<float> vmin(Vec<float> a, Vec<float> b) { return Vec<float>(_mm256_min_ps(__m256(a), __m256(b))); }
INLINE Vec<double> vmax(Vec<double> a, Vec<double> b) { return Vec<double>(_mm256_max_pd(__m256d(a), __m256d(b))); }
INLINE Vec<double> vmin(Vec<double> a, Vec<double> b) { return Vec<double>(_mm256_min_pd(__m256d(a), __m256d(b))); }
INLINE Vec<float> vsqrt(Vec<float> x) { return Vec<float>(_mm256_sqrt_ps(__m256(x))); }
INLINE Vec<double> vsqrt(Vec<double> x) { return Vec<double>(_mm256_sqrt_pd(__m256d(x))); }
// Products of the even lanes.
INLINE Vec<uint64_t> mulEven(Vec<uint32_t> a, Vec<uint32_t> b) {
  return Vec<uint64_t>(_mm256_mul_epu32(__m256i(a), __m256i(b)));
}

// Past the caches, to a p on a register's boundary; streamed() before others may read what was written.
template <class T> INLINE void stream(T* p, Vec<T> v) { _mm256_stream_si256(reinterpret_cast<__m256i*>(p), __m256i(v)); }
INLINE void streamed() { _mm_sfence(); }
// The first n < width<T> elements; the others read as zero and are not written.
template <class T> INLINE Vec<T> loadPart(const T* p, int64_t n) {
  if constexpr (sizeof(T) == 4)
    return Vec<T>(_mm256_maskload_epi32(
        reinterpret_cast<const int*>(p),
        _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7))));
  if constexpr (sizeof(T) == 8)
    return Vec<T>(_mm256_maskload_epi64(reinterpret_cast<const long long*>(p),
                                        _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3))));
  Vec<T> v{};
  memcpy(&v, p, size_t(n) * sizeof(T));
  return v;
}
template <class T> INLINE void storePart(T* p, Vec<T> v, int64_t n) {
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_epi32(reinterpret_cast<int*>(p),
                           _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
                           __m256i(v));
  else if constexpr (sizeof(T) == 8)
    _mm256_maskstore_epi64(reinterpret_cast<long long*>(p),
                           _mm256_cmpgt_epi64(_mm256_set1_epi64x(n), _mm256_setr_epi64x(0, 1, 2, 3)), __m256i(v));
  else memcpy(p, &v, size_t(n) * sizeof(T));
}
// The first and the second half of x in double, and back.
INLINE void widen(Vec<float> x, Vec<double>& low, Vec<double>& high) {
  low = Vec<double>(_mm256_cvtps_pd(_mm256_castps256_ps128(__m256(x))));
  high = Vec<double>(_mm256_cvtps_pd(_mm256_extractf128_ps(__m256(x), 1)));
}
INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return Vec<float>(_mm256_set_m128(_mm256_cvtpd_ps(__m256d(high)), _mm256_cvtpd_ps(__m256d(low))));
}

} // namespace napier::ISA
