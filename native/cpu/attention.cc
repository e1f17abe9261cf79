// Attention: y = softmax(scale q k^T + mask) v for each of a batch, and its gradient, without ever storing the scores
// (Dao et al. 2022, "FlashAttention"; the online softmax is Milakov & Gimelshein 2018).
//
// Forward: a task owns some rows of one head's queries. It packs a block of keys and values for the micro-kernel of
// gemm_kernel.h (256 KB: 512 of them at 64 features), and takes its rows past it in strips of four times the
// micro-kernel's height: their scores, at most 100 KB, are made, exponentiated and multiplied by the values inside L2.
// The running maximum and sum of each row rescale what was added before. 2 t s (d + dv) FLOPs.
//
// Up to four queries of a head (decoding beside a cache of keys) read its keys and values where they stand: packing
// costs more than their products.
//
// Backward: scores are made again from the saved log sum exp: five products, 2 t s (3 d + 2 dv) FLOPs. A task owns some
// blocks of keys with their dk and dv. Past each block go 128 queries: weights and slopes of a micro-kernel's height at
// a time, in L1, which add to dq at once; when all 128 are made, their columns add to dk and dv, 128 deep. Where the
// batch alone gives too few tasks, the keys are cut and their parts of dq summed in order.
//
// With `causal`, tiles above the diagonal are left out, to the height of the micro-kernel. Beside its results the
// kernel takes what a thread works in, about 1 MB, a number a query, and the parts of dq where there are any: memory is
// linear in t and s.
//
// The mask of dropout is the random words of a matrix [batch t, s rounded up to 64]: made again, never stored.
#include "gemm.h"
#include "random.h"
#include "rows.h"

