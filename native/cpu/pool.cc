// Pooling of planes: maxima with the place they came from, means, and both over adaptive cells.
//
// A thread takes whole planes, so overlapping windows add to dx in a fixed order. Windows without dilation at a
// horizontal stride of 1 or 2 are computed a register at a time (pool_rows.h), also those that stick out; where a row
// of x meets more than two rows of windows, what it adds to its own is kept for all of them. Other windows are cut to
// the part that lies on the plane and walked. Memory-bound: x is read once, a plane is in L1 or L2 for its windows.
#include "map.h"
#include "pool_rows.h"

namespace napier::ISA {

template <class Size, class Body> INLINE void planesOf(const Size& s, int64_t bytes, const Body& body) {
  parallel(s.planes, grainOf((s.h * s.w + s.p * s.q) * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; plane++) body(plane);
  });
}

// The first largest of a window, at its place in the plane; NaN wins.
template <class T>
INLINE void maxWindow(T& y, int32_t& index, const T* x, int64_t w, Span rows, Span cols, int64_t stepH, int64_t stepW) {
  T best = -kInfinity<T>;
  int64_t at = rows.begin < rows.end && cols.begin < cols.end ? rows.begin * w + cols.begin : 0;
  for (int64_t r = rows.begin; r < rows.end; r += stepH)
    for (int64_t c = cols.begin; c < cols.end; c += stepW) {
      T v = x[r * w + c];
      bool wins = (v > best) | (v != v);
      best = wins ? v : best;
      at = wins ? r * w + c : at;
    }
  y = best;
  index = int32_t(at);
}
template <class T> INLINE void maxPlane(T* y, int32_t* index, const T* x, const Pool2dSize& s) {
  for (int64_t i = 0; i < s.p; i++) {
    const Span rows = rowsOf(s, i);
    for (int64_t j = 0; j < s.q; j++, y++, index++)
      maxWindow(*y, *index, x, s.w, rows, colsOf(s, j), s.dilationH, s.dilationW);
  }
}
// The same by WindowRows: the first largest of a row, then of the rows.
template <class T, int Stride, int Taps> struct MaxRows : WindowRows<T, Stride, Taps> {
  using Places = LaneMask<T>;
  using Place = std::remove_reference_t<decltype(Places{}[0])>;
  Scratch<Place> places, firsts; // of the ring's values in their plane; the first column of each window
  using Rows = WindowRows<T, Stride, Taps>;
  using Rows::s, Rows::lanes;

  INLINE MaxRows(const Pool2dSize& s, const T* start)
      : Rows(s, start, -kInfinity<T>), places(Rows::ringRows * lanes), firsts(lanes) {
    for (int64_t j = 0; j < lanes; j++) firsts[j] = j < s.q ? Place(colsOf(s, j).begin) : 0;
  }
  static INLINE void meet(Vec<T>& best, Places& at, Vec<T> v, Places place) {
    const Places wins = (v > best) | (v != v);
    best = wins ? v : best;
    at = wins ? place : at;
  }
  static INLINE Places loadPlaces(const Place* p) {
    Places v;
    memcpy(&v, p, sizeof v);
    return v;
  }
  // What row `row` of x adds to windows j, j + 1, ...
  INLINE void addRow(const T* x, int64_t row, int64_t j, Vec<T>& best, Places& at) const {
    const Places steps = __builtin_convertvector(lane<T>(), Places) * Place(Stride);
    const Places from = steps + Place(row * s.w + j * Stride - s.padW);
    this->eachTap(x + row * s.w, j, [&](int64_t c, Vec<T> v) { meet(best, at, v, from + Place(c)); });
  }
  INLINE void put(T* y, int32_t* index, Vec<T> best, Places at) const {
    const int64_t n = s.q < width<T> ? s.q : width<T>;
    if (n < width<T>) storePart(y, best, n);
    else store(y, best);
    if constexpr (sizeof(Place) == sizeof(int32_t)) {
      if (n < width<T>) storePart<int32_t>(index, Vec<int32_t>(at), n);
      else store<int32_t>(index, Vec<int32_t>(at));
    } else
      for (int64_t l = 0; l < n; l++) index[l] = int32_t(at[l]);
  }
  INLINE void plane(T* y, int32_t* index, const T* x) const {
    if (!Rows::sharesRows(s)) {
      for (int64_t i = 0; i < s.p; i++) {
        const Span rows = rowsOf(s, i);
        eachGroup<T>(s.q, [&](int64_t j) {
          Vec<T> best = splat(-kInfinity<T>);
          Places at = loadPlaces(firsts + j) + Place(rows.begin * s.w);
          for (int64_t row = rows.begin; row < rows.end; row++) addRow(x, row, j, best, at);
          put(y + i * s.q + j, index + i * s.q + j, best, at);
        });
      }
      return;
    }
    eachWindowRow(
        s,
        [&](int64_t row) {
          eachGroup<T>(s.q, [&](int64_t j) {
            Vec<T> best = splat(-kInfinity<T>);
            Places at = loadPlaces(firsts + j) + Place(row * s.w);
            addRow(x, row, j, best, at);
            store(this->values(row) + j, best);
            memcpy(places + this->inRing(row) + j, &at, sizeof at);
          });
        },
        [&](int64_t i, Span rows) {
          eachGroup<T>(s.q, [&](int64_t j) {
            Vec<T> best = load(this->values(rows.begin) + j);
            Places at = loadPlaces(places + this->inRing(rows.begin) + j);
            for (int64_t row = rows.begin + 1; row < rows.end; row++)
              meet(best, at, load(this->values(row) + j), loadPlaces(places + this->inRing(row) + j));
            put(y + i * s.q + j, index + i * s.q + j, best, at);
          });
        });
  }
};

