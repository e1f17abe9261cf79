// Division of integers, remainders and shifts: what no vector instruction does, so lane by lane.
#pragma once
#include "map.h"
#include "special.h"

namespace napier::ISA {

// a / b; integers truncate, x / 0 = 0, and the lowest integer / -1 wraps around.
template <class T> struct Quotient {
  static INLINE Vec<T> of(Vec<T> a, Vec<T> b) {
    if constexpr (isFloat<T>) return a / b;
    else {
      T la[width<T>], lb[width<T>]; // no vector divides integers
      store<T>(la, a), store<T>(lb, b);
#pragma GCC unroll 1
      for (int i = 0; i < width<T>; i++)
        la[i] = lb[i] == 0                       ? T(0)
                : T(-1) < T(0) && lb[i] == T(-1) ? T(Wrapping<T>(0) - Wrapping<T>(la[i]))
                                                 : T(la[i] / lb[i]);
      return load(la);
    }
  }
};

// a = quotient b + floored, a = trunc(a / b) b + truncated; integers with b = 0: quotient 0 and a itself.
template <class T> struct Modulo {
  Vec<T> truncated, floored, quotient;
  static INLINE Modulo of(Vec<T> a, Vec<T> b) {
    if constexpr (isFloat<T>) {
      const Vec<T> zero{}, m = fmod(a, b), q = (a - m) / b;
      // The remainder takes the divisor's sign, and the quotient goes down by one with it.
      const auto crosses = (m != zero) & ((m < zero) != (b < zero));
      const Vec<T> down = crosses ? q - T(1) : q, whole = floor(down);
      const Vec<T> nearest = down - whole > T(0.5) ? whole + T(1) : whole; // a - m was rounded
      const Vec<T> signedZero = copysign(zero, a / b);
      return {m, crosses ? m + b : m, b == zero ? a / b : down == zero ? signedZero : nearest};
    } else {
      using U = Wrapping<T>;
      T la[width<T>], lb[width<T>], lm[width<T>], lf[width<T>];
      store<T>(la, a), store<T>(lb, b);
#pragma GCC unroll 1
      for (int i = 0; i < width<T>; i++) {
        const T p = la[i], d = lb[i];
        const bool wraps = T(-1) < T(0) && d == T(-1); // p / -1 is -p, which the lowest integer does not have
        const T q = d == 0 ? T(0) : wraps ? T(U(0) - U(p)) : T(p / d), m = d == 0 ? p : wraps ? T(0) : T(p % d);
        const bool crosses = d != 0 && m != 0 && (m < 0) != (d < 0);
        lm[i] = m, lf[i] = crosses ? T(m + d) : m, la[i] = crosses ? T(q - 1) : q;
      }
      return {load(lm), load(lf), load(la)};
    }
  }
};

// a 2^b and floor(a / 2^b) in T's bits; beyond them, and for a negative b, 0 and the sign.
template <class T> struct Shift {
  Vec<T> left, right;
  static INLINE Shift of(Vec<T> a, Vec<T> b) {
    using U = Wrapping<T>;
    T la[width<T>], lb[width<T>], lr[width<T>];
    store<T>(la, a), store<T>(lb, b);
#pragma GCC unroll 1
    for (int i = 0; i < width<T>; i++) {
      const T p = la[i];
      const bool within = lb[i] >= 0 && lb[i] < T(8 * sizeof(T));
      lr[i] = within ? T(p >> lb[i]) : p < 0 ? T(-1) : T(0);
      la[i] = within ? T(U(U(p) << lb[i])) : T(0);
    }
    return {load(la), load(lr)};
  }
};

} // namespace napier::ISA
