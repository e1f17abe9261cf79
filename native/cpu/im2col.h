// A picture batch as the matrix of a convolution, [c r s, n p q], made while panels are packed: the matrix itself (r s
// times the picture) never exists.
//
// A channel's rows are first staged with their zero border, and with the columns of each phase of the stride beside
// each other. Then each row of the matrix is the same list of moves, at an offset that its tap gives: whole vectors
// without conditions, from the stage into the panels. What a move writes too much, at the end of a picture row, the
// next one overwrites, or the next row of the panel does; so panels have one row to spare.
#pragma once
#include "gemm_kernel.h"

namespace napier::ISA {

template <class T> struct Im2col {
  const T* x;
  const T* end;    // of the batch: nothing is read beyond
  int64_t picture; // elements from one picture of the batch to the next
  int64_t h, w, r, s, strideH, strideW, padH, padW, dilationH, dilationW, p, q; // pads may be negative: cropping

  INLINE bool plain() const { return r * s == 1 && strideH == 1 && strideW == 1 && padH == 0 && padW == 0; }
  // Taps share staged rows and columns unless there is one tap in that direction.
  INLINE int64_t rowStep() const { return r == 1 ? 1 : strideH; }
  INLINE int64_t phases() const { return s == 1 ? 1 : strideW; }
  INLINE int64_t slot() const { return q + (s - 1) * dilationW / phases(); }
  INLINE int64_t windowH() const { return (r - 1) * dilationH + 1; }
  // An upper bound of what `cols` columns stage.
  INLINE double staged(int64_t cols) const {
    double lines = double(cols) / double(q) + 2, taps = double(s - 1) * double(dilationW) / double(phases());
    return lines * double(windowH() + rowStep()) * double(phases()) * (double(q) + taps);
  }

  // Rows k0 to k1 of columns j0 to j1, written at to + (k - k0) * pitch; column j stands at j - j0 there, or in panels
  // of panelCols at intervals of panelStride.
  INLINE void pack(T* to, int64_t pitch, int64_t panelStride, int64_t j0, int64_t j1, int64_t k0, int64_t k1) const {
    if (plain()) packPlain(to, pitch, panelStride, j0, j1, k0, k1);
    else packStaged(to, pitch, panelStride, j0, j1, k0, k1);
  }

private:
  struct Move {
    int64_t to, from;
  }; // of a vector
  struct Piece {
    int64_t picture, top, rows;
  }; // staged rows of one picture

  // Appends the moves of columns j to j + n (counted from j0), which stand beside each other at `from`.
  INLINE static Move* addMoves(Move* m, int64_t panelStride, int64_t j, int64_t n, int64_t from) {
    for (int64_t until = j + n; j < until;) {
      int64_t at = j % panelCols<T>, step = width<T>;
      if (panelStride && at + step > panelCols<T>) step = panelCols<T> - at;
      step = min(step, until - j);
      *m++ = {panelStride ? j / panelCols<T> * panelStride + at : j, from};
      j += step, from += step;
    }
    return m;
  }
  INLINE static void apply(const Move* m, const Move* last, T* to, const T* from) {
    for (; m < last; m++) store(to + m->to, load(from + m->from));
  }

  INLINE void packPlain(T* to, int64_t pitch, int64_t panelStride, int64_t j0, int64_t j1, int64_t k0,
                        int64_t k1) const {
    int64_t pq = p * q, reach = 0;
    Scratch<Move> moves((j1 - j0) / width<T> + 3 * ((j1 - j0) / pq + 2) + (j1 - j0) / panelCols<T>);
    Move* last = moves;
    for (int64_t j = j0; j < j1;) {
      int64_t at = j % pq, n = min(j1 - j, pq - at);
      last = addMoves(last, panelStride, j - j0, n, j / pq * picture + at);
      reach = j / pq * picture + at + n + width<T>;
      j += n;
    }
    for (int64_t k = k0; k < k1; k++, to += pitch) {
      const T* from = x + k * pq;
      if (reach <= end - from) apply(moves, last, to, from);
      else
        for (const Move* m = moves; m < last; m++)
          store(to + m->to, loadPart(from + m->from, min(width<T>, end - from - m->from)));
    }
  }

  // A picture row with its border: [phases][slot].
  INLINE void stageRow(T* to, const T* row) const {
    int64_t length = slot();
    for (int64_t f = 0; f < phases(); f++, to += length) {
      int64_t last = w - 1 + padW - f, first = ceilDiv(padW - f, strideW);
      int64_t low = max(0, min(length, first)), high = max(low, min(length, last < 0 ? 0 : last / strideW + 1));
      for (int64_t e = 0; e < low; e++) to[e] = 0;
      const T* from = row + f - padW;
      if (strideW == 1) copyRow(to + low, from + low, high - low);
      else if (strideW == 2)
        for (int64_t e = low; e < high; e++) to[e] = from[e * 2];
      else
        for (int64_t e = low; e < high; e++) to[e] = from[e * strideW];
      for (int64_t e = high; e < length; e++) to[e] = 0;
    }
  }
  // Whole vectors, the last one up to the end.
  INLINE static void copyRow(T* to, const T* from, int64_t n) {
    constexpr int64_t W = width<T>;
    if (n < W) {
      for (int64_t e = 0; e < n; e++) to[e] = from[e];
      return;
    }
    for (int64_t e = 0; e < n - W; e += W) store(to + e, load(from + e));
    store(to + n - W, load(from + n - W));
  }

  INLINE void packStaged(T* to, int64_t pitch, int64_t panelStride, int64_t j0, int64_t j1, int64_t k0,
                         int64_t k1) const {
    int64_t first = j0 / q, count = (j1 - 1) / q + 1 - first, rowLength = phases() * slot();
    Scratch<Move> moves((j1 - j0) / width<T> + 3 * count + (j1 - j0) / panelCols<T>);
    Scratch<Piece> pieces(count);
    Move* last = moves;
    int64_t pieceCount = 0, stagedRows = 0;
    for (int64_t l = first; l < first + count;) { // lines of the output, picture by picture
      int64_t top = l % p, lines = min(first + count - l, p - top);
      for (int64_t e = 0; e < lines; e++) {
        int64_t line = (l + e) * q, from = max(j0, line), until = min(j1, line + q);
        last = addMoves(last, panelStride, from - j0, until - from,
                        (stagedRows + e * rowStep()) * rowLength + from - line);
      }
      pieces[pieceCount++] = {l / p, top, (lines - 1) * rowStep() + windowH()};
      stagedRows += (lines - 1) * rowStep() + windowH();
      l += lines;
    }
    Scratch<T> stage(stagedRows * rowLength + width<T>); // a move may read a vector further
    memset(stage + stagedRows * rowLength, 0, sizeof(Vec<T>));
    int64_t rs = r * s, lineStep = r == 1 ? strideH : 1;
    for (int64_t k = k0; k < k1;) {
      int64_t c = k / rs, next = min(k1, (c + 1) * rs);
      T* row = stage;
      for (int64_t e = 0; e < pieceCount; e++) {
        const T* plane = x + pieces[e].picture * picture + c * h * w;
        int64_t y = pieces[e].top * strideH - padH;
        for (int64_t t = 0; t < pieces[e].rows; t++, y += lineStep, row += rowLength)
          if (y >= 0 && y < h) stageRow(row, plane + y * w);
          else memset(row, 0, size_t(rowLength) * sizeof(T));
      }
      for (; k < next; k++, to += pitch) {
        int64_t tap = k - c * rs, across = tap % s * dilationW;
        apply(moves, last, to,
              stage + tap / s * dilationH * rowLength + across % phases() * slot() + across / phases());
      }
    }
  }
};

// The columns as operand B of multiply(): panels [depth + 1][panelCols].
template <class T> struct ColumnsB {
  static constexpr int64_t spareRows = 1;
  Im2col<T> of;
  INLINE void pack(T* panels, int64_t j0, int64_t j1, int64_t k0, int64_t depth) const {
    of.pack(panels, panelCols<T>, (depth + 1) * panelCols<T>, j0, j1, k0, k0 + depth);
  }
};
// The transposed matrix of the weight gradient: its rows as operand A, which may run over by a vector.
template <class T> struct RowsA {
  static constexpr Along along = Along::rows;
  Im2col<T> of;
  INLINE void pack(T* rows, int64_t i0, int64_t i1, int64_t k0, int64_t depth) const {
    of.pack(rows, depth, 0, k0, k0 + depth, i0, i1);
  }
};

} // namespace napier::ISA
