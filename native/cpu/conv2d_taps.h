// Convolution as a sum of shifted products: no matrix of columns is ever packed.
//
// A strip of a picture (rows of the result, or some small pictures) is staged once for each channel: rows with their
// zero border one after the other, and for a stride the rows and columns of each phase in a plane of their own. In the
// stage, what a tap reads for all results of the strip is one run, at an offset; so the rows of operand B stand there
// already, and the micro-kernel takes them at a list of offsets, one for each k = (tap, channel):
//
//   y[m, flat] = sum over taps, channels of w[m, tap, channel] stage[channel, offset(tap) + flat]
//
// Results between two rows (of the flat index) are computed and dropped. A border is staged once where the end of a row
// and the beginning of the next can share it. The input gradient of a strided convolution is one such convolution of
// stride 1 for each class of pixels, (row % strideH, column % strideW), with the taps that reach it, over one stage of
// dy; so each result is written once. The weight gradient takes the stage as operand A, by rows, and dy transposed,
// with zeros between its rows.
//
// 2 n o p q c r s FLOPs, by slot / q more for the results between rows. Goto & van de Geijn (2008); Zhang, Franchetti &
// Low, "High Performance Zero-Memory Overhead Direct Convolutions" (2018).
#pragma once
#include "gemm.h"
#include "winograd_tile.h"

namespace napier::ISA {

// ---- Where things stand

// One direction of a stage: position e of phase f holds source element e step + f - base, or zero; result i with a tap
// at t reads position i + t.
struct Lattice {
  int64_t count, extent, step, base, phases, reach; // results, source elements, ..., the largest t

