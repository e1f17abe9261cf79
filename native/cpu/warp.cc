// Pictures x[n, c, h, w] seen through a projective map, or a box of each resized. Plain float64 and integer arithmetic
// without FMA: every ISA gives the same bytes. About 20 operations a pixel and channel.
#include "pixel.h"

namespace napier::ISA {

// y[n, c, p, q] at (column + 1/2, row + 1/2) is x at M (column + 1/2, row + 1/2, 1), M = matrix[i] in homogeneous
// coordinates (column, row, 1); `fill` where that lies outside the picture. Nearest: the pixel that holds the place;
// bilinear: the four around it, those at the border repeated outwards (as PIL's Image.transform).
template <class T>
void warp(T* y, const T* x, View matrix, View fill, int64_t bilinear, const ResampleSize& s) {
  const double* outside = static_cast<const double*>(fill.data);
  const int64_t pq = s.p * s.q, hw = s.h * s.w;
  parallel(s.n * s.p, grainOf(s.c * s.q * 32), [&](int64_t begin, int64_t end) {
    for (int64_t line = begin; line < end; line++) {
      const int64_t i = line / s.p, row = line % s.p;
      double m[9];
      memcpy(m, static_cast<const double*>(matrix.data) + i * 9, sizeof m);
      const T* xi = x + i * s.c * hw;
      T* yi = y + i * s.c * pq + row * s.q;
      const double v = double(row) + 0.5;
      for (int64_t column = 0; column < s.q; column++) {
        const double u = double(column) + 0.5;
        const double z = m[6] * u + m[7] * v + m[8];
        const double a = (m[0] * u + m[1] * v + m[2]) / z, b = (m[3] * u + m[4] * v + m[5]) / z;
        if (!(a >= 0 && a < double(s.w) && b >= 0 && b < double(s.h) && z > 0)) { // NaN is outside
          for (int64_t ch = 0; ch < s.c; ch++) yi[ch * pq + column] = toPixel<T>(outside[ch]);
          continue;
        }
        if (!bilinear) {
          const int64_t at = int64_t(b) * s.w + int64_t(a);
          for (int64_t ch = 0; ch < s.c; ch++) yi[ch * pq + column] = xi[ch * hw + at];
          continue;
        }
        const double left = __builtin_floor(a - 0.5), top = __builtin_floor(b - 0.5);
        const double fa = a - 0.5 - left, fb = b - 0.5 - top;
        const int64_t l0 = left < 0 ? 0 : int64_t(left), t0 = top < 0 ? 0 : int64_t(top);
        const int64_t l1 = int64_t(left) + 1 < s.w ? int64_t(left) + 1 : s.w - 1;
        const int64_t t1 = int64_t(top) + 1 < s.h ? int64_t(top) + 1 : s.h - 1;
        for (int64_t ch = 0; ch < s.c; ch++) {
          const T* plane = xi + ch * hw;
          const double x00 = double(plane[t0 * s.w + l0]), x01 = double(plane[t0 * s.w + l1]);
          const double x10 = double(plane[t1 * s.w + l0]), x11 = double(plane[t1 * s.w + l1]);
          const double upper = x00 + (x01 - x00) * fa, lower = x10 + (x11 - x10) * fa;
          yi[ch * pq + column] = toPixel<T>(upper + (lower - upper) * fb);
        }
      }
    }
  });
}
KERNEL(warp)

// What output place `at` of one axis is made of: inputs [first, first + count) times weights.
struct Taps {
  int64_t first, count;
};

// The triangle and Keys' cubic with a = -1/2, PIL's bilinear and bicubic.
INLINE double filterAt(int64_t filter, double x) {
  x = x < 0 ? -x : x;
  if (filter == 1) return x < 1 ? 1 - x : 0;
  constexpr double a = -0.5;
  if (x < 1) return ((a + 2) * x - (a + 3)) * x * x + 1;
  return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

// Most taps of a place: the filter's support, widened by the reduction so that nothing is skipped (antialiasing).
INLINE int64_t tapsOf(int64_t filter, int64_t in, int64_t out) {
  const int64_t reduction = in / (out < 1 ? 1 : out) + 1;
  return filter == 0 ? 1 : 2 * reduction * filter + 3;
}

// Bytes weigh by 22-bit fixed point and round after each direction, as PIL does: whole numbers, whose sums float64
// holds.
constexpr double kFixed = 1 << 22;
INLINE double inFixed(double w, bool bytes) {
  return bytes ? double(int64_t(w * kFixed + (w < 0 ? -0.5 : 0.5))) : w;
}

// Weights of `out` places over [from, from + length) of an axis of `in` pixels, cut to it (PIL's precompute_coeffs).
INLINE void weigh(Taps* taps, double* weights, int64_t most, int64_t filter, double from, double length, int64_t in,
                  int64_t out, bool bytes) {
  from = from > 0 ? (from < double(in - 1) ? from : double(in - 1)) : 0;
  const double rest = double(in) - from;
  length = length > 1 ? (length < rest ? length : rest) : 1;
  const int64_t low = int64_t(from), end = int64_t(__builtin_ceil(from + length)), high = end < in ? end : in;
  const double scale = length / double(out), wide = scale < 1 ? 1 : scale, support = double(filter) * wide;
  for (int64_t o = 0; o < out; o++) {
    const double centre = from + (double(o) + 0.5) * scale;
    double* w = weights + o * most;
    if (filter == 0) {
      const int64_t at = int64_t(centre);
      taps[o] = {at < high ? at : high - 1, 1};
      w[0] = inFixed(1, bytes);
      continue;
    }
    int64_t first = int64_t(__builtin_floor(centre - support + 0.5));
    int64_t last = int64_t(__builtin_floor(centre + support + 0.5));
    first = first < low ? low : first;
    last = last > high ? high : last;
    if (last - first > most) last = first + most;
    double sum = 0;
    for (int64_t t = first; t < last; t++)
      sum += w[t - first] = filterAt(filter, (double(t) - centre + 0.5) * (1 / wide));
    for (int64_t t = 0; t < last - first; t++)
      w[t] = inFixed(w[t] / sum, bytes);
    taps[o] = {first, last - first};
  }
}

template <class T> INLINE T weighted(const T* x, int64_t step, const double* w, int64_t count) {
  double sum = 0;
  for (int64_t t = 0; t < count; t++) sum += w[t] * double(x[t * step]);
  if constexpr (sizeof(T) == 1) return toPixel<T>(sum / kFixed);
  else return T(sum);
}

// y[n, c, p, q] is the box (top, left, height, width) of each picture, resized: along rows, then along columns.
// filter 0: nearest, 1: bilinear, 2: bicubic.
template <class T> void resample(T* y, const T* x, View box, int64_t filter, const ResampleSize& s) {
  const int64_t mostH = tapsOf(filter, s.h, s.p), mostW = tapsOf(filter, s.w, s.q);
  parallel(s.n, grainOf(s.c * (s.h * s.q * mostW + s.p * s.q * mostH)), [&](int64_t begin, int64_t end) {
    Scratch<T> across(s.h * s.q);
    Scratch<double> weights(s.p * mostH + s.q * mostW);
    Scratch<Taps> taps(s.p + s.q);
    double* weightsW = weights + s.p * mostH;
    Taps* tapsW = taps + s.p;
    for (int64_t i = begin; i < end; i++) {
      double b[4];
      memcpy(b, static_cast<const double*>(box.data) + i * 4, sizeof b);
      weigh(taps, weights, mostH, filter, b[0], b[2], s.h, s.p, sizeof(T) == 1);
      weigh(tapsW, weightsW, mostW, filter, b[1], b[3], s.w, s.q, sizeof(T) == 1);
      if (s.p == 0 || s.q == 0) continue;
      int64_t top = s.h, bottom = 0; // rows that any place needs
      for (int64_t o = 0; o < s.p; o++) {
        if (taps[o].first < top) top = taps[o].first;
        if (taps[o].first + taps[o].count > bottom) bottom = taps[o].first + taps[o].count;
      }
      for (int64_t ch = 0; ch < s.c; ch++) {
        const T* plane = x + (i * s.c + ch) * s.h * s.w;
        T* out = y + (i * s.c + ch) * s.p * s.q;
        for (int64_t row = top; row < bottom; row++)
          for (int64_t o = 0; o < s.q; o++)
            across[row * s.q + o] =
                weighted(plane + row * s.w + tapsW[o].first, 1, weightsW + o * mostW, tapsW[o].count);
        for (int64_t o = 0; o < s.p; o++)
          for (int64_t column = 0; column < s.q; column++)
            out[o * s.q + column] =
                weighted(across + taps[o].first * s.q + column, s.q, weights + o * mostH, taps[o].count);
      }
    }
  });
}
KERNEL(resample)

} // namespace napier::ISA
