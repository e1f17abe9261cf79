// What every kernel in native/cpu starts from: Vec<T>, parallel loops, scratch memory, and KERNEL(), which enters a
// kernel into the table. These sources are compiled once per instruction set inside `namespace ISA` (scalar, avx2,
// avx512, neon); what is not in that namespace is always inlined, so that no variant's code can be picked for another.
//
// Vec<T> is one register of T (GCC vector extension): + - * / and comparisons are the compiler's; the few operations it
// has no operator for stand in simd/<isa>.h. Kernels use width<T>, load, store, and the partial forms for tails.
#pragma once
#include <cmath>
#include <cstring>
#include "../device.h"
#include "../parallel.h"

#ifndef ISA
#error "compile with -DISA=scalar, avx2, avx512 or neon"
#endif

#define NAPIER_ISA_scalar 1
#define NAPIER_ISA_avx2 2
#define NAPIER_ISA_avx512 3
#define NAPIER_ISA_neon 4
#define NAPIER_ISA_CAT2(a, b) a##b
#define NAPIER_ISA_CAT(a, b) NAPIER_ISA_CAT2(a, b)
#define NAPIER_ISA_ID NAPIER_ISA_CAT(NAPIER_ISA_, ISA)

#if NAPIER_ISA_ID == NAPIER_ISA_scalar
#include "simd/scalar.h"
#elif NAPIER_ISA_ID == NAPIER_ISA_avx2
#include "simd/avx2.h"
#elif NAPIER_ISA_ID == NAPIER_ISA_avx512
#include "simd/avx512.h"
#elif NAPIER_ISA_ID == NAPIER_ISA_neon
#include "simd/neon.h"
#endif

namespace napier::ISA {

template <class T> INLINE Vec<T> load(const T* p) {
  Vec<T> v;
  memcpy(&v, p, sizeof v);
  return v;
}
template <class T> INLINE void store(T* p, Vec<T> v) { memcpy(p, &v, sizeof v); }
template <class T> INLINE Vec<T> splat(T x) {
  return x - Vec<T>{};
} // x - 0 is x, also for -0; 0 + x would be an addition

// Lane-wise sum in a fixed order: halves are added until one lane is left.
template <class T> INLINE T sumLanes(Vec<T> v) {
  T lanes[width<T>];
  store(lanes, v);
  for (int half = width<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; i++) lanes[i] += lanes[i + half];
  return lanes[0];
}
template <class T> INLINE T maxLanes(Vec<T> v) {
  T lanes[width<T>];
  store(lanes, v);
  T m = lanes[0];
  for (int i = 1; i < width<T>; i++) m = lanes[i] > m || lanes[i] != lanes[i] ? lanes[i] : m;
  return m;
}

// body(begin, end) over chunks of `grain`, on all threads.
template <class Body> INLINE void parallel(int64_t n, int64_t grain, const Body& body) {
  parallelFor(
      n, grain, [](void* ctx, int64_t begin, int64_t end) { (*static_cast<const Body*>(ctx))(begin, end); },
      const_cast<Body*>(&body));
}
// Chunk length, in items of `bytes` memory traffic each, worth handing to a thread: about 64 KB.
INLINE int64_t grainOf(int64_t bytes) { return bytes >= 65536 ? 1 : 65536 / (bytes < 1 ? 1 : bytes); }

// Memory for the time of a kernel.
template <class T> struct Scratch {
  T* data;
  INLINE explicit Scratch(int64_t n)
      : data(static_cast<T*>(scratchAlloc(uint64_t(n) > uint64_t(1) << 46 ? SIZE_MAX : size_t(n) * sizeof(T)))) {}
  INLINE ~Scratch() { scratchFree(data); }
  Scratch(const Scratch&) = delete;
  INLINE T& operator[](int64_t i) const { return data[i]; }
  INLINE operator T*() const { return data; }
};

} // namespace napier::ISA

// Enters template kernel `name` into the table for each dtype that ops.def lists.
#define KERNEL(name)                                                                                                   \
  void fill_##name(Table& table) {                                                                                     \
    table.name.fill([]<class T>(Tag<T>) { return &name<T>; });                                                         \
  }
// The same for an op of dtypes ANY, whose kernel is a plain function.
#define KERNEL_ANY(name)                                                                                               \
  void fill_##name(Table& table) { table.name.fillAny(&name); }
