// What an op's signature in ops.def is written in. On the left the operand as the binding checks it (its count and
// dtype are known), on the right what the kernel sees: typed pointers and integers, nothing else.
//
//   Out, InOut       T*                  written; updated in place (kept as it is where an input failed)
//   PartOut          T*                  written in part, and fails with its inputs: what an op fills piece by piece
//   In, MaybeIn      const T*            read; null when absent
//   MaybeOut         T*                  written; null when absent
//   Index            Indices             int32, int64 or uint8 positions, read as int64
//   IndexOut         int32_t*            positions the library makes
//   Mask, MaskOut    const uint8_t*, uint8_t*    bool, one byte
//   AnyIn, AnyOut    View, MutableView   any dtype, looked up in the kernel
//   InList, InOutList   List<const T>, List<T>   one tensor a parameter (optimizers)
#pragma once
#include "dtype.h"

namespace napier {

struct View {
  const void* data;
  int64_t count;
  DType dtype;
};
struct MutableView {
  void* data;
  int64_t count;
  DType dtype;
};

struct Out : MutableView {};
struct InOut : MutableView {};
struct PartOut : MutableView {};
struct MaybeOut : MutableView {};
struct In : View {};
struct MaybeIn : View {};
struct Index : View {};
struct IndexOut : MutableView {};
struct Mask : View {};
struct MaskOut : MutableView {};
struct AnyIn : View {};
struct AnyOut : MutableView {};

// Positions of any integer width; reading one is a predictable branch.
struct Indices {
  const void* data;
  DType dtype;
  INLINE int64_t operator[](int64_t i) const {
    switch (dtype) {
    case DType::int64:
      return static_cast<const int64_t*>(data)[i];
    case DType::int32:
      return static_cast<const int32_t*>(data)[i];
    default:
      return static_cast<const uint8_t*>(data)[i];
    }
  }
};

// One tensor a parameter: data[i] has count[i] elements.
template <class T> struct List {
  T* const* data;
  const int64_t* count;
  int64_t length;
};
struct InOutList {
  MutableView* items;
  int64_t length;
};
struct InList {
  const MutableView* items;
  int64_t length;
};

// Whether two lists pair tensors of equal counts.
template <class A, class B> INLINE bool sameCounts(const A& a, const B& b) {
  if (a.length != b.length) return false;
  for (int64_t i = 0; i < a.length; i++)
    if (a.items[i].count != b.items[i].count) return false;
  return true;
}

// Whether all tensors of a list have n elements.
template <class A> INLINE bool allCount(const A& a, int64_t n) {
  for (int64_t i = 0; i < a.length; i++)
    if (a.items[i].count != n) return false;
  return true;
}

// A value that only the kernel could see was wrong. The lowest flat index is kept, whatever the threads.
struct Fault {
  int64_t index = INT64_MAX, value = 0, low = 0, high = 0;
  void report(int64_t flatIndex, int64_t badValue, int64_t allowedLow, int64_t allowedHigh); // any thread
  bool raised() const;
};

template <class T, class A> struct KernelArg { using type = A; };
template <class T> struct KernelArg<T, Out> { using type = T*; };
template <class T> struct KernelArg<T, InOut> { using type = T*; };
template <class T> struct KernelArg<T, PartOut> { using type = T*; };
template <class T> struct KernelArg<T, MaybeOut> { using type = T*; };
template <class T> struct KernelArg<T, In> { using type = const T*; };
template <class T> struct KernelArg<T, MaybeIn> { using type = const T*; };
template <class T> struct KernelArg<T, Index> { using type = Indices; };
template <class T> struct KernelArg<T, IndexOut> { using type = int32_t*; };
template <class T> struct KernelArg<T, Mask> { using type = const uint8_t*; };
template <class T> struct KernelArg<T, MaskOut> { using type = uint8_t*; };
template <class T> struct KernelArg<T, AnyIn> { using type = View; };
template <class T> struct KernelArg<T, AnyOut> { using type = MutableView; };
template <class T> struct KernelArg<T, InList> { using type = List<const T>; };
template <class T> struct KernelArg<T, InOutList> { using type = List<T>; };

} // namespace napier
