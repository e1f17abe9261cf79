// The transforms of Winograd's convolution F(M x M, 3 x 3), and pictures as vectors over channels.
//
// A tile of M x M results needs a patch of A x A, A = M + 2, and as many products as the patch has elements:
//   y  = out( filter(w) . input(x) )        A^2 products for M^2 results of 9 taps: 4/9 of them for M = 2, 1/4 for M = 4
//   dw = taps( gradient(dy) . input(x) )    the same with M x M of dy for the filter and 3 x 3 taps for the results
// Every transform is one on a line, applied to the columns and then to the rows. They come from polynomials through
// points (Toom and Cook): 0, 1, -1 and infinity for M = 2; 0, +-3/4, +-3/2 and infinity for M = 4. With these, which
// are exact in binary, the error is a half (largest: a quarter) of that with the usual 0, +-1, +-2.
//
// Lavin & Gray, "Fast Algorithms for Convolutional Neural Networks" (2016); Barabasz et al., "Error Analysis and
// Improving the Accuracy of Winograd Convolution for Deep Neural Networks" (2020).
#pragma once
#include "gemm_kernel.h"

namespace napier::ISA {

template <int M> struct WinogradLine;

template <> struct WinogradLine<2> {
  template <class V> static INLINE void input(V (&v)[4], const V (&d)[4]) {
    v[0] = d[0] - d[2], v[1] = d[1] + d[2], v[2] = d[2] - d[1], v[3] = d[1] - d[3];
  }
  template <class V> static INLINE void filter(V (&u)[4], const V (&g)[3]) {
    V even = g[0] + g[2];
    u[0] = g[0], u[1] = (even + g[1]) * 0.5f, u[2] = (even - g[1]) * 0.5f, u[3] = g[2];
  }
  template <class V> static INLINE void out(V (&y)[2], const V (&m)[4]) {
    y[0] = m[0] + m[1] + m[2], y[1] = m[1] - m[2] - m[3];
  }
  template <class V> static INLINE void gradient(V (&u)[4], const V (&dy)[2]) {
    u[0] = dy[0], u[1] = (dy[0] + dy[1]) * 0.5f, u[2] = (dy[0] - dy[1]) * 0.5f, u[3] = dy[1];
  }
  template <class V> static INLINE void taps(V (&g)[3], const V (&m)[4]) {
    g[0] = m[0] + m[1] + m[2], g[1] = m[1] - m[2], g[2] = m[1] + m[2] - m[3];
  }
};

template <> struct WinogradLine<4> {
  static constexpr float a = 0.75f, b = 1.5f, a2 = a * a, b2 = b * b;
  // The rows of the filter's matrix over N: the product of the point's distances to the other points.
  static constexpr float n0 = 1 / (a2 * b2), na = 1 / (2 * a2 * (a2 - b2)), nb = 1 / (2 * b2 * (b2 - a2));
  // c x + y
  template <class V> static INLINE V fmaBy(float c, V x, V y) { return fma(splat(c), x, y); }

  template <class V> static INLINE void input(V (&v)[6], const V (&d)[6]) {
    V evenA = fmaBy(-b2, d[2], d[4]), oddA = fmaBy(-b2, d[1], d[3]);
    V evenB = fmaBy(-a2, d[2], d[4]), oddB = fmaBy(-a2, d[1], d[3]);
    v[0] = fmaBy(a2 * b2, d[0], fmaBy(-(a2 + b2), d[2], d[4]));
    v[1] = fmaBy(a, oddA, evenA), v[2] = fmaBy(-a, oddA, evenA);
    v[3] = fmaBy(b, oddB, evenB), v[4] = fmaBy(-b, oddB, evenB);
    v[5] = fmaBy(a2 * b2, d[1], fmaBy(-(a2 + b2), d[3], d[5]));
  }
  template <class V> static INLINE void filter(V (&u)[6], const V (&g)[3]) {
    V evenA = fmaBy(a2 * na, g[2], g[0] * na), oddA = g[1] * (a * na);
    V evenB = fmaBy(b2 * nb, g[2], g[0] * nb), oddB = g[1] * (b * nb);
    u[0] = g[0] * n0, u[1] = evenA + oddA, u[2] = evenA - oddA, u[3] = evenB + oddB, u[4] = evenB - oddB, u[5] = g[2];
  }
  template <class V> static INLINE void out(V (&y)[4], const V (&m)[6]) {
    V sumA = m[1] + m[2], differenceA = m[1] - m[2], sumB = m[3] + m[4], differenceB = m[3] - m[4];
    y[0] = m[0] + sumA + sumB;
    y[1] = fmaBy(a, differenceA, differenceB * b);
    y[2] = fmaBy(a2, sumA, sumB * b2);
    y[3] = fmaBy(a * a2, differenceA, fmaBy(b * b2, differenceB, m[5]));
  }
  template <class V> static INLINE void gradient(V (&u)[6], const V (&dy)[4]) {
    V evenA = fmaBy(a2 * na, dy[2], dy[0] * na), oddA = fmaBy(a * a2 * na, dy[3], dy[1] * (a * na));
    V evenB = fmaBy(b2 * nb, dy[2], dy[0] * nb), oddB = fmaBy(b * b2 * nb, dy[3], dy[1] * (b * nb));
    u[0] = dy[0] * n0, u[1] = evenA + oddA, u[2] = evenA - oddA, u[3] = evenB + oddB, u[4] = evenB - oddB, u[5] = dy[3];
  }
  template <class V> static INLINE void taps(V (&g)[3], const V (&m)[6]) {
    V sumA = m[1] + m[2], differenceA = m[1] - m[2], sumB = m[3] + m[4], differenceB = m[3] - m[4];
    g[0] = m[0] + sumA + sumB;
    g[1] = fmaBy(a, differenceA, differenceB * b);
    g[2] = fmaBy(a2, sumA, fmaBy(b2, sumB, m[5]));
  }
};

// out = line in line^T: `load(i, j)` the element of the input, `store(i, j, value)` that of the result.
template <int I, int O, class V, class Line, class Load, class Store>
INLINE void onBothSides(const Line& line, const Load& load, const Store& store) {
  V half[O][I];
#pragma GCC unroll 8
  for (int j = 0; j < I; j++) {
    V column[I], result[O];
#pragma GCC unroll 8
    for (int i = 0; i < I; i++) column[i] = load(i, j);
    line(result, column);
#pragma GCC unroll 8
    for (int i = 0; i < O; i++) half[i][j] = result[i];
  }
#pragma GCC unroll 8
  for (int i = 0; i < O; i++) {
    V result[O];
    line(result, half[i]);
#pragma GCC unroll 8
    for (int j = 0; j < O; j++) store(i, j, result[j]);
  }
}

// ---- Planes as vectors over channels: pixel (y, x) of a stage is one vector of W channels

// count pixels, beside each other in each of `lanes` planes (`plane` elements apart), as vectors: `line` of them beside
// each other at `to`, then `gap` elements are left out.
template <class T>
INLINE void gatherPixels(T* to, int64_t line, int64_t gap, const T* x, int64_t plane, int64_t lanes, int64_t count) {
  constexpr int64_t W = width<T>;
  int64_t at = 0;
  for (int64_t k = 0; k < count; k += W) {
    int64_t n = min(W, count - k);
    Vec<T> block[W];
    if (lanes == W && n == W)
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) block[i] = load(x + i * plane + k);
    else
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) block[i] = i < lanes ? loadPart(x + i * plane + k, n) : Vec<T>{};
    transpose<T>(block);
    if (n == W && at + W < line) {
#pragma GCC unroll 16
      for (int64_t e = 0; e < W; e++) store(to + e * W, block[e]);
      to += W * W, at += W;
    } else
#pragma GCC unroll 16
      for (int64_t e = 0; e < W; e++)
        if (e < n) {
          store(to, block[e]);
          to += W;
          if (++at == line) at = 0, to += gap;
        }
  }
}

