// Positions of the largest and smallest elements of x[outer, reduce, inner] over `reduce`: NaN wins, and of equals the
// first. Consecutive elements are read twice, for the value and then for its place; columns keep both as they go.
#include "map.h"

namespace napier::ISA {

template <class T> struct Largest {
  static constexpr T first = lowest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b > a) | (b != b) ? b : a; }
  static INLINE bool better(T a, T b) { return a > b; }
};
template <class T> struct Smallest {
  static constexpr T first = highest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b < a) | (b != b) ? b : a; }
  static INLINE bool better(T a, T b) { return a < b; }
};
template <class T> INLINE bool same(T a, T b) { return a == b || (a != a && b != b); }

template <class T, class R> INLINE int64_t findBest(const T* x, int64_t n) {
  T best = R::first;
  int64_t i = 0;
  constexpr int w = width<T>;
  if (n >= 2 * w) {
    Vec<T> a0 = splat(R::first), a1 = a0;
    for (; i + 2 * w <= n; i += 2 * w) {
      a0 = R::join(a0, load(x + i));
      a1 = R::join(a1, load(x + i + w));
    }
    T lanes[w];
    store<T>(lanes, R::join(a0, a1));
    for (int l = 0; l < w; l++) best = R::join(best, lanes[l]);
  }
  for (; i < n; i++) best = R::join(best, x[i]);
  for (i = 0; i + 64 <= n; i += 64) {
    int found = 0;
    for (int j = 0; j < 64; j++) found |= same(x[i + j], best);
    if (found) break;
  }
  while (i < n - 1 && !same(x[i], best)) i++;
  return i;
}

// Columns that keep their best so far in L1.
constexpr int64_t kColumns = 256, kPiece = 65536;

template <class T, class R> INLINE void argBest(int32_t* y, const T* x, const ReduceSize& s) {
  if (s.y() == 0) return;
  if (s.inner == 1) {
    const int64_t pieces = s.outer < 64 ? (s.reduce + kPiece - 1) / kPiece : 1;
    const int64_t length = pieces == 1 ? s.reduce : kPiece;
    Scratch<int64_t> at(s.outer * pieces);
    parallel(s.outer * pieces, length < kMapGrain ? kMapGrain / length : 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; i++) {
        const int64_t r = i % pieces * length, n = r + length < s.reduce ? length : s.reduce - r;
        at[i] = r + findBest<T, R>(x + i / pieces * s.reduce + r, n);
      }
    });
    for (int64_t o = 0; o < s.outer; o++) {
      const T* row = x + o * s.reduce;
      int64_t best = at[o * pieces];
      for (int64_t p = 1; p < pieces; p++) {
        const int64_t r = at[o * pieces + p];
        if (R::better(row[r], row[best]) || (row[r] != row[r] && row[best] == row[best])) best = r;
      }
      y[o] = int32_t(best);
    }
    return;
  }
  const int64_t tiles = (s.inner + kColumns - 1) / kColumns,
                work = s.reduce * (s.inner < kColumns ? s.inner : kColumns);
  parallel(s.outer * tiles, work < kMapGrain ? kMapGrain / work : 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t o = i / tiles, j = i % tiles * kColumns, n = j + kColumns < s.inner ? kColumns : s.inner - j;
      const T* from = x + o * s.reduce * s.inner + j;
      T best[kColumns];
      int32_t at[kColumns];
      for (int64_t c = 0; c < n; c++) best[c] = from[c], at[c] = 0;
      for (int64_t r = 1; r < s.reduce; r++)
        for (int64_t c = 0; c < n; c++) {
          const T v = from[r * s.inner + c];
          const bool wins = R::better(v, best[c]) | ((v != v) & (best[c] == best[c]));
          best[c] = wins ? v : best[c];
          at[c] = wins ? int32_t(r) : at[c];
        }
      memcpy(y + o * s.inner + j, at, size_t(n) * sizeof(int32_t));
    }
  });
}

template <class T> void argmax(int32_t* y, const T* x, const ReduceSize& s) { argBest<T, Largest<T>>(y, x, s); }
KERNEL(argmax)
template <class T> void argmin(int32_t* y, const T* x, const ReduceSize& s) { argBest<T, Smallest<T>>(y, x, s); }
KERNEL(argmin)

} // namespace napier::ISA
