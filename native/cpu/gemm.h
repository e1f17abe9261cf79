// c[m, n] = a[m, k] b[k, n] for operands that know how to pack themselves: matrices here, pictures in im2col.h.
//
// The product is cut into tiles of C, and into parts in k where C is small and k long; tiles and parts go to the
// threads. An operand that several tiles need is packed once, in parallel, before them (Hold::shared); one that its
// tile alone needs is packed by the tile, block after block in k (Hold::local). A may also be packed panel by panel,
// each just before all of the tile's B goes past it in L1 (Hold::panel), or read where it stands (Hold::direct). Every
// cut follows from m, n and k alone.
#pragma once
#include "gemm_kernel.h"

namespace napier::ISA {

enum class Hold { shared, local, panel, direct };

struct Cut {
  int64_t tileRows, tileCols, parts; // of C in each direction; parts of k
};

// Elements that one shared operand may take: 16 MB.
template <class T> constexpr int64_t sharedMost = (int64_t(1) << 24) / int64_t(sizeof(T));
// Elements that the partial results of a product cut in k may take, together.
template <class T> constexpr int64_t partialMost = (int64_t(1) << 25) / int64_t(sizeof(T));
// Panels that a task packs, as deep as a block in k.
constexpr int64_t packPanels = 4;
// Multiply-adds worth handing to a thread, about 20 us.
constexpr double macsWorthwhile = 1e6;
constexpr int64_t tasksWanted = 32;

// The longest even cut of n into pieces of at most `most`, in multiples of `unit`.
INLINE int64_t evenPiece(int64_t n, int64_t most, int64_t unit) {
  return n == 0 ? unit : roundUp(ceilDiv(n, ceilDiv(n, roundUp(most, unit))), unit);
}

// Tiles of at most 144 x 256: 144 KB of A for L2 at kDepth. Smaller ones until there are enough for the threads.
template <class T> INLINE Cut cutFor(int64_t m, int64_t n, int64_t k, int64_t mostRows = 144, int64_t mostCols = 256) {
  double macs = double(m) * double(n) * double(k);
  int64_t wanted = macs < 2 * macsWorthwhile             ? 1
                   : macs > macsWorthwhile * tasksWanted ? tasksWanted
                                                         : int64_t(macs / macsWorthwhile);
  Cut cut{evenPiece(m, mostRows, panelRows), evenPiece(n, mostCols, panelCols<T>), 1};
  auto tiles = [&] { return ceilDiv(m, cut.tileRows) * ceilDiv(n, cut.tileCols); };
  if (wanted > tiles() && k >= 4 * kDepth<T>) { // a tile of every part packs for itself: large ones
    cut.tileRows = evenPiece(m, 2 * mostRows, panelRows);
    cut.parts = max(1, min(min(wanted / tiles(), k / kDepth<T>), partialMost<T> / max(1, mul(m, n))));
    if (cut.parts == 1) cut.tileRows = evenPiece(m, mostRows, panelRows);
  }
  while (cut.parts == 1 && tiles() < wanted) {
    bool rows = cut.tileRows > 48, cols = cut.tileCols > 64;
    if (!rows && !cols) break;
    if (rows && (!cols || cut.tileRows * 2 > cut.tileCols)) cut.tileRows = evenPiece(m, cut.tileRows / 2, panelRows);
    else cut.tileCols = evenPiece(n, cut.tileCols / 2, panelCols<T>);
  }
  return cut;
}

// Rows of a matrix that packing reads side by side: so many streams go through memory in order.
constexpr int64_t packStep = 8;

// A matrix as operand A: element (i, k) at data + i * ld + k (rows) or data + k * ld + i (columns).
template <class T, Along way> struct MatrixA {
  static constexpr Along along = way;
  const T* data;
  int64_t ld;

  INLINE const T* at(int64_t i, int64_t k) const { return way == Along::rows ? data + i * ld + k : data + k * ld + i; }
  // Rows i0 to i1, panel by panel.
  INLINE void pack(T* panels, int64_t i0, int64_t i1, int64_t k0, int64_t depth) const {
    if constexpr (way == Along::rows) {
      for (int64_t i = i0; i < i1; i += panelRows, panels += panelRows * depth)
        for (int64_t r = 0; r < min(panelRows, i1 - i); r++) copyAhead(panels + r * depth, at(i + r, k0), ld, depth);
      return;
    }
    for (int64_t k = 0; k < depth; k += packStep)
      for (int64_t i = i0; i < i1; i += panelRows) {
        T* to = panels + (i - i0) * depth + k * panelRows;
        const int64_t until = min(depth, k + packStep), rows = min(panelRows, i1 - i);
        if (rows == panelRows)
          for (int64_t e = k; e < until; e++, to += panelRows) {
            __builtin_prefetch(at(i, k0 + e) + packStep * ld);
            memcpy(to, at(i, k0 + e), panelRows * sizeof(T));
          }
        else
          for (int64_t e = k; e < until; e++, to += panelRows)
            for (int64_t r = 0; r < rows; r++) to[r] = at(i, k0 + e)[r];
      }
  }
};

// A matrix as operand B: element (k, j) at data + k * ld + j (rows) or data + j * ld + k (columns).
template <class T, Along way> struct MatrixB {
  static constexpr int64_t spareRows = 0; // of a panel, for packing that runs over
  const T* data;
  int64_t ld;

  INLINE void pack(T* panels, int64_t j0, int64_t j1, int64_t k0, int64_t depth) const {
    if constexpr (way == Along::rows)
      for (int64_t k = 0; k < depth; k += packStep)
        for (int64_t j = j0; j < j1; j += panelCols<T>)
          packBeside(panels + (j - j0) * depth + k * panelCols<T>, data + (k0 + k) * ld + j, ld,
                     min(packStep, depth - k), min(panelCols<T>, j1 - j));
    else
      for (int64_t j = j0; j < j1; j += panelCols<T>, panels += panelCols<T> * depth)
        packTransposed(panels, data + j * ld + k0, ld, depth, min(panelCols<T>, j1 - j));
  }
};

// One tile, rows i0 to i1 and columns j0 to j1, over k0 to k1. packedA and packedB: its panels of a shared operand
// (for each block in k a step of strideA or strideB elements for each of its rows), or room to pack.
template <class T, Hold holdA, Hold holdB, class A, class B>
INLINE void multiplyTile(const A& a, const B& b, const Target<T>& c, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                         int64_t k0, int64_t k1, T* packedA, int64_t strideA, int64_t rowA, T* packedB, int64_t strideB,
                         int64_t colB) {
  int64_t k = k0, step = depthOf<T>(k1 - k0);
  do { // once for an empty k too: it writes the bias or zero
    int64_t depth = min(step, k1 - k), panelB = panelCols<T> * (depth + B::spareRows);
    Target<T> to = c;
    if (k + depth < k1) to.after = {};
    static_assert(holdB == Hold::local || B::spareRows == 0);
    T* panelsB = packedB + (holdB == Hold::shared ? (k - k0) * strideB + colB * depth : 0);
    if (holdB == Hold::local) b.pack(panelsB, j0, j1, k, depth);
    if constexpr (holdA == Hold::direct) {
      constexpr bool rows = A::along == Along::rows;
      macro<T, A::along>(i0, i1, j0, j1, depth, a.at(i0, k), rows ? panelRows * a.ld : panelRows, a.ld, panelsB, panelB,
                         to, k == k0);
    } else if constexpr (holdA == Hold::panel) {
      for (int64_t i = i0; i < i1; i += panelRows) {
        int64_t until = min(i1, i + panelRows);
        a.pack(packedA, i, until, k, depth);
        macro<T, A::along>(i, until, j0, j1, depth, packedA, 0, A::along == Along::rows ? depth : panelRows, panelsB,
                           panelB, to, k == k0);
      }
    } else {
      T* panelsA = packedA + (holdA == Hold::shared ? (k - k0) * strideA + rowA * depth : 0);
      if (holdA == Hold::local) a.pack(panelsA, i0, i1, k, depth);
      macro<T, A::along>(i0, i1, j0, j1, depth, panelsA, panelRows * depth, A::along == Along::rows ? depth : panelRows,
                         panelsB, panelB, to, k == k0);
    }
    k += depth;
  } while (k < k1);
}

// c[i, j] = own[i, j] (+ bias) for rows i0 to i1 and columns j0 to j1, into spans.
template <class T>
INLINE void writeSpans(const T* own, int64_t ldOwn, const Target<T>& c, int64_t i0, int64_t i1, int64_t j0,
                       int64_t j1) {
  for (int64_t i = i0; i < i1; i++, own += ldOwn)
    for (int64_t j = j0; j < j1;) {
      int64_t at = j % c.span, run = min(j1 - j, c.span - at);
      T* to = c.data + i * c.ld + j / c.span * c.spanStride + at;
      const T* from = own + (j - j0);
      T bias = c.rowBias ? c.rowBias[i] : T(0);
      if (c.add)
        for (int64_t e = 0; e < run; e++) to[e] += from[e] + bias;
      else
        for (int64_t e = 0; e < run; e++) to[e] = from[e] + bias;
      if (c.after.relu)
        for (int64_t e = 0; e < run; e++) to[e] = to[e] < T(0) ? T(0) : to[e];
      j += run;
    }
}

// Sums the partial results [parts, m, n] in order into c. transposed: c is [n, m], and has no addend.
template <class T>
INLINE void sumParts(const T* partial, int64_t parts, int64_t m, int64_t n, const Target<T>& c, bool transposed) {
  constexpr int64_t W = width<T>;
  parallel(m, grainOf((parts + 1) * n * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++)
      for (int64_t j = 0; j < n; j += W) {
        const int64_t cols = min(W, n - j), step = transposed ? c.ld : 1;
        T* to = c.data + (transposed ? j * c.ld + i : i * c.ld + j);
        const T* from = partial + i * n + j;
        Vec<T> sum = cols == W ? load(from) : loadPart(from, cols);
        for (int64_t p = 1; p < parts; p++) {
          from += m * n;
          sum += cols == W ? load(from) : loadPart(from, cols);
        }
        if (c.rowBias) sum += splat(c.rowBias[i]);
        T lanes[W];
        if (c.add) {
          store(lanes, sum);
          for (int64_t e = 0; e < cols; e++) lanes[e] = to[e * step] + lanes[e];
          sum = load(lanes);
        }
        const After<T>& after = c.after;
        sum *= splat(after.alpha);
        if (after.addend) sum += splat(after.beta) * loadPart(after.addend + i * after.ld + j, cols);
        if (after.relu) sum = rectified(sum);
        store(lanes, sum);
        if (cols == W && step == 1) store(to, sum);
        else
          for (int64_t e = 0; e < cols; e++) to[e * step] = lanes[e];
      }
  });
}

