// Depthwise convolutions: r s multiply-adds for each result, on one plane. x + y is what they must read and write.
//
// A strip of rows of a plane is staged in L1 with its zero border, the columns of each phase of the stride beside each
// other. Then a tile of rows by vectors stays in registers over all taps: a tap is one broadcast weight, and one load a
// multiply-add, without conditions.
//
//   y   the weights over x; o / c results from each plane
//   dx  the weights, turned by half a turn, over dy with strideH - 1 and strideW - 1 zeros between its elements
//   dw  dy by x, up to 9 taps at once, summed by whole vectors over a strip; strips and pictures added in order
#pragma once
#include "conv2d_stem.h"

namespace napier::ISA {

template <class T> struct Depthwise {
  int64_t h, w, upH, upW; // the plane that is read, and how far apart its elements stand
  int64_t p, q;           // the plane of results
  int64_t r, s, strideH, strideW, padH, padW, dilationH, dilationW; // pads may be negative: cropping
  int64_t across, slot, pitch;                                      // phases of a staged line, elements of one, of all
  int64_t rows;                                                     // results of a strip

  INLINE explicit Depthwise(const Conv2dSize& d)
      : Depthwise(d, d.h, d.w, 1, 1, d.p(), d.q(), d.strideH, d.strideW, d.padH, d.padW) {}
  // Of the convolution of dy whose result is dx.
  INLINE static Depthwise ofX(const Conv2dSize& d) {
    return Depthwise(d, d.p(), d.q(), d.strideH, d.strideW, d.h, d.w, 1, 1, (d.r - 1) * d.dilationH - d.padH,
                     (d.s - 1) * d.dilationW - d.padW);
  }

  INLINE int64_t lines(int64_t rows) const { return (rows - 1) * strideH + (r - 1) * dilationH + 1; }
  INLINE int64_t size() const { return lines(rows) * pitch + 2 * width<T>; } // vectors run over
  // Whether the stage is small beside what is made of it: it is not with windows that are mostly holes. Strides, pads and
  // dilations go to 2^30, so that both factors may be above 2^32: as an int64_t their product would wrap.
  INLINE bool worthwhile() const {
    const double staged = double(lines(rows)) * double(pitch);
    return staged <= 1 << 20 && staged <= 8.0 * double(rows * q) * double(strideH * strideW);
  }
  INLINE int64_t strips() const { return ceilDiv(p, rows); }
  INLINE int64_t place(int64_t tap) const {
    int64_t right = tap % s * dilationW;
    return tap / s * dilationH * pitch + right % across * slot + right / across;
  }

  // Stages what the results from row p0 on need of a plane.
  INLINE void stage(T* to, const T* plane, int64_t p0) const {
    int64_t count = lines(min(rows, p - p0)), y = p0 * strideH - padH;
    for (int64_t t = 0; t < count; t++, y++, to += pitch) {
      bool inside = y >= 0 && y <= (h - 1) * upH && y % upH == 0;
      if (inside && upW == 1) stageLine(to, plane + y / upH * w, w, padW, strideW, across, slot);
      else memset(to, 0, size_t(pitch) * sizeof(T));
      if (inside && upW > 1) {
        const T* from = plane + y / upH * w;
        int64_t last = pitch - 1 - padW, until = last < 0 ? 0 : min(w, last / upW + 1);
        for (int64_t e = max(0, ceilDiv(-padW, upW)); e < until; e++) to[e * upW + padW] = from[e];
      }
    }
    memset(to, 0, 2 * sizeof(Vec<T>));
  }

private:
  INLINE Depthwise(const Conv2dSize& d, int64_t h, int64_t w, int64_t upH, int64_t upW, int64_t p, int64_t q,
                   int64_t strideH, int64_t strideW, int64_t padH, int64_t padW)
      : h(h), w(w), upH(upH), upW(upW), p(p), q(q), r(d.r), s(d.s), strideH(strideH), strideW(strideW), padH(padH),
        padW(padW), dilationH(d.dilationH), dilationW(d.dilationW), across(d.s == 1 ? 1 : strideW),
        slot(q + (d.s - 1) * d.dilationW / across), pitch(across * slot) {
    // 24 KB of stage, but 8 rows for its halo.
    int64_t most = max(8, (24576 / int64_t(sizeof(T)) / pitch - (r - 1) * dilationH) / strideH);
    rows = evenPiece(p, most, 4);
  }
};

// y[R, count] = bias (or y) + sum over taps of w[k] x[places[k] + .], rows of x `step` apart, count in V vectors.
template <class T, int R, int V>
[[gnu::noinline]] static void depthwiseTile(int64_t taps, const T* w, const T* x, const int64_t* places, int64_t step,
                                            T* y, int64_t ldy, T bias, T least, bool add, int64_t count) {
  constexpr int W = width<T>;
  bool whole = count == V * W;
  Vec<T> acc[R][V];
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++)
      if (!add) acc[i][v] = splat(bias);
      else if (v < V - 1 || whole) acc[i][v] = load(y + i * ldy + v * W);
      else acc[i][v] = loadPart(y + i * ldy + v * W, count - v * W);
  for (int64_t k = 0; k < taps; k++) {
    Vec<T> wk = splat(w[k]);
    const T* from = x + places[k];
#pragma GCC unroll 4
    for (int i = 0; i < R; i++)
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) acc[i][v] = fma(wk, load(from + i * step + v * W), acc[i][v]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++)
      if (Vec<T> result = vmax(splat(least), acc[i][v]); v < V - 1 || whole) store(y + i * ldy + v * W, result);
      else storePart(y + i * ldy + v * W, result, count - v * W);
}

