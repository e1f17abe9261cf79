// More words for unary.def and binary.def, on those of math.h: trigonometry, hyperbolic functions and their inverses,
// logarithms of other bases, erfc, erfinv, and what activations are made of.
//
// float: as in math.h. Every 2003rd float was measured against double: at most 2.1 ulp with FMA and without, tan 3.3,
// erfinv 3.6. double: the library's function in every lane; erfinv by Newton's steps on it.
#pragma once
#include "gamma.h"

namespace napier::ISA {

// ---- Trigonometry

// tan r for even quadrants, -1 / tan r for odd ones.
INLINE Vec<float> tan(Vec<float> x) {
  const Reduced by = byHalfPi(x);
  const Int32s q = __builtin_convertvector(by.n, Int32s);
  Vec<float> y = sinQuadrant(q, by.r) / sinQuadrant(q + 1, by.r);
  y = x == 0.0f ? x : y; // -0
  const Int32s large = ~(abs(x) < kQuadrants);
  if (anyLane(large))
    for (int i = 0; i < width<float>; i++)
      if (large[i]) y[i] = __builtin_tanf(x[i]);
  return y;
}

// asin t, 0 <= t <= 1/2: t + t^3 P(t^2)
INLINE Vec<float> asinSmall(Vec<float> t, Vec<float> z) {
  // (asin x - x) / x^3: 4.9e-9 of asin x
  constexpr float c[] = {0.166667521f, 0.0749530941f, 0.0454691499f, 0.0241847783f, 0.0421583056f};
  return fma(t * z, polynomial(z, c), t);
}
// Beyond 1/2 by the half angle: asin a = pi/2 - 2 asin(sqrt((1 - a) / 2)); NaN outside [-1, 1].
struct ArcSine {
  Int32s beyond;
  Vec<float> small; // asin a, or the half angle's
};
INLINE ArcSine arcSine(Vec<float> a) {
  const Int32s beyond = a > 0.5f;
  const Vec<float> z = beyond ? 0.5f - 0.5f * a : a * a, t = beyond ? vsqrt(z) : a;
  return {beyond, asinSmall(t, z)};
}
INLINE Vec<float> asin(Vec<float> x) {
  const ArcSine s = arcSine(abs(x));
  const float half = 1.57079637f, halfRest = -4.37113883e-08f; // pi/2
  return withSign(s.beyond ? half - (2.0f * s.small - halfRest) : s.small, signBit(x));
}
// acos x = pi/2 - asin x; 2 asin(sqrt((1 - x) / 2)) for x > 1/2, and pi less that of -x for x < -1/2.
INLINE Vec<float> acos(Vec<float> x) {
  const ArcSine s = arcSine(abs(x));
  const float half = 1.57079637f, halfRest = -4.37113883e-08f;
  const Int32s negative = x < 0.0f;
  const Vec<float> inner = half - ((negative ? -s.small : s.small) - halfRest);
  const Vec<float> outer = 2.0f * s.small;
  return s.beyond ? (negative ? 2.0f * half - (outer - 2.0f * halfRest) : outer) : inner;
}
INLINE Vec<float> atan(Vec<float> x) { return atan2(x, splat(1.0f)); }

// ---- Hyperbolic functions, by e = exp|x| / 2, which overflows no sooner than they do

INLINE Vec<float> halfExp(Vec<float> a) {
  a = a > 90.0f ? splat(90.0f) : a;
  const Reduced by = byLn2(a);
  return scale(expReduced(by.r), by.n - 1.0f);
}
INLINE Vec<float> sinh(Vec<float> x) {
  const Vec<float> a = abs(x), z = x * x, e = halfExp(a);
  // (sinh x - x) / x^3: 3.0e-10 of sinh x below 1
  constexpr float c[] = {0.166666672f, 0.00833331048f, 0.000198428956f, 2.78221319e-06f};
  return withSign(a < 1.0f ? fma(a * z, polynomial(z, c), a) : e - 0.25f / e, signBit(x));
}
INLINE Vec<float> cosh(Vec<float> x) {
  const Vec<float> e = halfExp(abs(x));
  return e + 0.25f / e;
}

// asinh a = log(a + sqrt(a^2 + 1)) = log1p(a + a^2 / (1 + sqrt(1 + a^2))); log 2a from 2^30 on, where a^2 + 1 is a^2.
INLINE Vec<float> asinh(Vec<float> x) {
  const float ln2 = 0.693147182f;
  const Vec<float> a = abs(x);
  const Int32s large = a > 0x1p30f;
  const Vec<float> b = large ? Vec<float>{} : a, z = b * b;
  const Vec<float> y = log1p(large ? a - 1.0f : b + z / (1.0f + vsqrt(1.0f + z)));
  return withSign(large ? y + ln2 : y, signBit(x));
}
// acosh x = log(x + sqrt(x^2 - 1)) = log1p(t + sqrt(2 t + t^2)), t = x - 1
INLINE Vec<float> acosh(Vec<float> x) {
  const float ln2 = 0.693147182f;
  const Int32s large = x > 0x1p30f;
  const Vec<float> t = (large ? splat(1.0f) : x) - 1.0f;
  const Vec<float> y = log1p(large ? x - 1.0f : t + vsqrt(t < 0.0f ? t : t * (t + 2.0f))); // NaN below 1
  return large ? y + ln2 : y;
}
// atanh a = log((1 + a) / (1 - a)) / 2 = log1p(2 a / (1 - a)) / 2
INLINE Vec<float> atanh(Vec<float> x) {
  const Vec<float> a = abs(x);
  return withSign(0.5f * log1p((a + a) / (1.0f - a)), signBit(x));
}

// ---- Other bases, by pow's logarithm and power in double

// f 2^t for |t| < 250 or NaN, f of the order of 1: 2^t = 2^k exp((t - k) ln 2)
INLINE Vec<float> times2To(Vec<float> f, Vec<double> t0, Vec<double> t1) {
  const Vec<double> k0 = (t0 + kRounder64) - kRounder64, k1 = (t1 + kRounder64) - kRounder64;
  const double ln2 = 0.6931471805599453;
  const Vec<float> r = narrow((t0 - k0) * ln2, (t1 - k1) * ln2);
  return scale(f * expReduced(r), narrow(k0, k1));
}
INLINE Vec<float> exp2(Vec<float> x) {
  x = vmax(splat(-152.0f), vmin(splat(130.0f), x));
  const Vec<float> n = (x + kRounder) - kRounder, r = (x - n) * 0.693147182f;
  return scale(expReduced(r), n);
}
INLINE Vec<float> logOfBase(Vec<float> x, double perBit) {
  const Split s = split(x);
  Vec<double> m0, m1, n0, n1;
  widen(s.m, m0, m1), widen(s.n, n0, n1);
  return logEnds(x, narrow((n0 + log2Of(m0)) * perBit, (n1 + log2Of(m1)) * perBit));
}
INLINE Vec<float> log2(Vec<float> x) { return logOfBase(x, 1.0); }
INLINE Vec<float> log10(Vec<float> x) { return logOfBase(x, 0.30102999566398120); }

// ---- erfc, erfinv

// erfc x = t exp(P(t) - x^2), t = 1 / (1 + x / 2), for x >= 0 (the form of Numerical Recipes' erfcc); 2 - erfc(-x) for
// negative x. The exponent is made in double: its error counts x^2 times. 0 from 10.06 on.
INLINE Vec<float> erfc(Vec<float> x) {
  // log(erfc(x) exp(x^2) / t): 8.3e-9 of erfc x
  constexpr double p[] = {-0x1.43fba97e34c6fp+0, 0x1.005916a7648d9p+0,  0x1.6e7e26dfb15f5p-2, 0x1.a522a9f407b0ep-3,
                          -0x1.45e8ed6766b19p-1, 0x1.7b2fa85f876dap+0,  -0x1.9f697dc37d7e1p+1, 0x1.f3e37b68493c8p+1,
                          -0x1.47aa456d0abd1p+1, 0x1.c3d38a3a7df92p-1, -0x1.032d99a323b1dp-3};
  const double log2e = 1.4426950408889634;
  const Vec<float> a = abs(x), b = a > 11.0f ? splat(11.0f) : a;
  Vec<double> x0, x1;
  widen(b, x0, x1);
  const Vec<double> t0 = 1.0 / (1.0 + 0.5 * x0), t1 = 1.0 / (1.0 + 0.5 * x1);
  const Vec<double> e0 = polynomial(t0, p) - x0 * x0, e1 = polynomial(t1, p) - x1 * x1;
  const Vec<float> y = times2To(narrow(t0, t1), e0 * log2e, e1 * log2e);
  return x < 0.0f ? 2.0f - y : y;
}

// M. Giles, "Approximating the erfinv function", GPU Computing Gems 2 (2011): polynomials in w = -log(1 - x^2).
INLINE Vec<float> erfinv(Vec<float> x) {
  const Vec<float> w = -log((1.0f - x) * (1.0f + x));
  constexpr float central[] = {1.50140941f,     0.246640727f,     -0.00417768164f, -0.00125372503f, 0.00021858087f,
                               -4.39150654e-06f, -3.5233877e-06f, 3.43273939e-07f, 2.81022636e-08f};
  constexpr float tail[] = {2.83297682f,    1.00167406f,   0.00943887047f, -0.0076224613f, 0.00573950773f,
                            -0.00367342844f, 0.00134934322f, 0.000100950558f, -0.000200214257f};
  const Int32s inner = w < 5.0f;
  const Vec<float> y = x * (inner ? polynomial(w - 2.5f, central) : polynomial(vsqrt(w) - 3.0f, tail));
  return abs(x) == 1.0f ? x * __builtin_inff() : y;
}

// ---- double: the library, lane by lane

#define EACH_LANE(T, name, parameters, call)                                                                           \
  INLINE Vec<T> name parameters {                                                                                      \
    Vec<T> z;                                                                                                          \
    for (int i = 0; i < width<T>; i++) z[i] = call;                                                                    \
    return z;                                                                                                          \
  }
EACH_LANE(double, tan, (Vec<double> x), __builtin_tan(x[i]))
EACH_LANE(double, asin, (Vec<double> x), __builtin_asin(x[i]))
EACH_LANE(double, acos, (Vec<double> x), __builtin_acos(x[i]))
EACH_LANE(double, atan, (Vec<double> x), __builtin_atan(x[i]))
EACH_LANE(double, sinh, (Vec<double> x), __builtin_sinh(x[i]))
EACH_LANE(double, cosh, (Vec<double> x), __builtin_cosh(x[i]))
EACH_LANE(double, asinh, (Vec<double> x), __builtin_asinh(x[i]))
EACH_LANE(double, acosh, (Vec<double> x), __builtin_acosh(x[i]))
EACH_LANE(double, atanh, (Vec<double> x), __builtin_atanh(x[i]))
EACH_LANE(double, exp2, (Vec<double> x), __builtin_exp2(x[i]))
EACH_LANE(double, log2, (Vec<double> x), __builtin_log2(x[i]))
EACH_LANE(double, log10, (Vec<double> x), __builtin_log10(x[i]))
EACH_LANE(double, erfc, (Vec<double> x), __builtin_erfc(x[i]))
EACH_LANE(double, fmod, (Vec<double> a, Vec<double> b), __builtin_fmod(a[i], b[i]))
EACH_LANE(float, fmod, (Vec<float> a, Vec<float> b), __builtin_fmodf(a[i], b[i]))
EACH_LANE(double, hypot, (Vec<double> a, Vec<double> b), __builtin_hypot(a[i], b[i]))

// Winitzki's approximation, then three steps of Newton: on erfc(y) = 1 - |x|, exact from 1/2 on, on erf(y) = |x| below.
INLINE double erfinv(double x) {
  const double a = __builtin_fabs(x), slope = 1.1283791670955126; // 2 / sqrt(pi)
  if (!(a < 1)) return a == 1 ? x * __builtin_inf() : __builtin_nan("");
  if (a < 1e-8) return x / slope; // the next term, x^3 pi / 12, is below half an ulp
  const double l = __builtin_log((1 - a) * (1 + a)), h = 4.3307467508 + 0.5 * l;
  double y = __builtin_sqrt(__builtin_sqrt(h * h - l / 0.147) - h);
  for (int step = 0; step < 3; step++) {
    const double error = a < 0.5 ? __builtin_erf(y) - a : (1 - a) - __builtin_erfc(y);
    y -= error / (slope * __builtin_exp(-y * y));
  }
  return __builtin_copysign(y, x);
}
EACH_LANE(double, erfinv, (Vec<double> x), erfinv(x[i]))
EACH_LANE(float, lgamma, (Vec<float> x), float(lgamma(double(x[i]))))
EACH_LANE(double, lgamma, (Vec<double> x), lgamma(x[i]))
EACH_LANE(float, digamma, (Vec<float> x), float(digamma(double(x[i]))))
EACH_LANE(double, digamma, (Vec<double> x), digamma(x[i]))
EACH_LANE(float, polygamma, (Vec<float> x, float n), float(polygamma(double(x[i]), double(n))))
EACH_LANE(double, polygamma, (Vec<double> x, double n), polygamma(x[i], n))
#undef EACH_LANE

// sqrt(a^2 + b^2), whose squares neither overflow nor vanish in double; infinite where a or b is.
INLINE Vec<float> hypot(Vec<float> a, Vec<float> b) {
  Vec<double> a0, a1, b0, b1;
  widen(a, a0, a1), widen(b, b0, b1);
  const Vec<float> infinity = splat(__builtin_inff());
  return (abs(a) == infinity) | (abs(b) == infinity) ? infinity
                                                     : narrow(vsqrt(a0 * a0 + b0 * b0), vsqrt(a1 * a1 + b1 * b1));
}

INLINE Vec<float> copysign(Vec<float> a, Vec<float> b) { return withSign(abs(a), signBit(b)); }
INLINE Vec<double> copysign(Vec<double> a, Vec<double> b) {
  return Vec<double>(Vec<int64_t>(abs(a)) | (Vec<int64_t>(b) & INT64_MIN));
}

// ---- What activations are made of

// tanh(log(1 + e)) = n / (n + 2), n = e (e + 2), e = exp x; 1 from 20 on.
template <class V> INLINE V tanhSoftplus(V x) {
  const V top = V{} + 20;
  const V e = exp(x > top ? top : x), n = e * (e + 2);
  return n / (n + 2);
}

} // namespace napier::ISA
