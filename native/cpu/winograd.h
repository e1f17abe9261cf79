// Winograd's convolution F(M x M, 3 x 3) of pictures [n, c, h, w], stride 1, padding 0 to 2: forward (also the input
// gradient, whose weights are rotated) and weight gradient. In vectors over channels, so that pictures of any extent
// fill them: pixels are transposed on their way in and out (winograd_tile.h), everything between stands tile by tile.
//
//   y   v[pos] = input(x)  [tiles, c]     m[pos] = v[pos] u[pos]        A^2 products of matrices, pos in 0 to A^2
//       u[pos] = filter(w) [c, o]         y = out(m)                    m: [tiles, o]
//   dw  v[pos] as above, d[pos] = gradient(dy) [tiles, o], sum[pos] += v[pos]^T d[pos] [c, o], dw = taps(sum)
//
// Forward with more tiles than weights: u once, then blocks of tiles in parallel, v and m of a block in L2. With more
// weights than tiles: v once, then panels of u in parallel, made, used and forgotten. The weight gradient walks blocks
// of tiles, v and d in L3, in each block products in parallel over c and o. The cuts follow from the sizes alone.
#pragma once
#include "gemm.h"
#include "winograd_tile.h"

namespace napier::ISA {

// A convolution of one group.
struct WinogradSize {
  int64_t n, c, h, w, o, p, q, padH, padW;
  int64_t xPicture, yPicture; // elements from one picture to the next
};

// The tiles of a batch, picture by picture, row by row; a region is some rows of tiles of one picture.
template <int M> struct WinogradTiles {
  int64_t rows, cols;             // tiles of a picture
  int64_t high, regionsOfPicture; // rows of a region
  int64_t regions;
  INLINE explicit WinogradTiles(const WinogradSize& d) : rows(ceilDiv(d.p, M)), cols(ceilDiv(d.q, M)) {
    int64_t most = max(1, min(rows, 32 / cols));
    regionsOfPicture = ceilDiv(rows, most);
    high = ceilDiv(rows, regionsOfPicture);
    regionsOfPicture = ceilDiv(rows, high);
    regions = d.n * regionsOfPicture;
  }
  INLINE int64_t picture(int64_t region) const { return region / regionsOfPicture; }
  INLINE int64_t row(int64_t region) const { return region % regionsOfPicture * high; }
  INLINE int64_t rowsOf(int64_t region) const { return min(high, rows - row(region)); }
  INLINE int64_t before(int64_t region) const { return (picture(region) * rows + row(region)) * cols; }
  INLINE int64_t all() const { return before(regions); }
  // Elements of a stage, of pixels with the patches' overlap.
  template <class T> INLINE int64_t stage() const { return (high * M + 2) * (cols * M + 2) * width<T>; }
  // Regions that make about `wanted` tiles, evenly.
  INLINE int64_t blockOf(int64_t wanted) const {
    int64_t most = max(1, min(regions, wanted / (high * cols)));
    return regions == 0 ? 1 : ceilDiv(regions, ceilDiv(regions, most));
  }
};

// Planes are apart by no multiple of 4 KB: A^2 stores, one a plane, would meet in one set of L1.
template <class T> INLINE int64_t planeOf(int64_t n) { return n + (n * int64_t(sizeof(T)) % 4096 ? 0 : width<T>); }
template <class T> INLINE int64_t rowOf(int64_t n) {
  int64_t row = roundUp(n, width<T>);
  return row * int64_t(sizeof(T)) % 512 ? row : row + width<T>;
}

// v[pos][tile][c] of one region, channels from c0 to c1; tiles from `tile` on.
template <int M, class T>
INLINE void winogradInput(T* v, int64_t plane, int64_t row, int64_t tile, const T* x, const WinogradSize& d,
                          const WinogradTiles<M>& t, int64_t region, int64_t c0, int64_t c1, T* stage) {
  constexpr int64_t W = width<T>, A = M + 2;
  int64_t top = t.row(region), high = t.rowsOf(region), cols = t.cols * M + 2;
  const T* planes = x + t.picture(region) * d.xPicture;
  for (int64_t c = c0; c < c1; c += W) {
    stagePixels(stage, planes + c * d.h * d.w, min(W, c1 - c), d.h, d.w, top * M - d.padH, high * M + 2, -d.padW, cols);
    T* to = v + tile * row + c;
    for (int64_t i = 0; i < high; i++)
      for (int64_t j = 0; j < t.cols; j++, to += row) {
        const T* patch = stage + (i * M * cols + j * M) * W;
        onBothSides<A, A, Vec<T>>([](auto& v, const auto& d) __attribute__((always_inline)) { WinogradLine<M>::input(v, d); },
                                  [&](int y, int x) __attribute__((always_inline)) { return load(patch + (y * cols + x) * W); },
                                  [&](int y, int x, Vec<T> e) __attribute__((always_inline)) { store(to + (y * A + x) * plane, e); });
      }
  }
}

// The weights [o, c, 3, 3] as operand u of the forward pass, or, rotated by half a turn, of the input gradient, where
// the sums are over their o.
template <int M, class T, bool rotated> struct WinogradFilter {
  const T* w;
  int64_t c, o; // of the products: summed over, and results

  // u[pos][k - k0][panelCols] for one panel, columns from j on, and k0 to k1.
  INLINE void panel(T* u, int64_t plane, int64_t j, int64_t k0, int64_t k1) const {
    constexpr int64_t W = width<T>, A = M + 2, most = 32;
    alignas(64) T taps[most * 9 * W];
    for (int64_t lane = 0; lane < panelCols<T> && j + lane < o; lane += W)
      for (int64_t k = k0; k < k1; k += most) {
        int64_t first = j + lane, lanes = min(W, o - first), until = min(k1, k + most);
        if constexpr (rotated)
          for (int64_t e = k; e < until; e++)
            gatherPixels(taps + (e - k) * 9 * W, 9, 0, w + (e * o + first) * 9, 9, lanes, 9);
        else
          gatherPixels(taps, INT64_MAX, 0, w + (first * c + k) * 9, c * 9, lanes, (until - k) * 9);
        for (int64_t e = k; e < until; e++) {
          const T* own = taps + (e - k) * 9 * W;
          T* to = u + (e - k0) * panelCols<T> + lane;
          onBothSides<3, A, Vec<T>>(
              [](auto& u, const auto& g) __attribute__((always_inline)) { WinogradLine<M>::filter(u, g); },
              [&](int r, int s) __attribute__((always_inline)) { return load(own + (rotated ? 8 - r * 3 - s : r * 3 + s) * W); },
              [&](int y, int x, Vec<T> e) __attribute__((always_inline)) { store(to + (y * A + x) * plane, e); });
        }
      }
  }
};

// y of the tiles of regions e0 to e1 and of o0 to o1, from v (whose first tile is `tile`) and panels of u from o0 on.
template <int M, class T>
INLINE void winogradOutput(T* y, const T* bias, T least, const T* v, int64_t planeV, int64_t rowV, int64_t tile, const T* u,
                           int64_t planeU, int64_t o0, int64_t o1, const WinogradSize& d, const WinogradTiles<M>& t,
                           int64_t e0, int64_t e1) {
  constexpr int64_t W = width<T>, A = M + 2;
  int64_t tiles = t.before(e1) - t.before(e0), first = t.before(e0) - tile, wide = roundUp(o1 - o0, panelCols<T>);
  int64_t rowM = rowOf<T>(o1 - o0), planeM = planeOf<T>(tiles * rowM), step = depthOf<T>(d.c);
  Scratch<T> m(A * A * planeM), stage(t.template stage<T>());
  for (int64_t pos = 0; pos < A * A; pos++)
    for (int64_t k = 0; k < d.c; k += step) {
      int64_t depth = min(step, d.c - k);
      macro<T, Along::rows>(0, tiles, 0, roundUp(o1 - o0, W), depth, v + pos * planeV + first * rowV + k,
                            panelRows * rowV, rowV, u + pos * planeU + k * wide, panelCols<T> * depth,
                            Target<T>{m + pos * planeM, rowM}, k == 0);
    }
  int64_t cols = t.cols * M;
  const T* from = m;
  for (int64_t e = e0; e < e1; e++) {
    int64_t high = t.rowsOf(e), top = t.row(e) * M;
    for (int64_t o = o0; o < o1; o += W) {
      int64_t lanes = min(W, o1 - o);
      Vec<T> b = bias ? loadPart(bias + o, lanes) : Vec<T>{};
      const T* own = from + (o - o0);
      for (int64_t i = 0; i < high; i++)
        for (int64_t j = 0; j < t.cols; j++, own += rowM) {
          T* to = stage + (i * M * cols + j * M) * W;
          onBothSides<A, M, Vec<T>>(
              [](auto& y, const auto& m) __attribute__((always_inline)) { WinogradLine<M>::out(y, m); },
              [&](int y, int x) __attribute__((always_inline)) { return load(own + (y * A + x) * planeM); },
              [&](int y, int x, Vec<T> e) __attribute__((always_inline)) { store(to + (y * cols + x) * W, vmax(splat(least), e + b)); });
        }
      scatterPixels(y + t.picture(e) * d.yPicture + o * d.p * d.q + top * d.q, d.p * d.q, lanes,
                    min(high * M, d.p - top) * d.q, stage.data, d.q, (cols - d.q) * W);
    }
    from += high * t.cols * rowM;
  }
}

// Elements of v and u that may be had at once, 16 MB.
template <class T> constexpr int64_t winogradMost = (int64_t(1) << 24) / int64_t(sizeof(T));

template <int M, class T, bool rotated>
static void winograd(T* y, const T* x, const T* w, const T* bias, T least, const WinogradSize& d) {
  constexpr int64_t A = M + 2;
  WinogradTiles<M> t(d);
  WinogradFilter<M, T, rotated> filter{w, d.c, d.o};
  int64_t wide = roundUp(d.o, panelCols<T>), panels = wide / panelCols<T>, rowV = rowOf<T>(d.c);
  int64_t planeU = planeOf<T>(d.c * wide), step = depthOf<T>(d.c);
  if (A * A * planeU <= winogradMost<T> && t.all() > d.o) {
    Scratch<T> u(A * A * planeU);
    int64_t pieces = ceilDiv(d.c, step);
    parallel(panels * pieces, grainOf(A * A * step * panelCols<T> * int64_t(sizeof(T)) / 4), [&](int64_t begin, int64_t end) {
      for (int64_t e = begin; e < end; e++) {
        int64_t j = e % panels, k = e / panels * step, depth = min(step, d.c - k);
        filter.panel(u + k * wide + j * panelCols<T> * depth, planeU, j * panelCols<T>, k, k + depth);
      }
    });
    // v and m in some 600 KB, but enough tiles to make u worth reading.
    int64_t block = t.blockOf(max(40, 150'000 / (A * A * (d.c + d.o))));
    parallel(ceilDiv(t.regions, block), 1, [&](int64_t begin, int64_t end) {
      int64_t planeV = planeOf<T>(block * t.high * t.cols * rowV);
      Scratch<T> v(A * A * planeV), stage(t.template stage<T>());
      for (int64_t b = begin; b < end; b++) {
        int64_t e0 = b * block, e1 = min(t.regions, e0 + block);
        for (int64_t e = e0; e < e1; e++)
          winogradInput<M>(v.data, planeV, rowV, t.before(e) - t.before(e0), x, d, t, e, 0, d.c, stage.data);
        winogradOutput<M>(y, bias, least, v.data, planeV, rowV, t.before(e0), u.data, planeU, 0, d.o, d, t, e0, e1);
      }
    });
    return;
  }
  int64_t block = t.blockOf(max(64, winogradMost<T> / (A * A * rowV)));
  for (int64_t e0 = 0; e0 < t.regions; e0 += block) {
    int64_t e1 = min(t.regions, e0 + block), blocks = ceilDiv(d.c, 64);
    int64_t planeV = planeOf<T>((t.before(e1) - t.before(e0)) * rowV);
    Scratch<T> v(A * A * planeV);
    parallel((e1 - e0) * blocks, 1, [&](int64_t begin, int64_t end) {
      Scratch<T> stage(t.template stage<T>());
      for (int64_t e = begin; e < end; e++) {
        int64_t region = e0 + e / blocks, c = e % blocks * 64;
        winogradInput<M>(v.data, planeV, rowV, t.before(region) - t.before(e0), x, d, t, region, c, min(d.c, c + 64),
                         stage.data);
      }
    });
    parallel(panels, 1, [&](int64_t begin, int64_t end) {
      int64_t plane = planeOf<T>(d.c * panelCols<T>);
      Scratch<T> u(A * A * plane);
      for (int64_t j = begin * panelCols<T>; j < end * panelCols<T>; j += panelCols<T>) {
        for (int64_t k = 0; k < d.c; k += step)
          filter.panel(u + k * panelCols<T>, plane, j, k, min(d.c, k + step));
        int64_t some = t.blockOf(128);
        for (int64_t e = e0; e < e1; e += some)
          winogradOutput<M>(y, bias, least, v.data, planeV, rowV, t.before(e0), u.data, plane, j, min(d.o, j + panelCols<T>),
                            d, t, e, min(e1, e + some));
      }
    });
  }
}

// d[pos][panel][tile][panelCols] of one region, from dy; `tiles` of a panel.
template <int M, class T>
INLINE void winogradGradient(T* to, int64_t plane, int64_t tiles, int64_t tile, const T* dy, const WinogradSize& d,
                             const WinogradTiles<M>& t, int64_t region, int64_t o0, int64_t o1, T* stage) {
  constexpr int64_t W = width<T>, A = M + 2;
  int64_t top = t.row(region), high = t.rowsOf(region), cols = t.cols * M;
  const T* planes = dy + t.picture(region) * d.yPicture;
  for (int64_t o = o0; o < o1; o += W) {
    stagePixels(stage, planes + o * d.p * d.q, min(W, o1 - o), d.p, d.q, top * M, high * M, 0, cols);
    T* own = to + (o / panelCols<T> * tiles + tile) * panelCols<T> + o % panelCols<T>;
    for (int64_t i = 0; i < high; i++)
      for (int64_t j = 0; j < t.cols; j++, own += panelCols<T>) {
        const T* patch = stage + (i * M * cols + j * M) * W;
        onBothSides<M, A, Vec<T>>([](auto& u, const auto& g) __attribute__((always_inline)) { WinogradLine<M>::gradient(u, g); },
                                  [&](int y, int x) __attribute__((always_inline)) { return load(patch + (y * cols + x) * W); },
                                  [&](int y, int x, Vec<T> e) __attribute__((always_inline)) { store(own + (y * A + x) * plane, e); });
      }
  }
}

template <int M, class T> static void winogradGradW(T* dw, const T* dy, const T* x, const WinogradSize& d) {
  constexpr int64_t W = width<T>, A = M + 2;
  WinogradTiles<M> t(d);
  int64_t rowV = rowOf<T>(d.c), wide = roundUp(d.o, panelCols<T>), panels = wide / panelCols<T>;
  int64_t channels = evenPiece(d.c, 96, panelRows), blocks = ceilDiv(d.c, channels); // of x for one product
  int64_t rowS = panelCols<T>, planeS = planeOf<T>(channels * rowS);
  int64_t block = t.blockOf(max(64, winogradMost<T> / (A * A * (rowV + wide))));
  int64_t most = block * t.high * t.cols, planeV = planeOf<T>(most * rowV), planeD = planeOf<T>(most * wide);
  bool whole = block >= t.regions;
  Scratch<T> v(A * A * planeV), g(A * A * planeD), sums(whole ? 1 : panels * blocks * A * A * planeS);
  int64_t cb = ceilDiv(d.c, 64), ob = ceilDiv(d.o, 64); // 64 channels are a task of the transforms
  for (int64_t e0 = 0; e0 < t.regions; e0 += block) {
    int64_t e1 = min(t.regions, e0 + block), tiles = t.before(e1) - t.before(e0);
    parallel((e1 - e0) * (cb + ob), 1, [&](int64_t begin, int64_t end) {
      Scratch<T> stage(t.template stage<T>());
      for (int64_t e = begin; e < end; e++) {
        int64_t region = e0 + e / (cb + ob), part = e % (cb + ob), tile = t.before(region) - t.before(e0);
        if (part < cb)
          winogradInput<M>(v.data, planeV, rowV, tile, x, d, t, region, part * 64, min(d.c, part * 64 + 64), stage.data);
        else
          winogradGradient<M>(g.data, planeD, tiles, tile, dy, d, t, region, (part - cb) * 64,
                              min(d.o, (part - cb) * 64 + 64), stage.data);
      }
    });
    parallel(panels * blocks, 1, [&](int64_t begin, int64_t end) {
      Scratch<T> ownSum(whole ? A * A * planeS : 1), stage(channels * 9 * W);
      for (int64_t e = begin; e < end; e++) {
        int64_t c0 = e % blocks * channels, c1 = min(d.c, c0 + channels), o0 = e / blocks * panelCols<T>;
        int64_t o1 = min(d.o, o0 + panelCols<T>), step = depthOf<T>(tiles);
        T* sum = whole ? ownSum.data : sums + e * A * A * planeS;
        for (int64_t pos = 0; pos < A * A; pos++)
          for (int64_t k = 0; k < tiles; k += step)
            macro<T, Along::columns>(0, c1 - c0, 0, roundUp(o1 - o0, W), min(step, tiles - k),
                                     v + pos * planeV + k * rowV + c0, panelRows, rowV,
                                     g + pos * planeD + (o0 * tiles + k * panelCols<T>), 0,
                                     Target<T>{sum + pos * planeS, rowS}, e0 == 0 && k == 0);
        if (e1 < t.regions) continue;
        for (int64_t o = o0; o < o1; o += W) {
          for (int64_t c = c0; c < c1; c++) {
            const T* own = sum + (c - c0) * rowS + (o - o0);
            T* to = stage + (c - c0) * 9 * W;
            onBothSides<A, 3, Vec<T>>(
                [](auto& g, const auto& m) __attribute__((always_inline)) { WinogradLine<M>::taps(g, m); },
                [&](int y, int x) __attribute__((always_inline)) { return load(own + (y * A + x) * planeS); },
                [&](int r, int s, Vec<T> e) __attribute__((always_inline)) { store(to + (r * 3 + s) * W, e); });
          }
          scatterPixels(dw + (o * d.c + c0) * 9, d.c * 9, min(W, o1 - o), (c1 - c0) * 9, stage.data, INT64_MAX, 0);
        }
      }
    });
  }
}

} // namespace napier::ISA