  INLINE int64_t source(int64_t e, int64_t f) const { return e * step + f - base; }
  // Positions from one row to the next: those beyond it that taps reach are zero and must be so in the next row.
  INLINE int64_t pitch() const {
    int64_t pitch = count;
    while (pitch < count + reach && !shares(pitch)) pitch++;
    return pitch;
  }

private:
  INLINE bool shares(int64_t pitch) const {
    for (int64_t f = 0; f < phases; f++)
      if (source(pitch, f) < extent || source(count + reach - 1 - pitch, f) >= 0) return false;
    return true;
  }
};

struct Tap {
  int64_t weight, offset; // index in [r, s]; in the stage
};

// A convolution of one group by taps: results [n, m, high, wide] from a source [n, channels, h, w].
struct TapSize {
  int64_t n, m, channels, h, w, high, wide;
  int64_t sourcePicture, resultPicture; // elements from one picture to the next
  int64_t strideH, strideW;             // of the classes: result (i strideH + a, j strideW + b)
  Lattice rows, cols;
};

// How a picture is cut into strips, and what a strip's stage looks like.
struct Strips {
  int64_t rows, pictures;   // of a strip: rows of a picture, or all rows of some
  int64_t perPicture, count; // strips
  int64_t slot, picturePitch, plane, channel; // positions from one row (picture, plane, channel) to the next
  INLINE int64_t first(int64_t strip) const { return pictures > 1 ? 0 : strip % perPicture * rows; }
  INLINE int64_t picture(int64_t strip) const { return pictures > 1 ? strip * pictures : strip / perPicture; }
  // Positions of a full strip up to its last result.
  INLINE int64_t positions(const TapSize& d) const {
    return (pictures - 1) * picturePitch + (rows - 1) * slot + d.cols.count;
  }
  // The share of what is computed that is a result.
  template <class T> INLINE double useful(const TapSize& d) const {
    double results = double(d.rows.count) * double(d.cols.count);
    double strips = pictures > 1 ? 1 / double(pictures) : double(perPicture);
    return results / (strips * double(roundUp(positions(d), width<T>)));
  }
};

// Strips of at most about `most` positions, of the height that computes the fewest results between rows and stages the
// fewest rows twice.
template <class T> INLINE Strips stripsOf(const TapSize& d, int64_t most) {
  Strips s;
  s.slot = d.cols.pitch();
  s.picturePitch = d.rows.pitch() * s.slot;
  int64_t tallest = max(1, min(d.rows.count, most / s.slot)), best = INT64_MAX;
  s.rows = tallest, s.pictures = 1;
  for (int64_t rows = tallest; rows >= ceilDiv(tallest, 2); rows--) {
    int64_t cost = ceilDiv(d.rows.count, rows) *
                   (roundUp((rows - 1) * s.slot + d.cols.count, width<T>) + d.rows.reach * s.slot / 8);
    if (cost < best) best = cost, s.rows = rows;
  }
  if (tallest == d.rows.count) s.rows = tallest, s.pictures = max(1, min(d.n, most / s.picturePitch));
  s.perPicture = ceilDiv(d.rows.count, s.rows);
  s.count = s.pictures > 1 ? ceilDiv(d.n, s.pictures) : d.n * s.perPicture;
  int64_t lines = s.rows + d.rows.reach, tail = max(0, d.cols.count + d.cols.reach - s.slot) + 2 * width<T>;
  s.plane = (s.pictures - 1) * s.picturePitch + lines * s.slot + tail;
  // An odd number of cache lines: channels fall into different sets of L1.
  s.channel = roundUp(d.rows.phases * d.cols.phases * s.plane, 64 / int64_t(sizeof(T)));
  if (s.channel * int64_t(sizeof(T)) % 128 == 0) s.channel += 64 / int64_t(sizeof(T));
  return s;
}

// ---- Staging

template <class T, int... L> INLINE Vec<T> evenLanes(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  return __builtin_shufflevector(a, b, (2 * L < width<T> ? 2 * L : 2 * L + 1)...);
}

// to[e] = from[e step] for e < n; up to a vector more is written, nothing more is read.
template <class T> INLINE void gatherRow(T* to, const T* from, int64_t n, int64_t step) {
  constexpr int64_t W = width<T>;
  int64_t e = 0;
  if (step == 1) {
    for (; e + W <= n; e += W) store(to + e, load(from + e));
    if (e < n) store(to + e, loadPart(from + e, n - e));
  } else if (step == 2) {
    // The second half ends with the last element that is needed: its elements stand in the odd lanes.
    for (; e + W <= n; e += W)
      store(to + e, evenLanes<T>(load(from + 2 * e), load(from + 2 * e + W - 1), std::make_integer_sequence<int, W>()));
    if (e < n) {
      int64_t rest = 2 * (n - e) - 1, more = max(0, rest - (W - 1));
      Vec<T> low = loadPart(from + 2 * e, min(W, rest)), high = loadPart(from + 2 * e + W - 1, more);
      store(to + e, evenLanes<T>(low, high, std::make_integer_sequence<int, W>()));
    }
  } else
    for (; e < n; e++) to[e] = from[e * step];
}

// One channel of a strip, from the plane of its first picture.
template <class T>
INLINE void stageChannel(T* to, const T* x, const TapSize& d, const Strips& s, int64_t first, int64_t pictures) {
  int64_t lines = min(s.rows, d.rows.count - first) + d.rows.reach;
  for (int64_t f = 0; f < d.rows.phases; f++)
    for (int64_t g = 0; g < d.cols.phases; g++, to += s.plane) {
      const Lattice& cols = d.cols;
      int64_t low = max(0, min(s.slot, ceilDiv(cols.base - g, cols.step)));
      int64_t high = max(low, min(s.slot, ceilDiv(cols.extent - cols.source(0, g), cols.step)));
      bool whole = d.rows.step == 1 && cols.step == 1 && low == 0 && high == s.slot && s.slot == d.w;
      for (int64_t e = 0; e < pictures; e++) {
        T* row = to + e * s.picturePitch;
        const T* plane = x + e * d.sourcePicture;
        int64_t line = d.rows.source(first, f);
        if (whole && line >= 0 && line + lines <= d.h) { // rows run on
          gatherRow(row, plane + line * d.w, lines * d.w, 1);
          continue;
        }
        for (int64_t l = 0; l < lines; l++, row += s.slot, line += d.rows.step)
          if (line < 0 || line >= d.h) memset(row, 0, size_t(s.slot) * sizeof(T));
          else {
            for (int64_t j = 0; j < low; j++) row[j] = 0;
            gatherRow(row + low, plane + line * d.w + cols.source(low, g), high - low, cols.step);
            for (int64_t j = high; j < s.slot; j++) row[j] = 0;
          }
      }
      T* end = to + (pictures - 1) * s.picturePitch + lines * s.slot;
      memset(end, 0, size_t(to + s.plane - end) * sizeof(T));
    }
}

// Fetches what is staged or written next into L2, a few lines at a time: memory works while the product is computed.
template <class T> struct Ahead {
  const T *x = nullptr, *line = nullptr, *end = nullptr; // of the next channel; within this one
  int64_t length = 0, step = 0, left = 0;                // of a channel's run; from one to the next; channels

  INLINE void begin(const T* source, const TapSize& d, int64_t first, int64_t rows, int64_t channels) {
    int64_t top = max(0, d.rows.source(first, 0));
    int64_t bottom = min(d.h, d.rows.source(first + rows - 1 + d.rows.reach, d.rows.phases - 1) + 1);
    begin(source + top * d.w, max(0, bottom - top) * d.w, d.h * d.w, channels);
  }
  INLINE void begin(const T* from, int64_t elements, int64_t apart, int64_t count) {
    x = from, length = elements, step = apart, left = count, line = end = nullptr;
  }
  INLINE int64_t lines() const { return left * (length / (64 / int64_t(sizeof(T))) + 1); }
  template <int write> INLINE void fetch(int64_t lines) {
    for (; lines > 0; lines--) {
      if (line >= end) {
        if (left == 0) return;
        left--, line = x, end = x + length, x += step;
      }
      __builtin_prefetch(line, write, 2);
      line += 64 / int64_t(sizeof(T));
    }
  }
};

// ---- Results

// c[R, V vectors] = (c) + sum over k of a[k, :] b[at[k] + ...]
template <class T, int R, int V>
[[gnu::noinline]] static void microAt(int64_t depth, const T* a, const T* b, const int64_t* at, T* c, int64_t ldc,
                                      bool add) {
  constexpr int W = width<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) acc[i][v] = Vec<T>{};
  for (int64_t k = 0; k < depth; k++) {
    const T* row = b + at[k];
    Vec<T> bk[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) bk[v] = load(row + v * W);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      Vec<T> ai = splat(a[i]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) acc[i][v] = fma(ai, bk[v], acc[i][v]);
    }
    a += panelRows;
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) {
      T* to = c + i * ldc + v * W;
      store(to, add ? load(to) + acc[i][v] : acc[i][v]);
    }
}

