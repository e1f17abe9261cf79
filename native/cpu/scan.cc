// Scans along the middle of x[outer, n, inner]: running sums, products, maxima, and y_t = a_t y_{t-1} + b_t, which is
// what the gradients of the others come down to. Each result depends on the one before, so what is independent goes
// side by side: columns; kTogether short rows, whose additions overlap; kTogether segments of a long row of sums, whose
// totals are taken first. (Products of segments may overflow where the row's own are 0.) Floats are carried in double.
#include "map.h"

namespace napier::ISA {

template <class T> struct CarryOf { using type = uint64_t; };
template <> struct CarryOf<float> { using type = double; };
template <> struct CarryOf<double> { using type = double; };
template <class T> using Carry = typename CarryOf<T>::type;

constexpr int64_t kColumns = 256;

// body(offset of the first row's piece, columns) for pieces of the rows [inner] of each of outer.
template <class Body> INLINE void eachColumns(const ReduceSize& s, int64_t bytes, const Body& body) {
  const int64_t tiles = (s.inner + kColumns - 1) / kColumns, width = s.inner < kColumns ? s.inner : kColumns;
  parallel(s.outer * tiles, grainOf(s.reduce * width * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) {
      const int64_t first = unit % tiles * kColumns;
      body(unit / tiles * s.reduce * s.inner + first, first + kColumns < s.inner ? kColumns : s.inner - first);
    }
  });
}

// Chains that run side by side, and the longest rows that do so: longer ones lie too far apart for the caches' sets.
constexpr int kTogether = 8;
constexpr int64_t kShortRow = 1024;

// A row, or a segment of one: `length` steps at the positions begin, begin + step, ...
struct Chain {
  int64_t begin, length;
};
// Runs chains from `carry`: write(position, next(carry, position)).
template <class Carry, class Next, class Write>
INLINE void runChains(Carry* carry, const Chain* chains, int count, int64_t step, const Next& next,
                      const Write& write) {
  int64_t common = count == kTogether ? chains[0].length : 0;
  for (int k = 1; k < count; k++) common = chains[k].length < common ? chains[k].length : common;
  if (common > 0) {
    Carry c[kTogether];
    int64_t at[kTogether];
    for (int k = 0; k < kTogether; k++) c[k] = carry[k], at[k] = chains[k].begin;
    for (int64_t t = 0; t < common; t++)
      for (int k = 0; k < kTogether; k++) {
        c[k] = next(c[k], at[k]);
        write(at[k], c[k]);
        at[k] += step;
      }
    for (int k = 0; k < kTogether; k++) carry[k] = c[k];
  }
  for (int k = 0; k < count; k++) {
    Carry c = carry[k];
    for (int64_t t = common, i = chains[k].begin + common * step; t < chains[k].length; t++, i += step) {
      c = next(c, i);
      write(i, c);
    }
    carry[k] = c;
  }
}

// start(carry, row), then runChains() for each row: kTogether at a time where they are short.
template <class Carry, class Start, class Next, class Write>
INLINE void eachRow(const ReduceSize& s, int64_t reverse, int64_t bytes, const Start& start, const Next& next,
                    const Write& write) {
  const int64_t n = s.reduce, together = n <= kShortRow ? kTogether : 1;
  parallel((s.outer + together - 1) / together, grainOf(together * n * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin * together; row < end * together && row < s.outer; row += together) {
      const int count = s.outer - row < together ? int(s.outer - row) : int(together);
      Chain chains[kTogether];
      Carry carry[kTogether];
      for (int k = 0; k < count; k++) {
        chains[k] = {(row + k) * n + (reverse ? n - 1 : 0), n};
        start(carry[k], row + k);
      }
      runChains(carry, chains, count, reverse ? -1 : 1, next, write);
    }
  });
}

// y_t = next(y_{t-1}, position of t), from `first`, forwards or in reverse.
template <class T, class Next>
INLINE void scan(T* y, int64_t reverse, const ReduceSize& s, Carry<T> first, const Next& next) {
  if (s.x() == 0) return;
  if (s.inner == 1)
    return eachRow<Carry<T>>(
        s, reverse, 3 * int64_t(sizeof(T)), [=](Carry<T>& carry, int64_t) { carry = first; }, next,
        [=](int64_t i, Carry<T> c) { y[i] = T(c); });
  eachColumns(s, 3 * int64_t(sizeof(T)), [&](int64_t offset, int64_t columns) {
    Carry<T> carry[kColumns];
    for (int64_t c = 0; c < columns; c++) carry[c] = first;
    for (int64_t t = 0; t < s.reduce; t++) {
      const int64_t row = offset + (reverse ? s.reduce - 1 - t : t) * s.inner;
      for (int64_t c = 0; c < columns; c++) {
        carry[c] = next(carry[c], row + c);
        y[row + c] = T(carry[c]);
      }
    }
  });
}

