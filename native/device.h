// A device: the table of its kernels, made from ops.def, and its memory.
#pragma once
#include <cstddef>
#include "operand.h"
#include "sizes.h"

namespace napier {

// One op's kernels: a function pointer for each dtype that ops.def lists.
template <class TypeList, class Sig> struct Slot;
template <class... T, class... A> struct Slot<Types<T...>, void(A...)> {
  template <class E> using Kernel = void (*)(typename KernelArg<E, A>::type...);
  void* kernels[sizeof...(T) ? sizeof...(T) : 1];

  // pick(Tag<E>{}) answers the kernel for E.
  template <class Pick> INLINE void fill(Pick pick) {
    int i = 0;
    ((kernels[i++] = reinterpret_cast<void*>(static_cast<Kernel<T>>(pick(Tag<T>{})))), ...);
  }
  INLINE void fillAny(Kernel<void> kernel) { kernels[0] = reinterpret_cast<void*>(kernel); }
};

struct Table {
#define OP(name, dtypes, signature, check) Slot<dtypes, void signature> name;
#include "ops.def"
#undef OP
};

// Memory that a kernel needs while it runs, from the caching free lists; 64-byte aligned, never null (throws
// bad_alloc).
void* scratchAlloc(size_t bytes);
void scratchFree(void* memory);

} // namespace napier
