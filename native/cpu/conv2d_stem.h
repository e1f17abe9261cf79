// Convolutions of few input channels (stems): no panel is packed, and each result is written once.
//
// A strip of rows of the picture is staged with its zero border, the columns of each phase of the stride beside each
// other: [c, phase down, rows, phase across, slot]. So y is a product [o, c r s] [c r s, pixels] whose right operand is
// read where it stands, a step in k at the place of its tap; and dw is the product of dy with the same rows. Where rows
// of the result are not whole vectors, the strip is staged once for each column of the window, [c, phase down, s, rows,
// q]: then the pixels of a tap run on from row to row, at the price of s copies instead of im2col's r s.
//
//   y   gemmRows x gemmVectors accumulators over all of c r s, from the bias
//   dw  sums of whole vectors of pixels, 4 rows of dy by some taps; folded to one number each by strip, strips added up
//       in parts of the batch, and parts in order
//
// The stage costs c (or c s) moves of a vector, and its halo, for o c r s multiply-adds.
#pragma once
#include "gemm.h"

namespace napier::ISA {

// Elements that a strip is to stage: 256 KB, for L2.
template <class T> constexpr int64_t stemStage = (int64_t(1) << 18) / int64_t(sizeof(T));

// A line of a picture, w long, with its border: [phases of the stride][slot].
template <class T>
INLINE void stageLine(T* to, const T* from, int64_t w, int64_t pad, int64_t stride, int64_t phases, int64_t slot) {
  for (int64_t f = 0; f < phases; f++, to += slot) {
    int64_t last = w - 1 + pad - f;
    int64_t low = max(0, min(slot, ceilDiv(pad - f, stride)));
    int64_t high = max(low, min(slot, last < 0 ? 0 : last / stride + 1));
    const T* first = from + f - pad;
    for (int64_t e = 0; e < low; e++) to[e] = 0;
    if (stride == 1) memcpy(to + low, first + low, size_t(high - low) * sizeof(T));
    else if (stride == 2)
      for (int64_t e = low; e < high; e++) to[e] = first[e * 2];
    else
      for (int64_t e = low; e < high; e++) to[e] = first[e * stride];
    for (int64_t e = high; e < slot; e++) to[e] = 0;
  }
}

template <class T> struct Stem {
  Conv2dSize d;
  int64_t p, q, channels;   // channels of a group
  int64_t phases, across;   // of the stride, down and across; 1 where the window has one tap in that direction
  int64_t rows, halo, slot; // results of a strip, rows staged beyond them, elements of a phase of a line
  int64_t copies, pitch;    // of each row in the stage; elements from one row to the next

  INLINE explicit Stem(const Conv2dSize& d)
      : d(d), p(d.p()), q(d.q()), channels(d.c / d.groups), phases(d.r == 1 ? 1 : d.strideH),
        across(d.s == 1 ? 1 : d.strideW), halo((d.r - 1) * d.dilationH / phases),
        slot(q + (d.s - 1) * d.dilationW / across), copies(q % width<T> ? d.s : 1),
        pitch(q % width<T> ? q : across * slot) {
    int64_t most = max(1, stemStage<T> / (channels * phases * copies * pitch) - halo), unit = width<T>;
    while (unit > 1 && q * (unit / 2) % width<T> == 0) unit /= 2; // so many rows are whole vectors
    rows = p <= most ? p : evenPiece(p, most >= unit ? most / unit * unit : most, most >= unit ? unit : 1);
  }
  INLINE int64_t taps() const { return channels * d.r * d.s; }
  INLINE int64_t strips() const { return ceilDiv(p, rows); }
  INLINE int64_t block() const { return (rows + halo) * pitch; }
  INLINE int64_t size() const { return channels * phases * copies * block() + width<T>; } // moves are whole vectors
  INLINE int64_t lines() const { return (rows + halo) * across * slot + width<T>; }
  // Whether the stage is less than im2col's: it may not be with holes, or with strides above the window.
  INLINE bool worthwhile() const { return phases * (rows + halo) <= d.r * rows && size() <= 4 * stemStage<T>; }

  // Where the pixels of weight k = (c, r, s) stand.
  INLINE int64_t place(int64_t k) const {
    int64_t c = k / (d.r * d.s), s = k % d.s, down = k / d.s % d.r * d.dilationH;
    int64_t row = (c * phases + down % phases) * copies * block() + down / phases * pitch;
    return row + (copies > 1 ? s * block() : shift(s));
  }
  // Where pixel j of a strip stands, from there.
  INLINE int64_t pixel(int64_t j) const { return pitch == q ? j : j / q * pitch + j % q; }

  // Stages the strip whose results begin at row p0, of x [channels, h, w]; `line` has room for lines().
  INLINE void stage(T* to, T* line, const T* x, int64_t p0) const {
    int64_t count = min(rows, p - p0) + halo, length = across * slot;
    if (copies > 1) memset(line + count * length, 0, sizeof(Vec<T>)); // a move may read a vector further
    for (int64_t c = 0; c < channels; c++)
      for (int64_t f = 0; f < phases; f++) {
        T* lines = copies > 1 ? line : to;
        for (int64_t t = 0; t < count; t++) {
          int64_t h = (p0 + t) * d.strideH + f - d.padH;
          T* at = lines + t * length;
          if (h >= 0 && h < d.h) stageLine(at, x + (c * d.h + h) * d.w, d.w, d.padW, d.strideW, across, slot);
          else memset(at, 0, size_t(length) * sizeof(T));
        }
        if (copies > 1)
          for (int64_t s = 0; s < d.s; s++) {
            T* copy = to + s * block();
            const T* from = line + shift(s);
            // What a row's last move writes too much, the next row overwrites, or the next block.
            for (int64_t t = 0; t < count; t++, copy += q, from += length)
              for (int64_t e = 0; e < q; e += width<T>) store(copy + e, load(from + e));
          }
        to += copies * block();
      }
  }

private:
  // Where column s of the window begins in a line.
  INLINE int64_t shift(int64_t s) const { return s * d.dilationW % across * slot + s * d.dilationW / across; }
};

// y[R, count] = bias + sum over k of w[k][R] x[taps[k] + .], count in V vectors; the second one stands `second` on.
template <class T, int R, int V>
[[gnu::noinline]] static void stemTile(int64_t depth, const T* w, const T* x, int64_t second, const int64_t* taps, T* y,
                                       int64_t ldy, const T* bias, T least, int64_t count) {
  static_assert(V <= 2);
  constexpr int W = width<T>;
  Vec<T> acc[R][V];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) acc[i][v] = bias ? splat(bias[i]) : Vec<T>{};
  for (int64_t k = 0; k < depth; k++, w += R) {
    const T* from = x + taps[k];
    Vec<T> pixels[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; v++) pixels[v] = load(from + v * second);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      Vec<T> wi = splat(w[i]);
#pragma GCC unroll 4
      for (int v = 0; v < V; v++) acc[i][v] = fma(wi, pixels[v], acc[i][v]);
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 4
    for (int v = 0; v < V; v++)
      if (Vec<T> result = vmax(splat(least), acc[i][v]); v < V - 1 || count == V * W) store(y + i * ldy + v * W, result);
      else storePart(y + i * ldy + v * W, result, count - v * W);
}

template <class T>
using StemTile = void (*)(int64_t, const T*, const T*, int64_t, const int64_t*, T*, int64_t, const T*, T, int64_t);

template <class T> INLINE StemTile<T> stemTileFor(int64_t rows, int64_t vectors) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    static constexpr StemTile<T> table[] = {&stemTile<T, I / gemmVectors + 1, I % gemmVectors + 1>...};
    return table[(rows - 1) * gemmVectors + vectors - 1];
  }
  (std::make_integer_sequence<int, gemmRows * gemmVectors>());
}

