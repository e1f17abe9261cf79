// The extents that kernels compute with: plain int64_t, in the letters of docs/notation.md. JavaScript hands them over
// as numbers in this order; every struct knows the counts that its operands must have, so that ops.def can check them.
// Products go through mul(), which answers -1 for a negative factor or a product above 2^53: then no check can hold.
#pragma once
#include "dtype.h"

namespace napier {

INLINE int64_t mul(int64_t a, int64_t b) {
  int64_t r;
  if (a < 0 || b < 0 || __builtin_mul_overflow(a, b, &r) || r > (int64_t(1) << 53)) return -1;
  return r;
}
template <class... R> INLINE int64_t mul(int64_t a, int64_t b, R... rest) { return mul(mul(a, b), rest...); }

// How often n elements can be halved.
INLINE double halvings(int64_t n) { return n > 1 ? double(64 - __builtin_clzll(uint64_t(n) - 1)) : 1; }

// Most dimensions that a strided walk has after neighbouring ones were merged.
constexpr int kMaxRank = 8;

// y[batch, m, n] = a[batch, m, k] b[batch, k, n]; transA: a is stored [k, m]; transB: b is stored [n, k].
// strideA, strideB: elements from one batch to the next; 0 repeats the same matrix.
// c, added to y: a row of n each rowC elements, 0 or n; strideC from one batch to the next, 0 or all of its rows.
struct GemmSize {
  int64_t batch, m, n, k, transA, transB, strideA, strideB, strideC, rowC;
  INLINE int64_t y() const { return mul(batch, m, n); }
  INLINE int64_t a() const { return reach(strideA, mul(m, k)); }
  INLINE int64_t b() const { return reach(strideB, mul(k, n)); }
  INLINE int64_t c() const { return reach(strideC, rowsC()); }
  INLINE bool valid() const {
    return batch >= 0 && m >= 0 && n >= 0 && k >= 0 && (transA == 0 || transA == 1) && (transB == 0 || transB == 1) &&
           (strideA == 0 || strideA == mul(m, k)) && (strideB == 0 || strideB == mul(k, n)) &&
           (rowC == 0 || rowC == n) && (strideC == 0 || strideC == rowsC());
  }
  INLINE double flops() const { return 2.0 * double(batch) * double(m) * double(n) * double(k); }

private:
  INLINE int64_t reach(int64_t stride, int64_t matrix) const { return stride == 0 ? matrix : mul(batch, matrix); }
  INLINE int64_t rowsC() const { return rowC == 0 ? n : mul(m, n); }
};

// x[n, c, h, w] with w[o, c/groups, r, s] gives y[n, o, p, q].
struct Conv2dSize {
  int64_t n, c, h, w, o, r, s, strideH, strideW, padH, padW, dilationH, dilationW, groups;
  INLINE int64_t p() const { return (h + 2 * padH - dilationH * (r - 1) - 1) / strideH + 1; }
  INLINE int64_t q() const { return (w + 2 * padW - dilationW * (s - 1) - 1) / strideW + 1; }
  INLINE int64_t x() const { return mul(n, c, h, w); }
  INLINE int64_t weight() const { return mul(o, c / groups, r, s); }
  INLINE int64_t y() const { return mul(n, o, p(), q()); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 30;
    for (const int64_t* e = &n; e <= &groups; e++)
      if (*e < 0 || *e > most) return false;
    return c >= 1 && o >= 1 && r >= 1 && s >= 1 && strideH >= 1 && strideW >= 1 && dilationH >= 1 && dilationW >= 1 &&
           groups >= 1 && c % groups == 0 && o % groups == 0 && h + 2 * padH >= dilationH * (r - 1) + 1 &&
           w + 2 * padW >= dilationW * (s - 1) + 1;
  }
  INLINE double flops() const {
    return 2.0 * double(n) * double(o) * double(p()) * double(q()) * double(c / groups) * double(r) * double(s);
  }
};

// Windows of r x s over the planes of x[planes, h, w] give y[planes, p, q].
struct Pool2dSize {
  int64_t planes, h, w, p, q, r, s, strideH, strideW, padH, padW, dilationH, dilationW;
  INLINE int64_t x() const { return mul(planes, h, w); }
  INLINE int64_t y() const { return mul(planes, p, q); }
  // Every window touches the picture (p and q are given, so that ceilMode is the caller's affair).
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 30;
    for (const int64_t* e = &planes; e <= &dilationW; e++)
      if (*e < 0 || *e > most) return false;
    return h >= 1 && w >= 1 && r >= 1 && s >= 1 && p >= 1 && q >= 1 && strideH >= 1 && strideW >= 1 && dilationH >= 1 &&
           dilationW >= 1 && padH <= dilationH * (r - 1) && padW <= dilationW * (s - 1) &&
           (p - 1) * strideH - padH < h && (q - 1) * strideW - padW < w;
  }
};

