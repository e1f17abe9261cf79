// Pooling of planes: maxima with the place they came from, means, and both over adaptive cells.
//
// A thread takes whole planes, so overlapping windows add to dx in a fixed order. Each window is first cut to the part
// that lies on the plane; neighbouring windows at stride 1 or 2 are computed a register at a time.
// Memory-bound: x is read once, a plane is in L1 or L2 for its windows.
#include "rows.h"
#include <utility>

namespace napier::ISA {

// The elements [begin, end) of one axis, `step` apart, that window (or cell) i covers.
struct Span {
  int64_t begin, end;
};
INLINE int64_t ceilDiv(int64_t a, int64_t b) { return b == 1 ? a : (a + b - 1) / b; }

// The taps of window i that lie on [0, extent); none where a dilated window straddles the picture.
INLINE Span windowOf(int64_t i, int64_t stride, int64_t pad, int64_t dilation, int64_t taps, int64_t extent) {
  int64_t begin = i * stride - pad, end = begin + dilation * (taps - 1) + 1;
  if (begin < 0) begin += ceilDiv(-begin, dilation) * dilation;
  return {begin, end < extent ? end : extent};
}
INLINE Span cellOf(int64_t i, int64_t extent, int64_t cells) {
  return {i * extent / cells, ((i + 1) * extent + cells - 1) / cells};
}
INLINE Span rowsOf(const Pool2dSize& s, int64_t i) { return windowOf(i, s.strideH, s.padH, s.dilationH, s.r, s.h); }
INLINE Span colsOf(const Pool2dSize& s, int64_t j) { return windowOf(j, s.strideW, s.padW, s.dilationW, s.s, s.w); }
INLINE Span rowsOf(const AdaptivePool2dSize& s, int64_t i) { return cellOf(i, s.h, s.p); }
INLINE Span colsOf(const AdaptivePool2dSize& s, int64_t j) { return cellOf(j, s.w, s.q); }

template <class Size, class Body> INLINE void planesOf(const Size& s, int64_t bytes, const Body& body) {
  parallel(s.planes, grainOf((s.h * s.w + s.p * s.q) * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; plane++) body(plane);
  });
}

// Output columns whose windows lie wholly on the plane, where strides 1 and 2 are computed a register of windows at a
// time: groups start at begin, begin + lanes, ... and, for the rest, at end - lanes. Empty if no group fits.
template <class T> INLINE Span groupsOf(const Pool2dSize& s) {
  const int64_t begin = (s.padW + s.strideW - 1) / s.strideW, reach = s.w - 1 - s.dilationW * (s.s - 1) + s.padW;
  if (s.strideW > 2 || reach < 0) return {0, 0};
  const int64_t end = reach / s.strideW + 1 < s.q ? reach / s.strideW + 1 : s.q;
  return end - begin < width<T> ? Span{0, 0} : Span{begin, end};
}
template <class T, class Group> INLINE void eachGroup(Span groups, const Group& group) {
  int64_t j = groups.begin;
  for (; j + width<T> <= groups.end; j += width<T>) group(j);
  if (j < groups.end) group(groups.end - width<T>);
}
template <class T, int... I> INLINE Vec<T> everySecond(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I < width<T> ? 2 * I : 2 * I + 1)...);
}
// x[0], x[stride], ... : the same tap of neighbouring windows; nothing behind the last is read.
template <class T> INLINE Vec<T> tap(const T* x, int64_t stride) {
  if (stride == 1) return load(x);
  return everySecond<T>(load(x), load(x + width<T> - 1), std::make_integer_sequence<int, width<T>>{});
}

