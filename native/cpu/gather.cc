// Elements by index along the middle of x[outer, n, inner]: taking, putting and adding. Bandwidth-bound; where every
// element has an index of its own, bound by the latency of x.
#include "map.h"

namespace napier::ISA {

// Columns that are walked together: scatters run down the indices in order, and share out the columns.
constexpr int64_t kColumns = 1024;

// y[o, j, i] = x[o, index, i]; an index outside [0, n) is reported and 0 put in its place.
template <class T> void gather(T* y, const T* x, Indices index, const IndexSize& s, Fault& fault) {
  const int64_t inner = s.inner, last = s.n - 1;
  parallel(s.outer * s.m, grainOf(2 * inner * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; r++) {
      const T* from = x + r / s.m * s.n * inner;
      T* to = y + r * inner;
      if (s.each) {
        for (int64_t i = 0, p = r * inner; i < inner; i++, p++) {
          const int64_t id = index[p];
          if (uint64_t(id) < uint64_t(s.n)) to[i] = from[id * inner + i];
          else fault.report(p, id, 0, last), to[i] = T{};
        }
      } else {
        const int64_t id = index[r % s.m];
        if (uint64_t(id) < uint64_t(s.n)) memcpy(to, from + id * inner, size_t(inner) * sizeof(T));
        else fault.report(r % s.m, id, 0, last), memset(to, 0, size_t(inner) * sizeof(T));
      }
    }
  });
}
KERNEL(gather)

// put(x[o, index, i], y[o, j, i]) in the order of j for each (o, i): a thread has columns of its own.
template <class T, class Put>
INLINE void scatterWith(T* x, const T* y, Indices index, const IndexSize& s, Fault& fault, const Put& put) {
  const int64_t tiles = (s.inner + kColumns - 1) / kColumns, width = s.inner < kColumns ? s.inner : kColumns;
  parallel(s.outer * tiles, grainOf(3 * s.m * width * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t unit = begin; unit < end; unit++) {
      const int64_t o = unit / tiles, first = unit % tiles * kColumns;
      const int64_t n = first + kColumns < s.inner ? kColumns : s.inner - first;
      for (int64_t j = 0; j < s.m; j++) {
        T* to = x + o * s.n * s.inner + first;
        const int64_t row = (o * s.m + j) * s.inner + first;
        const T* from = y + row;
        if (s.each) {
          for (int64_t i = 0; i < n; i++) {
            const int64_t id = index[row + i];
            if (uint64_t(id) < uint64_t(s.n)) put(to[id * s.inner + i], from[i]);
            else fault.report(row + i, id, 0, s.n - 1);
          }
        } else {
          const int64_t id = index[j];
          if (uint64_t(id) >= uint64_t(s.n)) {
            fault.report(j, id, 0, s.n - 1);
            continue;
          }
          for (int64_t i = 0; i < n; i++) put(to[id * s.inner + i], from[i]);
        }
      }
    }
  });
}

// x[o, index, i] = y[o, j, i]; of equal indices the last stays.
template <class T> void scatter(T* x, const T* y, Indices index, const IndexSize& s, Fault& fault) {
  scatterWith(x, y, index, s, fault, [](T& to, const T& from) { to = from; });
}
KERNEL(scatter)

// x[o, index, i] += y[o, j, i], in the order of j.
template <class T> void scatterAdd(T* x, const T* y, Indices index, const IndexSize& s, Fault& fault) {
  scatterWith(x, y, index, s, fault, [](T& to, const T& from) { to = T(Wrapping<T>(to) + Wrapping<T>(from)); });
}
KERNEL(scatterAdd)

// The places of the true elements, in order; rows that are left over where there are fewer are 0. Reads 8 bytes at once.
void nonzero(int32_t* y, const uint8_t* x, int64_t found, const Extents& s) {
  const int64_t n = s.count();
  int64_t row = 0;
  for (int64_t at = 0; at < n && row < found; at++) {
    uint64_t eight = 0;
    if (at % 8 == 0 && at + 8 <= n) {
      memcpy(&eight, x + at, 8);
      if (eight == 0) {
        at += 7;
        continue;
      }
    }
    if (!x[at]) continue;
    for (int64_t d = s.rank - 1, rest = at; d >= 0; d--) {
      y[row * s.rank + d] = int32_t(rest % s.extent[d]);
      rest /= s.extent[d];
    }
    row++;
  }
  if (row < found) memset(y + row * s.rank, 0, size_t((found - row) * s.rank) * sizeof(int32_t));
}
KERNEL_ANY(nonzero)

} // namespace napier::ISA
