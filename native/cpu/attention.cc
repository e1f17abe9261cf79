// Attention: y = softmax(scale q k^T + mask) v for each of a batch, and its gradient, without ever storing the scores
// (Dao et al. 2022, "FlashAttention"; the online softmax is Milakov & Gimelshein 2018).
//
// Forward: 48 query rows at a time meet the keys in blocks of 256. A block's scores, 48 KB, stay in L2 between the two
// products; the running maximum and sum of each row rescale what was added before. Keys and values are packed once, in
// parallel, for the micro-kernel of gemm_kernel.h; then (batch, block of rows) are the tasks. 2 t s (d + dv) FLOPs.
//
// Backward: scores are made again from the saved log sum exp, in blocks of 48 x 128: five products, 2 t s (3 d + 2 dv)
// FLOPs. A task owns a block of keys' dk and dv and adds to dq; where the batch alone gives too few tasks the keys are
// cut into chunks whose parts of dq are summed in order. With `causal`, blocks above the diagonal are left out.
//
// The mask of dropout is the random words of a matrix [batch t, s rounded up to 64]: made again, never stored.
#include "gemm.h"
#include "random.h"
#include "rows.h"

namespace napier::ISA {

constexpr int64_t kQueryRows = 48, kForwardKeys = 256, kBackwardKeys = 128; // keys: multiples of 64, for kRun

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

template <class T> INLINE void scaleRow(T* x, int64_t n, T by) {
  along<T>(
      n, [&](int64_t j) { store(x + j, load(x + j) * splat(by)); },
      [&](int64_t j, int64_t rest) { storePart(x + j, loadPart(x + j, rest) * splat(by), rest); });
}
template <class T> INLINE void scaledCopy(T* y, const T* x, int64_t n, T by) {
  along<T>(
      n, [&](int64_t j) { store(y + j, load(x + j) * splat(by)); },
      [&](int64_t j, int64_t rest) { storePart(y + j, loadPart(x + j, rest) * splat(by), rest); });
}
// x = exp(x - shift); answers the sum.
template <class T> INLINE T expRow(T* x, int64_t n, T shift) {
  const Vec<T> m = splat(shift);
  return sumRow<T>(
      n,
      [&](Vec<T> a, int64_t i) {
        Vec<T> e = exp(load(x + i) - m);
        store(x + i, e);
        return a + e;
      },
      [&](Vec<T> a, int64_t i, int64_t rest) {
        Vec<T> e = exp(loadPart(x + i, rest) - m);
        storePart(x + i, e, rest);
        return a + (lanesBelow<T>(rest) ? e : Vec<T>{});
      });
}
// c[rows, cols] (+)= a b: a by rows or by columns as it stands, b in one column of panels of `depth`.
template <class T, Along along>
INLINE void product(T* c, int64_t ldc, const T* a, int64_t lda, const T* panels, int64_t rows, int64_t cols,
                    int64_t depth, bool add) {
  macro<T, along>(0, rows, 0, cols, depth, a, along == Along::rows ? panelRows * lda : panelRows, lda, panels,
                  panelCols<T> * depth, Target<T>{c, ldc}, !add);
}

template <class T>
void attention(T* y, T* lse, const T* q, const T* k, const T* v, const T* mask, double scale, double p, int64_t seed,
               int64_t draw, const AttentionSize& s) {
  if (s.batch == 0 || s.t == 0) return;
  const int64_t d = s.d, dv = s.dv, keys = s.s, shared = s.batch / s.group, blocks = ceilDiv(keys, kForwardKeys);
  const int64_t wide = roundUp(keys, panelCols<T>), widePanels = roundUp(dv, panelCols<T>);
  // k^T as panels [d][panelCols]; v as panels [keys of a block][panelCols], block after block.
  Scratch<T> packedK(shared * wide * d), packedV(shared * keys * widePanels);
  parallel(shared * blocks, grainOf(kForwardKeys * (d + dv) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t b = e / blocks, j0 = e % blocks * kForwardKeys, n = min(kForwardKeys, keys - j0);
      MatrixB<T, Along::columns>{k + b * keys * d, d}.pack(packedK + (b * wide + j0) * d, j0, j0 + n, 0, d);
      MatrixB<T, Along::rows>{v + b * keys * dv, dv}.pack(packedV + (b * keys + j0) * widePanels, 0, dv, j0, n);
    }
  });
  const Keep<T> keep(p, seed, draw, keys);
  const int64_t rowBlocks = ceilDiv(s.t, kQueryRows);
  double macs = double(min(s.t, kQueryRows)) * double(keys) * double(d + dv);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / (macs + 1000)) + 1;
  parallel(s.batch * rowBlocks, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> scaled(kQueryRows * d), scores(kQueryRows * kForwardKeys), sums(kQueryRows * widePanels);
    T kept[kForwardKeys], top[kQueryRows], total[kQueryRows];
    for (int64_t e = begin; e < end; e++) {
      int64_t b = e / rowBlocks, i0 = e % rowBlocks * kQueryRows, rows = min(kQueryRows, s.t - i0), of = b / s.group;
      for (int64_t r = 0; r < rows; r++) top[r] = -kInfinity<T>, total[r] = T(0);
      scaledCopy(scaled.data, q + (b * s.t + i0) * d, rows * d, T(scale));
      memset(sums, 0, size_t(rows * widePanels) * sizeof(T));
      int64_t until = s.causal ? min(keys, i0 + rows) : keys;
      for (int64_t j0 = 0; j0 < until; j0 += kForwardKeys) {
        int64_t n = min(kForwardKeys, until - j0), depth = min(kForwardKeys, keys - j0);
        product<T, Along::rows>(scores, kForwardKeys, scaled, d, packedK + (of * wide + j0) * d, rows,
                                roundUp(n, panelCols<T>), d, false);
        for (int64_t r = 0; r < rows; r++) {
          T* x = scores + r * kForwardKeys;
          MaskRow<T>(mask, s, b, i0 + r).addTo(x, j0, n);
          int64_t seen = s.causal ? max(0, min(n, i0 + r + 1 - j0)) : n;
          T most = maxRow(x, seen), before = top[r];
          if (before > most) most = before;
          T shift = most > -kInfinity<T> ? most : T(0); // of a row whose scores are all -inf: exp gives 0
          T fade = exp(splat(before - shift))[0];
          total[r] = total[r] * fade + expRow(x, seen, shift);
          top[r] = most;
          if (j0 > 0) scaleRow(sums + r * widePanels, dv, fade);
          for (int64_t j = seen; j < n; j++) x[j] = T(0);
          if (keep.drops) {
            keep.make(kept, b * s.t + i0 + r, j0, n);
            for (int64_t j = 0; j < n; j++) x[j] *= kept[j];
          }
        }
        // Panels are as deep as the keys of the block; of a causal block only the first n are met.
        macro<T, Along::rows>(0, rows, 0, widePanels, n, scores, panelRows * kForwardKeys, kForwardKeys,
                              packedV + (of * keys + j0) * widePanels, panelCols<T> * depth,
                              Target<T>{sums, widePanels}, false);
      }
      for (int64_t r = 0; r < rows; r++) {
        int64_t row = b * s.t + i0 + r;
        bool empty = total[r] == T(0);
        scaledCopy(y + row * dv, sums + r * widePanels, dv, empty ? T(0) : T(1) / total[r]);
        lse[row] = empty ? kInfinity<T> : top[r] + log(splat(total[r]))[0];
      }
    }
  });
}
KERNEL(attention)