// The first largest of a window, at its place in the plane; NaN wins.
template <class T>
INLINE void maxWindow(T& y, int32_t& index, const T* x, int64_t w, Span rows, Span cols, int64_t stepH, int64_t stepW) {
  T best = -kInfinity<T>;
  int64_t at = rows.begin < rows.end && cols.begin < cols.end ? rows.begin * w + cols.begin : 0;
  for (int64_t r = rows.begin; r < rows.end; r += stepH)
    for (int64_t c = cols.begin; c < cols.end; c += stepW) {
      T v = x[r * w + c];
      bool wins = (v > best) | (v != v);
      best = wins ? v : best;
      at = wins ? r * w + c : at;
    }
  y = best;
  index = int32_t(at);
}
// The same for windows j ... j + lanes - 1, whose columns lie on the plane.
template <int Stride, class T>
INLINE void maxGroup(T* y, int32_t* index, const T* x, Span rows, int64_t j, const Pool2dSize& s) {
  using Places = LaneMask<T>;
  using Place = std::remove_reference_t<decltype(Places{}[0])>;
  const int64_t left = j * Stride - s.padW;
  const Places lanes = __builtin_convertvector(lane<T>(), Places) * Place(Stride) + Place(left);
  Vec<T> best = splat(-kInfinity<T>);
  Places at = lanes + Place(rows.begin * s.w);
  for (int64_t r = rows.begin; r < rows.end; r += s.dilationH)
    for (int64_t c = 0; c < s.s; c++) {
      Vec<T> v = tap(x + r * s.w + left + c * s.dilationW, Stride);
      auto wins = (v > best) | (v != v);
      best = wins ? v : best;
      at = wins ? lanes + Place(r * s.w + c * s.dilationW) : at;
    }
  store(y + j, best);
  for (int i = 0; i < width<T>; i++) index[j + i] = int32_t(at[i]);
}
template <class T> INLINE void maxPlane(T* y, int32_t* index, const T* x, const Pool2dSize& s) {
  const Span groups = groupsOf<T>(s);
  for (int64_t i = 0; i < s.p; i++, y += s.q, index += s.q) {
    const Span rows = rowsOf(s, i);
    auto single = [&](int64_t from, int64_t to) {
      for (int64_t j = from; j < to; j++)
        maxWindow(y[j], index[j], x, s.w, rows, colsOf(s, j), s.dilationH, s.dilationW);
    };
    const bool some = groups.begin < groups.end && rows.begin < rows.end;
    single(0, some ? groups.begin : s.q);
    if (!some) continue;
    eachGroup<T>(groups, [&](int64_t j) {
      if (s.strideW == 1) maxGroup<1>(y, index, x, rows, j, s);
      else maxGroup<2>(y, index, x, rows, j, s);
    });
    single(groups.end, s.q);
  }
}

// y: [planes, p, q]; index: the place of each maximum in its plane, for the gradient
template <class T> void maxPool2d(T* y, int32_t* index, const T* x, const Pool2dSize& s) {
  planesOf(s, sizeof(T), [&](int64_t plane) {
    maxPlane(y + plane * s.p * s.q, index + plane * s.p * s.q, x + plane * s.h * s.w, s);
  });
}
KERNEL(maxPool2d)

template <class T> void adaptiveMaxPool2d(T* y, int32_t* index, const T* x, const AdaptivePool2dSize& s) {
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* yp = y + plane * s.p * s.q;
    int32_t* ip = index + plane * s.p * s.q;
    for (int64_t i = 0, k = 0; i < s.p; i++)
      for (int64_t j = 0; j < s.q; j++, k++)
        maxWindow(yp[k], ip[k], x + plane * s.h * s.w, s.w, rowsOf(s, i), colsOf(s, j), 1, 1);
  });
}
KERNEL(adaptiveMaxPool2d)

// dx[index] += dy. An index outside its plane is reported and left out: it may come from anywhere.
template <class T> void maxPool2dGrad(T* dx, const T* dy, Indices index, const AdaptivePool2dSize& s, Fault& fault) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* dp = dx + plane * in;
    memset(dp, 0, size_t(in) * sizeof(T));
    for (int64_t k = plane * out; k < (plane + 1) * out; k++) {
      int64_t at = index[k];
      if (uint64_t(at) < uint64_t(in)) dp[at] += dy[k];
      else fault.report(k, at, 0, in - 1);
    }
  });
}
KERNEL(maxPool2dGrad)