// A long row, in blocks of kTogether segments that are in L2 from their totals to y.
template <class T> INLINE void sumLongRow(T* y, const T* x, int64_t reverse, int64_t n) {
  constexpr int64_t kSegment = 1040; // no power of 2: segments would meet in the same sets
  const int64_t step = reverse ? -1 : 1;
  auto next = [=](Carry<T> sum, int64_t i) { return sum + Carry<T>(x[i]); };
  Carry<T> before = 0;
  for (int64_t t = 0; t < n;) {
    const int64_t rest = n - t;
    const int64_t length = rest >= kTogether * kSegment ? kSegment : rest / kTogether + (rest > kShortRow ? 17 : 1);
    Chain chains[kTogether];
    Carry<T> carry[kTogether] = {};
    for (Chain& chain : chains) {
      chain = {reverse ? n - 1 - t : t, n - t < length ? n - t : length};
      t += chain.length;
    }
    runChains(carry, chains, kTogether, step, next, [](int64_t, Carry<T>) {});
    for (Carry<T>& c : carry) {
      const Carry<T> total = c;
      c = before;
      before += total;
    }
    runChains(carry, chains, kTogether, step, next, [=](int64_t i, Carry<T> c) { y[i] = T(c); });
  }
}
template <class T> void cumsum(T* y, const T* x, int64_t reverse, const ReduceSize& s) {
  if (s.inner != 1 || s.reduce <= kShortRow)
    return scan(y, reverse, s, 0, [=](Carry<T> sum, int64_t i) { return sum + Carry<T>(x[i]); });
  parallel(s.outer, grainOf(s.reduce * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) sumLongRow(y + row * s.reduce, x + row * s.reduce, reverse, s.reduce);
  });
}
KERNEL(cumsum)

template <class T> void cumprod(T* y, const T* x, int64_t reverse, const ReduceSize& s) {
  scan(y, reverse, s, 1, [=](Carry<T> product, int64_t i) { return product * Carry<T>(x[i]); });
}
KERNEL(cumprod)

template <class T> void linearScan(T* y, const T* a, const T* b, int64_t reverse, const ReduceSize& s) {
  scan(y, reverse, s, 0, [=](double before, int64_t i) { return double(a[i]) * before + double(b[i]); });
}
KERNEL(linearScan)

// The place of the largest so far: the last of equals, and a NaN stays until the next one, as in PyTorch.
template <class T, class Better>
INLINE void extremes(int32_t* y, const T* x, const ReduceSize& s, const Better& better) {
  if (s.x() == 0) return;
  auto wins = [&](T v, T best) { return (v != v) | (better(v, best) & (best == best)); };
  if (s.inner == 1) {
    const int64_t n = s.reduce;
    struct Best {
      T value;
      int64_t at, row; // positions in x: of the value, and of its row
    };
    eachRow<Best>(
        s, 0, int64_t(sizeof(T) + sizeof(int32_t)),
        [=](Best& best, int64_t row) { best = {x[row * n], row * n, row * n}; },
        [=](Best best, int64_t i) { return wins(x[i], best.value) ? Best{x[i], i, best.row} : best; },
        [=](int64_t i, Best best) { y[i] = int32_t(best.at - best.row); });
    return;
  }
  eachColumns(s, int64_t(sizeof(T) + sizeof(int32_t)), [&](int64_t offset, int64_t columns) {
    T best[kColumns];
    int32_t at[kColumns];
    for (int64_t c = 0; c < columns; c++) best[c] = x[offset + c], at[c] = 0;
    for (int64_t t = 0; t < s.reduce; t++) {
      const int64_t row = offset + t * s.inner;
      for (int64_t c = 0; c < columns; c++) {
        const bool next = wins(x[row + c], best[c]);
        best[c] = next ? x[row + c] : best[c];
        at[c] = next ? int32_t(t) : at[c];
        y[row + c] = at[c];
      }
    }
  });
}
template <class T> void cummax(int32_t* y, const T* x, const ReduceSize& s) {
  extremes(y, x, s, [](T a, T b) { return a >= b; });
}
KERNEL(cummax)
template <class T> void cummin(int32_t* y, const T* x, const ReduceSize& s) {
  extremes(y, x, s, [](T a, T b) { return a <= b; });
}
KERNEL(cummin)

} // namespace napier::ISA
