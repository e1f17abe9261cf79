// The windows of a pooling: which elements each covers, and their taps, a register of neighbouring windows at a time.
#pragma once
#include <utility>
#include "rows.h"

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

template <class T, int... I>
INLINE Vec<T> everySecond(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (2 * I < width<T> ? 2 * I : 2 * I + 1)...);
}
// Lanes 0, 2, 4, ... of a and then of b, which begins with the last lane of a.
template <class T> INLINE Vec<T> everySecond(Vec<T> a, Vec<T> b) {
  return everySecond<T>(a, b, std::make_integer_sequence<int, width<T>>{});
}
// x[0], x[stride], ... : the same tap of neighbouring windows; nothing behind the last is read.
template <int Stride, class T> INLINE Vec<T> tap(const T* x) {
  if constexpr (Stride == 1) return load(x);
  else return everySecond<T>(load(x), load(x + width<T> - 1));
}

// Registers of n windows of a row: the last one ends at the row's end, or there is one that is not full.
template <class T, class Group> INLINE void eachGroup(int64_t n, const Group& group) {
  for (int64_t j = 0;; j = j + 2 * width<T> <= n ? j + width<T> : n - width<T>) {
    group(j);
    if (j + width<T> >= n) return;
  }
}
INLINE int64_t powerOf2From(int64_t n) {
  int64_t p = 1;
  while (p < n) p *= 2;
  return p;
}
// The taps of neighbouring windows of a row, and what the last rows add to their windows: `lanes` values of each row in
// a ring of s.r rows, or a power of 2 above it. A window that sticks out meets `border` there.
template <class T, int Stride, int Taps> struct WindowRows {
  const Pool2dSize& s;
  const T *start, border; // start: of x
  const int64_t taps, lanes, reach, ringRows; // reach: columns that a register of windows covers
  Scratch<T> line, ring;

  INLINE WindowRows(const Pool2dSize& s, const T* start, T border)
      : s(s), start(start), border(border), taps(Taps ? Taps : s.s), lanes(s.q < width<T> ? width<T> : s.q),
        reach(Stride * (width<T> - 1) + taps), ringRows(powerOf2From(s.r)), line(s.padW + reach),
        ring(ringRows * lanes) {
    for (int64_t i = 0; i < s.padW + reach; i++) line[i] = border;
  }
  // Whether what a row adds to its windows is kept for the next row of windows: where it meets more than two of them.
  static INLINE bool sharesRows(const Pool2dSize& s) { return s.r >= 2 * s.strideH; }
  INLINE int64_t inRing(int64_t row) const { return (row & (ringRows - 1)) * lanes; }
  INLINE T* values(int64_t row) const { return ring + inRing(row); }

  // take(c, v) for each tap c of windows j, j + 1, ... of the row: v in neighbouring lanes
  template <class Take> INLINE void eachTap(const T* row, int64_t j, const Take& take) const {
    int64_t left = j * Stride - s.padW, end = s.w;
    if (left < 0 && row + left < start) { // what lies before the first row must not be read
      for (int64_t i = 0; i < reach && i < s.w; i++) line[s.padW + i] = row[i];
      row = line + s.padW + left;
      end = s.w - left, left = 0;
    }
    const bool inside = left >= 0 && left + reach <= end;
    for (int64_t c = 0; c < (Taps ? Taps : taps); c++)
      take(c, inside ? tap<Stride>(row + left + c) : atEdge(row, left + c, end));
  }

private:
  // Columns from, from + 1, ..., of which those of the row lie from 0 to end.
  INLINE Vec<T> columns(const T* row, int64_t from, int64_t end) const {
    const int64_t n = end - from;
    if (n <= 0 || from <= -width<T>) return splat(border);
    const Vec<T> v = n < width<T> ? loadPart(row + from, n) : load(row + from), l = lane<T>();
    return (l >= splat(T(-from))) & (l < splat(T(n < width<T> ? n : width<T>))) ? v : splat(border);
  }
  INLINE Vec<T> atEdge(const T* row, int64_t from, int64_t end) const {
    if constexpr (Stride == 1) return columns(row, from, end);
    else return everySecond<T>(columns(row, from, end), columns(row, from + width<T> - 1, end));
  }
};
// Whether the windows are such that WindowRows computes them.
INLINE bool inRows(const Pool2dSize& s) {
  return s.strideW <= 2 && s.dilationH == 1 && s.dilationW == 1 && s.r <= 256 && s.s <= 256;
}
// f(horizontal stride, taps of a row), as constants; taps 0: any number.
template <class F> INLINE void withWindow(const Pool2dSize& s, const F& f) {
  using std::integral_constant;
  if (s.strideW == 1 && s.s == 3) f(integral_constant<int, 1>{}, integral_constant<int, 3>{});
  else if (s.strideW == 1) f(integral_constant<int, 1>{}, integral_constant<int, 0>{});
  else if (s.s == 2) f(integral_constant<int, 2>{}, integral_constant<int, 2>{});
  else if (s.s == 3) f(integral_constant<int, 2>{}, integral_constant<int, 3>{});
  else f(integral_constant<int, 2>{}, integral_constant<int, 0>{});
}
// Each row of windows: first(row) for the rows of x that it is the first to cover, then windows(i, rows).
template <class First, class Windows>
INLINE void eachWindowRow(const Pool2dSize& s, const First& first, const Windows& windows) {
  for (int64_t i = 0, next = 0; i < s.p; i++) {
    const Span rows = rowsOf(s, i);
    for (next = next < rows.begin ? rows.begin : next; next < rows.end; next++) first(next);
    windows(i, rows);
  }
}

} // namespace napier::ISA
