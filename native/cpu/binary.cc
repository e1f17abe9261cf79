// Functions of two broadcast operands: binary.def over every shape that a pair of strides makes.
//
// y is contiguous; a and b walk with strides. Most calls collapse to one row in which each side is contiguous or a
// constant: then the loop runs at memory bandwidth, 3 x sizeof(T) bytes an element. A bias over rows or columns is the
// same loop once a row. Any other inner stride is gathered, one vector at a time.
#include "map.h"
#include "modulo.h"
#include "strided.h"

namespace napier::ISA {

// One operand within a row: consecutive, one value, or strided.
template <class T> struct Consecutive {
  const T* p;
  INLINE Vec<T> whole(int64_t i) const { return load(p + i); }
  INLINE Vec<T> part(int64_t i, int64_t n) const { return loadPart(p + i, n); }
};
template <class T> struct Constant {
  Vec<T> v;
  INLINE Vec<T> whole(int64_t) const { return v; }
  INLINE Vec<T> part(int64_t, int64_t) const { return v; }
};
template <class T> struct Gathered {
  const T* p;
  int64_t stride;
  INLINE Vec<T> whole(int64_t i) const { return part(i, width<T>); }
  INLINE Vec<T> part(int64_t i, int64_t n) const {
    T lanes[width<T>] = {};
    for (int64_t j = 0; j < n; j++) lanes[j] = p[(i + j) * stride];
    return load(lanes);
  }
};

template <class T, class A, class B, class F> INLINE void mapRow(T* y, A a, B b, int64_t n, bool around, const F& f) {
  around = around && reinterpret_cast<uintptr_t>(y) % kVectorBytes == 0;
  int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) put<T>(y + i, f(a.whole(i), b.whole(i)), around);
  if (i < n) storePart<T>(y + i, f(a.part(i, n - i), b.part(i, n - i)), n - i);
}

template <class T, class F>
INLINE void broadcast2(T* y, const T* a, const T* b, const BroadcastSize& size, const F& f) {
  const int64_t n = size.count();
  if (n == 0) return;
  const BroadcastSize s = collapse(size);
  const int64_t sa = s.stride[0][s.rank - 1], sb = s.stride[1][s.rank - 1];
  const bool around = y != a && y != b && goesAround(y, n);
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    segments(s, begin, end, [&](int64_t at, const int64_t* offset, int64_t length) {
      const T *ra = a + offset[0], *rb = b + offset[1];
      if (sa == 1 && sb == 1) mapRow(y + at, Consecutive<T>{ra}, Consecutive<T>{rb}, length, around, f);
      else if (sa == 1 && sb == 0) mapRow(y + at, Consecutive<T>{ra}, Constant<T>{splat(*rb)}, length, around, f);
      else if (sa == 0 && sb == 1) mapRow(y + at, Constant<T>{splat(*ra)}, Consecutive<T>{rb}, length, around, f);
      else mapRow(y + at, Gathered<T>{ra, sa}, Gathered<T>{rb, sb}, length, around, f);
    });
    if (around) streamed();
  });
}

// The same where the compiler's own vectors do: f of single elements, to bytes.
template <class T, class F>
INLINE void broadcastBytes(uint8_t* y, const T* a, const T* b, const BroadcastSize& size, const F& f) {
  const int64_t n = size.count();
  if (n == 0) return;
  const BroadcastSize s = collapse(size);
  const int64_t sa = s.stride[0][s.rank - 1], sb = s.stride[1][s.rank - 1];
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    segments(s, begin, end, [&](int64_t at, const int64_t* offset, int64_t length) {
      const T *ra = a + offset[0], *rb = b + offset[1];
      uint8_t* ry = y + at;
      if (sa == 1 && sb == 1)
        for (int64_t i = 0; i < length; i++) ry[i] = f(ra[i], rb[i]);
      else if (sa == 1 && sb == 0)
        for (int64_t i = 0; i < length; i++) ry[i] = f(ra[i], *rb);
      else if (sa == 0 && sb == 1)
        for (int64_t i = 0; i < length; i++) ry[i] = f(*ra, rb[i]);
      else
        for (int64_t i = 0; i < length; i++) ry[i] = f(ra[i * sa], rb[i * sb]);
    });
  });
}

