// Reductions of x[outer, reduce, inner] over `reduce`: bandwidth-bound, x is read once.
//
// Two levels keep the rounding error of a sum small for any length: runs of elements are combined in vector lanes of
// T, and the runs in double (integers: in 64 bits, wrapping). Where there are too few results to share among threads,
// `reduce` is cut into pieces of a fixed length, whose results are combined in order.
#include "map.h"
#include "row_blocks.h"

namespace napier::ISA {

template <class T> struct WideOf { using type = uint64_t; };
template <> struct WideOf<float> { using type = double; };
template <> struct WideOf<double> { using type = double; };

// What a reduction does: `first` joined with of(x) of every element; runs are joined as Wide.
template <class T> struct Sum {
  using Wide = typename WideOf<T>::type;
  static constexpr Wide first = 0;
  template <class V> static INLINE V join(V a, V b) { return a + b; }
  template <class V> static INLINE V of(V x) { return x; }
};
template <class T> struct SumSquares : Sum<T> {
  template <class V> static INLINE V of(V x) { return x * x; }
};
template <class T> struct Prod : Sum<T> {
  static constexpr typename Sum<T>::Wide first = 1;
  template <class V> static INLINE V join(V a, V b) { return a * b; }
};
template <class T> struct Max {
  using Wide = T;
  static constexpr T first = lowest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b > a) | (b != b) ? b : a; } // NaN wins
  template <class V> static INLINE V of(V x) { return x; }
};
template <class T> struct Min : Max<T> {
  static constexpr T first = highest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b < a) | (b != b) ? b : a; }
};
// Of masks, whose bytes are true when not 0.
struct Any : Max<uint8_t> {
  static constexpr uint8_t first = 0;
  template <class V> static INLINE V of(V x) { return V(V(x != V{}) & 1); }
};
struct All : Min<uint8_t> {
  static constexpr uint8_t first = 1;
  template <class V> static INLINE V of(V x) { return Any::of(x); }
};

// Elements that are combined in lanes of T before they count as one Wide: at most 4096 / 16 roundings in a lane.
constexpr int64_t kRun = 4096, kRunRows = 128;
// Columns that are walked together: their accumulators stay in L1, and of a wide matrix the pieces of rows are long
// enough to be fetched ahead.
constexpr int64_t kColumns = 2048;
constexpr int64_t kPiece = 65536;

// Whether lanes of T hold a run; the integers of a sum are widened one by one (the compiler's vectors do).
template <class T, class R> constexpr bool inLanes = isFloat<T> || __is_same(typename R::Wide, T);

// The lanes of v, joined in a fixed order: as Wide, by halves.
template <class T, class R> INLINE typename R::Wide joinWide(Vec<T> v) {
  auto join = [](auto a, auto b) { return R::join(a, b); };
  if constexpr (__is_same(T, float) && __is_same(typename R::Wide, double)) {
    Vec<double> low, high;
    widen(v, low, high);
    return joinLanes<double>(R::join(low, high), join)[0];
  } else return joinLanes<T>(v, join)[0];
}
// of(x) of elements [0, n) of a row, in one register: what lies behind them is `first`.
template <class T, class R> INLINE Vec<T> partOf(const T* x, int64_t n) {
  return lanesBelow<T>(n) ? R::of(loadPart(x, n)) : splat(T(R::first));
}

// One run of consecutive elements, n <= kRun.
template <class T, class R> typename R::Wide joinRun(const T* x, int64_t n) {
  using Wide = typename R::Wide;
  if constexpr (inLanes<T, R>) {
    constexpr int w = width<T>;
    Vec<T> a0 = splat(T(R::first)), a1 = a0, a2 = a0, a3 = a0;
    int64_t i = 0;
    for (; i + 4 * w <= n; i += 4 * w) {
      a0 = R::join(a0, R::of(load(x + i)));
      a1 = R::join(a1, R::of(load(x + i + w)));
      a2 = R::join(a2, R::of(load(x + i + 2 * w)));
      a3 = R::join(a3, R::of(load(x + i + 3 * w)));
    }
    for (; i + w <= n; i += w) a0 = R::join(a0, R::of(load(x + i)));
    if (i < n) a1 = R::join(a1, partOf<T, R>(x + i, n - i));
    return joinWide<T, R>(R::join(R::join(a0, a1), R::join(a2, a3)));
  } else {
    Wide all = R::first;
    for (int64_t i = 0; i < n; i++) all = R::join(all, R::of(Wide(x[i])));
    return all;
  }
}

