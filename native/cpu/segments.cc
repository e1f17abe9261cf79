// Reductions over segments of rows, x[offsets[b] ... offsets[b + 1] - 1] of x[n, cols], the last up to n: what a bag of
// embeddings is made by. A segment is read once, in order. Bandwidth-bound.
#include "map.h"
#include "rows.h"

namespace napier::ISA {

// body(b, first, last) for each segment whose offsets are good; a bad one (the first not 0, one that falls or lies
// beyond n) is reported, and its segment is empty.
template <class T, class Body>
INLINE void eachSegment(Indices offsets, int64_t n, int64_t segments, int64_t cols, Fault& fault, const Body& body) {
  const int64_t rows = segments > 0 ? n / segments + 2 : 1;
  parallel(segments, grainOf(rows * cols * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; b++) {
      int64_t first = offsets[b], last = b + 1 < segments ? offsets[b + 1] : n;
      const bool good = first >= 0 && first <= n && (b > 0 || first == 0);
      if (!good) fault.report(b, first, 0, b > 0 ? n : 0);
      else if (last < first) fault.report(b + 1, last, first, n);
      if (!good || last < first || last > n) first = last = 0;
      body(b, first, last);
    }
  });
}

template <class T>
void sumSegments(T* y, const T* x, Indices offsets, int64_t n, int64_t segments, int64_t cols, Fault& fault) {
  eachSegment<T>(offsets, n, segments, cols, fault, [&](int64_t b, int64_t first, int64_t last) {
    T* to = y + b * cols;
    for (int64_t j = 0; j < cols; j++) to[j] = T(0);
    for (int64_t i = first; i < last; i++)
      for (int64_t j = 0; j < cols; j++) to[j] = T(Wrapping<T>(to[j]) + Wrapping<T>(x[i * cols + j]));
  });
}
KERNEL(sumSegments)

template <class T>
void spreadSegments(T* x, const T* y, Indices offsets, int64_t n, int64_t segments, int64_t cols, Fault& fault) {
  bool whole = segments > 0 && offsets[0] == 0; // every row lies in one segment
  for (int64_t b = 0; b < segments && whole; b++) {
    int64_t last = b + 1 < segments ? offsets[b + 1] : n;
    whole = offsets[b] >= 0 && offsets[b] <= last && last <= n;
  }
  if (!whole) memset(x, 0, size_t(n * cols) * sizeof(T));
  eachSegment<T>(offsets, n, segments, cols, fault, [&](int64_t b, int64_t first, int64_t last) {
    if (whole)
      for (int64_t i = first; i < last; i++) memcpy(x + i * cols, y + b * cols, size_t(cols) * sizeof(T));
  });
}
KERNEL(spreadSegments)

template <class T>
void maxSegments(T* y, int32_t* index, const T* x, Indices offsets, int64_t n, int64_t segments, int64_t cols,
                 Fault& fault) {
  eachSegment<T>(offsets, n, segments, cols, fault, [&](int64_t b, int64_t first, int64_t last) {
    T* to = y + b * cols;
    int32_t* at = index + b * cols;
    for (int64_t j = 0; j < cols; j++) {
      to[j] = first < last ? x[first * cols + j] : T(0);
      at[j] = first < last ? int32_t(first) : -1;
    }
    for (int64_t i = first + 1; i < last; i++)
      for (int64_t j = 0; j < cols; j++) {
        const T v = x[i * cols + j];
        if (v > to[j] || (v != v && to[j] == to[j])) to[j] = v, at[j] = int32_t(i);
      }
  });
}
KERNEL(maxSegments)

} // namespace napier::ISA
