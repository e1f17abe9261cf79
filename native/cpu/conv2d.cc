// Convolution of pictures [n, c, h, w] by weights [o, c, r, s], and its gradients: 2 n o p q c r s FLOPs each.
//
//   by taps (conv2d_taps.h)     y, dx and dw where rows are long enough: shifted products, nothing packed; dx of a
//                               stride as a convolution for each class of pixels
//   y  = w . im2col(x)          [o, c r s] [c r s, n p q]: the weights packed once, columns packed by the tile that
//                               uses them, tiles along the columns, which run on from picture to picture (7 x 7 maps)
//   dx = rotated w . im2col(dy) stride 1; otherwise w^T dy, [c r s, p q] a picture, added onto dx strip by strip, which
//                               is also better for few channels: dy is then packed once and not r s times
//   dw = (im2col(x) . dy^T)^T   [c r s, n p q] [n p q, o]: both packed by the tile; parts of n p q summed in order
//
// Few channels a group (stems) have a stage of their own, for y and dw (conv2d_stem.h).
//
// 3 x 3 windows of stride 1 go by Winograd's algorithm in float32 (winograd.h), where it saves products.
//
// im2col is never stored (im2col.h). Groups are products of their own; depthwise ones go plane by plane
// (conv2d_depthwise.h), windows that are mostly holes by the definition (conv2d_direct.h). Chetlur et al., "cuDNN:
// Efficient Primitives for Deep Learning" (2014).
#include "conv2d_depthwise.h"
#include "conv2d_direct.h"
#include "conv2d_stem.h"
#include "conv2d_taps.h"
#include "gemm.h"
#include "im2col.h"
#include "winograd.h"