// `columns` results over `rows` rows that lie `stride` apart, joined to out.
template <class T, class R>
void joinRows(typename R::Wide* out, const T* x, int64_t rows, int64_t columns, int64_t stride) {
  using Wide = typename R::Wide;
  if constexpr (inLanes<T, R>) {
    T sums[kColumns];
    for (int64_t r = 0; r < rows; r += kRunRows) {
      const int64_t end = r + kRunRows < rows ? r + kRunRows : rows;
      for (int64_t j = 0; j < columns; j += width<T>) store<T>(sums + j, splat(T(R::first)));
      int64_t q = r;
      for (; q + 4 <= end; q += 4) {
        const T *x0 = x + q * stride, *x1 = x0 + stride, *x2 = x1 + stride, *x3 = x2 + stride;
        along<T>(
            columns,
            [&](int64_t j) {
              const Vec<T> four = R::join(R::join(R::of(load(x0 + j)), R::of(load(x1 + j))),
                                          R::join(R::of(load(x2 + j)), R::of(load(x3 + j))));
              store<T>(sums + j, R::join(load(sums + j), four));
            },
            [&](int64_t j, int64_t rest) {
              const Vec<T> four =
                  R::join(R::join(R::of(loadPart(x0 + j, rest)), R::of(loadPart(x1 + j, rest))),
                          R::join(R::of(loadPart(x2 + j, rest)), R::of(loadPart(x3 + j, rest))));
              store<T>(sums + j, R::join(load(sums + j), four));
            });
      }
      for (; q < end; q++)
        for (int64_t j = 0; j < columns; j++) sums[j] = R::join(sums[j], R::of(x[q * stride + j]));
      for (int64_t j = 0; j < columns; j++) out[j] = R::join(out[j], Wide(sums[j]));
    }
  } else {
    for (int64_t r = 0; r < rows; r++)
      for (int64_t j = 0; j < columns; j++) out[j] = R::join(out[j], R::of(Wide(x[r * stride + j])));
  }
}

// The results of one piece: out[columns] over `rows` rows.
template <class T, class R>
INLINE void joinPiece(typename R::Wide* out, const T* x, int64_t rows, int64_t columns, int64_t stride) {
  using Wide = typename R::Wide;
  for (int64_t j = 0; j < columns; j++) out[j] = R::first;
  if (stride == 1) {
    for (int64_t i = 0; i < rows; i += kRun)
      out[0] = R::join(out[0], joinRun<T, R>(x + i, i + kRun < rows ? kRun : rows - i));
    return;
  }
  // Few columns: consecutive rows side by side make a wider row, whose results are joined at the end.
  const int64_t together = columns == stride ? 64 / columns : 1;
  if (together > 1 && rows > 2 * together) {
    Wide wide[64];
    const int64_t most = rows / together;
    for (int64_t j = 0; j < together * columns; j++) wide[j] = R::first;
    joinRows<T, R>(wide, x, most, together * columns, together * columns);
    for (int64_t j = 0; j < together * columns; j++) out[j % columns] = R::join(out[j % columns], wide[j]);
    x += most * together * stride;
    rows -= most * together;
  }
  joinRows<T, R>(out, x, rows, columns, stride);
}

// Short rows of floats, a register of results at a time: a row in lanes of T, then, where Wide is double, its halves.
template <class T, class R> INLINE void joinRowBlocks(T* y, const T* x, int64_t rows, int64_t n) {
  using Wide = typename R::Wide;
  constexpr int w = width<Wide>;
  for (int64_t r = 0; r < rows; r += w) {
    const int count = rows - r < w ? int(rows - r) : w;
    const RowValues<Wide> all(foldRows<Wide>(
        count,
        [&](int k) {
          const T* from = x + (r + k) * n;
          Vec<T> a = splat(T(R::first)), b = a;
          int64_t i = 0;
          for (; i + 2 * width<T> <= n; i += 2 * width<T>) {
            a = R::join(a, R::of(load(from + i)));
            b = R::join(b, R::of(load(from + i + width<T>)));
          }
          along<T>(
              n - i, [&](int64_t j) { a = R::join(a, R::of(load(from + i + j))); },
              [&](int64_t j, int64_t rest) { b = R::join(b, partOf<T, R>(from + i + j, rest)); });
          a = R::join(a, b);
          if constexpr (__is_same(T, Wide)) return a;
          else {
            Vec<double> low, high;
            widen(a, low, high);
            return R::join(low, high);
          }
        },
        [](Vec<Wide> a, Vec<Wide> b) { return R::join(a, b); }));
    for (int k = 0; k < count; k++) y[r + k] = T(all.value[k]);
  }
}
// Rows too short for that: four at a time, each in order.
template <class T, class R> INLINE void joinShortRows(T* y, const T* x, int64_t rows, int64_t n) {
  using Wide = typename R::Wide;
  int64_t r = 0;
  for (; r + 4 <= rows; r += 4) {
    const T *x0 = x + r * n, *x1 = x0 + n, *x2 = x1 + n, *x3 = x2 + n;
    Wide a0 = R::first, a1 = a0, a2 = a0, a3 = a0;
    for (int64_t i = 0; i < n; i++) {
      a0 = R::join(a0, R::of(Wide(x0[i])));
      a1 = R::join(a1, R::of(Wide(x1[i])));
      a2 = R::join(a2, R::of(Wide(x2[i])));
      a3 = R::join(a3, R::of(Wide(x3[i])));
    }
    y[r] = T(a0), y[r + 1] = T(a1), y[r + 2] = T(a2), y[r + 3] = T(a3);
  }
  for (; r < rows; r++) {
    Wide a = R::first;
    for (int64_t i = 0; i < n; i++) a = R::join(a, R::of(Wide(x[r * n + i])));
    y[r] = T(a);
  }
}