// Taps of a span along one axis. PyTorch's countIncludePad counts those on the padded picture.
INLINE int64_t tapsOf(Span span, int64_t step) {
  return span.begin < span.end ? ceilDiv(span.end - span.begin, step) : 0;
}
INLINE int64_t paddedTaps(int64_t i, int64_t stride, int64_t pad, int64_t dilation, int64_t taps, int64_t extent) {
  int64_t begin = i * stride - pad, end = begin + dilation * (taps - 1) + 1;
  return tapsOf({begin, end < extent + pad ? end : extent + pad}, dilation);
}
INLINE int64_t rowTaps(const Pool2dSize& s, bool padded, int64_t i) {
  return padded ? paddedTaps(i, s.strideH, s.padH, s.dilationH, s.r, s.h) : tapsOf(rowsOf(s, i), s.dilationH);
}
INLINE int64_t colTaps(const Pool2dSize& s, bool padded, int64_t j) {
  return padded ? paddedTaps(j, s.strideW, s.padW, s.dilationW, s.s, s.w) : tapsOf(colsOf(s, j), s.dilationW);
}
INLINE int64_t rowTaps(const AdaptivePool2dSize& s, bool, int64_t i) { return tapsOf(rowsOf(s, i), 1); }
INLINE int64_t colTaps(const AdaptivePool2dSize& s, bool, int64_t j) { return tapsOf(colsOf(s, j), 1); }
INLINE int64_t stepH(const Pool2dSize& s) { return s.dilationH; }
INLINE int64_t stepW(const Pool2dSize& s) { return s.dilationW; }
INLINE int64_t stepH(const AdaptivePool2dSize&) { return 1; }
INLINE int64_t stepW(const AdaptivePool2dSize&) { return 1; }

template <class T> INLINE T sumWindow(const T* x, int64_t w, Span rows, Span cols, int64_t stepH, int64_t stepW) {
  T sum = 0;
  for (int64_t r = rows.begin; r < rows.end; r += stepH)
    for (int64_t c = cols.begin; c < cols.end; c += stepW) sum += x[r * w + c];
  return sum;
}
template <class T> INLINE void meanPlane(T* y, const T* x, bool padded, const Pool2dSize& s) {
  const Span groups = groupsOf<T>(s);
  for (int64_t i = 0; i < s.p; i++, y += s.q) {
    const Span rows = rowsOf(s, i);
    const int64_t tall = rowTaps(s, padded, i);
    auto single = [&](int64_t from, int64_t to) {
      for (int64_t j = from; j < to; j++)
        y[j] = sumWindow(x, s.w, rows, colsOf(s, j), s.dilationH, s.dilationW) / T(tall * colTaps(s, padded, j));
    };
    single(0, groups.begin < groups.end ? groups.begin : s.q);
    const Vec<T> count = splat(T(tall * s.s));
    eachGroup<T>(groups, [&](int64_t j) {
      Vec<T> sum{};
      for (int64_t r = rows.begin; r < rows.end; r += s.dilationH)
        for (int64_t c = 0; c < s.s; c++) sum += tap(x + r * s.w + j * s.strideW - s.padW + c * s.dilationW, s.strideW);
      store(y + j, sum / count);
    });
    if (groups.begin < groups.end) single(groups.end, s.q);
  }
}
// A row of windows is spread over a line of w sums first, which is then added to each row that they cover.
template <class T, class Size> INLINE void meanPlaneGrad(T* dx, const T* dy, bool padded, const Size& s) {
  memset(dx, 0, size_t(s.h * s.w) * sizeof(T));
  Scratch<T> line(s.w);
  for (int64_t i = 0; i < s.p; i++, dy += s.q) {
    const int64_t tall = rowTaps(s, padded, i);
    memset(line, 0, size_t(s.w) * sizeof(T));
    for (int64_t j = 0; j < s.q; j++) {
      const Span cols = colsOf(s, j);
      const T share = dy[j] / T(tall * colTaps(s, padded, j));
      for (int64_t c = cols.begin; c < cols.end; c += stepW(s)) line[c] += share;
    }
    const Span rows = rowsOf(s, i);
    for (int64_t r = rows.begin; r < rows.end; r += stepH(s)) {
      T* row = dx + r * s.w;
      along<T>(
          s.w, [&](int64_t c) { store(row + c, load(row + c) + load(line + c)); },
          [&](int64_t c, int64_t rest) {
            storePart(row + c, loadPart(row + c, rest) + loadPart(line + c, rest), rest);
          });
    }
  }
}

