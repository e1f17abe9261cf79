// Distances of every row of a from every row of b by their differences: 3 FLOPs an element of each pair for p = 1, 2 and
// infinity, a power for other p. Blocks of rows of b stay in L1 while the rows of a pass.
#include "rows.h"

namespace napier::ISA {

// Rows of b in a block: about 16 KB.
INLINE int64_t blockOf(int64_t bytes) { return bytes >= 16384 ? 1 : 16384 / (bytes < 1 ? 1 : bytes); }

// Folds f over the differences of two rows; the lanes beyond the end are 0 - 0.
template <class T, class F, class Join>
INLINE Vec<T> foldDifference(const T* a, const T* b, int64_t k, const F& f, const Join& join) {
  return foldRow<T>(
      k, Vec<T>{}, [=](Vec<T> s, int64_t i) { return f(s, load(a + i) - load(b + i)); },
      [=](Vec<T> s, int64_t i, int64_t rest) { return f(s, loadPart(a + i, rest) - loadPart(b + i, rest)); }, join);
}

template <class T> INLINE T distance(const T* a, const T* b, int64_t k, double p) {
  auto plus = [](Vec<T> x, Vec<T> y) { return x + y; };
  auto larger = [](Vec<T> x, Vec<T> y) { return (y > x) | (y != y) ? y : x; };
  auto size = [](Vec<T> d) { return d < Vec<T>{} ? -d : d; };
  if (p == 2)
    return T(__builtin_sqrt(double(
        sumLanes<T>(foldDifference(a, b, k, [](Vec<T> s, Vec<T> d) { return fma(d, d, s); }, plus)))));
  if (p == 1) return sumLanes<T>(foldDifference(a, b, k, [=](Vec<T> s, Vec<T> d) { return s + size(d); }, plus));
  if (p == __builtin_inf())
    return maxLanes<T>(foldDifference(a, b, k, [=](Vec<T> s, Vec<T> d) { return larger(s, size(d)); }, larger));
  double sum = 0;
  for (int64_t i = 0; i < k; i++) {
    const double d = double(a[i]) - double(b[i]);
    sum += p == 0 ? (d != 0 ? 1 : 0) : __builtin_pow(d < 0 ? -d : d, p);
  }
  return T(p == 0 ? sum : __builtin_pow(sum, 1 / p));
}

template <class T> void cdist(T* y, const T* a, const T* b, double p, const DistanceSize& s) {
  if (s.y() == 0) return;
  constexpr int64_t kRows = 16; // rows of a in a piece of work, at most
  const int64_t tiles = (s.m + kRows - 1) / kRows, block = blockOf(s.k * int64_t(sizeof(T)));
  const double work = double(kRows) * double(s.n) * double(s.k + 1);
  parallel(s.batch * tiles, work >= 1e5 ? 1 : int64_t(1e5 / work) + 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; t++) {
      const int64_t c = t / tiles, first = t % tiles * kRows, last = first + kRows < s.m ? first + kRows : s.m;
      const T *from = a + c * s.m * s.k, *to = b + c * s.n * s.k;
      for (int64_t j0 = 0; j0 < s.n; j0 += block)
        for (int64_t i = first; i < last; i++)
          for (int64_t j = j0; j < s.n && j < j0 + block; j++)
            y[(c * s.m + i) * s.n + j] = distance(from + i * s.k, to + j * s.k, s.k, p);
    }
  });
}
KERNEL(cdist)

} // namespace napier::ISA