template <class T> static void conv2dStem(T* y, const T* x, const T* w, const T* b, T least, const Conv2dSize& d) {
  Stem<T> stem(d);
  int64_t og = d.o / d.groups, k = stem.taps(), pq = stem.p * stem.q, strips = stem.strips();
  int64_t rows = evenPiece(og, gemmRows, 1);
  Scratch<T> packed(d.o * k); // for each group and block of rows [k][rows]
  Scratch<int64_t> taps(k);
  for (int64_t e = 0; e < k; e++) taps[e] = stem.place(e);
  parallel(d.o, grainOf(k * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t o = begin; o < end; o++) {
      int64_t first = o % og / rows * rows, height = min(rows, og - first);
      T* to = packed + (o - o % og + first) * k + o % og - first;
      for (int64_t e = 0; e < k; e++) to[e * height] = w[o * k + e];
    }
  });
  double macs = double(og) * double(k) * double(stem.rows * stem.q);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(d.n * d.groups * strips, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> staged(stem.size()), line(stem.lines());
    for (int64_t e = begin; e < end; e++) {
      int64_t strip = e % strips, g = e / strips % d.groups, n = e / strips / d.groups, p0 = strip * stem.rows;
      int64_t pixels = min(stem.rows, stem.p - p0) * stem.q;
      stem.stage(staged, line, x + (n * d.c + g * stem.channels) * d.h * d.w, p0);
      T* to = y + (n * d.o + g * og) * pq + p0 * stem.q;
      for (int64_t i = 0; i < og; i += rows) {
        int64_t height = min(rows, og - i);
        for (int64_t j = 0; j < pixels; j += panelCols<T>) {
          int64_t count = min(panelCols<T>, pixels - j), vectors = ceilDiv(count, width<T>), at = stem.pixel(j);
          stemTileFor<T>(height, vectors)(k, packed + (g * og + i) * k, staged + at, stem.pixel(j + width<T>) - at,
                                          taps, to + i * pq + j, pq, b ? b + g * og + i : nullptr, least, count);
        }
      }
    }
  });
}