// y: [planes, p, q]; index: the place of each maximum in its plane, for the gradient
template <class T> void maxPool2d(T* y, int32_t* index, const T* x, const Pool2dSize& s) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  if (!inRows(s))
    return planesOf(s, sizeof(T),
                    [&](int64_t plane) { maxPlane(y + plane * out, index + plane * out, x + plane * in, s); });
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    withWindow(s, [&](auto stride, auto taps) {
      const MaxRows<T, stride, taps> rows(s, x);
      for (int64_t plane = begin; plane < end; plane++)
        rows.plane(y + plane * out, index + plane * out, x + plane * in);
    });
  });
}
KERNEL(maxPool2d)

template <class T> void adaptiveMaxPool2d(T* y, int32_t* index, const T* x, const AdaptivePool2dSize& s) {
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* yp = y + plane * s.p * s.q;
    int32_t* ip = index + plane * s.p * s.q;
    for (int64_t i = 0, k = 0; i < s.p; i++)
      for (int64_t j = 0; j < s.q; j++, k++)
        maxWindow(yp[k], ip[k], x + plane * s.h * s.w, s.w, rowsOf(s, i), colsOf(s, j), 1, 1);
  });
}
KERNEL(adaptiveMaxPool2d)

// dx[index] += dy. An index outside its plane is reported and left out: it may come from anywhere.
template <class T> void maxPool2dGrad(T* dx, const T* dy, Indices index, const AdaptivePool2dSize& s, Fault& fault) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  // A plane that goes past the caches is made in L2 first.
  const bool around = goesAround(dx, s.planes * in) && in % width<T> == 0 && in * int64_t(sizeof(T)) <= 262144;
  auto scatter = [&](T* dp, const auto* places, int64_t plane) {
    for (int64_t k = plane * out; k < (plane + 1) * out; k++) {
      const int64_t at = places[k];
      if (uint64_t(at) < uint64_t(in)) dp[at] += dy[k];
      else fault.report(k, at, 0, in - 1);
    }
  };
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    Scratch<T> made(around ? in : 1);
    for (int64_t plane = begin; plane < end; plane++) {
      T *dp = dx + plane * in, *to = around ? made.data : dp;
      memset(to, 0, size_t(in) * sizeof(T));
      if (index.dtype == DType::int32) scatter(to, static_cast<const int32_t*>(index.data), plane);
      else if (index.dtype == DType::int64) scatter(to, static_cast<const int64_t*>(index.data), plane);
      else scatter(to, static_cast<const uint8_t*>(index.data), plane);
      if (around)
        for (int64_t i = 0; i < in; i += width<T>) stream<T>(dp + i, load(to + i));
    }
    if (around) streamed();
  });
}
KERNEL(maxPool2dGrad)