// dv = P'^T dy;  dP = (dy v^T) keep;  dS = P (dP - sum_j dy y);  dq = scale dS k;  dk = scale dS^T q
// with P = exp(S - lse), P' = P keep.
template <class T>
void attentionGrad(T* dq, T* dk, T* dv, const T* dy, const T* y, const T* lse, const T* q, const T* k, const T* v,
                   const T* mask, double scale, double p, int64_t seed, int64_t draw, const AttentionSize& s) {
  const int64_t d = s.d, e = s.dv, keys = s.s, shared = s.batch / s.group, blocks = ceilDiv(keys, kBackwardKeys);
  const int64_t rowsOfAll = s.batch * s.t;
  if (rowsOfAll == 0 || keys == 0) {
    if (rowsOfAll > 0) memset(dq, 0, size_t(rowsOfAll * d) * sizeof(T));
    if (shared > 0 && keys > 0) {
      memset(dk, 0, size_t(shared * keys * d) * sizeof(T));
      memset(dv, 0, size_t(shared * keys * e) * sizeof(T));
    }
    return;
  }
  Scratch<T> dots(rowsOfAll); // sum_j dy y of each row
  parallel(rowsOfAll, grainOf(2 * e * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T *a = dy + row * e, *b = y + row * e;
      dots[row] = sumRow<T>(
          e, [&](Vec<T> sum, int64_t j) { return fma(load(a + j), load(b + j), sum); },
          [&](Vec<T> sum, int64_t j, int64_t rest) { return fma(loadPart(a + j, rest), loadPart(b + j, rest), sum); });
    }
  });
  // About 16 tasks, each of one batch's keys or a chunk of them.
  const int64_t chunk = ceilDiv(blocks, max(1, min(blocks, 16 / shared))), chunks = ceilDiv(blocks, chunk);
  Scratch<T> partial(chunks > 1 ? chunks * rowsOfAll * d : 1);
  const Keep<T> keep(p, seed, draw, keys);
  const int64_t panelsK = roundUp(kBackwardKeys, panelCols<T>), wideD = roundUp(d, panelCols<T>);
  const int64_t wideE = roundUp(e, panelCols<T>);
  double macs = double(s.group) * double(s.t) * double(min(keys, chunk * kBackwardKeys)) * double(3 * d + 2 * e);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / (macs + 1000)) + 1;
  parallel(shared * chunks, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> keysT(panelsK * d), valuesT(panelsK * e), keysN(kBackwardKeys * wideD), scaled(kQueryRows * d);
    Scratch<T> weights(kQueryRows * panelsK), slopes(kQueryRows * panelsK);
    Scratch<T> queries(kQueryRows * wideD), arriving(kQueryRows * wideE);
    T kept[kBackwardKeys];
    for (int64_t task = begin; task < end; task++) {
      int64_t of = task / chunks, part = task % chunks;
      T* toQ = chunks > 1 ? partial + part * rowsOfAll * d : dq;
      memset(toQ + of * s.group * s.t * d, 0, size_t(s.group * s.t * d) * sizeof(T));
      for (int64_t block = part * chunk; block < min(blocks, (part + 1) * chunk); block++) {
        int64_t j0 = block * kBackwardKeys, all = min(kBackwardKeys, keys - j0);
        MatrixB<T, Along::columns>{k + of * keys * d, d}.pack(keysT, j0, j0 + all, 0, d);
        MatrixB<T, Along::columns>{v + of * keys * e, e}.pack(valuesT, j0, j0 + all, 0, e);
        MatrixB<T, Along::rows>{k + of * keys * d, d}.pack(keysN, 0, d, j0, all);
        T *ownK = dk + (of * keys + j0) * d, *ownV = dv + (of * keys + j0) * e;
        memset(ownK, 0, size_t(all * d) * sizeof(T));
        memset(ownV, 0, size_t(all * e) * sizeof(T));
        for (int64_t b = of * s.group; b < (of + 1) * s.group; b++)
          for (int64_t i0 = s.causal ? j0 / kQueryRows * kQueryRows : 0; i0 < s.t; i0 += kQueryRows) {
            int64_t rows = min(kQueryRows, s.t - i0), n = s.causal ? min(all, i0 + rows - j0) : all;
            if (n <= 0) continue;
            const T *qi = q + (b * s.t + i0) * d, *dyi = dy + (b * s.t + i0) * e;
            scaledCopy(scaled.data, qi, rows * d, T(scale));
            int64_t cols = roundUp(n, panelCols<T>);
            product<T, Along::rows>(weights, panelsK, scaled, d, keysT, rows, cols, d, false);
            product<T, Along::rows>(slopes, panelsK, dyi, e, valuesT, rows, cols, e, false);
            for (int64_t r = 0; r < rows; r++) {
              T *w = weights + r * panelsK, *g = slopes + r * panelsK;
              int64_t row = b * s.t + i0 + r, seen = s.causal ? max(0, min(n, i0 + r + 1 - j0)) : n;
              MaskRow<T>(mask, s, b, i0 + r).addTo(w, j0, seen);
              const Vec<T> shift = splat(lse[row]), dot = splat(dots[row]);
              if (keep.drops) {
                keep.make(kept, row, j0, n);
                expRow(w, seen, lse[row]);
                for (int64_t j = 0; j < seen; j++) {
                  g[j] = w[j] * (g[j] * kept[j] - dots[row]);
                  w[j] *= kept[j];
                }
              } else
                along<T>(
                    seen,
                    [&](int64_t j) {
                      Vec<T> x = exp(load(w + j) - shift);
                      store(w + j, x);
                      store(g + j, x * (load(g + j) - dot));
                    },
                    [&](int64_t j, int64_t rest) {
                      Vec<T> x = exp(loadPart(w + j, rest) - shift);
                      storePart(w + j, x, rest);
                      storePart(g + j, x * (loadPart(g + j, rest) - dot), rest);
                    });
              for (int64_t j = seen; j < n; j++) w[j] = g[j] = T(0);
            }
            MatrixB<T, Along::rows>{scaled, d}.pack(queries, 0, d, 0, rows);
            MatrixB<T, Along::rows>{dyi, e}.pack(arriving, 0, e, 0, rows);
            product<T, Along::columns>(ownV, e, weights, panelsK, arriving, n, e, rows, true);
            product<T, Along::columns>(ownK, d, slopes, panelsK, queries, n, d, rows, true);
            for (int64_t r = 0; r < rows; r++) scaleRow(slopes + r * panelsK, n, T(scale));
            macro<T, Along::rows>(0, rows, 0, d, n, slopes, panelRows * panelsK, panelsK, keysN, panelCols<T> * all,
                                  Target<T>{toQ + (b * s.t + i0) * d, d}, false);
          }
      }
    }
  });
  if (chunks > 1) sumParts<T>(partial, chunks, rowsOfAll, d, Target<T>{dq, d}, false);
}
KERNEL(attentionGrad)

} // namespace napier::ISA
