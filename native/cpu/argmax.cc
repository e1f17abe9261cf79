// Positions of the largest and smallest elements of x[outer, reduce, inner] over `reduce`: NaN wins, and of equals the
// first. Lanes and columns keep the best and its place as they go; bytes, whose lanes hold no places, are read twice.
#include "map.h"
#include "row_blocks.h"

namespace napier::ISA {

template <class T> struct Largest {
  static constexpr T first = lowest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b > a) | (b != b) ? b : a; }
  template <class V> static INLINE auto better(V a, V b) { return a > b; }
};
template <class T> struct Smallest {
  static constexpr T first = highest<T>();
  template <class V> static INLINE V join(V a, V b) { return (b < a) | (b != b) ? b : a; }
  template <class V> static INLINE auto better(V a, V b) { return a < b; }
};
template <class V> INLINE auto same(V a, V b) { return (a == b) | ((a != a) & (b != b)); }

// By lanes: the best element of each and its place, the best of all lanes, and of the places where it stands the first.
template <class T, class R> INLINE int64_t findBestInLanes(const T* x, int64_t n) {
  using Places = LaneMask<T>;
  using Place = std::remove_reference_t<decltype(Places{}[0])>;
  constexpr int w = width<T>;
  Vec<T> best0 = splat(R::first), best1 = best0;
  Places at0{}, at1{};
  auto meet = [](Vec<T>& best, Places& at, Vec<T> v, int64_t i) {
    const Places wins = R::better(v, best) | ((v != v) & (best == best));
    best = wins ? v : best;
    at = wins ? Places{} + Place(i) : at;
  };
  int64_t i = 0;
  for (; i + 2 * w <= n; i += 2 * w) {
    meet(best0, at0, load(x + i), i);
    meet(best1, at1, load(x + i + w), i + w);
  }
  along<T>(
      n - i, [&](int64_t k) { meet(best0, at0, load(x + i + k), i + k); },
      [&](int64_t k, int64_t rest) {
        meet(best1, at1, lanesBelow<T>(rest) ? loadPart(x + i + k, rest) : splat(R::first), i + k);
      });
  const Vec<T> best = joinLanes<T>(R::join(best0, best1), [](Vec<T> a, Vec<T> b) { return R::join(a, b); });
  const Places none = Places{} + Place(INT32_MAX), lanes = __builtin_convertvector(lane<T>(), Places);
  const Places first0 = same(best0, best) ? at0 + lanes : none, first1 = same(best1, best) ? at1 + lanes : none;
  auto smaller = [](Vec<Place> a, Vec<Place> b) { return a < b ? a : b; };
  return joinLanes<Place>(smaller(Vec<Place>(first0), Vec<Place>(first1)), smaller)[0];
}

template <class T, class R> INLINE int64_t findBest(const T* x, int64_t n) {
  if constexpr (sizeof(T) >= 4) return findBestInLanes<T, R>(x, n);
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
constexpr int64_t kColumns = 1024, kPiece = 65536;

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
