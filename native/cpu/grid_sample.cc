// Pictures x[n, c, h, w] read at the places grid[n, p, q, 2] (Jaderberg et al., "Spatial Transformer Networks", 2015), and
// the gradients for both. Coordinates, -1 to 1 from edge to edge, are computed in double; the rules are PyTorch's.
//
// Each place becomes a list of taps first: offsets into a plane and their weights, shared by all channels. y and dx are
// then a thread's whole planes (dx is added to in a fixed order), dgrid a thread's rows of places.
#include "rows.h"

namespace napier::ISA {

enum GridMode : int64_t { kBilinear, kNearest, kBicubic };
enum GridPadding : int64_t { kZeros, kBorder, kReflection };

// A coordinate and its derivative by the grid's.
struct Coordinate {
  double at, slope;
};

INLINE double floorOf(double v) { return __builtin_floor(v); }

// Into [0, extent - 1]; NaN becomes 0.
INLINE Coordinate clip(Coordinate v, double extent) {
  if (!(v.at > 0)) return {0, 0};
  if (v.at >= extent - 1) return {extent - 1, 0};
  return v;
}
// Mirrored at low / 2 and high / 2 until between them.
INLINE Coordinate reflect(Coordinate v, double low, double high) {
  if (low == high) return {0, 0};
  const double least = low / 2, span = (high - low) / 2;
  double at = v.at - least, slope = v.slope;
  if (at < 0) at = -at, slope = -slope;
  const double flips = floorOf(at / span), extra = at - flips * span;
  const bool even = flips - 2 * floorOf(flips / 2) == 0;
  return even ? Coordinate{extra + least, slope} : Coordinate{span - extra + least, -slope};
}
INLINE Coordinate place(Coordinate v, int64_t extent, const GridSize& s) {
  const double e = double(extent);
  if (s.padding == kReflection) v = s.align ? reflect(v, 0, 2 * (e - 1)) : reflect(v, -1, 2 * e - 1);
  return s.padding == kZeros ? v : clip(v, e);
}
// In pixels, before padding.
INLINE Coordinate pixels(double v, int64_t extent, const GridSize& s) {
  const double e = double(extent);
  return s.align ? Coordinate{(v + 1) / 2 * (e - 1), (e - 1) / 2} : Coordinate{((v + 1) * e - 1) / 2, e / 2};
}

constexpr int kMostTaps = 4;
// Taps along one axis: positions (-1: outside, reads as 0), weights, and the weights' derivatives by the grid.
struct AxisTaps {
  int64_t at[kMostTaps];
  double weight[kMostTaps], slope[kMostTaps];
};
INLINE int64_t inside(double at, int64_t extent) { return at >= 0 && at <= double(extent - 1) ? int64_t(at) : -1; }

// The cubic convolution of Keys (1981) with a = -0.75 at distance d, and its derivative.
INLINE double cubic(double d) {
  constexpr double a = -0.75;
  const double x = d < 0 ? -d : d;
  return x <= 1 ? ((a + 2) * x - (a + 3)) * x * x + 1 : x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}
INLINE double cubicSlope(double d) {
  constexpr double a = -0.75;
  const double x = d < 0 ? -d : d, sign = d < 0 ? -1 : 1;
  return sign * (x <= 1 ? (3 * (a + 2) * x - 2 * (a + 3)) * x : x < 2 ? (3 * a * x - 10 * a) * x + 8 * a : 0);
}

INLINE AxisTaps tapsOf(double v, int64_t extent, const GridSize& s) {
  AxisTaps t{{-1, -1, -1, -1}, {}, {}};
  if (s.mode == kBicubic) {
    // Taps are placed each for itself, so padding acts on them and not on the coordinate.
    const Coordinate c = pixels(v, extent, s);
    const double base = floorOf(c.at);
    for (int k = 0; k < 4; k++) {
      const double d = c.at - (base + k - 1);
      t.at[k] = inside(floorOf(place({base + k - 1, 1}, extent, s).at + 0.5), extent);
      t.weight[k] = cubic(d), t.slope[k] = cubicSlope(d) * c.slope;
    }
    return t;
  }
  const Coordinate c = place(pixels(v, extent, s), extent, s);
  if (s.mode == kNearest) {
    t.at[0] = inside(__builtin_nearbyint(c.at), extent); // halves to even
    t.weight[0] = 1;
    return t;
  }
  const double base = floorOf(c.at), far = c.at - base;
  t.at[0] = inside(base, extent), t.at[1] = inside(base + 1, extent);
  t.weight[0] = 1 - far, t.weight[1] = far;
  t.slope[0] = -c.slope, t.slope[1] = c.slope;
  return t;
}
INLINE int tapCount(const GridSize& s) { return s.mode == kBicubic ? 4 : s.mode == kBilinear ? 2 : 1; }

// Offsets into a plane (-1: outside) and weights of all places: [n p q, taps taps].
template <class T> struct Places {
  int64_t each;
  Scratch<int32_t> offset;
  Scratch<T> weight;
  Places(const T* grid, const GridSize& s)
      : each(tapCount(s) * tapCount(s)), offset(s.n * s.p * s.q * each), weight(s.n * s.p * s.q * each) {
    const int taps = tapCount(s);
    parallel(s.n * s.p * s.q, 256, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const AxisTaps across = tapsOf(double(grid[2 * i]), s.w, s), down = tapsOf(double(grid[2 * i + 1]), s.h, s);
        int64_t to = i * each;
        for (int a = 0; a < taps; a++)
          for (int b = 0; b < taps; b++, to++) {
            const bool both = down.at[a] >= 0 && across.at[b] >= 0;
            offset[to] = both ? int32_t(down.at[a] * s.w + across.at[b]) : -1;
            weight[to] = both ? T(down.weight[a] * across.weight[b]) : T(0);
          }
      }
    });
  }
};

