// Plain C++: the variant that every CPU runs and the others are compared with. Vectors of 16 bytes, which the compiler
// maps to what the base architecture has (SSE2, or single elements).
#pragma once

namespace napier::ISA {

constexpr const char* kIsaName = "scalar";
constexpr int kVectorBytes = 16;
// Through a struct: g++ drops the attribute of a dependent alias.
template <class T> struct VecOf { typedef T type __attribute__((vector_size(kVectorBytes))); };
template <class T> using Vec = typename VecOf<T>::type;
template <class T> constexpr int width = kVectorBytes / int(sizeof(T));

// Registers of the GEMM micro-kernel: gemmRows x (gemmVectors vectors).
constexpr int gemmRows = 4, gemmVectors = 2;

// x * y + z, rounded twice: without the instruction one rounding would cost a library call.
template <class V> INLINE V fma(V x, V y, V z) { return x * y + z; }
template <class V> INLINE V vmax(V a, V b) { return a > b ? a : b; } // b where either is NaN
template <class V> INLINE V vmin(V a, V b) { return a < b ? a : b; }
INLINE Vec<float> vsqrt(Vec<float> x) { return Vec<float>{sqrtf(x[0]), sqrtf(x[1]), sqrtf(x[2]), sqrtf(x[3])}; }
INLINE Vec<double> vsqrt(Vec<double> x) { return Vec<double>{sqrt(x[0]), sqrt(x[1])}; }
// Products of the even lanes.
INLINE Vec<uint64_t> mulEven(Vec<uint32_t> a, Vec<uint32_t> b) {
  return Vec<uint64_t>{uint64_t(a[0]) * b[0], uint64_t(a[2]) * b[2]};
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
  low = Vec<double>{x[0], x[1]};
  high = Vec<double>{x[2], x[3]};
}
INLINE Vec<float> narrow(Vec<double> low, Vec<double> high) {
  return Vec<float>{float(low[0]), float(low[1]), float(high[0]), float(high[1])};
}

} // namespace napier::ISA