template <class T> using MicroAt = void (*)(int64_t, const T*, const T*, const int64_t*, T*, int64_t, bool);
template <class T> INLINE MicroAt<T> microAtFor(int64_t rows, int64_t vectors) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    static constexpr MicroAt<T> table[] = {&microAt<T, I / gemmVectors + 1, I % gemmVectors + 1>...};
    return table[(rows - 1) * gemmVectors + vectors - 1];
  }
  (std::make_integer_sequence<int, gemmRows * gemmVectors>());
}

template <class T, int... L>
INLINE void interleave(Vec<T> a, Vec<T> b, Vec<T>& low, Vec<T>& high, std::integer_sequence<int, L...>) {
  constexpr int W = width<T>;
  low = __builtin_shufflevector(a, b, (L % 2 ? W + L / 2 : L / 2)...);
  high = __builtin_shufflevector(a, b, (L % 2 ? W + W / 2 + L / 2 : W / 2 + L / 2)...);
}

// A row of n results from its classes, `apart` elements from one to the next, plus a bias, at least `least`.
template <class T>
INLINE void writeRow(T* y, const T* from, int64_t apart, int64_t n, int64_t stride, T bias, T least) {
  constexpr int64_t W = width<T>;
  auto result = [b = splat(bias), low = splat(least)](const T* p) __attribute__((always_inline)) {
    return vmax(low, load(p) + b);
  };
  int64_t j = 0;
  if (stride == 1) {
    for (; j + W <= n; j += W) store(y + j, result(from + j));
    if (j < n) storePart(y + j, result(from + j), n - j);
  } else if (stride == 2) {
    for (; j < n; j += 2 * W) {
      Vec<T> low, high;
      interleave<T>(result(from + j / 2), result(from + apart + j / 2), low, high,
                    std::make_integer_sequence<int, W>());
      if (n - j >= W) store(y + j, low);
      else storePart(y + j, low, n - j);
      if (n - j >= 2 * W) store(y + j + W, high);
      else if (n - j > W) storePart(y + j + W, high, n - j - W);
    }
  } else
    for (int64_t b = 0; b < stride; b++)
      for (int64_t e = b; e < n; e += stride) y[e] = atLeast(least, from[b * apart + e / stride] + bias);
}

// Weights of one class as panels [m / panelRows][k][panelRows], k = (block of channels, tap, channel).
struct TapWeights {
  int64_t strideM, strideChannel; // elements of w from one result channel (source channel) to the next
};