// The product cut in k: every tile of every part packs for itself, and the parts are summed in order. c has no spans.
template <class T, Hold holdA, class A, class B>
INLINE void multiplyParts(int64_t m, int64_t n, int64_t k, const A& a, const B& b, const Target<T>& c, const Cut& cut,
                          bool transposed = false) {
  int64_t rowTiles = ceilDiv(m, cut.tileRows), colTiles = ceilDiv(n, cut.tileCols);
  int64_t deep = roundUp(ceilDiv(k, cut.parts), 8), parts = max(1, ceilDiv(k, max(1, deep)));
  Scratch<T> partial(parts * m * n);
  int64_t tasks = parts * rowTiles * colTiles;
  bool worthwhile = double(m) * double(n) * double(k) >= 2 * macsWorthwhile;
  parallel(tasks, worthwhile ? 1 : tasks, [&](int64_t begin, int64_t end) {
    int64_t step = min(kDepth<T>, max(1, deep)), room = cut.tileCols * (step + B::spareRows);
    Scratch<T> packed(room + (holdA == Hold::panel ? panelRows : cut.tileRows) * step + width<T>); // rows of im2col.h run over
    T *packedB = packed, *packedA = packed + room;
    for (int64_t t = begin; t < end; t++) {
      int64_t part = t / (rowTiles * colTiles), j = t / rowTiles % colTiles * cut.tileCols,
              i = t % rowTiles * cut.tileRows;
      Target<T> own{partial + part * m * n, n};
      multiplyTile<T, holdA, Hold::local>(a, b, own, i, min(m, i + cut.tileRows), j, min(n, j + cut.tileCols),
                                          part * deep, min(k, (part + 1) * deep), packedA, 0, 0, packedB, 0, 0);
    }
  });
  sumParts<T>(partial, parts, m, n, c, transposed);
}