namespace napier::ISA {

// Of each element of the weights: 0 where dropout drops it, else 1 / (1 - p).
template <class T> struct Keep {
  bool drops, all;
  uint32_t first;
  T scale;
  int64_t seed, draw, pitch;
  INLINE Keep(double p, int64_t seed_, int64_t draw_, int64_t columns)
      : drops(p > 0), all(chance(p) >> 32), first(uint32_t(chance(p))), scale(T(1 / (1 - p))), seed(seed_), draw(draw_),
        pitch(roundUp(columns, 64)) {}
  // Columns j to j + n of one row, n rounded up to kRun; j: a multiple of 64.
  INLINE void make(T* keep, int64_t row, int64_t j, int64_t n) const {
    for (int64_t c = 0; c < n; c += kRun) {
      Vec<uint32_t> words[4];
      words32(words, seed, draw, row * pitch + j + c);
      uint32_t word[kRun];
      for (int e = 0; e < 4; e++) store(word + e * kBlocks, words[e]);
      for (int e = 0; e < kRun; e++) keep[c + e] = !all && word[e] >= first ? scale : T(0);
    }
  }
};

// What a mask adds to row i of batch b: column j at [j * col].
template <class T> struct MaskRow {
  const T* data;
  int64_t col;
  INLINE MaskRow(const T* mask, const AttentionSize& s, int64_t b, int64_t i)
      : data(mask ? mask + b / s.heads * s.maskBatch + b % s.heads * s.maskHead + i * s.maskRow : nullptr),
        col(s.maskCol) {}
  INLINE void addTo(T* x, int64_t j0, int64_t n) const {
    if (!data) return;
    const T* m = data + j0 * col;
    if (col == 1)
      along<T>(
          n, [&](int64_t j) { store(x + j, load(x + j) + load(m + j)); },
          [&](int64_t j, int64_t rest) { storePart(x + j, loadPart(x + j, rest) + loadPart(m + j, rest), rest); });
    else
      for (int64_t j = 0; j < n; j++) x[j] += m[j * col];
  }
};

template <class T> INLINE void scaledCopy(T* y, const T* x, int64_t n, T by) {
  along<T>(
      n, [&](int64_t j) { store(y + j, load(x + j) * splat(by)); },
      [&](int64_t j, int64_t rest) { storePart(y + j, loadPart(x + j, rest) * splat(by), rest); });
}
template <class T> INLINE void scaleRow(T* x, int64_t n, T by) { scaledCopy(x, x, n, by); }

template <class T> INLINE T dotRow(const T* a, const T* b, int64_t n) {
  return sumRow<T>(
      n, [=](Vec<T> sum, int64_t j) { return fma(load(a + j), load(b + j), sum); },
      [=](Vec<T> sum, int64_t j, int64_t rest) { return fma(loadPart(a + j, rest), loadPart(b + j, rest), sum); });
}

// The largest lane, in all lanes.
template <class T, int D, int... L> INLINE Vec<T> spreadMax(Vec<T> x, std::integer_sequence<int, L...> lanes) {
  x = vmax(x, Vec<T>(__builtin_shufflevector(x, x, (L ^ D)...)));
  if constexpr (D > 1) return spreadMax<T, D / 2>(x, lanes);
  else return x;
}
// The largest of a row in all lanes, -inf of an empty one; NaN is left out: exp meets it again.
template <class T> INLINE Vec<T> topOf(const T* x, int64_t n) {
  Vec<T> top = foldRow<T>(
      n, splat(-kInfinity<T>), [=](Vec<T> m, int64_t i) { return vmax(load(x + i), m); },
      [=](Vec<T> m, int64_t i, int64_t rest) { return vmax(loadPart(x + i, rest, -kInfinity<T>), m); },
      [](Vec<T> a, Vec<T> b) { return vmax(a, b); });
  return spreadMax<T, width<T> / 2>(top, std::make_integer_sequence<int, width<T>>());
}

// exp x of what is at most about 0; 0 from -87 on (exp -87 = 1.6e-38, the end of the normal numbers).
INLINE Vec<float> weightOf(Vec<float> x) {
  Vec<float> e = expNormal(x);
  return x < -87.0f ? Vec<float>{} : e;
}
INLINE Vec<double> weightOf(Vec<double> x) { return exp(x); }

// x = exp(x - shift); answers the sum, in lanes.
template <class T> INLINE Vec<T> weigh(T* x, int64_t n, Vec<T> shift) {
  return foldRow<T>(
      n, Vec<T>{},
      [=](Vec<T> sum, int64_t i) {
        Vec<T> e = weightOf(load(x + i) - shift);
        store(x + i, e);
        return sum + e;
      },
      [=](Vec<T> sum, int64_t i, int64_t rest) {
        Vec<T> e = weightOf(loadPart(x + i, rest) - shift);
        storePart(x + i, e, rest);
        return sum + (lanesBelow<T>(rest) ? e : Vec<T>{});
      },
      [](Vec<T> a, Vec<T> b) { return a + b; });
}

// c[rows, cols] (+)= a b: a by rows or by columns as it stands, b in panels `stride` apart, of which `depth` is met.
template <class T, Along along>
INLINE void product(T* c, int64_t ldc, const T* a, int64_t lda, const T* panels, int64_t stride, int64_t rows,
                    int64_t cols, int64_t depth, bool add) {
  macro<T, along>(0, rows, 0, cols, depth, a, along == Along::rows ? panelRows * lda : panelRows, lda, panels, stride,
                  Target<T>{c, ldc}, !add);
}

// The keys of a block: even ones of at most `bytes` at `each` elements a key; multiples of 64, for kRun.
template <class T> INLINE int64_t keysOf(int64_t keys, int64_t bytes, int64_t each, int64_t most) {
  int64_t fit = bytes / (each * int64_t(sizeof(T))) / 64 * 64;
  return evenPiece(keys, max(64, min(most, fit)), 64);
}
// Elements from one row of scores to the next: not a power of two apart, which would meet in few sets of the cache.
template <class T> INLINE int64_t pitchOf(int64_t keys) { return roundUp(keys, 64) + width<T>; }
INLINE int64_t grainFor(double macs) {
  return macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / (macs + 1000)) + 1;
}