template <class Plane> INLINE void gridPlanes(const GridSize& s, int64_t bytes, const Plane& plane) {
  parallel(s.n * s.c, grainOf((s.h * s.w + s.p * s.q * 4) * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) plane(e, e / s.c);
  });
}

template <class T> void gridSample(T* y, const T* x, const T* grid, const GridSize& s) {
  const Places<T> places(grid, s);
  const int64_t pq = s.p * s.q, each = places.each;
  gridPlanes(s, sizeof(T), [&](int64_t e, int64_t n) {
    const T* from = x + e * s.h * s.w;
    const int32_t* at = places.offset + n * pq * each;
    const T* weight = places.weight + n * pq * each;
    for (int64_t i = 0; i < pq; i++) {
      T sum = 0;
      for (int64_t k = 0; k < each; k++, at++, weight++)
        if (*at >= 0) sum += *weight * from[*at];
      y[e * pq + i] = sum;
    }
  });
}
KERNEL(gridSample)

template <class T> void gridSampleGradX(T* dx, const T* dy, const T* grid, const GridSize& s) {
  const Places<T> places(grid, s);
  const int64_t pq = s.p * s.q, each = places.each;
  gridPlanes(s, sizeof(T), [&](int64_t e, int64_t n) {
    T* to = dx + e * s.h * s.w;
    memset(to, 0, size_t(s.h * s.w) * sizeof(T));
    const int32_t* at = places.offset + n * pq * each;
    const T* weight = places.weight + n * pq * each;
    for (int64_t i = 0; i < pq; i++)
      for (int64_t k = 0; k < each; k++, at++, weight++)
        if (*at >= 0) to[*at] += *weight * dy[e * pq + i];
  });
}
KERNEL(gridSampleGradX)

// dgrid = sum over channels and taps of dy x d(weight)/d(grid)
template <class T> void gridSampleGradGrid(T* dgrid, const T* dy, const T* x, const T* grid, const GridSize& s) {
  const int64_t pq = s.p * s.q, hw = s.h * s.w;
  const int taps = tapCount(s);
  parallel(s.n * pq, grainOf(s.c * taps * taps * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t n = i / pq;
      const AxisTaps across = tapsOf(double(grid[2 * i]), s.w, s), down = tapsOf(double(grid[2 * i + 1]), s.h, s);
      double gx = 0, gy = 0;
      for (int a = 0; a < taps; a++)
        for (int b = 0; b < taps; b++) {
          if (down.at[a] < 0 || across.at[b] < 0) continue;
          const T* from = x + n * s.c * hw + down.at[a] * s.w + across.at[b];
          const T* g = dy + n * s.c * pq + i % pq;
          double sum = 0;
          for (int64_t c = 0; c < s.c; c++) sum += double(from[c * hw]) * double(g[c * pq]);
          gx += sum * down.weight[a] * across.slope[b];
          gy += sum * down.slope[a] * across.weight[b];
        }
      dgrid[2 * i] = T(gx), dgrid[2 * i + 1] = T(gy);
    }
  });
}
KERNEL(gridSampleGradGrid)

} // namespace napier::ISA