template <class T, class R> INLINE void reduceWith(T* y, const T* x, const ReduceSize& s) {
  using Wide = typename R::Wide;
  if (s.y() == 0) return;
  if constexpr (isFloat<T>) {
    // Sums of a register or two are faster as they stand.
    if (s.inner == 1 && s.reduce <= kShortRowOfX / 2 && (__is_same(Wide, T) || s.reduce >= 2 * width<float>)) {
      parallel(s.outer, grainOf(s.reduce * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
        joinRowBlocks<T, R>(y + begin, x + begin * s.reduce, end - begin, s.reduce);
      });
      return;
    }
  }
  if (s.inner == 1 && s.reduce < 4 * width<float>) {
    parallel(s.outer, kMapGrain / (s.reduce + 4), [&](int64_t begin, int64_t end) {
      joinShortRows<T, R>(y + begin, x + begin * s.reduce, end - begin, s.reduce);
    });
    return;
  }
  const int64_t columns = s.inner < kColumns ? s.inner : kColumns, tiles = (s.inner + columns - 1) / columns;
  const int64_t most = kPiece / columns > kRunRows ? kPiece / columns : kRunRows, results = s.outer * tiles;
  const int64_t rows = results < 64 && s.reduce >= 2 * most ? most : s.reduce; // rows a piece
  const int64_t pieces = rows == s.reduce ? 1 : (s.reduce + rows - 1) / rows;
  const int64_t work = (rows + 1) * columns;
  Scratch<Wide> partial(pieces == 1 ? 1 : pieces * s.y());

  parallel(results * pieces, work < kMapGrain ? kMapGrain / work : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t o = i / (pieces * tiles), piece = i / tiles % pieces, j = i % tiles * columns;
      const int64_t r = piece * rows, height = r + rows < s.reduce ? rows : s.reduce - r;
      const int64_t breadth = j + columns < s.inner ? columns : s.inner - j;
      Wide out[kColumns];
      joinPiece<T, R>(out, x + (o * s.reduce + r) * s.inner + j, height, breadth, s.inner);
      if (pieces == 1)
        for (int64_t c = 0; c < breadth; c++) y[o * s.inner + j + c] = T(out[c]);
      else memcpy(&partial[(o * pieces + piece) * s.inner + j], out, size_t(breadth) * sizeof(Wide));
    }
  });
  if (pieces == 1) return;
  for (int64_t o = 0; o < s.outer; o++) {
    Wide* all = &partial[o * pieces * s.inner];
    for (int64_t piece = 1; piece < pieces; piece++)
      for (int64_t j = 0; j < s.inner; j++) all[j] = R::join(all[j], all[piece * s.inner + j]);
    for (int64_t j = 0; j < s.inner; j++) y[o * s.inner + j] = T(all[j]);
  }
}

#define REDUCE(name, Reducer)                                                                                          \
  template <class T> void name(T* y, const T* x, const ReduceSize& s) { reduceWith<T, Reducer<T>>(y, x, s); }          \
  KERNEL(name)
REDUCE(sum, Sum)
REDUCE(sumSquares, SumSquares)
REDUCE(prod, Prod)
REDUCE(amax, Max)
REDUCE(amin, Min)

void any(uint8_t* y, const uint8_t* x, const ReduceSize& s) { reduceWith<uint8_t, Any>(y, x, s); }
KERNEL_ANY(any)
void all(uint8_t* y, const uint8_t* x, const ReduceSize& s) { reduceWith<uint8_t, All>(y, x, s); }
KERNEL_ANY(all)

} // namespace napier::ISA
