// Elementary functions of Vec<float> and Vec<double>: the vocabulary of unary.def, which CUDA offers for one element.
//
// float: range reduction and a polynomial, without tables or branches, so a partial vector takes the same path. Every
// polynomial is a minimax fit made by math_fit.py, whose error is noted beside it (relative, before rounding). A third
// of float32 was measured against double: at most 1.6 ulp with FMA and without, sigmoid 2.5. double: the library's
// function in every lane, correct rather than tuned.
#pragma once
#include "simd.h"

namespace napier::ISA {

using Int32s = Vec<int32_t>;

template <class V> INLINE V larger(V a, V b) { return (a > b) | (a != a) ? a : b; } // NaN wins in both
template <class V> INLINE V smaller(V a, V b) { return (a < b) | (a != a) ? a : b; }

INLINE Vec<float> abs(Vec<float> x) { return Vec<float>(Int32s(x) & 0x7fffffff); }
INLINE Vec<double> abs(Vec<double> x) { return Vec<double>(Vec<int64_t>(x) & INT64_MAX); }
INLINE Vec<float> signBit(Vec<float> x) { return Vec<float>(Int32s(x) & INT32_MIN); }
INLINE Vec<float> withSign(Vec<float> x, Vec<float> sign) { return Vec<float>(Int32s(x) | Int32s(sign)); } // x >= 0
INLINE Vec<float> sqrt(Vec<float> x) { return vsqrt(x); }
INLINE Vec<double> sqrt(Vec<double> x) { return vsqrt(x); }
INLINE Vec<float> rsqrt(Vec<float> x) { return 1.0f / vsqrt(x); }
INLINE Vec<double> rsqrt(Vec<double> x) { return 1.0 / vsqrt(x); }

INLINE bool anyLane(Int32s mask) {
  int64_t parts[kVectorBytes / 8], any = 0;
  memcpy(parts, &mask, sizeof mask);
  for (int64_t p : parts) any |= p;
  return any != 0;
}

// c[0] + c[1] x + ... + c[n - 1] x^(n - 1), from the highest power down (Horner).
template <class V, class T, int n> INLINE V polynomial(V x, const T (&c)[n]) {
  V y = splat(c[n - 1]);
  for (int k = n - 2; k >= 0; k--) y = fma(y, x, splat(c[k]));
  return y;
}

// ---- Rounding. From 2^23 on every float is an integer (as are inf, and NaN stays); below, int32 holds it.
constexpr float kIntegers = 0x1p23f;
INLINE Vec<float> trunc(Vec<float> x) {
  const Vec<float> a = abs(x), small = a < kIntegers ? a : Vec<float>{};
  const Vec<float> t = __builtin_convertvector(__builtin_convertvector(small, Int32s), Vec<float>);
  return a < kIntegers ? withSign(t, signBit(x)) : x;
}
INLINE Vec<float> floor(Vec<float> x) {
  const Vec<float> t = trunc(x);
  return t > x ? t - 1.0f : t;
}
INLINE Vec<float> ceil(Vec<float> x) { return -floor(-x); }
// To the nearest, ties to even: a + 2^23 has no bits left for the fraction.
INLINE Vec<float> round(Vec<float> x) {
  const Vec<float> a = abs(x);
  return a < kIntegers ? withSign((a + kIntegers) - kIntegers, signBit(x)) : x;
}

// ---- exp: x = n ln 2 + r, |r| <= ln 2 / 2; exp x = 2^n exp r

// ln 2 = high + low; high has 15 bits, so that n high is exact for |n| < 2^9 without FMA too.
constexpr float kLog2e = 1.44269504f, kLn2High = 0x1.62e4p-1f, kLn2Low = 1.42860677e-06f;
// x + 1.5 2^23 is rounded to an integer (even on ties), which also stands in its low bits.
constexpr float kRounder = 0x1.8p23f;

struct Reduced {
  Vec<float> n, r;
};
INLINE Reduced byLn2(Vec<float> x) {
  const Vec<float> n = fma(x, splat(kLog2e), splat(kRounder)) - kRounder;
  return {n, fma(n, splat(-kLn2Low), fma(n, splat(-kLn2High), x))};
}
// (exp r - 1 - r) / r^2: 3.1e-9 of exp r
INLINE Vec<float> expTail(Vec<float> r) {
  constexpr float c[] = {0.49999994f, 0.166665211f, 0.0416682661f, 0.00836867746f, 0.00138207339f};
  return polynomial(r, c);
}
// 2^n for integers -126 <= n <= 127: the exponent field, biased by 127, starts at bit 23. n + 1.5 2^23 + 127 has the
// biased exponent in its low bits, and the shift drops the others.
INLINE Vec<float> powerOf2(Vec<float> n) { return Vec<float>(Int32s(n + (kRounder + 127.0f)) << 23); }

// exp r = 1 + r (1 + r expTail): Horner to the end, at 0.8 ulp
INLINE Vec<float> expReduced(Vec<float> r) { return fma(fma(expTail(r), r, splat(1.0f)), r, splat(1.0f)); }

// exp x for -87 <= x <= 88
INLINE Vec<float> expNormal(Vec<float> x) {
  const Reduced by = byLn2(x);
#ifdef NAPIER_SCALES
  return vscale(expReduced(by.r), by.n);
#else
  return expReduced(by.r) * powerOf2(by.n);
#endif
}
// p 2^n, |n| <= 252; in two steps overflow and subnormals come out by themselves, as they do of the instruction.
INLINE Vec<float> scale(Vec<float> p, Vec<float> n) {
#ifdef NAPIER_SCALES
  return vscale(p, n);
#else
  const Vec<float> half = fma(n, splat(0.5f), splat(kRounder)) - kRounder;
  return p * powerOf2(half) * powerOf2(n - half);
#endif
}
// Beyond the ends the result is infinity or 0. NaN, the second argument of both, passes through.
INLINE Vec<float> exp(Vec<float> x) {
  const Reduced by = byLn2(vmax(splat(-104.0f), vmin(splat(89.0f), x)));
  return scale(expReduced(by.r), by.n);
}

// exp x - 1 = (s - 1) + s (exp r - 1), s = 2^n. The sum (s - 1) + s r is kept with its rounding error (|s - 1| >= |s
// r|, or s = 1), since up to a bit cancels. All by s / 2, as 2^128 would overflow.
INLINE Vec<float> expm1(Vec<float> x) {
  const Vec<float> x0 = x;
  x = vmax(splat(-20.0f), vmin(splat(89.0f), x)); // exp(-20) < 2^-25: -1
  const Reduced by = byLn2(x);
  const Vec<float> s = powerOf2(by.n - 1.0f), t = s - 0.5f, sr = s * by.r;
  // (exp r - 1 - r) / r^2: 1.4e-8 of exp r - 1
  constexpr float c[] = {0.49999997f, 0.166665465f, 0.0416674353f, 0.00836626161f, 0.00138706574f};
  const Vec<float> tail = by.r * polynomial(by.r, c), sum = t + sr, error = (t - sum) + sr;
  const Vec<float> y = 2.0f * (sum + fma(sr, tail, error));
  return x0 == 0.0f ? x0 : y; // -0
}

// 1 / (1 + e) for x >= 0 and e / (1 + e) for x < 0, e = exp(-|x|). At most 2.5 ulp.
INLINE Vec<float> sigmoid(Vec<float> x) {
  const Vec<float> e = exp(-abs(x));
  return (x < 0.0f ? e : splat(1.0f)) / (1.0f + e);
}

// sigmoid(x) (1 + v sigmoid(-x)), by one exp and one division
INLINE Vec<float> sigmoidSlope(Vec<float> x, Vec<float> v) {
  const Vec<float> e = exp(-abs(x)), one = splat(1.0f), d = 1.0f / (1.0f + e);
  const Vec<float> up = (x < 0.0f ? e : one) * d, down = (x < 0.0f ? one : e) * d;
  return up * fma(v, down, one);
}

// |x| < 0.625: x + x^3 P(x^2); beyond: 1 - 2 / (exp 2x + 1), which is 1 from 9.02 on.
INLINE Vec<float> tanh(Vec<float> x) {
  const Vec<float> a = abs(x), z = x * x;
  // (tanh x - x) / x^3: 4.5e-9
  constexpr float c[] = {-0.333332807f, 0.133314103f, -0.0537372679f, 0.0206317231f, -0.00569734583f};
  const Vec<float> small = fma(a * z, polynomial(z, c), a);
  const Vec<float> large = 1.0f - 2.0f / (expNormal(vmin(splat(20.0f), a + a)) + 1.0f);
  return withSign(a < 0.625f ? small : large, signBit(x));
}

// |x| < 0.9: x + x P(x^2); beyond: 1 - exp(-t Q(t)), t = |x|, which is 1 from 3.92 on.
INLINE Vec<float> erf(Vec<float> x) {
  const Vec<float> a = abs(x), z = x * x, t = vmin(splat(4.0f), a);
  // erf x / x - 1: 1.2e-8
  constexpr float c[] = {0.128379151f, -0.376125067f, 0.112819761f, -0.0267732851f, 0.00500416011f, -0.000605246169f};
  // -log(1 - erf t) / t: 3.1e-9 of erf t
  constexpr float q[] = {1.12852001f, 0.635699153f, 0.105287157f, -0.0229062345f, 0.00322004058f, -0.000214602929f};
  const Vec<float> small = fma(a, polynomial(z, c), a), large = 1.0f - expNormal(-t * polynomial(t, q));
  return withSign(a < 0.9f ? small : large, signBit(x));
}

// The normal distribution's: for negative x exp(-P(|x|)), with P = -log(erfc(|x| / sqrt 2) / 2), and 1 less that for the
// others. The tail keeps its digits to -5.5, beyond which P grows faster: the error there is below 1e-13.
INLINE Vec<float> cdf(Vec<float> x) {
  // 4.9e-8 of the tail near 0, growing with its fourth root
  constexpr float p[] = {0.693147123f,    0.797887504f,    0.318285435f,    0.0364136212f,    -0.00490624225f, 7.18974625e-05f,
                         0.000160266092f, -4.35242473e-05f, 6.01995043e-06f, -4.51415616e-07f, 1.44999088e-08f};
  const Vec<float> a = abs(x), tail = exp(-polynomial(a, p));
  return x > 0.0f ? 1.0f - tail : tail;
}

// ---- log: x = 2^n m, sqrt(1/2) <= m < sqrt 2; log x = n ln 2 + log m

struct Split {
  Vec<float> n, m;
};
// 0 < x < inf. Subtracting the bits of sqrt(1/2) leaves n in the exponent field, and adding them to the rest gives m.
INLINE Split split(Vec<float> x) {
  const Int32s subnormal = x < 0x1p-126f;
  x = subnormal ? x * 0x1p23f : x;
  // Unsigned: a negative x, which logEnds answers for, wraps around.
  const Int32s i = Int32s(Vec<uint32_t>(x) - 0x3f3504f3u), n = (i >> 23) - (subnormal & 23);
  return {__builtin_convertvector(n, Vec<float>), Vec<float>((i & 0x7fffff) + 0x3f3504f3)};
}
// n ln 2 + log(1 + f) + c, with c a small correction: f - f^2/2 + f^3 P(f).
INLINE Vec<float> logOf(Vec<float> n, Vec<float> f, Vec<float> c) {
  // (log(1 + f) - f + f^2/2) / f^3: 5.8e-9 of log(1 + f)
  constexpr float p[] = {0.333333313f, -0.250008196f, 0.200012416f, -0.166234091f,
                         0.142015815f, -0.131596133f, 0.127621993f, -0.0763639957f};
  const Vec<float> z = f * f, y = fma(n, splat(kLn2Low), fma(f * z, polynomial(f, p), c));
  return fma(n, splat(kLn2High), f + fma(z, splat(-0.5f), y));
}
// y, but log's values at the ends of its domain: x is 0, negative, inf or NaN.
INLINE Vec<float> logEnds(Vec<float> x, Vec<float> y) {
  const Vec<float> infinity = splat(__builtin_inff());
  y = x < infinity ? y : x; // inf and NaN
  y = x == 0.0f ? -infinity : y;
  return x < 0.0f ? splat(__builtin_nanf("")) : y;
}
INLINE Vec<float> log(Vec<float> x) {
  const Split s = split(x);
  return logEnds(x, logOf(s.n, s.m - 1.0f, Vec<float>{}));
}
// log(1 + x) = log u + c / u: u is 1 + x rounded, c what the rounding lost (two-sum, exact).
INLINE Vec<float> log1p(Vec<float> x) {
  const Vec<float> u = 1.0f + x, b = u - 1.0f, c = (1.0f - (u - b)) + (x - b);
  const Split s = split(u);
  const Vec<float> y = logEnds(u, logOf(s.n, s.m - 1.0f, c / u));
  return x == 0.0f ? x : y; // -0
}

// ---- In double, half a vector at a time, where float has too few bits

constexpr double kRounder64 = 0x1.8p52;

// ---- sin, cos: x = n pi/2 + r, |r| <= pi/4, by the quadrant n mod 4. r is exact enough in double up to 2^20, where
// pi/2 = high + low and n high, 20 + 33 bits, is exact. Larger ones (and inf, NaN) are the library's affair.
constexpr float kQuadrants = 0x1p20f;
INLINE Reduced byHalfPi(Vec<float> x) {
  const Vec<double> high = splat(0x1.921fb544p0), low = splat(0x1.0b4611a626331p-34);
  Vec<double> d0, d1;
  widen(abs(x) < kQuadrants ? x : Vec<float>{}, d0, d1);
  const Vec<double> n0 = (d0 * 0x1.45f306dc9c883p-1 + kRounder64) - kRounder64; // 2 / pi
  const Vec<double> n1 = (d1 * 0x1.45f306dc9c883p-1 + kRounder64) - kRounder64;
  return {narrow(n0, n1), narrow((d0 - n0 * high) - n0 * low, (d1 - n1 * high) - n1 * low)};
}
// sin(r + q pi/2): sin r, cos r, -sin r, -cos r for q = 0 to 3 (mod 4).
INLINE Vec<float> sinQuadrant(Int32s q, Vec<float> r) {
  const Vec<float> z = r * r;
  constexpr float s[] = {-0.166666552f, 0.00833218917f, -0.00019518286f};  // (sin r - r) / r^3: 4.0e-9
  constexpr float c[] = {0.0416666456f, -0.00138873106f, 2.44325638e-05f}; // (cos r - 1 + r^2/2) / r^4: 1.2e-10
  const Vec<float> sine = fma(r * z, polynomial(z, s), r);
  const Vec<float> cosine = fma(z * z, polynomial(z, c), 1.0f - 0.5f * z);
  const Vec<float> y = (q & 1) != 0 ? cosine : sine;
  return Vec<float>(Int32s(y) ^ ((q & 2) << 30));
}
INLINE Vec<float> sin(Vec<float> x) {
  const Reduced by = byHalfPi(x);
  Vec<float> y = sinQuadrant(__builtin_convertvector(by.n, Int32s), by.r);
  y = x == 0.0f ? x : y; // -0
  const Int32s large = ~(abs(x) < kQuadrants);
  if (anyLane(large))
    for (int i = 0; i < width<float>; i++)
      if (large[i]) y[i] = __builtin_sinf(x[i]);
  return y;
}
INLINE Vec<float> cos(Vec<float> x) {
  const Reduced by = byHalfPi(x);
  Vec<float> y = sinQuadrant(__builtin_convertvector(by.n, Int32s) + 1, by.r);
  const Int32s large = ~(abs(x) < kQuadrants);
  if (anyLane(large))
    for (int i = 0; i < width<float>; i++)
      if (large[i]) y[i] = __builtin_cosf(x[i]);
  return y;
}

// ---- pow: |x|^y = 2^t, t = y log2|x| in double, where an error of 1e-11 is still none in 2^t

// log2 m = s P(s^2), s = (m - 1) / (m + 1): 1.2e-11
INLINE Vec<double> log2Of(Vec<double> m) {
  constexpr double p[] = {0x1.71547652bee9ap+1, 0x1.ec709d1215c11p-1, 0x1.277780691c274p-1, 0x1.a58d4fe843ee2p-2,
                          0x1.5cec412d2d0adp-2};
  const Vec<double> s = (m - 1.0) / (m + 1.0);
  return s * polynomial(s * s, p);
}
INLINE Vec<float> pow(Vec<float> x, Vec<float> y) {
  const float infinity = __builtin_inff();
  const Vec<float> a = abs(x);
  const Split s = split(a);
  Vec<double> m0, m1, n0, n1, y0, y1;
  widen(s.m, m0, m1), widen(s.n, n0, n1), widen(y, y0, y1);
  const auto clamped = [](Vec<double> t) {
    t = t < 200.0 ? t : splat(200.0);
    return t > -200.0 ? t : splat(-200.0);
  };
  const Vec<double> t0 = clamped(y0 * (n0 + log2Of(m0)));
  const Vec<double> t1 = clamped(y1 * (n1 + log2Of(m1)));
  const Vec<double> k0 = (t0 + kRounder64) - kRounder64, k1 = (t1 + kRounder64) - kRounder64;
  const double ln2 = 0.6931471805599453;
  const Vec<float> r = narrow((t0 - k0) * ln2, (t1 - k1) * ln2);
  Vec<float> z = scale(expReduced(r), narrow(k0, k1));
  // 0 and inf to a power
  const Int32s grows = (a == 0.0f) ^ (y > 0.0f), end = (a == 0.0f) | (a == infinity);
  z = end & (y != 0.0f) ? (grows ? splat(infinity) : Vec<float>{}) : z;
  // negative x: only to integers, and odd ones keep the sign. From 2^24 on every float is even.
  const Vec<float> whole = trunc(y);
  const Int32s odd = __builtin_convertvector((whole == y) & (abs(y) < 0x1p24f) ? y : Vec<float>{}, Int32s) << 31;
  z = (x < 0.0f) & (whole != y) & (a != infinity) & (a != 0.0f) ? splat(__builtin_nanf("")) : z;
  z = withSign(z, Vec<float>(odd & Int32s(x)));
  // x or y NaN, or y infinite
  const Int32s rare = ~((a <= infinity) & (abs(y) < infinity));
  if (anyLane(rare))
    for (int i = 0; i < width<float>; i++)
      if (rare[i]) z[i] = __builtin_powf(x[i], y[i]);
  return z;
}

// ---- atan2: atan of t = min / max of |x|, |y|, in [0, 1]; then mirrored at the diagonal and at the axes
INLINE Vec<float> atan2(Vec<float> y, Vec<float> x) {
  // (atan t - t) / t^3: 2.6e-9 of atan t
  constexpr float c[] = {-0.333332986f, 0.19998531f,    -0.142640516f, 0.109511748f,  -0.0840047523f,
                         0.0579065457f, -0.0311270021f, 0.0108873611f, -0.0017875476f};
  // pi and pi/2 = the nearest float + the rest
  const float pi = 3.14159274f, piRest = -8.74227766e-08f;
  const Vec<float> ax = abs(x), ay = abs(y);
  const Int32s steep = ay > ax, left = Int32s(x) < 0;
  const Vec<float> high = steep ? ay : ax, low = steep ? ax : ay;
  // 0/0 is 0 and inf/inf is 1 here; NaN stays.
  Vec<float> t = low == high ? splat(1.0f) : low / high;
  t = (high == 0.0f) & (low == low) ? high : t;
  const Vec<float> z = t * t, a = fma(t * z, polynomial(z, c), t);
  const Vec<float> up = steep ? 0.5f * pi - (a - 0.5f * piRest) : a;
  return withSign(left ? pi - (up - piRest) : up, signBit(y));
}

// ---- double: the library, lane by lane

#define EACH_LANE(T, name, parameters, call)                                                                           \
  INLINE Vec<T> name parameters {                                                                                      \
    Vec<T> z;                                                                                                          \
    for (int i = 0; i < width<T>; i++) z[i] = call;                                                                    \
    return z;                                                                                                          \
  }
EACH_LANE(double, exp, (Vec<double> x), __builtin_exp(x[i]))
EACH_LANE(double, expm1, (Vec<double> x), __builtin_expm1(x[i]))
EACH_LANE(double, log, (Vec<double> x), __builtin_log(x[i]))
EACH_LANE(double, log1p, (Vec<double> x), __builtin_log1p(x[i]))
EACH_LANE(double, sin, (Vec<double> x), __builtin_sin(x[i]))
EACH_LANE(double, cos, (Vec<double> x), __builtin_cos(x[i]))
EACH_LANE(double, tanh, (Vec<double> x), __builtin_tanh(x[i]))
EACH_LANE(double, erf, (Vec<double> x), __builtin_erf(x[i]))
EACH_LANE(double, floor, (Vec<double> x), __builtin_floor(x[i]))
EACH_LANE(double, ceil, (Vec<double> x), __builtin_ceil(x[i]))
EACH_LANE(double, trunc, (Vec<double> x), __builtin_trunc(x[i]))
EACH_LANE(double, round, (Vec<double> x), __builtin_rint(x[i]))
EACH_LANE(double, pow, (Vec<double> x, Vec<double> y), __builtin_pow(x[i], y[i]))
EACH_LANE(double, atan2, (Vec<double> x, Vec<double> y), __builtin_atan2(x[i], y[i]))
INLINE Vec<double> sigmoid(Vec<double> x) { return 1.0 / (1.0 + exp(-x)); }
INLINE Vec<double> sigmoidSlope(Vec<double> x, Vec<double> v) { return sigmoid(x) * (1.0 + v * sigmoid(-x)); }
EACH_LANE(double, cdf, (Vec<double> x), 0.5 * __builtin_erfc(-0.7071067811865476 * x[i]))
#undef EACH_LANE
INLINE Vec<float> pow(Vec<float> x, float y) { return pow(x, splat(y)); }
INLINE Vec<double> pow(Vec<double> x, double y) { return pow(x, splat(y)); }

// ---- One element, by the same code
#define ONE_ELEMENT(name)                                                                                              \
  INLINE float name(float x) { return name(splat(x))[0]; }                                                             \
  INLINE double name(double x) { return __builtin_##name(x); }
ONE_ELEMENT(exp)
ONE_ELEMENT(expm1)
ONE_ELEMENT(log)
ONE_ELEMENT(log1p)
ONE_ELEMENT(sin)
ONE_ELEMENT(cos)
ONE_ELEMENT(tanh)
ONE_ELEMENT(erf)
#undef ONE_ELEMENT

} // namespace napier::ISA
