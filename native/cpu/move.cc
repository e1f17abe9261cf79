// Moving elements without looking at them, filling, counting, and casting between dtypes.
//
// All are bandwidth-bound: rows of consecutive elements go by memcpy, transposes by tiles that keep both sides' cache
// lines in use (large ones in strips, past the caches), anything else one element at a time.
#include "map.h"
#include "strided.h"

namespace napier::ISA {

// Transposes go by tiles: 16 elements are at least a cache line on each side, for 4 and 8 bytes.
constexpr int64_t kTile = 16;

// a: the first halves of both, by turns; b: the second halves.
template <class U> INLINE void interleave(Vec<U>& a, Vec<U>& b) {
  constexpr int w = width<U>;
  Vec<U> low{}, high{};
#ifdef __clang__ // makes the shuffle of its own accord, and has no builtin whose indices are a vector
  for (int i = 0; i < w; i++) low[i] = i % 2 ? b[i / 2] : a[i / 2];
  for (int i = 0; i < w; i++) high[i] = i % 2 ? b[(i + w) / 2] : a[(i + w) / 2];
#else
  for (int i = 0; i < w; i++) low[i] = U(i / 2 + i % 2 * w), high[i] = low[i] + U(w / 2);
  const Vec<U> first = __builtin_shuffle(a, b, low);
  high = __builtin_shuffle(a, b, high);
  low = first;
#endif
  a = low;
  b = high;
}

// y[i sy + j] = x[j sx + i] for w x w elements in registers. Interleaving rows r and r + w/2 moves the top bit of the
// row number to the bottom of the column's, and the top bit of the column's to the row's: log2 w times, and they have
// changed places.
template <class U> INLINE void transposeBlock(U* y, int64_t sy, const U* x, int64_t sx) {
  constexpr int w = width<U>;
  Vec<U> v[w], t[w];
  for (int j = 0; j < w; j++) v[j] = load(x + j * sx);
  for (int round = 1; round < w; round *= 2) {
    for (int m = 0; m < w / 2; m++) {
      t[2 * m] = v[m];
      t[2 * m + 1] = v[m + w / 2];
      interleave<U>(t[2 * m], t[2 * m + 1]);
    }
    for (int j = 0; j < w; j++) v[j] = t[j];
  }
  for (int i = 0; i < w; i++) store<U>(y + i * sy, v[i]);
}

// y[i sy + j] = x[j sx + i] for rows i and columns j of a tile.
template <class T> INLINE void transposeTile(T* y, int64_t sy, const T* x, int64_t sx, int64_t rows, int64_t columns) {
  using U = decltype(T::bits);
  if constexpr (sizeof(U) >= 4 && width<U> <= kTile)
    if (rows == kTile && columns == kTile) {
      for (int64_t i = 0; i < kTile; i += width<U>)
        for (int64_t j = 0; j < kTile; j += width<U>)
          transposeBlock<U>(&y[i * sy + j].bits, sy, &x[j * sx + i].bits, sx);
      return;
    }
  for (int64_t i = 0; i < rows; i++)
    for (int64_t j = 0; j < columns; j++) y[i * sy + j] = x[j * sx + i];
}

// The same past the caches, for a full tile of y's lines: it is turned in a buffer, as only whole lines may be written so.
template <class T>
INLINE void transposeTileAround(T* y, int64_t sy, const T* x, int64_t sx, int64_t rows, int64_t columns) {
  using U = decltype(T::bits);
  if constexpr (sizeof(U) >= 4) {
    if (rows < kTile || columns < kTile) return transposeTile(y, sy, x, sx, rows, columns);
    alignas(64) T turned[kTile * kTile];
    transposeTile(turned, kTile, x, sx, kTile, kTile);
    for (int64_t i = 0; i < kTile; i++)
      for (int64_t j = 0; j < kTile; j += width<U>) stream<U>(&y[i * sy + j].bits, load(&turned[i * kTile + j].bits));
  }
}

// A tile from its offsets: `flat` on the contiguous side, whose rows are `row` apart, `at` on the strided side, whose
// columns are `column` apart.
template <class T> struct ReadTile {
  T* y;
  const T* x;
  INLINE void operator()(int64_t flat, int64_t row, int64_t at, int64_t column, int64_t rows, int64_t columns) const {
    transposeTile(y + flat, row, x + at, column, rows, columns);
  }
  // Whether y, of n elements in rows of `last`, is written in whole lines past the caches (2048x2048 floats: 2.6 times as
  // fast).
  INLINE bool goesAround(int64_t n, int64_t last) const {
    return sizeof(T) >= 4 && last * int64_t(sizeof(T)) % 64 == 0 && reinterpret_cast<uintptr_t>(y) % 64 == 0 &&
           n >= streamBytes() / int64_t(sizeof(T));
  }
  INLINE void around(int64_t flat, int64_t row, int64_t at, int64_t column, int64_t rows, int64_t columns) const {
    transposeTileAround(y + flat, row, x + at, column, rows, columns);
  }
};
template <class T> struct WriteTile {
  T* y;
  const T* x;
  INLINE bool goesAround(int64_t, int64_t) const { return false; }
  INLINE void around(int64_t, int64_t, int64_t, int64_t, int64_t, int64_t) const {}
  INLINE void operator()(int64_t flat, int64_t row, int64_t at, int64_t column, int64_t rows, int64_t columns) const {
    transposeTile(y + at, column, x + flat, row, columns, rows);
  }
};

// A walk whose strided side is consecutive along dimension k, not the last: transposes between k and the last.
template <class Tile> INLINE bool transposes(const StridedSize& s, const Tile& tile) {
  const int64_t last = s.rank - 1;
  int64_t k = -1, dense[kMaxRank], outer = 1;
  for (int64_t d = last, run = 1; d >= 0; run *= s.extent[d--]) dense[d] = run;
  for (int64_t d = 0; d < last; d++)
    if (s.stride[0][d] == 1 && s.extent[d] >= 4) k = d;
  if (k < 0 || s.stride[0][last] == 0) return false;
  for (int64_t d = 0; d < last; d++)
    if (d != k) outer *= s.extent[d];

  // Where a plane of dimensions k and last begins, on both sides.
  auto planeAt = [&](int64_t plane, int64_t& flat, int64_t& strided) {
    for (int64_t d = last - 1; d >= 0; d--) {
      if (d == k) continue;
      flat += plane % s.extent[d] * dense[d];
      strided += plane % s.extent[d] * s.stride[0][d];
      plane /= s.extent[d];
    }
  };
  const int64_t rows = s.extent[k], columns = s.extent[last], column = s.stride[0][last];
  auto upTo = [](int64_t n, int64_t i) { return i + kTile < n ? kTile : n - i; };
  auto grain = [](int64_t work) { return work < kMapGrain ? kMapGrain / work : 1; };

  if (tile.goesAround(outer * rows * columns, columns)) {
    // Strips of kTile columns: x is read along its lines, 16 streams at a time, and nothing has to stay in the caches, where
    // strides of powers of two would share sets.
    const int64_t tiles = (columns + kTile - 1) / kTile;
    parallel(outer * tiles, grain(kTile * rows), [&](int64_t begin, int64_t end) {
      for (int64_t u = begin; u < end; u++) {
        const int64_t j = u % tiles * kTile;
        int64_t flat = j, strided = j * column;
        planeAt(u / tiles, flat, strided);
        for (int64_t i = 0; i < rows; i += kTile)
          tile.around(flat + i * dense[k], dense[k], strided + i, column, upTo(rows, i), upTo(columns, j));
      }
      streamed();
    });
    return true;
  }
  const int64_t tiles = (rows + kTile - 1) / kTile;
  parallel(outer * tiles, grain(kTile * columns), [&](int64_t begin, int64_t end) {
    for (int64_t u = begin; u < end; u++) {
      const int64_t i = u % tiles * kTile;
      int64_t flat = i * dense[k], strided = i;
      planeAt(u / tiles, flat, strided);
      for (int64_t j = 0; j < columns; j += kTile)
        tile(flat + j, dense[k], strided + j * column, column, upTo(rows, i), upTo(columns, j));
    }
  });
  return true;
}

// Bytes as memcpy, but past the caches where `around`.
INLINE void copyBytes(void* to, const void* from, int64_t bytes, bool around) {
  auto* y = static_cast<uint8_t*>(to);
  auto* x = static_cast<const uint8_t*>(from);
  int64_t i = 0;
  if (around && reinterpret_cast<uintptr_t>(y) % kVectorBytes == 0)
    for (; i + kVectorBytes <= bytes; i += kVectorBytes) stream<uint8_t>(y + i, load(x + i));
  memcpy(y + i, x + i, size_t(bytes - i));
}

// y[i] = x[-i]
template <class T> INLINE void copyBackwards(T* y, const T* x, int64_t n) {
  using U = decltype(T::bits);
  constexpr int w = width<U>;
  int64_t i = 0;
  for (; i + w <= n; i += w) {
    const Vec<U> v = load(&x[-i - (w - 1)].bits);
    Vec<U> turned{};
#ifdef __clang__
    for (int k = 0; k < w; k++) turned[k] = v[w - 1 - k];
#else
    for (int k = 0; k < w; k++) turned[k] = U(w - 1 - k);
    turned = __builtin_shuffle(v, turned);
#endif
    store<U>(&y[i].bits, turned);
  }
  for (; i < n; i++) y[i] = x[-i];
}

// y (contiguous) from x[offset + strides], which may be zero (broadcasting) or negative (flipping).
template <class T> void copyStrided(T* y, const T* x, int64_t offset, const StridedSize& size) {
  const int64_t n = size.count();
  if (n == 0) return;
  const StridedSize s = collapse(size);
  const int64_t step = s.stride[0][s.rank - 1];
  x += offset;
  if (step != 1 && transposes(s, ReadTile<T>{y, x})) return;
  const bool around = goesAround(y, n);
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    segments(s, begin, end, [&](int64_t at, const int64_t* from, int64_t length) {
      const T* rx = x + from[0];
      T* ry = y + at;
      if (step == 1 && length >= 16) copyBytes(ry, rx, length * int64_t(sizeof(T)), around);
      else if (step == 0)
        for (int64_t i = 0; i < length; i++) ry[i] = *rx;
      else if (step == -1) copyBackwards(ry, rx, length);
      else
        for (int64_t i = 0; i < length; i++) ry[i] = rx[i * step];
    });
    if (around) streamed();
  });
}
KERNEL(copyStrided)

// y[offset + strides] from x (contiguous). The contract promises that no two elements meet.
template <class T> void writeStrided(T* y, const T* x, int64_t offset, const StridedSize& size) {
  const int64_t n = size.count();
  if (n == 0) return;
  const StridedSize s = collapse(size);
  const int64_t step = s.stride[0][s.rank - 1];
  y += offset;
  if (step != 1 && transposes(s, WriteTile<T>{y, x})) return;
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    segments(s, begin, end, [&](int64_t at, const int64_t* to, int64_t length) {
      const T* rx = x + at;
      T* ry = y + to[0];
      if (step == 1 && length >= 16) memcpy(ry, rx, size_t(length) * sizeof(T));
      else
        for (int64_t i = 0; i < length; i++) ry[i * step] = rx[i];
    });
  });
}
KERNEL(writeStrided)

template <class T> void fill(T* y, double value, int64_t n) {
  const T v = fromDouble<T>(value);
  parallel(n, 2 * kMapGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = v;
  });
}
KERNEL(fill)

// y[i] = start + i step, each rounded once from double.
template <class T> void arange(T* y, double start, double step, int64_t n) {
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) y[i] = fromDouble<T>(start + double(i) * step);
  });
}
KERNEL(arange)

} // namespace napier::ISA
