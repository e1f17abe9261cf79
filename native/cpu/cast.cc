// Casts between all dtypes, one plain loop a pair, at memory bandwidth where the compiler vectorises it.
//
// Floats become integers by truncation, saturating, NaN as 0; integers of fewer bits keep their low bits; anything
// becomes bool by != 0. bfloat16 and float16 are rounded from float32 to the nearest, ties to even.
#include "map.h"

namespace napier::ISA {

struct Bool {
  uint8_t bits;
};
struct BFloat16 {
  uint16_t bits;
};
struct Float16 {
  uint16_t bits;
};

INLINE float floatOf(uint32_t bits) {
  float x;
  memcpy(&x, &bits, 4);
  return x;
}
INLINE uint32_t bitsOf(float x) {
  uint32_t bits;
  memcpy(&bits, &x, 4);
  return bits;
}

// A bfloat16 is the upper half of a float32.
INLINE float widen(BFloat16 h) { return floatOf(uint32_t(h.bits) << 16); }
INLINE BFloat16 toBFloat16(float x) {
  const uint32_t b = bitsOf(x), rounded = (b + 0x7fff + (b >> 16 & 1)) >> 16;
  return {uint16_t(x != x ? b >> 16 | 0x40 : rounded)}; // a NaN stays one
}

// float16: 1 sign, 5 exponent bits (bias 15), 10 fraction bits. Shifted into place, its value is 2^-112 of the float32
// with those bits (127 - 15 = 112), and multiplying by 2^112 also normalises subnormals. Exponent 31 (inf, NaN) lands
// at 2^16 and up, where the float32's exponent is filled with ones.
INLINE float widen(Float16 h) {
  const uint32_t sign = uint32_t(h.bits & 0x8000) << 16;
  const float magnitude = floatOf(uint32_t(h.bits & 0x7fff) << 13) * 0x1p112f;
  return floatOf(bitsOf(magnitude) | sign | (magnitude >= 65536.0f ? 0x7f800000u : 0u));
}
// Normal: 13 bits are rounded off (adding 0xfff and the last kept bit) and the exponent re-biased by -112. Subnormal,
// below 2^-14: adding 0.5 leaves x as a multiple of 2^-24, which the float32 addition rounds to nearest even.
INLINE Float16 toFloat16(float x) {
  const uint32_t b = bitsOf(x), sign = b >> 16 & 0x8000, m = b & 0x7fffffff;
  const uint32_t normal = (m - (112u << 23) + 0xfff + (m >> 13 & 1)) >> 13;
  const uint32_t subnormal = bitsOf(floatOf(m) + 0.5f) - 0x3f000000u;
  const uint32_t tiny = -uint32_t(m < 0x38800000u);   // below 2^-14; by masks, since ?: would keep the compiler
  uint32_t y = (subnormal & tiny) | (normal & ~tiny); // from vectorising (the addition might trap)
  y = m >= 0x477ff000u ? 0x7c00u : y;                 // from 65520 on, the nearest is infinity
  y = m > 0x7f800000u ? 0x7e00u : y;                  // NaN
  return {uint16_t(sign | y)};
}

template <class T> struct IsHalf { static constexpr bool value = false; };
template <> struct IsHalf<BFloat16> { static constexpr bool value = true; };
template <> struct IsHalf<Float16> { static constexpr bool value = true; };

template <class To, class From> INLINE To convert(From v) {
  if constexpr (IsHalf<From>::value) return convert<To>(widen(v));
  else if constexpr (__is_same(From, Bool)) return convert<To>(uint8_t(v.bits != 0));
  else if constexpr (__is_same(To, Bool)) return {uint8_t(v != From(0))};
  else if constexpr (__is_same(To, BFloat16)) return toBFloat16(float(v));
  else if constexpr (__is_same(To, Float16)) return toFloat16(float(v));
  else if constexpr (isFloat<From> && sizeof(To) == 1) { // int32 holds the ends: no need of double
    const From inside = v > From(highest<To>()) ? From(highest<To>()) : v < From(lowest<To>()) ? From(lowest<To>()) : v;
    return To(int32_t(v == v ? inside : From(0)));
  } else if constexpr (isFloat<From> && !isFloat<To>) return fromDouble<To>(double(v));
  else return To(v);
}

// Floats to bytes, a register at a time: the compiler vectorises the loop, but not the narrowing. NaN is 0.
template <class To> INLINE void toBytes(To* y, const float* x, int64_t n) {
  typedef To Bytes __attribute__((vector_size(kVectorBytes / 4)));
  auto bytesOf = [](Vec<float> v) __attribute__((always_inline)) {
    v = v == v ? v : Vec<float>{};
    v = vmax(splat(float(lowest<To>())), vmin(splat(float(highest<To>())), v));
    return __builtin_convertvector(__builtin_convertvector(v, Vec<int32_t>), Bytes);
  };
  int64_t i = 0;
  for (; i + width<float> <= n; i += width<float>) {
    const Bytes b = bytesOf(load(x + i));
    memcpy(y + i, &b, sizeof b);
  }
  if (i < n) {
    const Bytes b = bytesOf(loadPart(x + i, n - i));
    memcpy(y + i, &b, size_t(n - i));
  }
}

template <class To, class From> INLINE void castLoop(MutableView y, View x, int64_t n) {
  To* to = static_cast<To*>(y.data);
  const From* from = static_cast<const From*>(x.data);
  parallel(n, kMapGrain, [=](int64_t begin, int64_t end) {
    if constexpr (__is_same(From, float) && (__is_same(To, uint8_t) || __is_same(To, int8_t)))
      return toBytes(to + begin, from + begin, end - begin);
    for (int64_t i = begin; i < end; i++) to[i] = convert<To>(from[i]);
  });
}

template <class Body> INLINE void withType(DType d, const Body& body) {
  switch (d) {
  case DType::float32:
    return body(Tag<float>{});
  case DType::float64:
    return body(Tag<double>{});
  case DType::int32:
    return body(Tag<int32_t>{});
  case DType::int64:
    return body(Tag<int64_t>{});
  case DType::uint8:
    return body(Tag<uint8_t>{});
  case DType::int8:
    return body(Tag<int8_t>{});
  case DType::bool_:
    return body(Tag<Bool>{});
  case DType::bfloat16:
    return body(Tag<BFloat16>{});
  case DType::float16:
    return body(Tag<Float16>{});
  }
}

void cast(MutableView y, View x, int64_t n) {
  withType(y.dtype,
           [&]<class To>(Tag<To>) { withType(x.dtype, [&]<class From>(Tag<From>) { castLoop<To, From>(y, x, n); }); });
}
KERNEL_ANY(cast)

} // namespace napier::ISA