namespace napier::ISA {

// The tile of Winograd's algorithm, or 0: results [n, o, p, q] summed over c, with the windows of d (docs/kernels.md).
// `least`: results a channel from which on it is thought of; with few channels the transforms weigh more.
INLINE int winogradTile(const Conv2dSize& d, int64_t n, int64_t c, int64_t o, int64_t p, int64_t q, bool exact,
                        int64_t least = 48) {
  bool fits = d.r == 3 && d.s == 3 && d.strideH == 1 && d.strideW == 1 && d.dilationH == 1 && d.dilationW == 1 &&
              d.padH <= 2 && d.padW <= 2 && q <= 2048;
  if (!fits || c < 16 || o < 16 || n * p * q < max(least, c < 128 ? 96 : 48)) return 0;
  // Multiply-adds of the definition for one of the products, borders of half-filled tiles counted.
  auto gain = [&](int64_t m) {
    return 9 * double(p * q) / double(ceilDiv(p, m) * ceilDiv(q, m) * (m + 2) * (m + 2));
  };
  int best = !exact && gain(4) > 1.2 * gain(2) ? 4 : 2;
  return gain(best) >= 1.4 ? best : 0;
}

INLINE WinogradSize winogradSize(const Conv2dSize& d) {
  int64_t p = d.p(), q = d.q();
  return {d.n, d.c / d.groups, d.h, d.w, d.o / d.groups, p, q, d.padH, d.padW, d.c * d.h * d.w, d.o * p * q};
}
// Of the convolution of dy by the rotated weights whose result is dx.
INLINE WinogradSize winogradSizeOfX(const Conv2dSize& d) {
  int64_t p = d.p(), q = d.q();
  return {d.n, d.o / d.groups, p, q, d.c / d.groups, d.h, d.w, 2 - d.padH, 2 - d.padW, d.o * p * q, d.c * d.h * d.w};
}

// Elements that a block of columns may stage: 4 MB.
constexpr double stageMost = 1 << 20;

// Whether columns stage much more than they use: holes or windows so wide that the definition is better.
template <class T> INLINE bool wasteful(const Im2col<T>& columns) {
  return columns.staged(kDepth<T>) > 32.0 * double(kDepth<T>) * double(columns.r * columns.s) ||
         columns.staged(panelCols<T>) > 16 * stageMost;
}

// Few channels a group, by windows that are more than a pixel (docs/kernels.md). Asked after wasteful(), which leaves only
// stages whose extents are small enough to be multiplied.
template <class T> INLINE bool stems(const Conv2dSize& d) {
  return d.c / d.groups <= 4 && d.r * d.s > 1 && Stem<T>(d).worthwhile();
}

template <class T> INLINE Im2col<T> columnsOf(const T* x, const Conv2dSize& d) {
  int64_t picture = d.c * d.h * d.w;
  return {x,      x + d.n * picture, picture,     d.h,   d.w,  d.r, d.s, d.strideH, d.strideW, d.padH,
          d.padW, d.dilationH,       d.dilationW, d.p(), d.q()};
}

// Runs body(group) for each group: in parallel if each is little work.
template <class Body> INLINE void eachGroup(const Conv2dSize& d, const Body& body) {
  double macs = d.flops() / 2 / double(d.groups);
  if (d.groups < 8 || macs > 16 * macsWorthwhile)
    for (int64_t g = 0; g < d.groups; g++) body(g);
  else
    parallel(d.groups, 1, [&](int64_t begin, int64_t end) {
      for (int64_t g = begin; g < end; g++) body(g);
    });
}

// Results a channel up to which the weights are read where they stand: packing 9 MB of them for the 49 pixels of a single
// 7 x 7 map takes as long as the product.
constexpr int64_t unpackedMost = 256;

// Whether results [n, m, p, q], sums over k, go by taps (conv2d_taps.h): computing between the rows must cost less than
// packing columns, which is done once for m results; short sums, and 1x1 towards few channels, are sooner done by the
// GEMM.
template <class T> INLINE bool byTaps(const TapSize& t, const Strips& s, int64_t k) {
  bool apart = t.rows.reach + t.cols.reach == 0; // windows that share nothing
  if ((k < 48 && t.m > panelRows) || (apart && t.m < 32)) return false;
  return fitsStage<T>(t, s) && s.useful<T>(t) >= 1 - 10 / double(t.m);
}
// The same for the input gradient. Its other way, w^T dy, is better for few channels, and adds up more the larger the
// windows are.
template <class T> INLINE bool gradXByTaps(const Conv2dSize& d, const TapSize& t, const Strips& s) {
  int64_t rs = d.r * d.s, classes = d.strideH * d.strideW;
  if (classes == 1) return (t.m >= 12 || rs == 1 || 2 * t.m >= t.channels) && byTaps<T>(t, s, t.channels * rs);
  return d.strideH <= 2 && d.strideW <= 2 && rs >= classes && t.m >= (rs > classes ? 3 : 12) && fitsStage<T>(t, s) &&
         s.useful<T>(t) >= (rs >= 16 ? 0.75 : 0.9);
}

// c[m, columns] = a . columns: all rows in a tile as far as they are few, so that columns are packed once.
template <class T, class A>
INLINE void multiplyColumns(int64_t m, int64_t k, int64_t n, const A& a, const Im2col<T>& columns, const Target<T>& c) {
  int64_t most = 256, rows = evenPiece(m, 288, panelRows);
  while (most > panelCols<T> && columns.staged(most) > stageMost) most /= 2;
  int64_t wanted = ceilDiv(tasksWanted, ceilDiv(m, rows)); // tiles along the columns
  int64_t least = min(most, int64_t(macsWorthwhile / (double(rows) * double(k))) + 1);
  Cut cut{rows, evenPiece(n, max(least, min(most, ceilDiv(n, wanted))), panelCols<T>), 1};
  if constexpr (requires { a.at(0, 0); })
    if (n <= unpackedMost) return multiply<T, Hold::direct, Hold::local>(m, n, k, a, ColumnsB<T>{columns}, c, cut);
  multiply<T, Hold::shared, Hold::local>(m, n, k, a, ColumnsB<T>{columns}, c, cut);
}

template <class T>
void conv2d(T* y, const T* x, const T* w, const T* b, const Conv2dSize& d, int64_t exact, int64_t relu) {
  if (d.n == 0) return;
  const T least = leastOf<T>(relu);
  bool depthwise = d.groups > 1 && d.c == d.groups;
  int64_t cg = d.c / d.groups, og = d.o / d.groups, k = cg * d.r * d.s, pq = d.p() * d.q();
  if constexpr (std::is_same_v<T, float>)
    if (int tile = winogradTile(d, d.n, cg, og, d.p(), d.q(), exact))
      return eachGroup(d, [&](int64_t g) {
        (tile == 4 ? winograd<4, T, false> : winograd<2, T, false>)(y + g * og * pq, x + g * cg * d.h * d.w,
                                                                   w + g * og * k, b ? b + g * og : nullptr, least,
                                                                   winogradSize(d));
      });
  Im2col<T> columns = columnsOf(x, d);
  if (depthwise && Depthwise<T>(d).worthwhile()) return conv2dDepthwise(y, x, w, b, least, d);
  if (depthwise || wasteful(columns)) return conv2dDirect(y, x, w, b, least, d);
  if (stems<T>(d)) return conv2dStem(y, x, w, b, least, d);
  TapSize t = forwardTaps(d);
  Strips strips = stripsOf<T>(t, stripLength<T>(t));
  if (byTaps<T>(t, strips, k)) {
    Scratch<Tap> taps(d.r * d.s);
    const int64_t from[2] = {0, listForward(taps, d, t, strips)};
    return eachGroup(d, [&](int64_t g) {
      convolveByTaps<T>(y + g * og * pq, x + g * cg * d.h * d.w, w + g * og * k, b ? b + g * og : nullptr, least, t,
                        {k, d.r * d.s}, taps, from, strips);
    });
  }
  eachGroup(d, [&](int64_t g) {
    Im2col<T> own = columns;
    own.x += g * cg * d.h * d.w;
    Target<T> to{y + g * og * pq, pq, pq, d.o * pq};
    to.rowBias = b ? b + g * og : nullptr;
    to.after.relu = relu;
    multiplyColumns<T>(og, k, d.n * pq, MatrixA<T, Along::rows>{w + g * og * k, k}, own, to);
  });
}
KERNEL(conv2d)

// Operand A [c, o r s] of the gradient: the weights w[o, c, r, s] rotated by half a turn.
template <class T> struct RotatedWeights {
  static constexpr Along along = Along::rows;
  const T* w;
  int64_t c, rs;
  INLINE void pack(T* panels, int64_t i0, int64_t i1, int64_t k0, int64_t depth) const {
    for (int64_t i = i0; i < i1; i++)
      for (int64_t k = k0, o = k0 / rs, tap = k0 % rs; k < k0 + depth; k++) {
        *panels++ = w[(o * c + i) * rs + rs - 1 - tap];
        if (++tap == rs) tap = 0, o++;
      }
  }
};

// dx plane [h, w] += col [r s, rows p0 to p1 of q], each tap where it came from.
template <class T> INLINE void addTaps(T* dx, const T* col, int64_t ld, int64_t p0, int64_t p1, const Conv2dSize& d) {
  int64_t q = d.q();
  for (int64_t r = 0; r < d.r; r++)
    for (int64_t s = 0; s < d.s; s++, col += ld) {
      TapColumns t(d, s);
      for (int64_t p = p0; p < p1; p++) {
        int64_t line = tapRow(d, p, r);
        if (line < 0 || line >= d.h) continue;
        T* to = dx + line * d.w + t.offset;
        const T* from = col + (p - p0) * q;
        if (d.strideW == 1)
          for (int64_t j = t.from; j < t.until; j++) to[j] += from[j];
        else
          for (int64_t j = t.from; j < t.until; j++) to[j * d.strideW] += from[j];
      }
    }
}

// dx as w^T dy, [c r s, p q], by strips of rows: a task is some channels of one picture.
template <class T> static void gradXByStrips(T* dx, const T* dy, const T* w, const Conv2dSize& d) {
  int64_t cg = d.c / d.groups, og = d.o / d.groups, rs = d.r * d.s, p = d.p(), q = d.q(), hw = d.h * d.w;
  int64_t channels = min(cg, max(1, 144 / rs)), rows = min(p, max(1, 256 / q)), blocks = ceilDiv(cg, channels);
  int64_t blockRows = roundUp(channels * rs, panelRows), cols = roundUp(rows * q, panelCols<T>);
  int64_t step = depthOf<T>(og);
  Scratch<T> packed(d.groups * blocks * blockRows * og); // w^T, panels of each block of channels
  parallel(d.groups * blocks, grainOf(blockRows * og * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t g = e / blocks, i0 = e % blocks * channels * rs, i1 = min(cg * rs, i0 + channels * rs);
      MatrixA<T, Along::columns> a{w + g * og * cg * rs, cg * rs};
      for (int64_t k = 0; k < og; k += step) a.pack(packed + (e * og + k) * blockRows, i0, i1, k, min(step, og - k));
    }
  });
  double macs = double(channels * rs) * double(og) * double(p * q);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(d.n * d.groups * blocks, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> col(channels * rs * cols), panels(cols * step);
    for (int64_t e = begin; e < end; e++) {
      int64_t block = e % (d.groups * blocks), n = e / (d.groups * blocks), g = block / blocks;
      int64_t c0 = block % blocks * channels, c1 = min(cg, c0 + channels);
      T* planes = dx + (n * d.c + g * cg + c0) * hw;
      memset(planes, 0, size_t((c1 - c0) * hw) * sizeof(T));
      MatrixA<T, Along::columns> a{w, cg * rs}; // already packed
      MatrixB<T, Along::rows> b{dy + (n * d.o + g * og) * p * q, p * q};
      for (int64_t p0 = 0; p0 < p; p0 += rows) {
        int64_t p1 = min(p, p0 + rows);
        MatrixB<T, Along::rows> strip{b.data + p0 * q, b.ld};
        multiplyTile<T, Hold::shared, Hold::local>(a, strip, Target<T>{col, cols}, 0, (c1 - c0) * rs, 0, (p1 - p0) * q,
                                                   0, og, packed + block * blockRows * og, blockRows, 0, panels, 0, 0);
        for (int64_t c = c0; c < c1; c++) addTaps(planes + (c - c0) * hw, col + (c - c0) * rs * cols, cols, p0, p1, d);
      }
    }
  });
}