// y[j] = the sum of x times row j of [n, d], a register's width of rows at a time.
template <class T> INLINE void dotRows(T* y, const T* x, const T* rows, int64_t n, int64_t d) {
  constexpr int64_t W = width<T>;
  for (int64_t j = 0; j < n; j += W) {
    Vec<T> sums[W] = {};
    int64_t c = 0;
    for (; c + W <= d; c += W)
#pragma GCC unroll 16
      for (int64_t i = 0; i < W; i++) sums[i] = fma(load(x + c), load(rows + min(j + i, n - 1) * d + c), sums[i]);
    if (c < d)
      for (int64_t i = 0; i < W; i++)
        sums[i] = fma(loadPart(x + c, d - c), loadPart(rows + min(j + i, n - 1) * d + c, d - c), sums[i]);
    transpose<T>(sums);
    for (int64_t half = W / 2; half > 0; half /= 2)
      for (int64_t i = 0; i < half; i++) sums[i] += sums[i + half];
    if (j + W <= n) store(y + j, sums[0]);
    else storePart(y + j, sums[0], n - j);
  }
}
// y = by times the sum of w[j] times row j of [n, d]
template <class T> INLINE void addRows(T* y, const T* w, const T* rows, int64_t n, int64_t d, T by) {
  constexpr int64_t W = width<T>;
  int64_t c = 0;
  for (; c + 4 * W <= d; c += 4 * W) {
    Vec<T> sums[4] = {};
    for (int64_t j = 0; j < n; j++)
      for (int64_t e = 0; e < 4; e++) sums[e] = fma(splat(w[j]), load(rows + j * d + c + e * W), sums[e]);
    for (int64_t e = 0; e < 4; e++) store(y + c + e * W, sums[e] * by);
  }
  for (; c + W <= d; c += W) {
    Vec<T> sum{};
    for (int64_t j = 0; j < n; j++) sum = fma(splat(w[j]), load(rows + j * d + c), sum);
    store(y + c, sum * by);
  }
  if (c < d) {
    Vec<T> sum{};
    for (int64_t j = 0; j < n; j++) sum = fma(splat(w[j]), loadPart(rows + j * d + c, d - c), sum);
    storePart(y + c, sum * by, d - c);
  }
}
template <class T>
INLINE void attentionOfFew(T* y, T* lse, const T* q, const T* k, const T* v, const T* mask, T scale,
                           const Keep<T>& keep, const AttentionSize& s) {
  const int64_t d = s.d, dv = s.dv, keys = s.s;
  parallel(s.batch, grainOf(keys * (d + dv) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    Scratch<T> scaled(d), scores(keys), kept(keep.drops ? roundUp(keys, kRun) : 1);
    for (int64_t b = begin; b < end; b++)
      for (int64_t i = 0; i < s.t; i++) {
        const int64_t row = b * s.t + i, of = b / s.group, seen = s.causal ? min(keys, i + 1) : keys;
        scaledCopy(scaled.data, q + row * d, d, scale);
        dotRows<T>(scores, scaled, k + of * keys * d, seen, d);
        MaskRow<T>(mask, s, b, i).addTo(scores, 0, seen);
        const Vec<T> top = topOf(scores.data, seen), shift = top > -kInfinity<T> ? top : Vec<T>{};
        const T total = sumLanes<T>(weigh(scores.data, seen, shift));
        if (keep.drops) {
          keep.make(kept, row, 0, seen);
          for (int64_t j = 0; j < seen; j++) scores[j] *= kept[j];
        }
        if (total == T(0)) zeroRow(y + row * dv, dv);
        else addRows<T>(y + row * dv, scores, v + of * keys * dv, seen, dv, T(1) / total);
        lse[row] = total == T(0) ? kInfinity<T> : top[0] + log(splat(total))[0];
      }
  });
}

// Queries that pass a block of keys together, and the keys of a block; the bytes are those of its keys and values.
constexpr int64_t kTall = 4 * panelRows, kForwardKeys = 512, kForwardBytes = 512 << 10;

