// Order along the middle of x[outer, n, inner], as places: the values are gathered by them.
//
// Elements become unsigned keys in the same order (NaN above everything, -0 as 0), inverted where the largest come first;
// so every dtype and direction is one stable sort of (key, place). Few of many are kept in a sorted list; short columns
// are sorted by insertion; others by digits of 8 bits from the lowest (LSD radix sort, Knuth 5.2.5), leaving out the
// digits that all keys share. n log(2^bits) / 8 passes of 12 or 16 bytes an element.
#include "map.h"

namespace napier::ISA {

template <int Bytes> struct UnsignedOf;
template <> struct UnsignedOf<1> { using type = uint8_t; };
template <> struct UnsignedOf<4> { using type = uint32_t; };
template <> struct UnsignedOf<8> { using type = uint64_t; };
template <class T> using Key = typename UnsignedOf<sizeof(T)>::type;

template <class T> INLINE Key<T> keyOf(T x) {
  using K = Key<T>;
  constexpr K top = K(K(1) << (8 * sizeof(T) - 1));
  if constexpr (isFloat<T>) {
    K bits;
    memcpy(&bits, &x, sizeof bits);
    return x != x ? K(~K(0)) : x == T(0) ? top : bits & top ? K(~bits) : K(bits | top);
  } else if constexpr (T(-1) < T(0)) return K(K(x) ^ top);
  else return x;
}

template <class K> struct Place {
  K key;
  int32_t at;
};

// The k first of n, in order: each new one goes behind those that are not greater.
template <class K> INLINE void selectFirst(Place<K>* best, int64_t k, const Place<K>* x, int64_t n) {
  int64_t held = 0;
  for (int64_t i = 0; i < n; i++) {
    const Place<K> v = x[i];
    if (held == k && v.key >= best[k - 1].key) continue;
    int64_t j = held < k ? held++ : k - 1;
    for (; j > 0 && v.key < best[j - 1].key; j--) best[j] = best[j - 1];
    best[j] = v;
  }
}

// Sorts a by its keys, stable; the answer stands in a or b.
template <class K> INLINE Place<K>* radixSort(Place<K>* a, Place<K>* b, int64_t n) {
  constexpr int digits = sizeof(K);
  int32_t count[digits][256] = {};
  for (int64_t i = 0; i < n; i++)
    for (int d = 0; d < digits; d++) count[d][a[i].key >> (8 * d) & 255]++;
  for (int d = 0; d < digits; d++) {
    if (count[d][a[0].key >> (8 * d) & 255] == n) continue;
    int32_t start = 0;
    for (int v = 0; v < 256; v++) {
      const int32_t c = count[d][v];
      count[d][v] = start;
      start += c;
    }
    for (int64_t i = 0; i < n; i++) b[count[d][a[i].key >> (8 * d) & 255]++] = a[i];
    Place<K>* sorted = b;
    b = a;
    a = sorted;
  }
  return a;
}

// Below: insertion beats clearing and summing the counts of the digits. Up to: a list of the first few beats a sort.
constexpr int64_t kInsertion = 48, kFew = 64;

template <class T> void topk(int32_t* y, const T* x, int64_t k, int64_t largest, const SortSize& s) {
  using K = Key<T>;
  const int64_t n = s.reduce;
  if (k == 0 || s.y() == 0) return;
  const bool few = n <= kInsertion || (k <= kFew && k <= n / 8);
  const K flip = largest ? K(~K(0)) : K(0);
  parallel(s.outer * s.inner, grainOf(n * int64_t(sizeof(T)) * 8), [&](int64_t begin, int64_t end) {
    Scratch<Place<K>> places(n), others(few ? k : n);
    for (int64_t column = begin; column < end; column++) {
      const int64_t o = column / s.inner, i = column % s.inner;
      const T* from = x + o * n * s.inner + i;
      for (int64_t r = 0; r < n; r++) places[r] = {K(keyOf(from[r * s.inner]) ^ flip), int32_t(r)};
      const Place<K>* sorted = others;
      if (few) selectFirst<K>(others, k, places, n);
      else sorted = radixSort<K>(places, others, n);
      int32_t* to = y + o * k * s.inner + i;
      for (int64_t r = 0; r < k; r++) to[r * s.inner] = sorted[r].at;
    }
  });
}
KERNEL(topk)

// How many of the sorted elements are less than v (right: not greater), by bisection of their keys.
template <class T>
void searchsorted(int32_t* y, const T* sorted, const T* x, int64_t right, int64_t each, const SearchSize& s) {
  const int64_t n = s.n, m = s.m;
  parallel(s.rows * m, grainOf(8 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T* row = sorted + (each ? i / m * n : 0);
      const Key<T> v = keyOf(x[i]);
      auto before = [&](const T& at) {
        const Key<T> key = keyOf(at);
        return (key < v) | ((right != 0) & (key == v));
      };
      // Without branches on the elements, of which every second would be guessed wrong.
      const T* base = row;
      int64_t left = n;
      for (; left > 1; left -= left / 2) base += left / 2 & -int64_t(before(base[left / 2 - 1]));
      y[i] = int32_t(base - row + (left == 1 && before(*base)));
    }
  });
}
KERNEL(searchsorted)

// The last place of the longest run of equals in a sorted column; of runs of one length, the first.
template <class T> void mode(int32_t* y, const T* x, const ReduceSize& s) {
  parallel(s.outer * s.inner, grainOf(s.reduce * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t column = begin; column < end; column++) {
      const T* from = x + column / s.inner * s.reduce * s.inner + column % s.inner;
      int64_t run = 0, longest = 0, at = 0;
      for (int64_t r = 0; r < s.reduce; r++) {
        run = r > 0 && keyOf(from[r * s.inner]) == keyOf(from[(r - 1) * s.inner]) ? run + 1 : 1;
        if (run > longest) longest = run, at = r;
      }
      y[column] = int32_t(at);
    }
  });
}
KERNEL(mode)

} // namespace napier::ISA