// Taps of a span along one axis. PyTorch's countIncludePad counts those on the padded picture.
INLINE int64_t tapsOf(Span span, int64_t step) {
  return span.begin < span.end ? ceilDiv(span.end - span.begin, step) : 0;
}
INLINE int64_t paddedTaps(int64_t i, int64_t stride, int64_t pad, int64_t dilation, int64_t taps, int64_t extent) {
  int64_t begin = i * stride - pad, end = begin + dilation * (taps - 1) + 1;
  return tapsOf({begin, end < extent + pad ? end : extent + pad}, dilation);
}
INLINE int64_t rowTaps(const Pool2dSize& s, bool padded, int64_t i) {
  return padded ? paddedTaps(i, s.strideH, s.padH, s.dilationH, s.r, s.h) : tapsOf(rowsOf(s, i), s.dilationH);
}
INLINE int64_t colTaps(const Pool2dSize& s, bool padded, int64_t j) {
  return padded ? paddedTaps(j, s.strideW, s.padW, s.dilationW, s.s, s.w) : tapsOf(colsOf(s, j), s.dilationW);
}
INLINE int64_t rowTaps(const AdaptivePool2dSize& s, bool, int64_t i) { return tapsOf(rowsOf(s, i), 1); }
INLINE int64_t colTaps(const AdaptivePool2dSize& s, bool, int64_t j) { return tapsOf(colsOf(s, j), 1); }
INLINE int64_t stepH(const Pool2dSize& s) { return s.dilationH; }
INLINE int64_t stepW(const Pool2dSize& s) { return s.dilationW; }
INLINE int64_t stepH(const AdaptivePool2dSize&) { return 1; }
INLINE int64_t stepW(const AdaptivePool2dSize&) { return 1; }

