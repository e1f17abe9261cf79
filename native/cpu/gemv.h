// Products of a big matrix with up to 8 vectors, at the speed of reading the big one once. Nothing of it is packed.
//
//   rows beside each other in k      dot products: some rows of the matrix by all vectors, sums in registers
//   columns beside each other        sums of scaled rows: a strip of all results in L1, some rows of the matrix at a
//                                    time, cut in parts of k (whole rows are read in order), which are summed in order
//
// The matrix is big[r, k], whichever way it stands; y[r * yBig + f * yFew] = big[r, :] . few[f, :], and what `after` says.
#pragma once
#include "gemm_kernel.h"

namespace napier::ISA {

constexpr int64_t fewMost = 8;

template <class T> struct Few {
  T* y;
  int64_t yBig, yFew;
  const T* x; // few[f, k] at x + f * stepF + k * stepK
  int64_t stepF, stepK;
  After<T> after; // the addend of r and f at r * addendBig + f * addendFew
  int64_t addendBig, addendFew;

  INLINE T* at(int64_t r, int64_t f) const { return y + r * yBig + f * yFew; }
  INLINE void write(int64_t r, int64_t f, T sum) const {
    sum *= after.alpha;
    if (after.addend) sum += after.beta * after.addend[r * addendBig + f * addendFew];
    *at(r, f) = after.relu && sum < T(0) ? T(0) : sum;
  }
};

// Calls body with the integral constant of f, 1 to fewMost.
template <class Body> INLINE void withCount(int64_t f, const Body& body) {
  [&]<int... I>(std::integer_sequence<int, I...>) {
    (void)((f == I + 1 && (body(std::integral_constant<int, I + 1>()), true)) || ...);
  }
  (std::make_integer_sequence<int, int(fewMost)>());
}

// R rows by F vectors, x[f, k] in order.
template <class T, int R, int F>
INLINE void dots(const Few<T>& to, int64_t r, const T* big, int64_t ld, const T* x, int64_t k) {
  constexpr int W = width<T>, chains = R * F <= 4 ? 2 : 1;
  Vec<T> sum[chains][roundUp(R * F, W)] = {};
  int64_t e = 0;
  for (; e + chains * W <= k; e += chains * W)
#pragma GCC unroll 2
    for (int v = 0; v < chains; v++)
#pragma GCC unroll 8
      for (int f = 0; f < F; f++) {
        const Vec<T> xf = load(x + f * k + e + v * W);
#pragma GCC unroll 4
        for (int i = 0; i < R; i++) sum[v][i * F + f] = fma(load(big + i * ld + e + v * W), xf, sum[v][i * F + f]);
      }
  for (; e < k; e += W) {
    const int64_t part = min(W, k - e);
#pragma GCC unroll 8
    for (int f = 0; f < F; f++)
#pragma GCC unroll 4
      for (int i = 0; i < R; i++)
        sum[0][i * F + f] = fma(loadPart(big + i * ld + e, part), loadPart(x + f * k + e, part), sum[0][i * F + f]);
  }
  // W sums at a time: transposed, their lanes stand in different vectors.
  for (int s = 0; s < R * F; s += W) {
    Vec<T> lanes[W];
#pragma GCC unroll 16
    for (int v = 0; v < W; v++) lanes[v] = chains == 2 ? sum[0][s + v] + sum[chains - 1][s + v] : sum[0][s + v];
    transpose<T>(lanes);
#pragma GCC unroll 4
    for (int half = W / 2; half > 0; half /= 2)
#pragma GCC unroll 16
      for (int v = 0; v < half; v++) lanes[v] += lanes[v + half];
    T all[W];
    store(all, lanes[0]);
    for (int v = 0; v < W && s + v < R * F; v++) {
      const int64_t i = r + (s + v) / F, f = (s + v) % F;
      to.write(i, f, all[v]);
    }
  }
}

// big by rows: [rows][k].
template <class T> static void fewByRows(const Few<T>& to, int64_t few, const T* big, int64_t rows, int64_t k) {
  const bool inOrder = (few == 1 || to.stepF == k) && (to.stepK == 1 || k == 1);
  Scratch<T> copy(inOrder ? 1 : few * k);
  if (!inOrder)
    for (int64_t f = 0; f < few; f++)
      for (int64_t e = 0; e < k; e++) copy[f * k + e] = to.x[f * to.stepF + e * to.stepK];
  const T* x = inOrder ? to.x : copy.data;
  withCount(few, [&](auto count) {
    constexpr int F = decltype(count)::value, most = width<T> / F, R = most > 4 ? 4 : most < 1 ? 1 : most;
    parallel(rows, roundUp(grainOf(k * F * int64_t(sizeof(T))), R), [&](int64_t begin, int64_t end) {
      int64_t r = begin;
      for (; r + R <= end; r += R) dots<T, R, F>(to, r, big + r * k, k, x, k);
      for (; r < end; r++) dots<T, 1, F>(to, r, big + r * k, k, x, k);
    });
  });
}

// sums[f, j] += x[f, k] big[k, j] for n columns j and K rows of the matrix.
template <class T, int K, int F>
INLINE void addRows(T* sums, int64_t ldSums, const T* row, int64_t ld, const T (&x)[F][K], int64_t n) {
  constexpr int64_t W = width<T>;
  auto at = [&](int64_t j, auto get, auto put) __attribute__((always_inline)) {
    Vec<T> b[K];
#pragma GCC unroll 4
    for (int e = 0; e < K; e++) b[e] = get(row + e * ld + j);
#pragma GCC unroll 8
    for (int f = 0; f < F; f++) {
      Vec<T> sum = get(sums + f * ldSums + j);
#pragma GCC unroll 4
      for (int e = 0; e < K; e++) sum = fma(splat(x[f][e]), b[e], sum);
      put(sums + f * ldSums + j, sum);
    }
  };
  int64_t j = 0;
  for (; j + W <= n; j += W)
    at(
        j, [](const T* p) { return load(p); }, [](T* p, Vec<T> v) { store(p, v); });
  if (const int64_t part = n - j)
    at(
        j, [=](const T* p) { return loadPart(p, part); }, [=](T* p, Vec<T> v) { storePart(p, v, part); });
}

// big by columns: [k][rows].
template <class T> static void fewByColumns(const Few<T>& to, int64_t few, const T* big, int64_t rows, int64_t k) {
  constexpr int64_t near = 16384 / int64_t(sizeof(T));
  const int64_t strip = near / few / width<T> * width<T>, strips = ceilDiv(rows, strip);
  const double bytes = double(rows) * double(k) * double(sizeof(T));
  // A part for each 256 KB, each of rows enough that its results are little beside them.
  const int64_t wanted = max(1, min(int64_t(bytes / (1 << 18)), 16));
  const int64_t deep = max(16 * few, roundUp(ceilDiv(k, wanted), 4)), parts = max(1, ceilDiv(k, deep));
  Scratch<T> partial(parts == 1 ? 1 : parts * few * rows);
  const int64_t grain = max(1, int64_t(65536 * double(parts * strips) / (bytes + 1)));
  withCount(few, [&](auto count) {
    constexpr int F = decltype(count)::value, K = F <= 4 ? 4 : 2;
    parallel(parts * strips, grain, [&](int64_t begin, int64_t end) {
      alignas(64) T sums[near + F * width<T>]; // [f][strip], rows apart so that they fall into different sets of L1
      const int64_t ldSums = strip + width<T>;
      for (int64_t t = begin; t < end; t++) {
        const int64_t part = t / strips, j0 = t % strips * strip, n = min(rows - j0, strip);
        memset(sums, 0, sizeof sums);
        const int64_t until = min(k, (part + 1) * deep);
        int64_t e = part * deep;
        auto step = [&](auto some) __attribute__((always_inline)) {
          constexpr int R = decltype(some)::value;
          T x[F][R];
          for (int f = 0; f < F; f++)
            for (int i = 0; i < R; i++) x[f][i] = to.x[f * to.stepF + (e + i) * to.stepK];
          addRows<T, R, F>(sums, ldSums, big + e * rows + j0, rows, x, n);
          e += R;
        };
        while (e + K <= until) step(std::integral_constant<int, K>());
        while (e < until) step(std::integral_constant<int, 1>());
        for (int f = 0; f < F; f++)
          if (parts > 1) memcpy(partial + (part * F + f) * rows + j0, sums + f * ldSums, size_t(n) * sizeof(T));
          else
            for (int64_t j = 0; j < n; j++) to.write(j0 + j, f, sums[f * ldSums + j]);
      }
    });
  });
  if (parts == 1) return;
  parallel(rows, grainOf((parts + 1) * few * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t f = 0; f < few; f++)
      for (int64_t j = begin; j < end; j++) {
        T sum = partial[f * rows + j];
        for (int64_t p = 1; p < parts; p++) sum += partial[(p * few + f) * rows + j];
        to.write(j, f, sum);
      }
  });
}

} // namespace napier::ISA