// The product in one part. Shared operands larger than sharedMost are taken in blocks, outermost.
template <class T, Hold holdA, Hold holdB, class A, class B>
INLINE void multiply(int64_t m, int64_t n, int64_t k, const A& a, const B& b, const Target<T>& c, const Cut& cut) {
  constexpr bool sharesA = holdA == Hold::shared, sharesB = holdB == Hold::shared;
  int64_t blockM = sharesA ? roundUp(m, panelRows) : m;
  int64_t blockN = sharesB ? roundUp(n, panelCols<T>) : n;
  int64_t blockK = max(1, k);
  if ((sharesA && mul(blockM, k) > sharedMost<T>) || (sharesB && mul(blockN, k) > sharedMost<T>)) {
    blockK = min(k, 8 * kDepth<T>);
    int64_t most = sharedMost<T> / blockK;
    if (sharesA) blockM = min(blockM, most / cut.tileRows * cut.tileRows);
    if (sharesB) blockN = min(blockN, most / cut.tileCols * cut.tileCols);
  }
  bool worthwhile = double(m) * double(n) * double(k) >= 2 * macsWorthwhile;
  Scratch<T> sharedA(sharesA ? blockM * blockK : 1), sharedB(sharesB ? blockN * blockK : 1);
  for (int64_t n0 = 0; n0 < n; n0 += blockN)
    for (int64_t k0 = 0; k0 == 0 || k0 < k; k0 += blockK) {
      int64_t n1 = min(n, n0 + blockN), k1 = min(k, k0 + blockK);
      for (int64_t m0 = 0; m0 < m; m0 += blockM) {
        int64_t m1 = min(m, m0 + blockM);
        // Panels of both, in one go; those of B once for all blocks of m.
        int64_t panelsA = sharesA ? ceilDiv(m1 - m0, panelRows) : 0;
        int64_t panelsB = sharesB && m0 == 0 ? ceilDiv(n1 - n0, panelCols<T>) : 0;
        int64_t strideA = roundUp(m1 - m0, panelRows), strideB = roundUp(n1 - n0, panelCols<T>);
        int64_t step = depthOf<T>(k1 - k0), unitsA = ceilDiv(panelsA, packPanels), unitsB = ceilDiv(panelsB, packPanels);
        int64_t units = (unitsA + unitsB) * ceilDiv(k1 - k0, step);
        parallel(units, worthwhile ? 1 : units + 1, [&](int64_t begin, int64_t end) {
          for (int64_t u = begin; u < end; u++) {
            int64_t k = k0 + u / (unitsA + unitsB) * step, depth = min(step, k1 - k), at = u % (unitsA + unitsB);
            if constexpr (sharesA)
              if (at < unitsA) {
                int64_t i = at * packPanels * panelRows;
                a.pack(sharedA + (k - k0) * strideA + i * depth, m0 + i, min(m1, m0 + i + packPanels * panelRows), k,
                       depth);
              }
            if constexpr (sharesB)
              if (at >= unitsA) {
                int64_t j = (at - unitsA) * packPanels * panelCols<T>;
                b.pack(sharedB + (k - k0) * strideB + j * depth, n0 + j,
                       min(n1, n0 + j + packPanels * panelCols<T>), k, depth);
              }
          }
        });
        Target<T> to = c;
        to.add = c.add || k0 > 0;
        if (k1 < k) to.after = {};
        if (k0 > 0) to.rowBias = nullptr;
        int64_t rowTiles = ceilDiv(m1 - m0, cut.tileRows), tasks = rowTiles * ceilDiv(n1 - n0, cut.tileCols);
        parallel(tasks, worthwhile ? 1 : tasks, [&](int64_t begin, int64_t end) {
          Scratch<T> ownA(holdA == Hold::local ? cut.tileRows * step : holdA == Hold::panel ? panelRows * step : 1);
          Scratch<T> ownB(holdB == Hold::local ? cut.tileCols * (step + B::spareRows) : 1);
          // A tile that is visited more than once, in short spans, is summed apart.
          bool apart = c.span < 1024 && k1 - k0 > step;
          Scratch<T> own(apart ? cut.tileRows * cut.tileCols : 1);
          for (int64_t t = begin; t < end; t++) {
            int64_t i = m0 + t % rowTiles * cut.tileRows, iEnd = min(m1, i + cut.tileRows);
            int64_t j = n0 + t / rowTiles * cut.tileCols, jEnd = min(n1, j + cut.tileCols);
            Target<T> there = to;
            if (apart) there = {own.data - i * cut.tileCols - j, cut.tileCols};
            multiplyTile<T, holdA, holdB>(a, b, there, i, iEnd, j, jEnd, k0, k1, sharesA ? sharedA : ownA, strideA,
                                          i - m0, sharesB ? sharedB : ownB, strideB, j - n0);
            if (apart) writeSpans<T>(own, cut.tileCols, to, i, iEnd, j, jEnd);
          }
        });
      }
    }
}

} // namespace napier::ISA
