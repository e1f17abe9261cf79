// A register's worth of rows at a time: each row is folded into one register, and width<T> such registers into one that
// has a row's sum (or maximum) in each lane. That costs 3 (width - 1) instructions for all rows together, where a row
// of its own would wait for log2(width) shuffles; so short rows run at the speed of long ones.
#pragma once
#include <utility>
#include "rows.h"

namespace napier::ISA {

// Lanes of `a` where bit `half` of the lane is 0, of `b` where it is 1; `across`: from the lane at the other side of
// it.
template <class T, int half, bool across, int... I>
INLINE Vec<T> halvesOf(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, ((I & half ? width<T> : 0) + (across ? I ^ half : I))...);
}
// Lane l of the result: join over the lanes of rows[l], in a fixed order. rows: [width<T>], used up.
template <class T, int half = width<T> / 2, class Join> INLINE Vec<T> lanesOfRows(Vec<T>* rows, const Join& join) {
  constexpr std::make_integer_sequence<int, width<T>> lanes{};
  for (int i = 0; i < half; i++)
    rows[i] = join(halvesOf<T, half, false>(rows[i], rows[i + half], lanes),
                   halvesOf<T, half, true>(rows[i], rows[i + half], lanes));
  if constexpr (half > 1) return lanesOfRows<T, half / 2>(rows, join);
  else return rows[0];
}

// The same of one row, in every lane.
template <class T, int half = width<T> / 2, class Join> INLINE Vec<T> joinLanes(Vec<T> row, const Join& join) {
  row = join(row, halvesOf<T, half, true>(row, row, std::make_integer_sequence<int, width<T>>{}));
  if constexpr (half > 1) return joinLanes<T, half / 2>(row, join);
  else return row;
}

// One value a row.
template <class T> struct RowValues {
  alignas(64) T value[width<T>];
  INLINE RowValues() = default;
  INLINE explicit RowValues(Vec<T> v) { store(value, v); }
  INLINE Vec<T> operator[](int row) const { return splat(value[row]); }
};
// fold(row), a register, of `count` rows, 1 or up to width<T>, joined to one value a row.
template <class T, class Fold, class Join> INLINE Vec<T> foldRows(int count, const Fold& fold, const Join& join) {
  if (count == 1) return joinLanes<T>(fold(0), join);
  Vec<T> rows[width<T>];
  for (int r = 0; r < count; r++) rows[r] = fold(r);
  for (int r = count; r < width<T>; r++) rows[r] = Vec<T>{};
  return lanesOfRows<T>(rows, join);
}
template <class T, class Fold> INLINE Vec<T> sumRows(int count, const Fold& fold) {
  return foldRows<T>(count, fold, [](Vec<T> a, Vec<T> b) { return a + b; });
}
template <class T, class Fold> INLINE Vec<T> maxRows(int count, const Fold& fold) {
  return foldRows<T>(count, fold, [](Vec<T> a, Vec<T> b) { return vmax(a, b); });
}

// Longest rows that are taken in blocks: an array of a block has 4 KB, or 16 KB where x alone is walked more than once.
// Longer rows have enough to do while a shuffle is waited for.
constexpr int64_t kShortRow = 4096 / kVectorBytes, kShortRowOfX = 16384 / kVectorBytes;

// body(first, count, kept) for blocks of `count` rows: width<T> where cols <= longest, else one. bytes: memory traffic
// of a row. kept: [count, cols] of scratch memory.
template <class T, class Body>
INLINE void rowBlocks(int64_t rows, int64_t cols, int64_t bytes, int64_t longest, const Body& body) {
  const int64_t height = cols <= longest ? width<T> : 1;
  parallel((rows + height - 1) / height, grainOf(bytes * height), [&](int64_t begin, int64_t end) {
    Scratch<T> kept(height * cols);
    for (int64_t block = begin; block < end; block++) {
      const int64_t first = block * height;
      body(first, int(rows - first < height ? rows - first : height), kept.data);
    }
  });
}

// exp(x) kLift for x <= 0 (a rounding above it is no harm), so that one power of 2 reaches from 1 to the subnormals: 16
// instructions where exp() has 24. In exp x / sum exp x kLift cancels. What is 0 in exp(x) is 0 once divided by kLift.
template <class T> constexpr T kLift = 1;
template <> constexpr float kLift<float> = 0x1p24f;
INLINE Vec<double> liftedExp(Vec<double> x) { return exp(x); }
INLINE Vec<float> liftedExp(Vec<float> x) {
  x = vmax(splat(-104.0f), x); // NaN passes
  const Reduced by = byLn2(x);
  return (fma(by.r * by.r, expTail(by.r), by.r) + 1.0f) * powerOf2(by.n + 24.0f);
}

// The lanes of the result add up to sum exp(x - m) kLift over a row; each(e, i), part(e, i, rest) meet the terms.
template <class T, class Each, class Part>
INLINE Vec<T> foldExp(const T* x, int64_t n, Vec<T> m, const Each& each, const Part& part) {
  return foldRow<T>(
      n, Vec<T>{},
      [&](Vec<T> a, int64_t i) {
        const Vec<T> e = liftedExp(load(x + i) - m);
        each(e, i);
        return a + e;
      },
      [&](Vec<T> a, int64_t i, int64_t rest) {
        const Vec<T> e = liftedExp(loadPart(x + i, rest) - m);
        part(e, i, rest);
        return a + (lanesBelow<T>(rest) ? e : Vec<T>{});
      },
      [](Vec<T> a, Vec<T> b) { return a + b; });
}
template <class T> INLINE Vec<T> foldExp(const T* x, int64_t n, Vec<T> m) {
  return foldExp(x, n, m, [](Vec<T>, int64_t) {}, [](Vec<T>, int64_t, int64_t) {});
}

// The largest element of a row and log sum exp(x - top) over it. Read once: a piece is in L1 for its maximum and its
// sum, and a larger maximum rescales what was summed before.
template <class T> struct RowSum {
  T top, logSum;
};
template <class T> INLINE RowSum<T> sumExpRow(const T* x, int64_t n) {
  constexpr int64_t kPiece = 8192 / int64_t(sizeof(T));
  T top = -kInfinity<T>, sum = 0;
  for (int64_t i = 0; i < n; i += kPiece) {
    const int64_t length = n - i < kPiece ? n - i : kPiece;
    const T most = maxRow(x + i, length);
    if (most > top) {
      if (sum != 0) sum *= exp(splat(top - most))[0];
      top = most;
    }
    // A row of -inf so far: its terms are 0, and NaN stays.
    sum += sumLanes<T>(foldExp(x + i, length, splat(top == -kInfinity<T> ? T(0) : top)));
  }
  return {top, log(splat(sum / kLift<T>))[0]};
}

} // namespace napier::ISA