template <class T>
void attention(T* y, T* lse, const T* q, const T* k, const T* v, const T* mask, double scale, double p, int64_t seed,
               int64_t draw, const AttentionSize& s) {
  if (s.batch == 0 || s.t == 0) return;
  const int64_t d = s.d, dv = s.dv, keys = s.s, shared = s.batch / s.group, wide = roundUp(dv, width<T>);
  const int64_t block = keysOf<T>(keys, kForwardBytes, d + dv, kForwardKeys), pitch = pitchOf<T>(block);
  // Strips of kTall rows; a task takes 4 to 32 of those that one key head has.
  const int64_t ofHead = ceilDiv(s.t, kTall), all = s.group * ofHead;
  const int64_t chunk = min(all, max(4, min(32, ceilDiv(all, ceilDiv(tasksWanted, shared)))));
  const int64_t chunks = ceilDiv(all, chunk);
  const Keep<T> keep(p, seed, draw, keys);
  if (s.t <= 4) {
    attentionOfFew(y, lse, q, k, v, mask, T(scale), keep, s);
    return;
  }
  const double macs = double(min(s.t, chunk * kTall)) * double(keys) * double(d + dv);
  parallel(shared * chunks, grainFor(macs), [&](int64_t begin, int64_t end) {
    Scratch<T> keysT(roundUp(block, panelCols<T>) * d), values(block * roundUp(dv, panelCols<T>));
    Scratch<T> scaled(kTall * d), scores(kTall * pitch), sums(chunk * kTall * wide);
    Scratch<T> tops(chunk * kTall), totals(chunk * kTall * width<T>); // totals in lanes
    T kept[kForwardKeys];
    for (int64_t e = begin; e < end; e++) {
      // From the last: with `causal` it has most to do.
      const int64_t task = shared * chunks - 1 - e, of = task / chunks;
      const int64_t first = task % chunks * chunk, last = min(all, first + chunk);
      for (int64_t r = 0; r < chunk * kTall; r++) tops[r] = -kInfinity<T>;
      zeroRow<T>(totals, chunk * kTall * width<T>);
      for (int64_t j0 = 0; j0 < keys; j0 += block) {
        const int64_t there = min(block, keys - j0);
        if (s.causal && first / ofHead == (last - 1) / ofHead && j0 >= ((last - 1) % ofHead + 1) * kTall) break;
        MatrixB<T, Along::columns>{k + of * keys * d, d}.pack(keysT, j0, j0 + there, 0, d);
        MatrixB<T, Along::rows>{v + of * keys * dv, dv}.pack(values, 0, dv, j0, there);
        for (int64_t strip = first; strip < last; strip++) {
          const int64_t b = of * s.group + strip / ofHead, i0 = strip % ofHead * kTall;
          const int64_t at = (strip - first) * kTall, rows = min(kTall, s.t - i0);
          if (s.causal && i0 + rows <= j0) continue;
          scaledCopy(scaled.data, q + (b * s.t + i0) * d, rows * d, T(scale));
          // On the diagonal each panel of rows meets keys of its own number.
          const int64_t step = s.causal && i0 < j0 + there ? panelRows : kTall;
          for (int64_t r0 = 0; r0 < rows; r0 += step) {
            const int64_t high = min(step, rows - r0), n = s.causal ? min(there, i0 + r0 + high - j0) : there;
            if (n <= 0) continue;
            product<T, Along::rows>(scores, pitch, scaled + r0 * d, d, keysT, panelCols<T> * d, high,
                                    roundUp(n, width<T>), d, false);
            for (int64_t r = 0; r < high; r++) {
              const int64_t i = i0 + r0 + r, own = at + r0 + r, seen = s.causal ? max(0, min(n, i + 1 - j0)) : n;
              T *x = scores + r * pitch, *total = totals + own * width<T>;
              MaskRow<T>(mask, s, b, i).addTo(x, j0, seen);
              const Vec<T> before = splat(tops[own]), top = vmax(before, topOf(x, seen));
              const Vec<T> shift = top > -kInfinity<T> ? top : Vec<T>{}; // where all scores are -inf: exp gives 0
              const Vec<T> fade = weightOf(before - shift);
              store(total, load(total) * fade + weigh(x, seen, shift));
              if (j0 > 0 && top[0] > tops[own]) scaleRow(sums + own * wide, wide, fade[0]);
              tops[own] = top[0];
              for (int64_t j = seen; j < n; j++) x[j] = T(0);
              if (keep.drops) {
                keep.make(kept, b * s.t + i, j0, n);
                for (int64_t j = 0; j < n; j++) x[j] *= kept[j];
              }
            }
            product<T, Along::rows>(sums + (at + r0) * wide, wide, scores, pitch, values, panelCols<T> * there, high,
                                    wide, n, j0 > 0);
          }
        }
      }
      for (int64_t strip = first; strip < last; strip++)
        for (int64_t i = strip % ofHead * kTall; i < min(s.t, (strip % ofHead + 1) * kTall); i++) {
          const int64_t row = (of * s.group + strip / ofHead) * s.t + i, at = (strip - first) * kTall + i % kTall;
          const T total = sumLanes<T>(load(totals + at * width<T>));
          if (total == T(0)) zeroRow(y + row * dv, dv);
          else scaledCopy(y + row * dv, sums + at * wide, dv, T(1) / total);
          lse[row] = total == T(0) ? kInfinity<T> : tops[at] + log(splat(total))[0];
        }
    }
  });
}
KERNEL(attention)