// ---- Weight gradient

// A tile of dw: rows of dy by taps, as many as a matrix product has accumulators.
constexpr int stemRows = 4, stemTaps = gemmRows * gemmVectors / stemRows;

// N vectors to ceil(N / W), in place: lane L of vector v becomes the sum of the lanes of x[v W + L].
template <class T, int D, int... L> INLINE Vec<T> fold(Vec<T> a, Vec<T> b, std::integer_sequence<int, L...>) {
  constexpr int W = width<T>;
  return __builtin_shufflevector(a, b, (L & D ? L - D + W : L)...) +
         __builtin_shufflevector(a, b, (L & D ? L + W : L + D)...);
}
template <class T, int N, int D = 1> INLINE void foldLanes(Vec<T>* x) {
  if constexpr (D < width<T>) {
#pragma GCC unroll 16
    for (int i = 0; i < (N + 1) / 2; i++)
      x[i] = fold<T, D>(x[2 * i], 2 * i + 1 < N ? x[2 * i + 1] : Vec<T>{}, std::make_integer_sequence<int, width<T>>());
    foldLanes<T, (N + 1) / 2, D * 2>(x);
  }
}

// sums[R][K], padded to whole vectors, += dy[R, pixels] by the pixels of K taps, over runs dyStep and xStep apart.
template <class T, int R, int K>
[[gnu::noinline]] static void stemGradTile(int64_t runs, int64_t pixels, const T* dy, int64_t dyStep, int64_t ldy,
                                           const T* x, int64_t xStep, const int64_t* taps, T* sums) {
  constexpr int W = width<T>;
  Vec<T> acc[R * K];
  const T* from[K];
#pragma GCC unroll 8
  for (int k = 0; k < K; k++) from[k] = x + taps[k];
#pragma GCC unroll 32
  for (int i = 0; i < R * K; i++) acc[i] = Vec<T>{};
  auto step = [&](auto get, int64_t j) __attribute__((always_inline)) {
    Vec<T> of[K];
#pragma GCC unroll 8
    for (int k = 0; k < K; k++) of[k] = get(from[k] + j);
#pragma GCC unroll 8
    for (int i = 0; i < R; i++) {
      Vec<T> g = get(dy + i * ldy + j);
#pragma GCC unroll 8
      for (int k = 0; k < K; k++) acc[i * K + k] = fma(g, of[k], acc[i * K + k]);
    }
  };
  for (int64_t n = 0; n < runs; n++, dy += dyStep) {
    int64_t j = 0;
    for (; j + W <= pixels; j += W) step([](const T* p) __attribute__((always_inline)) { return load(p); }, j);
    if (int64_t rest = pixels - j; rest > 0)
      step([rest](const T* p) __attribute__((always_inline)) { return loadPart(p, rest); }, j);
#pragma GCC unroll 8
    for (int k = 0; k < K; k++) from[k] += xStep;
  }
  foldLanes<T, R * K>(acc);
#pragma GCC unroll 8
  for (int v = 0; v * W < R * K; v++) store(sums + v * W, load(sums + v * W) + acc[v]);
}

template <class T>
using StemGradTile = void (*)(int64_t, int64_t, const T*, int64_t, int64_t, const T*, int64_t, const int64_t*, T*);