// The reverse: vectors, `line` of them beside each other, to count pixels of `lanes` planes.
template <class T>
INLINE void scatterPixels(T* y, int64_t plane, int64_t lanes, int64_t count, const T* from, int64_t line, int64_t gap) {
  constexpr int64_t W = width<T>;
  int64_t at = 0;
  for (int64_t k = 0; k < count; k += W) {
    int64_t n = min(W, count - k);
    Vec<T> block[W];
    if (n == W && at + W < line) {
#pragma GCC unroll 16
      for (int64_t e = 0; e < W; e++) block[e] = load(from + e * W);
      from += W * W, at += W;
    } else
#pragma GCC unroll 16
      for (int64_t e = 0; e < W; e++) {
        block[e] = e < n ? load(from) : Vec<T>{};
        if (e < n) {
          from += W;
          if (++at == line) at = 0, from += gap;
        }
      }
    transpose<T>(block);
    if (lanes == W && n == W)
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) store(y + i * plane + k, block[i]);
    else
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++)
        if (i < lanes) storePart(y + i * plane + k, block[i], n);
  }
}

// Rows y0 to y0 + rows and columns x0 to x0 + cols of planes [h, w], with zeros outside them: [rows][cols] vectors.
template <class T>
INLINE void stagePixels(T* stage, const T* x, int64_t lanes, int64_t h, int64_t w, int64_t y0, int64_t rows, int64_t x0,
                        int64_t cols) {
  constexpr int64_t W = width<T>;
  int64_t top = max(0, -y0), bottom = max(top, min(rows, h - y0));
  int64_t left = max(0, -x0), right = max(left, min(cols, w - x0));
  memset(stage, 0, size_t(top * cols * W) * sizeof(T));
  memset(stage + bottom * cols * W, 0, size_t((rows - bottom) * cols * W) * sizeof(T));
  for (int64_t i = top; i < bottom; i++) {
    memset(stage + i * cols * W, 0, size_t(left * W) * sizeof(T));
    memset(stage + (i * cols + right) * W, 0, size_t((cols - right) * W) * sizeof(T));
  }
  const T* from = x + (y0 + top) * w + x0 + left;
  T* to = stage + (top * cols + left) * W;
  int64_t run = right - left;
  if (run == w) gatherPixels(to, w, (cols - w) * W, from, h * w, lanes, (bottom - top) * w); // rows run on
  else
    for (int64_t i = top; i < bottom; i++, to += cols * W, from += w) gatherPixels(to, run, 0, from, h * w, lanes, run);
}

} // namespace napier::ISA