// A strip of results from its stage.
template <class T>
INLINE void depthwiseStrip(const Depthwise<T>& d, const T* staged, const int64_t* places, const T* w, T* y,
                           int64_t rows, T bias, T least, bool add) {
  constexpr int W = width<T>;
  using Tile = void (*)(int64_t, const T*, const T*, const int64_t*, int64_t, T*, int64_t, T, T, bool, int64_t);
  static constexpr Tile tiles[4][2] = {{&depthwiseTile<T, 1, 1>, &depthwiseTile<T, 1, 2>},
                                       {&depthwiseTile<T, 2, 1>, &depthwiseTile<T, 2, 2>},
                                       {&depthwiseTile<T, 3, 1>, &depthwiseTile<T, 3, 2>},
                                       {&depthwiseTile<T, 4, 1>, &depthwiseTile<T, 4, 2>}};
  int64_t step = d.strideH * d.pitch;
  for (int64_t i = 0; i < rows; i += 4)
    for (int64_t j = 0; j < d.q; j += 2 * W) {
      int64_t count = min(2 * W, d.q - j);
      tiles[min(4, rows - i) - 1][count > W](d.r * d.s, w, staged + i * step + j, places, step, y + i * d.q + j, d.q,
                                             bias, least, add, count);
    }
}

// y[planes, p, q] from `sources` planes each of x [planes, sources, h, w] (dx), or `results` of them from each (y): one
// of the two is 1. The weights of plane k stand at w + k % channels * r s, k over sources and results.
template <class T>
INLINE void depthwise(T* y, const T* x, const T* w, const T* b, T least, const Depthwise<T>& d, int64_t planes, int64_t channels,
                      int64_t sources, int64_t results, bool turned) {
  int64_t rs = d.r * d.s, pq = d.p * d.q, hw = d.h * d.w, strips = d.strips();
  Scratch<int64_t> places(rs);
  for (int64_t k = 0; k < rs; k++) places[k] = d.place(turned ? rs - 1 - k : k);
  double macs = double(d.rows * d.q) * double(rs * sources * results);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(planes * strips, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> staged(d.size());
    for (int64_t e = begin; e < end; e++) {
      int64_t plane = e / strips, p0 = e % strips * d.rows, rows = min(d.rows, d.p - p0), c = plane % channels;
      for (int64_t f = 0; f < sources; f++) {
        d.stage(staged, x + (plane * sources + f) * hw, p0);
        for (int64_t g = 0; g < results; g++) {
          int64_t k = c * sources * results + f + g;
          depthwiseStrip<T>(d, staged, places, w + k * rs, y + (plane * results + g) * pq + p0 * d.q, rows,
                            b ? b[k] : T(0), least, f > 0);
        }
      }
    }
  });
}