template <class T> void conv2dGradX(T* dx, const T* dy, const T* w, const Conv2dSize& d, int64_t exact) {
  if (d.n == 0) return;
  bool depthwise = d.groups > 1 && d.c == d.groups;
  int64_t cg = d.c / d.groups, og = d.o / d.groups, rs = d.r * d.s, p = d.p(), q = d.q();
  if constexpr (std::is_same_v<T, float>)
    if (int tile = winogradTile(d, d.n, og, cg, d.h, d.w, exact))
      return eachGroup(d, [&](int64_t g) {
        (tile == 4 ? winograd<4, T, true> : winograd<2, T, true>)(dx + g * cg * d.h * d.w, dy + g * og * p * q,
                                                                 w + g * og * cg * rs, nullptr, leastOf<T>(false),
                                                                 winogradSizeOfX(d));
      });
  if (depthwise && Depthwise<T>::ofX(d).worthwhile()) return conv2dGradXDepthwise(dx, dy, w, d);
  if (depthwise || wasteful(columnsOf(dx, d))) return conv2dGradXDirect(dx, dy, w, d);
  TapSize t = gradientTaps(d);
  Strips strips = stripsOf<T>(t, stripLength<T>(t));
  if (gradXByTaps<T>(d, t, strips)) {
    Scratch<Tap> taps(rs);
    Scratch<int64_t> from(d.strideH * d.strideW + 1);
    listGradient(taps, from, d, t, strips);
    return eachGroup(d, [&](int64_t g) {
      convolveByTaps<T>(dx + g * cg * d.h * d.w, dy + g * og * p * q, w + g * og * cg * rs, nullptr, leastOf<T>(false), t,
                        {rs, cg * rs}, taps, from, strips);
    });
  }
  // dx is a convolution of dy whose output is h x w.
  Im2col<T> columns{dy,
                    dy + d.n * d.o * p * q,
                    d.o * p * q,
                    p,
                    q,
                    d.r,
                    d.s,
                    1,
                    1,
                    (d.r - 1) * d.dilationH - d.padH,
                    (d.s - 1) * d.dilationW - d.padW,
                    d.dilationH,
                    d.dilationW,
                    d.h,
                    d.w};
  if (d.strideH != 1 || d.strideW != 1 || (rs > 1 && 2 * cg < og) || wasteful(columns))
    return gradXByStrips(dx, dy, w, d);
  eachGroup(d, [&](int64_t g) {
    Im2col<T> own = columns;
    own.x += g * og * p * q;
    multiplyColumns<T>(cg, og * rs, d.n * d.h * d.w, RotatedWeights<T>{w + g * og * cg * rs, cg, rs}, own,
                       Target<T>{dx + g * cg * d.h * d.w, d.h * d.w, d.h * d.w, d.c * d.h * d.w});
  });
}
KERNEL(conv2dGradX)