// x[planes, h, w] to y[planes, p, q]: cell i covers floor(i h / p) to ceil((i + 1) h / p).
struct AdaptivePool2dSize {
  int64_t planes, h, w, p, q;
  INLINE int64_t x() const { return mul(planes, h, w); }
  INLINE int64_t y() const { return mul(planes, p, q); }
  INLINE bool valid() const {
    return planes >= 0 && h >= 1 && w >= 1 && p >= 1 && q >= 1 && h < (1 << 30) && w < (1 << 30) && p < (1 << 30) &&
           q < (1 << 30);
  }
};

// x[planes, h, w] to y[planes, p, q]; an output is a weighed sum of tapsH x tapsW neighbours, an axis of 0 taps is kept.
// Between the axes stands a plane [h, q], which is part of neither x nor y.
struct TapsSize {
  int64_t planes, h, w, p, q, tapsH, tapsW;
  INLINE int64_t x() const { return mul(planes, h, w); }
  INLINE int64_t y() const { return mul(planes, p, q); }
  INLINE int64_t startsH() const { return tapsH ? p : 0; }
  INLINE int64_t startsW() const { return tapsW ? q : 0; }
  INLINE bool valid() const {
    return planes >= 0 && h >= 1 && w >= 1 && p >= 1 && q >= 1 && tapsH >= 0 && tapsW >= 0 && tapsH <= h && tapsW <= w &&
           (tapsH > 0 || h == p) && (tapsW > 0 || w == q) && mul(h, q) >= 0;
  }
  INLINE double flops() const {
    return 2.0 * double(planes) * double(q) * (double(h) * double(tapsW) + double(p) * double(tapsH));
  }
};

// x[n, c, h, w] at grid[n, p, q, 2] to y[n, c, p, q]. mode 0 bilinear, 1 nearest, 2 bicubic; padding 0 zeros, 1 border,
// 2 reflection; align 1: -1 and 1 are the centres of the corner pixels, 0: their outer edges.
struct GridSize {
  int64_t n, c, h, w, p, q, mode, padding, align;
  INLINE int64_t x() const { return mul(n, c, h, w); }
  INLINE int64_t y() const { return mul(n, c, p, q); }
  INLINE int64_t grid() const { return mul(n, p, q, 2); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 30;
    for (const int64_t* e = &n; e <= &align; e++)
      if (*e < 0 || *e > most) return false;
    return h >= 1 && w >= 1 && mul(h, w) <= INT32_MAX && mode <= 2 && padding <= 2 && align <= 1;
  }
  INLINE double flops() const {
    return (mode == 2 ? 40.0 : 10.0) * double(n) * double(c) * double(p) * double(q);
  }
};

// A batch of m x n matrices for a factorisation (or of systems with n right-hand sides of m unknowns), at some 4 m n
// (m + n) FLOPs each.
struct MatrixSize {
  int64_t batch, m, n;
  INLINE int64_t x() const { return mul(batch, m, n); }
  INLINE int64_t least() const { return m < n ? m : n; }
  INLINE bool empty() const { return batch == 0 || m == 0 || n == 0; }
  INLINE double flops() const { return 4.0 * double(batch) * double(m) * double(n) * (double(m) + double(n)); }
};

// Distances y[batch, m, n] of rows of a[batch, m, k] from rows of b[batch, n, k].
struct DistanceSize {
  int64_t batch, m, n, k;
  INLINE int64_t y() const { return mul(batch, m, n); }
  INLINE int64_t a() const { return mul(batch, m, k); }
  INLINE int64_t b() const { return mul(batch, n, k); }
  INLINE double flops() const { return 3.0 * double(batch) * double(m) * double(n) * double(k); }
};

// x[outer, reduce, inner] to y[outer, inner].
struct ReduceSize {
  int64_t outer, reduce, inner;
  INLINE int64_t x() const { return mul(outer, reduce, inner); }
  INLINE int64_t y() const { return mul(outer, inner); }
};