// Queries that pass a block of keys together, and the keys of a block; its bytes: two tiles, of weights and of slopes,
// three forms of the keys and values, dk and dv.
constexpr int64_t kBackwardRows = 128, kBackwardKeys = 256, kBackwardBytes = 768 << 10;

// dv = P'^T dy;  dP = (dy v^T) keep;  dS = P (dP - sum_j dy y);  dq = dS scale k;  dk = dS^T scale q
// with P = exp(S - lse), P' = P keep.
template <class T>
void attentionGrad(T* dq, T* dk, T* dv, const T* dy, const T* y, const T* lse, const T* q, const T* k, const T* v,
                   const T* mask, double scale, double p, int64_t seed, int64_t draw, const AttentionSize& s) {
  const int64_t d = s.d, e = s.dv, keys = s.s, shared = s.batch / s.group, rowsOfAll = s.batch * s.t;
  if (rowsOfAll == 0 || keys == 0) {
    if (rowsOfAll > 0) memset(dq, 0, size_t(rowsOfAll * d) * sizeof(T));
    if (shared > 0 && keys > 0) {
      memset(dk, 0, size_t(shared * keys * d) * sizeof(T));
      memset(dv, 0, size_t(shared * keys * e) * sizeof(T));
    }
    return;
  }
  const int64_t queries = evenPiece(s.t, kBackwardRows, panelRows);
  const int64_t block = keysOf<T>(keys, kBackwardBytes, 2 * queries + 3 * d + 2 * e, kBackwardKeys);
  const int64_t blocks = ceilDiv(keys, block), pitch = pitchOf<T>(block);
  // About 16 tasks, each of one batch's keys or a chunk of them.
  const int64_t chunk = ceilDiv(blocks, max(1, min(blocks, 16 / shared))), chunks = ceilDiv(blocks, chunk);
  Scratch<T> partial(chunks > 1 ? chunks * rowsOfAll * d : 1);
  const Keep<T> keep(p, seed, draw, keys);
  const int64_t wideK = roundUp(block, panelCols<T>);
  const int64_t wideD = roundUp(d, panelCols<T>), wideE = roundUp(e, panelCols<T>);
  const double macs = double(s.group) * double(s.t) * double(min(keys, chunk * block)) * double(3 * d + 2 * e);
  parallel(shared * chunks, grainFor(macs), [&](int64_t begin, int64_t end) {
    Scratch<T> keysT(wideK * d), valuesT(wideK * e), keysN(block * wideD), scaled(queries * d);
    Scratch<T> weights(queries * pitch), slopes(queries * pitch), asked(queries * wideD), arriving(queries * wideE);
    Scratch<T> dots(queries); // sum_j dy y of each row
    T kept[kBackwardKeys];
    for (int64_t task = begin; task < end; task++) {
      const int64_t of = task / chunks, part = task % chunks;
      T* toQ = chunks > 1 ? partial + part * rowsOfAll * d : dq;
      // The first block writes dq, the others add; with `causal` those of later parts leave rows out.
      const bool leavesRows = s.causal && part > 0;
      if (leavesRows) zeroRow(toQ + of * s.group * s.t * d, s.group * s.t * d);
      for (int64_t j0 = part * chunk * block; j0 < min(keys, (part + 1) * chunk * block); j0 += block) {
        const int64_t there = min(block, keys - j0);
        MatrixB<T, Along::columns>{k + of * keys * d, d}.pack(keysT, j0, j0 + there, 0, d);
        MatrixB<T, Along::columns>{v + of * keys * e, e}.pack(valuesT, j0, j0 + there, 0, e);
        MatrixB<T, Along::rows>{k + of * keys * d, d}.pack(keysN, 0, d, j0, there);
        scaleRow(keysN.data, there * wideD, T(scale));
        T *ownK = dk + (of * keys + j0) * d, *ownV = dv + (of * keys + j0) * e;
        // Likewise dk and dv by the first queries, which with `causal` may not see all of these keys.
        bool writes = !s.causal;
        if (s.causal) zeroRow(ownK, there * d), zeroRow(ownV, there * e);
        for (int64_t b = of * s.group; b < (of + 1) * s.group; b++)
          for (int64_t i0 = s.causal ? j0 / queries * queries : 0; i0 < s.t; i0 += queries) {
            const int64_t rows = min(queries, s.t - i0), n = s.causal ? min(there, i0 + rows - j0) : there;
            if (n <= 0) continue;
            const T* dyi = dy + (b * s.t + i0) * e;
            scaledCopy(scaled.data, q + (b * s.t + i0) * d, rows * d, T(scale));
            MatrixB<T, Along::rows>{scaled, d}.pack(asked, 0, d, 0, rows);
            MatrixB<T, Along::rows>{dyi, e}.pack(arriving, 0, e, 0, rows);
            for (int64_t r = 0; r < rows; r++) dots[r] = dotRow(dyi + r * e, y + (b * s.t + i0 + r) * e, e);
            for (int64_t r0 = 0; r0 < rows; r0 += panelRows) {
              const int64_t high = min(panelRows, rows - r0), deep = s.causal ? min(n, i0 + r0 + high - j0) : n;
              if (deep <= 0) continue; // and no key of these rows is met below
              const int64_t cols = roundUp(deep, width<T>);
              product<T, Along::rows>(weights + r0 * pitch, pitch, scaled + r0 * d, d, keysT, panelCols<T> * d, high,
                                      cols, d, false);
              product<T, Along::rows>(slopes + r0 * pitch, pitch, dyi + r0 * e, e, valuesT, panelCols<T> * e, high,
                                      cols, e, false);
              for (int64_t r = r0; r < r0 + high; r++) {
                T *w = weights + r * pitch, *g = slopes + r * pitch;
                const int64_t row = b * s.t + i0 + r, seen = s.causal ? max(0, min(deep, i0 + r + 1 - j0)) : n;
                MaskRow<T>(mask, s, b, i0 + r).addTo(w, j0, seen);
                const Vec<T> shift = splat(lse[row]), dot = splat(dots[r]);
                if (keep.drops) {
                  keep.make(kept, row, j0, seen);
                  weigh(w, seen, shift);
                  for (int64_t j = 0; j < seen; j++) {
                    g[j] = w[j] * (g[j] * kept[j] - dots[r]);
                    w[j] *= kept[j];
                  }
                } else
                  along<T>(
                      seen,
                      [&](int64_t j) {
                        Vec<T> x = weightOf(load(w + j) - shift);
                        store(w + j, x);
                        store(g + j, x * (load(g + j) - dot));
                      },
                      [&](int64_t j, int64_t rest) {
                        Vec<T> x = weightOf(loadPart(w + j, rest) - shift);
                        storePart(w + j, x, rest);
                        storePart(g + j, x * (loadPart(g + j, rest) - dot), rest);
                      });
                // Columns are met below by panels: as far as one that begins before `deep` may reach.
                for (int64_t j = seen; j < min(n, deep + panelRows); j++) w[j] = g[j] = T(0);
              }
              product<T, Along::rows>(toQ + (b * s.t + i0 + r0) * d, d, slopes + r0 * pitch, pitch, keysN,
                                      panelCols<T> * there, high, d, deep, leavesRows || j0 > part * chunk * block);
            }
            for (int64_t j = 0; j < n; j += panelRows) {
              // Rows before the panel of rows that holds the diagonal see none of these keys.
              const int64_t from = s.causal ? max(0, j0 + j - i0) / panelRows * panelRows : 0;
              const int64_t high = min(panelRows, n - j);
              product<T, Along::columns>(ownV + j * e, e, weights + from * pitch + j, pitch,
                                         arriving + from * panelCols<T>, panelCols<T> * rows, high, e, rows - from,
                                         !writes);
              product<T, Along::columns>(ownK + j * d, d, slopes + from * pitch + j, pitch, asked + from * panelCols<T>,
                                         panelCols<T> * rows, high, d, rows - from, !writes);
            }
            writes = false;
          }
      }
    }
  });
  if (chunks > 1) sumParts<T>(partial, chunks, rowsOfAll, d, Target<T>{dq, d}, false);
}
KERNEL(attentionGrad)

} // namespace napier::ISA