// Channels whose rows of B, 32 columns of each tap, stay in L1.
INLINE int64_t tapChannels(int64_t channels, int64_t taps) {
  int64_t pieces = ceilDiv(channels * taps, 320);
  return ceilDiv(channels, min(channels, pieces));
}

// Elements of results that a task may have at once, in L2.
template <class T> constexpr int64_t resultsMost = (int64_t(1) << 18) / int64_t(sizeof(T));

// y of one group; taps: those of class (a, b) from from[a * strideW + b] to from[a * strideW + b + 1].
template <class T>
static void convolveByTaps(T* y, const T* x, const T* w, const T* bias, T least, const TapSize& d, const TapWeights& by,
                           const Tap* taps, const int64_t* from, const Strips& s) {
  int64_t classes = d.strideH * d.strideW, all = from[classes], padded = roundUp(d.m, panelRows);
  int64_t most = 1;
  for (int64_t e = 0; e < classes; e++) most = max(most, from[e + 1] - from[e]);
  int64_t block = tapChannels(d.channels, most), blocks = ceilDiv(d.channels, block);
  // Panels of class e begin at from[e] * channels * padded.
  Scratch<T> panels(all * d.channels * padded);
  int64_t rowPanels = padded / panelRows;
  int64_t bytes = most * d.channels * panelRows * int64_t(sizeof(T)) * 4;
  parallel(classes * rowPanels, grainOf(bytes), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t kind = e / rowPanels, m0 = e % rowPanels * panelRows, rows = min(panelRows, d.m - m0);
      T* to = panels + (from[kind] * padded + (from[kind + 1] - from[kind]) * m0) * d.channels;
      for (int64_t c0 = 0; c0 < d.channels; c0 += block)
        for (int64_t t = from[kind]; t < from[kind + 1]; t++)
          for (int64_t c = c0; c < min(d.channels, c0 + block); c++, to += panelRows) {
            const T* own = w + m0 * by.strideM + c * by.strideChannel + taps[t].weight;
            for (int64_t r = 0; r < rows; r++) to[r] = own[r * by.strideM];
            for (int64_t r = rows; r < panelRows; r++) to[r] = 0;
          }
    }
  });
  int64_t ldc = roundUp(s.positions(d), width<T>) + width<T>; // reads of whole vectors run over
  int64_t rowsMost = evenPiece(d.m, max(panelRows, resultsMost<T> / (classes * ldc)), panelRows);
  int64_t rowBlocks = ceilDiv(d.m, rowsMost);
  double macs = double(rowsMost) * double(d.channels) * double(all) * double(ldc);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(s.count * rowBlocks, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> stage(d.channels * s.channel), results(classes * rowsMost * ldc);
    Scratch<int64_t> at(block * all);
    int64_t staged = -1;
    for (int64_t task = begin; task < end; task++) {
      int64_t strip = task / rowBlocks, m0 = task % rowBlocks * rowsMost, m1 = min(d.m, m0 + rowsMost);
      int64_t first = s.first(strip), picture = s.picture(strip), pictures = min(s.pictures, d.n - picture);
      int64_t rows = min(s.rows, d.rows.count - first);
      if (staged != strip)
        for (int64_t c = 0; c < d.channels; c++)
          stageChannel(stage + c * s.channel, x + picture * d.sourcePicture + c * d.h * d.w, d, s, first, pictures);
      staged = strip;
      int64_t cols = (pictures - 1) * s.picturePitch + (rows - 1) * s.slot + d.cols.count;
      Ahead<T> next, out;
      if (strip + 1 < s.count && m1 == d.m)
        next.begin(x + s.picture(strip + 1) * d.sourcePicture, d, s.first(strip + 1), s.rows, d.channels);
      out.begin(y + picture * d.resultPicture + (m0 * d.high + first * d.strideH) * d.wide,
                min(d.high, rows * d.strideH) * d.wide, d.high * d.wide, m1 - m0);
      int64_t calls = blocks * classes * ceilDiv(cols, panelCols<T>) * ceilDiv(m1 - m0, panelRows);
      int64_t nextLines = ceilDiv(next.lines(), calls), outLines = ceilDiv(out.lines(), calls);
      for (int64_t c0 = 0; c0 < d.channels; c0 += block) {
        int64_t depth = min(block, d.channels - c0);
        for (int64_t kind = 0; kind < classes; kind++) {
          int64_t count = from[kind + 1] - from[kind];
          for (int64_t t = 0; t < count; t++)
            for (int64_t c = 0; c < depth; c++) at[t * depth + c] = taps[from[kind] + t].offset + c * s.channel;
          const T* a = panels + from[kind] * padded * d.channels + c0 * count * panelRows;
          for (int64_t j = 0; j < cols; j += panelCols<T>) {
            int64_t vectors = min(gemmVectors, ceilDiv(cols - j, width<T>));
            for (int64_t i = m0; i < m1; i += panelRows) {
              next.template fetch<0>(nextLines);
              out.template fetch<1>(outLines);
              microAtFor<T>(min(panelRows, m1 - i), vectors)(
                  count * depth, a + i * count * d.channels, stage + c0 * s.channel + j, at,
                  results + (kind * rowsMost + i - m0) * ldc + j, ldc, c0 > 0);
            }
          }
        }
      }
      for (int64_t m = m0; m < m1; m++) {
        T b = bias ? bias[m] : T(0);
        for (int64_t e = 0; e < pictures; e++) {
          T* plane = y + (picture + e) * d.resultPicture + m * d.high * d.wide;
          for (int64_t a = 0; a < d.strideH; a++) {
            const T* own = results + (a * d.strideW * rowsMost + m - m0) * ldc + e * s.picturePitch;
            int64_t run = d.wide, lines = rows;
            if (d.strideH == 1 && d.strideW == 1 && s.slot == d.wide) run *= lines, lines = 1; // rows run on
            for (int64_t l = 0; l < lines; l++) {
              int64_t line = (first + l) * d.strideH + a;
              if (line < d.high) writeRow(plane + line * d.wide, own + l * s.slot, rowsMost * ldc, run, d.strideW, b, least);
            }
          }
        }
      }
    }
  });
}