// The same, its columns sorted: some 3 ns for each element and halving of its column, as FLOPs of 1/40 ns.
struct SortSize {
  int64_t outer, reduce, inner;
  INLINE int64_t x() const { return mul(outer, reduce, inner); }
  INLINE int64_t y() const { return mul(outer, inner); }
  INLINE double flops() const { return 120.0 * double(outer) * double(reduce) * double(inner) * halvings(reduce); }
};

// m elements sought in each of `rows` sorted rows of n: some 1 ns a halving.
struct SearchSize {
  int64_t rows, n, m;
  INLINE double flops() const { return 40.0 * double(rows) * double(m) * halvings(n); }
};

// `rounds` times 12 vectors of multiply-adds in each chunk.
struct PeakSize {
  int64_t rounds, chunks;
  INLINE double flops() const { return 12.0 * 16.0 * double(rounds) * double(chunks); }
};

// Positions along the middle of x[outer, n, inner]: y[outer, m, inner] takes, or adds to, x at index. `each`: an index for
// every element of y; else one list of m for all of outer and inner.
struct IndexSize {
  int64_t outer, n, inner, m, each;
  INLINE int64_t x() const { return mul(outer, n, inner); }
  INLINE int64_t y() const { return mul(outer, m, inner); }
  INLINE int64_t index() const { return each ? y() : m; }
};

// x[n, c, inner]: one mean and one variance a channel c over n and inner.
struct ChannelSize {
  int64_t n, c, inner;
  INLINE int64_t x() const { return mul(n, c, inner); }
};

// Pictures of p x q out of x[n, c, h, w] with `pad` zeros around each.
struct CropSize {
  int64_t n, c, h, w, p, q, pad;
  INLINE int64_t x() const { return mul(n, c, h, w); }
  INLINE int64_t y() const { return mul(n, c, p, q); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 30;
    for (const int64_t* e = &n; e <= &pad; e++)
      if (*e < 0 || *e > most) return false;
    return h + 2 * pad >= p && w + 2 * pad >= q;
  }
};

// The extents of an array of any rank up to kMaxRank, as JavaScript wrote them: rank, extents.
struct Extents {
  int64_t rank, extent[kMaxRank];
  static constexpr bool isList = true;
  INLINE static bool parse(const int64_t* v, int64_t length, Extents& s) {
    if (length < 1 || v[0] < 0 || v[0] > kMaxRank || length != 1 + v[0]) return false;
    s.rank = v[0];
    for (int64_t d = 0; d < s.rank; d++) s.extent[d] = v[1 + d];
    return true;
  }
  INLINE int64_t count() const {
    int64_t c = 1;
    for (int64_t d = 0; d < rank; d++) c = mul(c, extent[d]);
    return c;
  }
};

// Pictures of p x q made of x[n, c, h, w].
struct ResampleSize {
  int64_t n, c, h, w, p, q;
  INLINE int64_t x() const { return mul(n, c, h, w); }
  INLINE int64_t y() const { return mul(n, c, p, q); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 24;
    for (const int64_t* e = &n; e <= &q; e++)
      if (*e < 0 || *e > most) return false;
    return h >= 1 && w >= 1;
  }
  INLINE double flops() const { return 16.0 * double(n) * double(c) * double(p) * double(q); }
};

// x[n, c, h, w], and `k` of something for each picture: steps of a program, weights of a filter.
struct PictureSize {
  int64_t n, c, h, w, k;
  INLINE int64_t x() const { return mul(n, c, h, w); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 24;
    for (const int64_t* e = &n; e <= &k; e++)
      if (*e < 0 || *e > most) return false;
    return true;
  }
  INLINE double flops() const { return 8.0 * double(n) * double(c) * double(h) * double(w) * double(k); }
};

// Connectionist temporal classification: t steps of c classes for n samples, whose labels are rows of at most l.
struct CtcSize {
  int64_t t, n, c, l;
  INLINE int64_t x() const { return mul(t, n, c); }
  INLINE int64_t labels() const { return mul(n, l); }
  // Four functions of some 25 FLOPs for each state and step.
  INLINE double flops() const { return 100.0 * double(t) * double(n) * (2 * double(l) + 1); }
  INLINE bool valid() const {
    constexpr int64_t most = int64_t(1) << 30;
    for (const int64_t* e = &t; e <= &l; e++)
      if (*e < 0 || *e > most) return false;
    return c >= 1;
  }
};