template <class T> INLINE T sumWindow(const T* x, int64_t w, Span rows, Span cols, int64_t stepH, int64_t stepW) {
  T sum = 0;
  for (int64_t r = rows.begin; r < rows.end; r += stepH)
    for (int64_t c = cols.begin; c < cols.end; c += stepW) sum += x[r * w + c];
  return sum;
}
template <class T> INLINE void meanPlane(T* y, const T* x, bool padded, const Pool2dSize& s) {
  for (int64_t i = 0; i < s.p; i++) {
    const Span rows = rowsOf(s, i);
    const int64_t tall = rowTaps(s, padded, i);
    for (int64_t j = 0; j < s.q; j++, y++)
      *y = sumWindow(x, s.w, rows, colsOf(s, j), s.dilationH, s.dilationW) / T(tall * colTaps(s, padded, j));
  }
}
// The same by WindowRows.
template <class T, int Stride, int Taps> struct MeanRows : WindowRows<T, Stride, Taps> {
  const bool padded;
  Scratch<T> wide; // taps of each window along its row
  using Rows = WindowRows<T, Stride, Taps>;
  using Rows::s, Rows::lanes;

  INLINE MeanRows(const Pool2dSize& s, const T* start, bool padded)
      : Rows(s, start, T(0)), padded(padded), wide(lanes) {
    for (int64_t j = 0; j < lanes; j++) wide[j] = j < s.q ? T(colTaps(s, padded, j)) : T(1);
  }
  INLINE void addRow(const T* x, int64_t row, int64_t j, Vec<T>& sum) const {
    this->eachTap(x + row * s.w, j, [&](int64_t, Vec<T> v) { sum += v; });
  }
  INLINE void put(T* y, int64_t j, Vec<T> sum, Vec<T> tall) const {
    const Vec<T> mean = sum / (tall * load(wide + j));
    if (s.q < width<T>) storePart(y + j, mean, s.q);
    else store(y + j, mean);
  }
  INLINE void plane(T* y, const T* x) const {
    if (!Rows::sharesRows(s)) {
      for (int64_t i = 0; i < s.p; i++) {
        const Span rows = rowsOf(s, i);
        const Vec<T> tall = splat(T(rowTaps(s, padded, i)));
        eachGroup<T>(s.q, [&](int64_t j) {
          Vec<T> sum{};
          for (int64_t row = rows.begin; row < rows.end; row++) addRow(x, row, j, sum);
          put(y + i * s.q, j, sum, tall);
        });
      }
      return;
    }
    eachWindowRow(
        s,
        [&](int64_t row) {
          eachGroup<T>(s.q, [&](int64_t j) {
            Vec<T> sum{};
            addRow(x, row, j, sum);
            store(this->values(row) + j, sum);
          });
        },
        [&](int64_t i, Span rows) {
          const Vec<T> tall = splat(T(rowTaps(s, padded, i)));
          eachGroup<T>(s.q, [&](int64_t j) {
            Vec<T> sum{};
            for (int64_t row = rows.begin; row < rows.end; row++) sum += load(this->values(row) + j);
            put(y + i * s.q, j, sum, tall);
          });
        });
  }
};
template <class T, int... I>
INLINE Vec<T> alternate(Vec<T> even, Vec<T> odd, int half, std::integer_sequence<int, I...>) {
  return half ? __builtin_shufflevector(even, odd, (width<T> / 2 + I / 2 + (I % 2 ? width<T> : 0))...)
              : __builtin_shufflevector(even, odd, (I / 2 + (I % 2 ? width<T> : 0))...);
}
// What the windows of one row give to each column: shares(j) of window j.
template <class T> struct Spread {
  static constexpr int w = width<T>;
  const Pool2dSize& s;
  const int64_t before, lanes; // windows left of the first that a tap may ask for; registers' worth of columns / stride
  Scratch<T> given;            // the shares, 0 around them

  INLINE explicit Spread(const Pool2dSize& s)
      : s(s), before(s.s), lanes((s.w + s.padW + s.strideW - 1) / s.strideW + 2 * w), given(before + s.q + lanes) {
    memset(given, 0, size_t(before + s.q + lanes) * sizeof(T));
  }
  INLINE T* shares() const { return given + before; }
  // line: [2 w (lanes / w)], of which the first padW columns lie in the border
  INLINE void to(T* line) const {
    const T* g = given + before;
    for (int64_t m = 0; m * s.strideW < s.w + s.padW; m += w) {
      // Column m stride + f meets the taps f, f + stride, ... of windows m, m - 1, ...
      Vec<T> sum[2] = {};
      for (int64_t f = 0; f < s.strideW; f++)
        for (int64_t c = f, j = m; c < s.s; c += s.strideW, j--) sum[f] += load(g + j);
      if (s.strideW == 1) store(line + m, sum[0]);
      else {
        constexpr std::make_integer_sequence<int, w> each{};
        store(line + 2 * m, alternate<T>(sum[0], sum[1], 0, each));
        store(line + 2 * m + w, alternate<T>(sum[0], sum[1], 1, each));
      }
    }
  }
};
// A row of windows is spread over a line of w sums first, which is then added to each row that they cover.
template <class T, class Size, class Line>
INLINE void addLines(T* dx, bool padded, const Size& s, const Line& line) {
  memset(dx, 0, size_t(s.h * s.w) * sizeof(T));
  for (int64_t i = 0; i < s.p; i++) {
    const T* sums = line(i, rowTaps(s, padded, i));
    const Span rows = rowsOf(s, i);
    for (int64_t r = rows.begin; r < rows.end; r += stepH(s)) {
      T* row = dx + r * s.w;
      along<T>(
          s.w, [&](int64_t c) { store(row + c, load(row + c) + load(sums + c)); },
          [&](int64_t c, int64_t rest) {
            storePart(row + c, loadPart(row + c, rest) + loadPart(sums + c, rest), rest);
          });
    }
  }
}
template <class T, class Size> INLINE void meanPlaneGrad(T* dx, const T* dy, bool padded, const Size& s) {
  Scratch<T> line(s.w);
  addLines(dx, padded, s, [&](int64_t i, int64_t tall) {
    memset(line, 0, size_t(s.w) * sizeof(T));
    for (int64_t j = 0; j < s.q; j++) {
      const Span cols = colsOf(s, j);
      const T share = dy[i * s.q + j] / T(tall * colTaps(s, padded, j));
      for (int64_t c = cols.begin; c < cols.end; c += stepW(s)) line[c] += share;
    }
    return line.data;
  });
}