#define ARITHMETIC(name, expression)                                                                                   \
  template <class T> void name(T* y, const T* a, const T* b, const BroadcastSize& s) {                                 \
    using U = Wrapping<T>;                                                                                             \
    broadcast2<U>(                                                                                                     \
        reinterpret_cast<U*>(y), reinterpret_cast<const U*>(a), reinterpret_cast<const U*>(b), s,                      \
        [](Vec<U> a, Vec<U> b) __attribute__((always_inline)) { return expression; });                                 \
  }                                                                                                                    \
  KERNEL(name)
#define BINARY(name, dtypes, expression)                                                                               \
  template <class T> void name(T* y, const T* a, const T* b, const BroadcastSize& s) {                                 \
    [[maybe_unused]] typedef Vec<T> V;                                                                                 \
    [[maybe_unused]] constexpr auto quotient = Quotient<T>::of;                                                        \
    [[maybe_unused]] constexpr auto modulo = Modulo<T>::of;                                                            \
    [[maybe_unused]] constexpr auto shift = [](Vec<T> a, auto b) { return Shift<T>::of(a, b); }; /* of integers */     \
    broadcast2<T>(                                                                                                     \
        y, a, b, s, [=](Vec<T> a, Vec<T> b) __attribute__((always_inline)) -> Vec<T> { return expression; });          \
  }                                                                                                                    \
  KERNEL(name)
#define COMPARE(name, expression)                                                                                      \
  template <class T> void name(uint8_t* y, const T* a, const T* b, const BroadcastSize& s) {                           \
    broadcastBytes(                                                                                                    \
        y, a, b, s, [](T a, T b) __attribute__((always_inline)) { return expression; });                               \
  }                                                                                                                    \
  KERNEL(name)
#define LOGICAL(name, expression)                                                                                      \
  void name(uint8_t* y, const uint8_t* x0, const uint8_t* x1, const BroadcastSize& s) {                                \
    broadcastBytes(                                                                                                    \
        y, x0, x1, s, [](uint8_t x0, uint8_t x1) __attribute__((always_inline)) {                                      \
          const bool a = x0 != 0, b = x1 != 0;                                                                         \
          return expression;                                                                                           \
        });                                                                                                            \
  }                                                                                                                    \
  KERNEL_ANY(name)
#include "../binary.def"

void logicalNot(uint8_t* y, const uint8_t* x, int64_t n) {
  parallel(n, 4 * kMapGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = x[i] == 0;
  });
}
KERNEL_ANY(logicalNot)

// y = c ? a : b, by the width of the elements alone.
template <class T> void where(T* y, const uint8_t* c, const T* a, const T* b, const TernarySize& size) {
  const int64_t n = size.count();
  if (n == 0) return;
  const TernarySize s = collapse(size);
  const int64_t last = s.rank - 1, sc = s.stride[0][last], sa = s.stride[1][last], sb = s.stride[2][last];
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    segments(s, begin, end, [&](int64_t at, const int64_t* offset, int64_t length) {
      const uint8_t* rc = c + offset[0];
      const T *ra = a + offset[1], *rb = b + offset[2];
      T* ry = y + at;
      const T va = *ra, vb = *rb; // a load that a condition guards is not vectorised
      if (sc == 1 && sa == 1 && sb == 1)
        for (int64_t i = 0; i < length; i++) ry[i].bits = rc[i] ? ra[i].bits : rb[i].bits;
      else if (sc == 1 && sa == 1 && sb == 0)
        for (int64_t i = 0; i < length; i++) ry[i].bits = rc[i] ? ra[i].bits : vb.bits;
      else if (sc == 1 && sa == 0 && sb == 1)
        for (int64_t i = 0; i < length; i++) ry[i].bits = rc[i] ? va.bits : rb[i].bits;
      else
        for (int64_t i = 0; i < length; i++) ry[i].bits = rc[i * sc] ? ra[i * sa].bits : rb[i * sb].bits;
    });
  });
}
KERNEL(where)

// y += alpha x, which adds up gradients; integers wrap around.
template <class T> void addInto(T* y, const T* x, double alpha, int64_t n) {
  using U = Wrapping<T>;
  const Vec<U> scale = splat(U(fromDouble<T>(alpha)));
  map2<U>(
      reinterpret_cast<U*>(y), reinterpret_cast<const U*>(y), reinterpret_cast<const U*>(x),
      n, [=](Vec<U> y, Vec<U> x) __attribute__((always_inline)) { return y + scale * x; });
}
KERNEL(addInto)

} // namespace napier::ISA