// ---- The convolution's sizes as taps

INLINE int64_t floorDiv(int64_t a, int64_t b) { return a >= 0 ? a / b : -ceilDiv(-a, b); }

// One direction of the convolution forward.
INLINE Lattice forwardLattice(int64_t results, int64_t extent, int64_t taps, int64_t stride, int64_t pad,
                              int64_t dilation) {
  if (taps == 1) return {results, extent, stride, pad, 1, 0};
  return {results, extent, stride, pad, min(stride, (taps - 1) * dilation + 1), (taps - 1) * dilation / stride};
}
// Of its input gradient: dx (i stride + a) takes dy (i + (a + pad - r dilation) / stride), where that is an integer.
INLINE Lattice gradientLattice(int64_t extent, int64_t results, int64_t taps, int64_t stride, int64_t pad,
                               int64_t dilation) {
  int64_t low = floorDiv((taps - 1) * dilation - pad, stride), high = (stride - 1 + pad) / stride;
  return {ceilDiv(extent, stride), results, 1, low, 1, low + high};
}

INLINE TapSize forwardTaps(const Conv2dSize& d) {
  int64_t p = d.p(), q = d.q();
  return {d.n, d.o / d.groups, d.c / d.groups, d.h, d.w, p, q, d.c * d.h * d.w, d.o * p * q, 1, 1,
          forwardLattice(p, d.h, d.r, d.strideH, d.padH, d.dilationH),
          forwardLattice(q, d.w, d.s, d.strideW, d.padW, d.dilationW)};
}
INLINE TapSize gradientTaps(const Conv2dSize& d) {
  int64_t p = d.p(), q = d.q();
  return {d.n, d.c / d.groups, d.o / d.groups, p, q, d.h, d.w, d.o * p * q, d.c * d.h * d.w, d.strideH, d.strideW,
          gradientLattice(d.h, p, d.r, d.strideH, d.padH, d.dilationH),
          gradientLattice(d.w, q, d.s, d.strideW, d.padW, d.dilationW)};
}