// Operand B [n p q, o] of the weight gradient.
template <class T> struct TransposedGradient {
  static constexpr int64_t spareRows = 0;
  const T* dy;
  int64_t pq, picture;
  INLINE void pack(T* panels, int64_t j0, int64_t j1, int64_t k0, int64_t depth) const {
    for (int64_t j = j0; j < j1; j += panelCols<T>, panels += panelCols<T> * depth)
      for (int64_t k = k0; k < k0 + depth;) {
        int64_t at = k % pq, run = min(k0 + depth - k, pq - at);
        packTransposed(panels + (k - k0) * panelCols<T>, dy + k / pq * picture + j * pq + at, pq, run,
                       min(panelCols<T>, j1 - j));
        k += run;
      }
  }
};

template <class T> void conv2dGradW(T* dw, const T* dy, const T* x, const Conv2dSize& d, int64_t exact) {
  bool depthwise = d.groups > 1 && d.c == d.groups;
  int64_t cg = d.c / d.groups, og = d.o / d.groups, m = cg * d.r * d.s, pq = d.p() * d.q(), k = d.n * pq;
  if (d.n == 0) {
    memset(dw, 0, size_t(d.o * m) * sizeof(T));
    return;
  }
  if constexpr (std::is_same_v<T, float>)
    if (int tile = winogradTile(d, d.n, cg, og, d.p(), d.q(), exact, 256))
      return eachGroup(d, [&](int64_t g) {
        (tile == 4 ? winogradGradW<4, T> : winogradGradW<2, T>)(dw + g * og * m, dy + g * og * pq,
                                                               x + g * cg * d.h * d.w, winogradSize(d));
      });
  Im2col<T> columns = columnsOf(x, d);
  if (depthwise && Depthwise<T>(d).worthwhile()) return conv2dGradWDepthwise(dw, dy, x, d);
  if (depthwise || wasteful(columns)) return conv2dGradWDirect(dw, dy, x, d);
  if (stems<T>(d)) return conv2dGradWStem(dw, dy, x, d);
  TapSize t = forwardTaps(d);
  Strips strips = stripsOf<T>(t, d.r * d.s == 1 ? 256 : 896); // whole pictures: no row is staged twice
  if (cg >= 8 && m >= 32 && fitsStage<T>(t, strips) && strips.useful<T>(t) >= 0.9) {
    Scratch<Tap> taps(d.r * d.s);
    listForward(taps, d, t, strips);
    return eachGroup(d, [&](int64_t g) {
      gradWByTaps<T>(dw + g * og * m, dy + g * og * pq, x + g * cg * d.h * d.w, t, taps, d.r * d.s, strips);
    });
  }
  Cut cut{evenPiece(m, 288, panelRows), evenPiece(og, 256, panelCols<T>), 1};
  int64_t tiles = ceilDiv(m, cut.tileRows) * ceilDiv(og, cut.tileCols);
  int64_t wanted = min(tasksWanted, int64_t(double(m) * double(og) * double(k) / macsWorthwhile) + 1);
  cut.parts = max(1, min(min(ceilDiv(wanted, tiles), k / (2 * kDepth<T>)), partialMost<T> / (m * og)));
  eachGroup(d, [&](int64_t g) {
    RowsA<T> a{columns};
    a.of.x += g * cg * d.h * d.w;
    multiplyParts<T, Hold::local>(m, og, k, a, TransposedGradient<T>{dy + g * og * pq, pq, d.o * pq},
                                  Target<T>{dw + g * og * m, m}, cut, true);
  });
}
KERNEL(conv2dGradW)

} // namespace napier::ISA