template <class T> INLINE StemGradTile<T> stemGradTileFor(int64_t rows, int64_t taps) {
  return [&]<int... I>(std::integer_sequence<int, I...>) {
    static constexpr StemGradTile<T> table[] = {&stemGradTile<T, I / stemTaps + 1, I % stemTaps + 1>...};
    return table[(rows - 1) * stemTaps + taps - 1];
  }
  (std::make_integer_sequence<int, stemRows * stemTaps>());
}

template <class T> static void conv2dGradWStem(T* dw, const T* dy, const T* x, const Conv2dSize& d) {
  Stem<T> stem(d);
  int64_t og = d.o / d.groups, k = stem.taps(), pq = stem.p * stem.q, strips = stem.strips();
  int64_t rows = evenPiece(og, stemRows, 1), columns = evenPiece(k, stemTaps, 1);
  int64_t room = roundUp(rows * columns, width<T>), tiles = ceilDiv(og, rows) * ceilDiv(k, columns);
  // Columns are weights in the order (c, s, r): taps down the window share rows of the stage.
  Scratch<int64_t> weights(k), taps(k);
  for (int64_t e = 0; e < k; e++) {
    weights[e] = (e / (d.r * d.s) * d.r + e % d.r) * d.s + e / d.r % d.s;
    taps[e] = stem.place(weights[e]);
  }
  // What is staged at once: a strip, or some pictures of one strip, that sums are worth folding for.
  // A tile of sums goes through it in runs, pictures or rows.
  // Parts of the batch of each group are so many of these each.
  int64_t apart = roundUp(stem.size(), width<T>); // from one picture's stage to the next
  bool byRow = stem.pitch != stem.q;
  int64_t together = strips > 1 || byRow ? 1 : max(1, min(d.n, min(stemStage<T> / apart, ceilDiv(1024, pq))));
  int64_t all = ceilDiv(d.n, together) * strips;
  int64_t wanted = min(tasksWanted, int64_t(d.flops() / 2 / macsWorthwhile) + 1);
  int64_t most = min(min(ceilDiv(wanted, d.groups), all), partialMost<T> / (d.groups * tiles * room));
  int64_t each = ceilDiv(all, max(1, most)), parts = ceilDiv(all, each);
  Scratch<T> partial(d.groups * parts * tiles * room), total(tiles * room);
  double macs = double(og) * double(k) * double(min(all, each) * together * stem.rows * stem.q);
  int64_t grain = macs > macsWorthwhile ? 1 : int64_t(macsWorthwhile / macs) + 1;
  parallel(d.groups * parts, grain, [&](int64_t begin, int64_t end) {
    Scratch<T> staged(together * apart), line(stem.lines());
    for (int64_t e = begin; e < end; e++) {
      int64_t g = e / parts, first = e % parts * each;
      memset(partial + e * tiles * room, 0, size_t(tiles * room) * sizeof(T));
      for (int64_t t = first; t < min(all, first + each); t++) {
        int64_t n = t / strips * together, pictures = min(together, d.n - n);
        int64_t p0 = t % strips * stem.rows, height = min(stem.rows, stem.p - p0);
        for (int64_t f = 0; f < pictures; f++)
          stem.stage(staged + f * apart, line, x + ((n + f) * d.c + g * stem.channels) * d.h * d.w, p0);
        const T* from = dy + (n * d.o + g * og) * pq + p0 * stem.q;
        T* sums = partial + e * tiles * room;
        for (int64_t i = 0; i < og; i += rows)
          for (int64_t j = 0; j < k; j += columns, sums += room)
            stemGradTileFor<T>(min(rows, og - i), min(columns, k - j))(
                byRow ? height : pictures, byRow ? stem.q : height * stem.q, from + i * pq, byRow ? stem.q : d.o * pq,
                pq, staged, byRow ? stem.pitch : apart, taps + j, sums);
      }
    }
  });
  for (int64_t g = 0; g < d.groups; g++) {
    sumParts<T>(partial + g * parts * tiles * room, parts, tiles, room, Target<T>{total, room}, false);
    const T* sums = total;
    for (int64_t i = 0; i < og; i += rows)
      for (int64_t j = 0; j < k; j += columns, sums += room) {
        int64_t height = min(rows, og - i), length = min(columns, k - j);
        for (int64_t e = 0; e < height; e++)
          for (int64_t f = 0; f < length; f++) dw[(g * og + i + e) * k + weights[j + f]] = sums[e * length + f];
      }
  }
}

} // namespace napier::ISA