template <class T> static void conv2dDepthwise(T* y, const T* x, const T* w, const T* b, T least, const Conv2dSize& d) {
  depthwise<T>(y, x, w, b, least, Depthwise<T>(d), d.n * d.c, d.c, 1, d.o / d.c, false);
}
template <class T> static void conv2dGradXDepthwise(T* dx, const T* dy, const T* w, const Conv2dSize& d) {
  depthwise<T>(dx, dy, w, nullptr, leastOf<T>(false), Depthwise<T>::ofX(d), d.n * d.c, d.c, d.o / d.c, 1, true);
}

// ---- Weight gradient

constexpr int depthwiseTaps = 9; // 3 x 3 at once

// sums[K] += dy[rows, q] by the staged elements of K taps.
template <class T, int K>
[[gnu::noinline]] static void depthwiseGradTile(int64_t rows, int64_t q, const T* dy, const T* x, int64_t step,
                                                const int64_t* places, T* sums) {
  constexpr int W = width<T>;
  Vec<T> acc[K];
  const T* from[K];
#pragma GCC unroll 16
  for (int k = 0; k < K; k++) acc[k] = Vec<T>{}, from[k] = x + places[k];
  int64_t whole = q / W * W, rest = q - whole;
  for (int64_t i = 0; i < rows; i++, dy += q) {
    for (int64_t j = 0; j < whole; j += W) {
      Vec<T> g = load(dy + j);
#pragma GCC unroll 16
      for (int k = 0; k < K; k++) acc[k] = fma(g, load(from[k] + i * step + j), acc[k]);
    }
    if (rest) {
      Vec<T> g = loadPart(dy + whole, rest);
#pragma GCC unroll 16
      for (int k = 0; k < K; k++) acc[k] = fma(g, loadPart(from[k] + i * step + whole, rest), acc[k]);
    }
  }
  T lanes[roundUp(K, W)];
  foldLanes<T, K>(acc);
#pragma GCC unroll 16
  for (int v = 0; v * W < K; v++) store(lanes + v * W, acc[v]);
  for (int k = 0; k < K; k++) sums[k] += lanes[k];
}

template <class T> static void conv2dGradWDepthwise(T* dw, const T* dy, const T* x, const Conv2dSize& size) {
  using Tile = void (*)(int64_t, int64_t, const T*, const T*, int64_t, const int64_t*, T*);
  static constexpr Tile tiles[depthwiseTaps] = {
      &depthwiseGradTile<T, 1>, &depthwiseGradTile<T, 2>, &depthwiseGradTile<T, 3>,
      &depthwiseGradTile<T, 4>, &depthwiseGradTile<T, 5>, &depthwiseGradTile<T, 6>,
      &depthwiseGradTile<T, 7>, &depthwiseGradTile<T, 8>, &depthwiseGradTile<T, 9>};
  Depthwise<T> d(size);
  int64_t rs = d.r * d.s, pq = d.p * d.q, og = size.o / size.c, piece = evenPiece(rs, depthwiseTaps, 1);
  Scratch<int64_t> places(rs);
  for (int64_t k = 0; k < rs; k++) places[k] = d.place(k);
  double macs = double(size.n * pq) * double(rs * og);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(size.c, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> staged(d.size());
    for (int64_t c = begin; c < end; c++) {
      T* sums = dw + c * og * rs;
      memset(sums, 0, size_t(og * rs) * sizeof(T));
      for (int64_t n = 0; n < size.n; n++)
        for (int64_t p0 = 0; p0 < d.p; p0 += d.rows) {
          d.stage(staged, x + (n * size.c + c) * d.h * d.w, p0);
          for (int64_t g = 0; g < og; g++)
            for (int64_t k = 0; k < rs; k += piece)
              tiles[min(piece, rs - k) - 1](min(d.rows, d.p - p0), d.q, dy + (n * size.o + c * og + g) * pq + p0 * d.q,
                                            staged, d.strideH * d.pitch, places + k, sums + g * rs + k);
        }
    }
  });
}

} // namespace napier::ISA
