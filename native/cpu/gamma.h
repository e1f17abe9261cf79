// The gamma function's logarithm and its derivatives, of one element in double; float32 results are rounded from them.
// Absolute error some 1e-15 of the larger of 1 and |y|; near the zeros of a negative argument no relative accuracy.
#pragma once
#include "math.h"

namespace napier::ISA {

constexpr double kPi = 3.141592653589793;

// sin and cos of pi x for x < 0, by what x has beyond a whole number.
INLINE double fractionOf(double x) { return x - __builtin_floor(x); }

// log Gamma(2 + z), |z| <= 1/2: (1 - gamma) z + sum_k (-1)^k (zeta(k) - 1) z^k / k, whose terms fall by z / 2.
INLINE double lgammaNear2(double z) {
  // (-1)^k (zeta(k) - 1) / k from k = 2 on
  constexpr double c[] = {0x1.4a34cc4a60fa6p-2,  -0x1.13e001a557607p-4,  0x1.51322ac7d8483p-6,  -0x1.e404fc218f5f2p-8,
                          0x1.7add6eadb6c30p-9,  -0x1.38ac5c2bf8e08p-10, 0x1.0b36af86396e9p-11, -0x1.d3fd4c76d2fc8p-13,
                          0x1.a127b0f17d65ap-14, -0x1.78de5bd7c81efp-15, 0x1.580dcee66eb02p-16, -0x1.3cbc963ce2243p-17,
                          0x1.2597a39f34aacp-18, -0x1.11b2eb7679541p-19, 0x1.0064cdeb22f0fp-20, -0x1.e2600d93cfd2fp-22,
                          0x1.c76bbb3f07a4dp-23, -0x1.af5a6cbbf8a97p-24, 0x1.99b93c2070b0fp-25, -0x1.862c734df3eacp-26,
                          0x1.7469daccfadcdp-27, -0x1.6434a8447aeadp-28, 0x1.555a877ffd2c3p-29, -0x1.47b1679258d0ep-30};
  double y = 0;
  for (int k = int(sizeof c / sizeof *c) - 1; k >= 0; k--) y = y * z + c[k];
  return z * (y * z + 0x1.b0ee6072093cep-2);
}
INLINE double lgamma(double x) {
  const double infinity = __builtin_inf();
  if (!(x < infinity)) return x;  // inf, NaN
  if (x == -infinity) return infinity;
  const bool reflect = x < 0; // Gamma(x) Gamma(1 - x) = pi / sin(pi x)
  if (x == 0 || (reflect && x == __builtin_floor(x))) return infinity;
  const double a = reflect ? 1 - x : x;
  double y;
  if (a < 0.5) y = lgammaNear2(a) - __builtin_log1p(a) - __builtin_log(a);
  else if (a < 1.5) y = lgammaNear2(a - 1) - __builtin_log1p(a - 1);
  else if (a < 10) { // Gamma(a) = (a - 1) (a - 2) ... Gamma(2 + z)
    double product = 1, b = a;
    while (b >= 2.5) b -= 1, product *= b;
    y = lgammaNear2(b - 2) + __builtin_log(product);
  } else { // Stirling: B_2k / (2 k (2 k - 1) a^(2k - 1))
    const double z = 1 / (a * a);
    const double series =
        1.0 / 12 + z * (-1.0 / 360 + z * (1.0 / 1260 + z * (-1.0 / 1680 + z * (1.0 / 1188 + z * (-691.0 / 360360)))));
    y = (a - 0.5) * (__builtin_log(a) - 1) - 0.5 + 0x1.d67f1c864beb5p-1 + series / a;
  }
  return reflect ? 0x1.250d048e7a1bdp+0 - __builtin_log(__builtin_sin(kPi * fractionOf(x))) - y : y; // log pi
}

// The derivative of lgamma: to 10 by digamma(x) = digamma(x + 1) - 1 / x, then by its asymptotic series.
INLINE double digamma(double x) {
  if (x == 0) return __builtin_copysign(__builtin_inf(), -x);
  if (!(x > -__builtin_inf())) return __builtin_nan("");
  double y = 0;
  if (x < 0) { // digamma(x) = digamma(1 - x) - pi / tan(pi x)
    const double f = fractionOf(x);
    if (f == 0) return __builtin_nan("");
    y = -kPi / __builtin_tan(kPi * f);
    x = 1 - x;
  }
  for (; x < 10; x += 1) y -= 1 / x;
  if (x == __builtin_inf()) return x;
  const double z = 1 / (x * x); // B_2k / (2 k)
  const double series =
      z * (1.0 / 12 -
           z * (1.0 / 120 - z * (1.0 / 252 - z * (1.0 / 240 - z * (1.0 / 132 - z * (691.0 / 32760 - z / 12))))));
  return y + __builtin_log(x) - 0.5 / x - series;
}

// Hurwitz' zeta, sum_k (q + k)^-s for q > 0 and whole s >= 2: ten terms and more, then Euler & Maclaurin's formula.
INLINE double hurwitz(double s, double q) {
  // B_2k / (2 k)!
  constexpr double c[] = {0.08333333333333333,   -0.001388888888888889,  3.306878306878307e-05,
                          -8.267195767195768e-07, 2.08767569878681e-08,   -5.284190138687493e-10,
                          1.3382536530684679e-11, -3.3896802963225827e-13, 8.586062056277845e-15,
                          -2.174868698558062e-16, 5.5090028283602295e-18, -1.3954464685812522e-19};
  double sum = 0, a = q;
  for (int k = 0; k < 10 || a < 10; k++, a += 1) sum += __builtin_pow(a, -s);
  const double power = __builtin_pow(a, -s);
  sum += power * (a / (s - 1) + 0.5);
  double factor = power * s / a; // s (s + 1) ... (s + 2k - 2) a^(-s - 2k + 1)
  for (int k = 0; k < 12; k++) {
    sum += c[k] * factor;
    factor *= (s + 2 * k + 1) * (s + 2 * k + 2) / (a * a);
  }
  return sum;
}
// Derivative n of digamma, n from 0 to 1000: (-1)^(n + 1) n! zeta(n + 1, x). Negative x by the sum over all whole
// numbers, which depends on the fraction f of x alone: zeta(s, x) = zeta(s, f) + (-1)^s (zeta(s, 1 - f) - zeta(s, 1 - x)).
INLINE double polygamma(double x, double order) {
  if (order == 0) return digamma(x);
  if (!(x > -__builtin_inf() && order >= 1 && order <= 1000)) return __builtin_nan("");
  const int n = int(order);
  if (x == __builtin_inf()) return 0;
  const double s = n + 1, f = fractionOf(x);
  double factorial = 1;
  for (int k = 2; k <= n && factorial < __builtin_inf(); k++) factorial *= k;
  double z;
  if (x > 0) z = hurwitz(s, x);
  else if (f == 0) z = __builtin_inf();
  else z = hurwitz(s, f) + (n % 2 ? 1 : -1) * (hurwitz(s, 1 - f) - hurwitz(s, 1 - x));
  return (n % 2 ? 1 : -1) * factorial * z;
}

} // namespace napier::ISA
