// unary.def over n elements: 2 sizeof(T) bytes an element forward, 3 for a gradient. The cheap ones run at memory
// bandwidth; exp and its kin cost 10 to 40 instructions a vector (math.h).
#include "map.h"
#include "special.h"

namespace napier::ISA {

// Wraps an expression of unary.def into a function of vectors.
#define EXPRESSION(expression)                                                                                         \
  __attribute__((always_inline)) {                                                                                     \
    [[maybe_unused]] typedef Vec<T> V;                                                                                 \
    return expression;                                                                                                 \
  }

#define STEP(name, forward)                                                                                            \
  template <class T> void name(T* y, const T* x, int64_t n) { map1<T>(y, x, n, [](Vec<T> x) EXPRESSION(forward)); }    \
  KERNEL(name)

#define UNARY(name, saved, forward, gradient)                                                                          \
  STEP(name, forward)                                                                                                  \
  template <class T> void name##Grad(T* dx, const T* dy, const T* saved, int64_t n) {                                  \
    map2<T>(dx, dy, saved, n, [](Vec<T> dy, Vec<T> saved) EXPRESSION(gradient));                                       \
  }                                                                                                                    \
  KERNEL(name##Grad)

#define UNARY1(name, saved, forward, gradient)                                                                         \
  template <class T> void name(T* y, const T* x, double a, int64_t n) {                                                \
    const T alpha = T(a);                                                                                              \
    map1<T>(y, x, n, [=](Vec<T> x) EXPRESSION(forward));                                                               \
  }                                                                                                                    \
  template <class T> void name##Grad(T* dx, const T* dy, const T* saved, double a, int64_t n) {                        \
    const T alpha = T(a);                                                                                              \
    map2<T>(dx, dy, saved, n, [=](Vec<T> dy, Vec<T> saved) EXPRESSION(gradient));                                      \
  }                                                                                                                    \
  KERNEL(name)                                                                                                         \
  KERNEL(name##Grad)

#define UNARY2(name, saved, forward, gradient)                                                                         \
  template <class T> void name(T* y, const T* x, double a, double b, int64_t n) {                                      \
    const T alpha = T(a), beta = T(b);                                                                                 \
    map1<T>(y, x, n, [=](Vec<T> x) EXPRESSION(forward));                                                               \
  }                                                                                                                    \
  template <class T> void name##Grad(T* dx, const T* dy, const T* saved, double a, double b, int64_t n) {              \
    [[maybe_unused]] const T alpha = T(a), beta = T(b);                                                                \
    map2<T>(dx, dy, saved, n, [=](Vec<T> dy, Vec<T> saved) EXPRESSION(gradient));                                      \
  }                                                                                                                    \
  KERNEL(name)                                                                                                         \
  KERNEL(name##Grad)

// Integers compute unsigned, and so wrap around.
template <class T, class F> INLINE void mapWrapping(T* y, const T* x, int64_t n, const F& f) {
  using U = Wrapping<T>;
  map1<U>(reinterpret_cast<U*>(y), reinterpret_cast<const U*>(x), n, f);
}
#define AFFINE0(name, forward)                                                                                         \
  template <class T> void name(T* y, const T* x, int64_t n) {                                                          \
    mapWrapping<T>(                                                                                                    \
        y, x, n, [](Vec<Wrapping<T>> x) __attribute__((always_inline)) { return forward; });                           \
  }                                                                                                                    \
  KERNEL(name)
#define AFFINE1(name, forward)                                                                                         \
  template <class T> void name(T* y, const T* x, double a, int64_t n) {                                                \
    const auto alpha = Wrapping<T>(fromDouble<T>(a));                                                                  \
    mapWrapping<T>(                                                                                                    \
        y, x, n, [=](Vec<Wrapping<T>> x) __attribute__((always_inline)) { return forward; });                          \
  }                                                                                                                    \
  KERNEL(name)
#define AFFINE2(name, forward)                                                                                         \
  template <class T> void name(T* y, const T* x, double a, double b, int64_t n) {                                      \
    const auto alpha = Wrapping<T>(fromDouble<T>(a)), beta = Wrapping<T>(fromDouble<T>(b));                            \
    mapWrapping<T>(                                                                                                    \
        y, x, n, [=](Vec<Wrapping<T>> x) __attribute__((always_inline)) { return forward; });                          \
  }                                                                                                                    \
  KERNEL(name)

#include "../unary.def"

} // namespace napier::ISA
