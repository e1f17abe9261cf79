// The element types of a Buffer, and lists of them that an op in ops.def names.
#pragma once
#include <cstdint>

namespace napier {

#define INLINE inline __attribute__((always_inline))

enum class DType : uint8_t { float32, float64, int32, int64, uint8, int8, bool_, bfloat16, float16 };
constexpr int kDTypes = 9;

INLINE int64_t sizeOf(DType d) {
  constexpr int8_t size[kDTypes] = {4, 8, 4, 8, 1, 1, 1, 2, 2};
  return size[int(d)];
}

template <class T> struct DTypeOf;
template <> struct DTypeOf<float> { static constexpr DType value = DType::float32; };
template <> struct DTypeOf<double> { static constexpr DType value = DType::float64; };
template <> struct DTypeOf<int32_t> { static constexpr DType value = DType::int32; };
template <> struct DTypeOf<int64_t> { static constexpr DType value = DType::int64; };
template <> struct DTypeOf<uint8_t> { static constexpr DType value = DType::uint8; };
template <> struct DTypeOf<int8_t> { static constexpr DType value = DType::int8; };

template <class T> struct Tag { using type = T; };
template <class... T> struct Types {};

using FLOATS = Types<float, double>;
using FLOAT32 = Types<float>;
using INTEGERS = Types<int32_t, int64_t, uint8_t, int8_t>; // bool computes as uint8
using PIXELS = Types<uint8_t, float, double>;
using NUMBERS = Types<float, double, int32_t, int64_t, uint8_t, int8_t>;
struct Bits8 {
  uint8_t bits;
};
struct Bits16 {
  uint16_t bits;
};
struct Bits32 {
  uint32_t bits;
};
struct Bits64 {
  uint64_t bits;
};
using MOVES = Types<Bits8, Bits16, Bits32, Bits64>; // ops that move elements and never look at them: one slot a width
using ANY = Types<>;                                // one kernel; its operands are views that carry their dtype

} // namespace napier