// Lists the taps of the forward convolution; answers how many.
INLINE int64_t listForward(Tap* taps, const Conv2dSize& d, const TapSize& t, const Strips& s) {
  for (int64_t r = 0; r < d.r; r++)
    for (int64_t e = 0; e < d.s; e++) {
      int64_t y = r * d.dilationH, x = e * d.dilationW;
      int64_t plane = y % d.strideH * t.cols.phases + x % d.strideW;
      *taps++ = {r * d.s + e, plane * s.plane + y / d.strideH * s.slot + x / d.strideW};
    }
  return d.r * d.s;
}
INLINE void listGradient(Tap* taps, int64_t* from, const Conv2dSize& d, const TapSize& t, const Strips& s) {
  int64_t count = 0;
  for (int64_t a = 0; a < d.strideH; a++)
    for (int64_t b = 0; b < d.strideW; b++) {
      *from++ = count;
      for (int64_t r = 0; r < d.r; r++)
        for (int64_t e = 0; e < d.s; e++) {
          int64_t y = a + d.padH - r * d.dilationH, x = b + d.padW - e * d.dilationW;
          if (y % d.strideH || x % d.strideW) continue;
          taps[count++] = {r * d.s + e, (y / d.strideH + t.rows.base) * s.slot + x / d.strideW + t.cols.base};
        }
    }
  *from = count;
}

// Elements that a task may stage: 8 MB. Windows so dilated that they need more are not for this file.
template <class T> INLINE bool fitsStage(const TapSize& d, const Strips& s) {
  return double(d.channels) * double(s.channel) <= double((int64_t(1) << 23) / int64_t(sizeof(T)));
}
// Positions of a strip: stage and results in L2.
template <class T> INLINE int64_t stripLength(const TapSize& d) {
  int64_t most = 98304 * 4 / int64_t(sizeof(T)) / (d.channels * d.rows.phases * d.cols.phases);
  return max(64, min(224, most));
}

// ---- The weight gradient