// y[batch, t, dv] from q[batch, t, d], k[batch / group, s, d], v[batch / group, s, dv]: `group` queries share a key and a
// value. heads: the last of the batch's dimensions, for the mask, whose element for batch n heads + h, row i and column j
// is n maskBatch + h maskHead + i maskRow + j maskCol.
struct AttentionSize {
  int64_t batch, group, t, s, d, dv, causal, heads, maskBatch, maskHead, maskRow, maskCol;
  INLINE int64_t q() const { return mul(batch, t, d); }
  INLINE int64_t k() const { return mul(batch / group, s, d); }
  INLINE int64_t v() const { return mul(batch / group, s, dv); }
  INLINE int64_t y() const { return mul(batch, t, dv); }
  INLINE bool valid() const {
    return batch >= 0 && t >= 0 && s >= 0 && d >= 1 && dv >= 1 && d <= (1 << 20) && dv <= (1 << 20) && group >= 1 &&
           heads >= 1 && batch % group == 0 && batch % heads == 0 && (causal == 0 || causal == 1) &&
           s < (int64_t(1) << 40) && t < (int64_t(1) << 40) && mul(batch, t, s + 64) >= 0;
  }
  INLINE bool maskWithin(int64_t count) const {
    if (batch == 0 || t == 0 || s == 0) return true;
    int64_t reach = 0;
    const int64_t steps[] = {mul(batch / heads - 1, maskBatch), mul(heads - 1, maskHead), mul(t - 1, maskRow),
                             mul(s - 1, maskCol)};
    for (int64_t step : steps) {
      if (step < 0 || step >= count) return false; // so that the sum cannot overflow
      reach += step;
    }
    return maskBatch >= 0 && maskHead >= 0 && maskRow >= 0 && maskCol >= 0 && reach < count;
  }
  INLINE double flops() const { return 2.0 * double(batch) * double(t) * double(s) * double(d + dv); }
};

// Reads extents and strides that JavaScript wrote as one list: rank, extents, then each operand's strides.
template <int Operands> struct Strides {
  int64_t rank, extent[kMaxRank], stride[Operands][kMaxRank];
  static constexpr bool isList = true;
  INLINE static bool parse(const int64_t* v, int64_t length, Strides& s) {
    if (length < 1 || v[0] < 0 || v[0] > kMaxRank || length != 1 + v[0] * (1 + Operands)) return false;
    s.rank = v[0];
    for (int64_t d = 0; d < s.rank; d++) {
      s.extent[d] = v[1 + d];
      for (int o = 0; o < Operands; o++) s.stride[o][d] = v[1 + (1 + o) * s.rank + d];
    }
    return true;
  }
  INLINE int64_t count() const {
    int64_t c = 1;
    for (int64_t d = 0; d < rank; d++) c = mul(c, extent[d]);
    return c;
  }
  // Whether operand o, starting at `offset`, stays within `count` elements.
  INLINE bool within(int o, int64_t offset, int64_t limit) const {
    int64_t low = offset, high = offset;
    for (int64_t d = 0; d < rank; d++) {
      int64_t reach;
      if (extent[d] < 0) return false;
      if (extent[d] == 0) return true;
      if (__builtin_mul_overflow(extent[d] - 1, stride[o][d], &reach)) return false;
      if (__builtin_add_overflow(reach < 0 ? low : high, reach, reach < 0 ? &low : &high)) return false;
    }
    return low >= 0 && high < limit;
  }
  // Whether no two positions of operand o meet (sufficient, and true of every slice of an array): each stride steps
  // over all that the smaller ones reach. Wants within().
  INLINE bool distinct(int o) const {
    for (int64_t d = 0; d < rank; d++)
      if (extent[d] == 0) return true;
    bool used[kMaxRank] = {};
    for (int64_t left = rank, reach = 0; left > 0; left--) {
      int64_t least = -1;
      for (int64_t d = 0; d < rank; d++)
        if (!used[d] && (least < 0 || size(o, d) < size(o, least))) least = d;
      used[least] = true;
      if (extent[least] == 1) continue;
      if (size(o, least) <= reach) return false;
      reach += (extent[least] - 1) * size(o, least);
    }
    return true;
  }

private:
  INLINE int64_t size(int o, int64_t d) const { return stride[o][d] < 0 ? -stride[o][d] : stride[o][d]; }
};

// y (contiguous) from a and b, whose strides are 0 along broadcast dimensions.
using BroadcastSize = Strides<2>;
// y (contiguous) from a condition, a and b.
using TernarySize = Strides<3>;
// One strided operand beside a contiguous one.
using StridedSize = Strides<1>;

} // namespace napier