// The usual halving: every element lies in one window.
INLINE bool isTwoByTwo(const Pool2dSize& s) {
  return s.r == 2 && s.s == 2 && s.strideH == 2 && s.strideW == 2 && s.padH == 0 && s.padW == 0 && s.dilationH == 1 &&
         s.dilationW == 1 && 2 * s.p == s.h && 2 * s.q == s.w;
}

template <class T> void avgPool2d(T* y, const T* x, int64_t countIncludePad, const Pool2dSize& s) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  const bool padded = countIncludePad != 0;
  if (!inRows(s))
    return planesOf(s, sizeof(T), [&](int64_t plane) { meanPlane(y + plane * out, x + plane * in, padded, s); });
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    withWindow(s, [&](auto stride, auto taps) {
      const MeanRows<T, stride, taps> rows(s, x, padded);
      for (int64_t plane = begin; plane < end; plane++) rows.plane(y + plane * out, x + plane * in);
    });
  });
}
KERNEL(avgPool2d)

template <class T> void avgPool2dGrad(T* dx, const T* dy, int64_t countIncludePad, const Pool2dSize& s) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  const bool padded = countIncludePad != 0;
  if (isTwoByTwo(s))
    return planesOf(s, sizeof(T), [&](int64_t plane) {
      T* dp = dx + plane * in;
      const T* gp = dy + plane * out;
      for (int64_t i = 0; i < s.p; i++, gp += s.q)
        for (int64_t r = 2 * i; r < 2 * i + 2; r++)
          for (int64_t j = 0; j < s.q; j++) dp[r * s.w + 2 * j] = dp[r * s.w + 2 * j + 1] = gp[j] * T(0.25);
    });
  if (!inRows(s))
    return planesOf(s, sizeof(T), [&](int64_t plane) { meanPlaneGrad(dx + plane * in, dy + plane * out, padded, s); });
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    const Spread<T> spread(s);
    Scratch<T> line(s.strideW * spread.lanes), wide(s.q);
    for (int64_t j = 0; j < s.q; j++) wide[j] = T(colTaps(s, padded, j));
    for (int64_t plane = begin; plane < end; plane++)
      addLines(dx + plane * in, padded, s, [&](int64_t i, int64_t tall) {
        const T* gi = dy + plane * out + i * s.q;
        T* shares = spread.shares();
        for (int64_t j = 0; j < s.q; j++) shares[j] = gi[j] / (T(tall) * wide[j]);
        spread.to(line);
        return line + s.padW;
      });
  });
}
KERNEL(avgPool2dGrad)

// One cell (global average pooling) is the mean of the plane, a register at a time.
template <class T> void adaptiveAvgPool2d(T* y, const T* x, const AdaptivePool2dSize& s) {
  const int64_t in = s.h * s.w;
  planesOf(s, sizeof(T), [&](int64_t plane) {
    const T* xp = x + plane * in;
    if (s.p != 1 || s.q != 1) {
      for (int64_t i = 0, k = plane * s.p * s.q; i < s.p; i++)
        for (int64_t j = 0; j < s.q; j++, k++) {
          Span rows = rowsOf(s, i), cols = colsOf(s, j);
          y[k] = sumWindow(xp, s.w, rows, cols, 1, 1) / T(tapsOf(rows, 1) * tapsOf(cols, 1));
        }
      return;
    }
    y[plane] = sumRow<T>(
                   in, [&](Vec<T> a, int64_t i) { return a + load(xp + i); },
                   [&](Vec<T> a, int64_t i, int64_t rest) { return a + loadPart(xp + i, rest); }) /
               T(in);
  });
}
KERNEL(adaptiveAvgPool2d)

template <class T> void adaptiveAvgPool2dGrad(T* dx, const T* dy, const AdaptivePool2dSize& s) {
  const int64_t in = s.h * s.w;
  planesOf(s, sizeof(T), [&](int64_t plane) {
    T* dp = dx + plane * in;
    if (s.p != 1 || s.q != 1) return meanPlaneGrad(dp, dy + plane * s.p * s.q, false, s);
    T share = dy[plane] / T(in);
    for (int64_t i = 0; i < in; i++) dp[i] = share;
  });
}
KERNEL(adaptiveAvgPool2dGrad)

} // namespace napier::ISA