// dw of one group: a product over the positions of all strips, cut in parts of the strips that are summed in order. The
// operand with fewer columns is transposed: dy, unless there is one tap and x has fewer channels.
template <class T>
static void gradWByTaps(T* dw, const T* dy, const T* x, const TapSize& d, const Tap* taps, int64_t rs,
                        const Strips& s) {
  constexpr int64_t W = width<T>;
  // dy as a source of its own in the same strips, with zeros where x has its borders.
  int64_t between = s.pictures > 1 ? max(0, s.picturePitch / s.slot - d.high) : 0; // rows of zeros
  TapSize of{d.n, 0, d.m, d.high, d.wide, 0, 0, d.resultPicture, 0, 1, 1, {d.high, d.high, 1, 0, 1, between},
             {d.wide, d.wide, 1, 0, 1, 0}};
  Strips gradient = s;
  int64_t length = (s.pictures - 1) * s.picturePitch + (s.rows + between) * s.slot + 2 * W;
  gradient.plane = gradient.channel = roundUp(length, 2 * W) + W;
  bool swapped = rs == 1 && d.channels < d.m;
  const TapSize &a = swapped ? of : d, &b = swapped ? d : of;
  const Strips &stripsA = swapped ? gradient : s, &stripsB = swapped ? s : gradient;
  const T *sourceA = swapped ? dy : x, *sourceB = swapped ? x : dy;
  int64_t offsetB = swapped ? taps[0].offset : 0;
  // Sums of one task in some 300 KB.
  int64_t blockB = evenPiece(b.channels, rs == 1 ? 256 : 128, panelCols<T>);
  int64_t mostA = (int64_t(300) << 10) / (int64_t(sizeof(T)) * rs * blockB);
  int64_t blockA = evenPiece(a.channels, max(panelRows, min(288, mostA)), panelRows);
  int64_t blocksA = ceilDiv(a.channels, blockA), blocksB = ceilDiv(b.channels, blockB), blocks = blocksA * blocksB;
  double macs = double(d.m) * double(d.channels * rs) * double(d.n * d.high * d.wide);
  int64_t wanted = min(tasksWanted, int64_t(macs / macsWorthwhile) + 1), own = rs * blockA * blockB;
  int64_t most = s.count < 32 ? s.count / 2 : max(16, s.count / 8); // a part of few strips is not worth its sums
  int64_t parts = max(1, min(min(ceilDiv(wanted, blocks), most), partialMost<T> / (own * blocks)));
  int64_t each = ceilDiv(s.count, parts);
  parts = ceilDiv(s.count, each);
  Scratch<T> sums(parts * blocks * own);
  int64_t positions = (s.pictures - 1) * s.picturePitch + s.rows * s.slot, deep = depthOf<T>(positions);
  parallel(parts * blocks, 1, [&](int64_t begin, int64_t end) {
    Scratch<T> stage(blockA * stripsA.channel), panel(panelCols<T> * positions);
    Scratch<T> rowsB(panelCols<T> * stripsB.channel);
    for (int64_t task = begin; task < end; task++) {
      int64_t part = task / blocks, a0 = task % blocksA * blockA, b0 = task / blocksA % blocksB * blockB;
      int64_t a1 = min(a.channels, a0 + blockA), b1 = min(b.channels, b0 + blockB);
      int64_t last = min(s.count, (part + 1) * each);
      T* sum = sums + task * own; // [rs][blockA][blockB]
      for (int64_t strip = part * each; strip < last; strip++) {
        int64_t first = s.first(strip), picture = s.picture(strip), pictures = min(s.pictures, d.n - picture);
        int64_t rows = min(s.rows, d.rows.count - first);
        int64_t cols = (pictures - 1) * s.picturePitch + (rows - 1) * s.slot + d.wide;
        const T *fromA = sourceA + picture * a.sourcePicture, *fromB = sourceB + picture * b.sourcePicture;
        for (int64_t c = a0; c < a1; c++)
          stageChannel(stage + (c - a0) * stripsA.channel, fromA + c * a.h * a.w, a, stripsA, first, pictures);
        Ahead<T> nextA, nextB;
        if (strip + 1 < last) {
          int64_t then = s.picture(strip + 1);
          nextA.begin(sourceA + then * a.sourcePicture + a0 * a.h * a.w, a, s.first(strip + 1), s.rows, a1 - a0);
          nextB.begin(sourceB + then * b.sourcePicture + b0 * b.h * b.w, b, s.first(strip + 1), s.rows, b1 - b0);
        }
        int64_t calls = ceilDiv(b1 - b0, panelCols<T>) * ceilDiv(cols, deep) * rs * ceilDiv(a1 - a0, panelRows);
        int64_t linesA = ceilDiv(nextA.lines(), calls), linesB = ceilDiv(nextB.lines(), calls);
        for (int64_t j = b0; j < b1; j += panelCols<T>) {
          int64_t count = min(panelCols<T>, b1 - j);
          for (int64_t c = 0; c < count; c++)
            stageChannel(rowsB + c * stripsB.channel, fromB + (j + c) * b.h * b.w, b, stripsB, first, pictures);
          packTransposed(panel.data, rowsB + offsetB, stripsB.channel, cols, count);
          for (int64_t k = 0; k < cols; k += deep)
            for (int64_t t = 0; t < rs; t++)
              for (int64_t i = a0; i < a1; i += panelRows) {
                nextA.template fetch<0>(linesA);
                nextB.template fetch<0>(linesB);
                const T* own = stage + (i - a0) * stripsA.channel + (swapped ? 0 : taps[t].offset) + k;
                macro<T, Along::rows>(0, min(panelRows, a1 - i), 0, roundUp(count, W), min(deep, cols - k), own, 0,
                                      stripsA.channel, panel + k * panelCols<T>, 0,
                                      Target<T>{sum + (t * blockA + i - a0) * blockB + (j - b0), blockB},
                                      strip == part * each && k == 0);
              }
        }
      }
    }
  });
  // Sums of the parts, 8 rows of A and W columns of B at a time: dw is [m, channels, rs].
  int64_t groups = ceilDiv(blockA, 8) * (blockB / W);
  parallel(blocks * groups, grainOf(parts * 8 * rs * W * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    Scratch<T> out(8 * rs * W);
    for (int64_t e = begin; e < end; e++) {
      int64_t block = e / groups, i0 = e % groups / (blockB / W) * 8, j = e % (blockB / W) * W;
      int64_t a0 = block % blocksA * blockA + i0, b0 = block / blocksA * blockB + j;
      int64_t rows = min(min(8, blockA - i0), a.channels - a0), lanes = min(W, b.channels - b0);
      if (rows <= 0 || lanes <= 0) continue;
      for (int64_t i = 0; i < rows; i++)
        for (int64_t t = 0; t < rs; t++) {
          const T* from = sums + block * own + (t * blockA + i0 + i) * blockB + j;
          Vec<T> total = load(from);
          for (int64_t p = 1; p < parts; p++) total += load(from + p * blocks * own);
          if (swapped) storePart(dw + (a0 + i) * b.channels + b0, total, lanes);
          else store(out + (i * rs + t) * W, total);
        }
      if (!swapped)
        scatterPixels(dw + (b0 * a.channels + a0) * rs, a.channels * rs, lanes, rows * rs, out.data, INT64_MAX, 0);
    }
  });
}

} // namespace napier::ISA