// The usual halving: every element lies in one window.
INLINE bool isTwoByTwo(const Pool2dSize& s) {
  return s.r == 2 && s.s == 2 && s.strideH == 2 && s.strideW == 2 && s.padH == 0 && s.padW == 0 && s.dilationH == 1 &&
         s.dilationW == 1 && 2 * s.p == s.h && 2 * s.q == s.w;
}

template <class T> void avgPool2d(T* y, const T* x, int64_t countIncludePad, const Pool2dSize& s) {
  planesOf(s, sizeof(T),
           [&](int64_t plane) { meanPlane(y + plane * s.p * s.q, x + plane * s.h * s.w, countIncludePad != 0, s); });
}
KERNEL(avgPool2d)

template <class T> void avgPool2dGrad(T* dx, const T* dy, int64_t countIncludePad, const Pool2dSize& s) {
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* dp = dx + plane * s.h * s.w;
    const T* gp = dy + plane * s.p * s.q;
    if (!isTwoByTwo(s)) return meanPlaneGrad(dp, gp, countIncludePad != 0, s);
    for (int64_t i = 0; i < s.p; i++, gp += s.q)
      for (int64_t r = 2 * i; r < 2 * i + 2; r++)
        for (int64_t j = 0; j < s.q; j++) dp[r * s.w + 2 * j] = dp[r * s.w + 2 * j + 1] = gp[j] * T(0.25);
  });
}
KERNEL(avgPool2dGrad)

// One cell (global average pooling) is the mean of the plane, a register at a time.
template <class T> void adaptiveAvgPool2d(T* y, const T* x, const AdaptivePool2dSize& s) {
  const int64_t in = s.h * s.w;
  planesOf(s, sizeof(T), [&](int64_t plane) {
    const T* xp = x + plane * in;
    if (s.p != 1 || s.q != 1) {
      for (int64_t i = 0, k = plane * s.p * s.q; i < s.p; i++)
        for (int64_t j = 0; j < s.q; j++, k++) {
          Span rows = rowsOf(s, i), cols = colsOf(s, j);
          y[k] = sumWindow(xp, s.w, rows, cols, 1, 1) / T(tapsOf(rows, 1) * tapsOf(cols, 1));
        }
      return;
    }
    y[plane] = sumRow<T>(
                   in, [&](Vec<T> a, int64_t i) { return a + load(xp + i); },
                   [&](Vec<T> a, int64_t i, int64_t rest) { return a + loadPart(xp + i, rest); }) /
               T(in);
  });
}
KERNEL(adaptiveAvgPool2d)

template <class T> void adaptiveAvgPool2dGrad(T* dx, const T* dy, const AdaptivePool2dSize& s) {
  const int64_t in = s.h * s.w;
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* dp = dx + plane * in;
    if (s.p != 1 || s.q != 1) return meanPlaneGrad(dp, dy + plane * s.p * s.q, false, s);
    T share = dy[plane] / T(in);
    for (int64_t i = 0; i < in; i++) dp[i] = share;
  });
}
KERNEL(adaptiveAvgPool2dGrad)

} // namespace napier::ISA
