// Batch normalisation of x[n, c, inner] over n and inner (Ioffe & Szegedy 2015) and layer normalisation of rows (Ba et
// al. 2016).
//
// One thread takes a channel from the statistics to y, so that its n planes are read from memory once and from L2
// after. Sums: about the mean k of the channel's first plane, in one pass (with d = x - k, var = mean d^2 - (mean d)^2;
// that plane is 1/n of the data, so (mean d)^2 < n var and nothing cancels), kDepth additions in T, then in double.
#include "rows.h"

namespace napier::ISA {

// A register of T added to two (float) or one (double) registers of double.
template <class T> struct WideSum {
  static constexpr int parts = int(sizeof(double) / sizeof(T));
  Vec<double> sum[parts] = {};
  INLINE void add(Vec<T> v) {
    if constexpr (parts == 1) sum[0] += v;
    else {
      typedef float Half __attribute__((vector_size(kVectorBytes / 2)));
      Half half[2];
      memcpy(half, &v, sizeof v);
      sum[0] += __builtin_convertvector(half[0], Vec<double>);
      sum[1] += __builtin_convertvector(half[1], Vec<double>);
    }
  }
  INLINE double total() const {
    if constexpr (parts == 1) return sumLanes<double>(sum[0]);
    else return sumLanes<double>(sum[0] + sum[1]);
  }
};

constexpr int kDepth = 32;

// Sums of two quantities over planes: each(i, term) gives both for element i by term(first, second).
// part: the same for the last `rest` elements of a plane, zero in the lanes behind them.
template <class T> struct PairSum {
  Vec<T> a[2] = {}, b[2] = {};
  WideSum<T> wideA, wideB;
  int depth = 0;
  INLINE void widen() {
    wideA.add(a[0] + a[1]);
    wideB.add(b[0] + b[1]);
    a[0] = a[1] = b[0] = b[1] = Vec<T>{};
    depth = 0;
  }
  template <class Pair, class Part> INLINE void plane(int64_t n, const Pair& pair, const Part& part) {
    constexpr int w = width<T>;
    int64_t i = 0;
    while (i + 2 * w <= n) {
      int64_t steps = (n - i) / (2 * w), room = kDepth - depth;
      if (steps > room) steps = room;
      Vec<T> a0 = a[0], a1 = a[1], b0 = b[0], b1 = b[1];
      for (int64_t k = 0; k < steps; k++, i += 2 * w) {
        pair(i, a0, b0);
        pair(i + w, a1, b1);
      }
      a[0] = a0, a[1] = a1, b[0] = b0, b[1] = b1;
      if ((depth += int(steps)) >= kDepth) widen();
    }
    if (i + w <= n) pair(i, a[0], b[0]), i += w;
    if (i < n) part(i, n - i, a[1], b[1]);
    if (++depth >= kDepth) widen();
  }
};

struct Moments {
  double mean, variance;
};

INLINE double rootReciprocal(double v) { return 1 / __builtin_sqrt(v); }

template <class T> INLINE Moments channelMoments(const T* x, const ChannelSize& s, int64_t c) {
  const int64_t step = s.c * s.inner;
  const T* x0 = x + c * s.inner;
  WideSum<T> first;
  along<T>(
      s.inner, [&](int64_t i) { first.add(load(x0 + i)); },
      [&](int64_t i, int64_t rest) { first.add(loadPart(x0 + i, rest)); });
  const T k = T(first.total() / double(s.inner));
  const Vec<T> shift = splat(k);
  PairSum<T> sums;
  for (int64_t n = 0; n < s.n; n++) {
    const T* xp = x0 + n * step;
    sums.plane(
        s.inner,
        [&](int64_t i, Vec<T>& a, Vec<T>& b) {
          Vec<T> d = load(xp + i) - shift;
          a += d;
          b = fma(d, d, b);
        },
        [&](int64_t i, int64_t rest, Vec<T>& a, Vec<T>& b) {
          Vec<T> d = lanesBelow<T>(rest) ? loadPart(xp + i, rest) - shift : Vec<T>{};
          a += d;
          b = fma(d, d, b);
        });
  }
  sums.widen();
  double count = double(s.n) * double(s.inner), d = sums.wideA.total() / count;
  double variance = sums.wideB.total() / count - d * d;
  return {double(k) + d, variance < 0 ? 0 : variance};
}

// y = (x - mean) scale + b over the channel's planes
template <class T>
INLINE void normaliseChannel(T* y, const T* x, T mean, T scale, T b, const ChannelSize& s, int64_t c) {
  const Vec<T> m = splat(mean), f = splat(scale), o = splat(b);
  for (int64_t n = 0; n < s.n; n++) {
    const T* xp = x + (n * s.c + c) * s.inner;
    T* yp = y + (n * s.c + c) * s.inner;
    along<T>(
        s.inner, [&](int64_t i) { store(yp + i, fma(load(xp + i) - m, f, o)); },
        [&](int64_t i, int64_t rest) { storePart(yp + i, fma(loadPart(xp + i, rest) - m, f, o), rest); });
  }
}

// inner = 1: x is [n, c] and neighbouring channels lie in one register; body(first, count) for blocks of channels.
constexpr int kChannels = 64;
template <class T, class Body> INLINE void channelBlocks(const ChannelSize& s, int arrays, const Body& body) {
  int64_t blocks = (s.c + kChannels - 1) / kChannels;
  parallel(blocks, grainOf(s.n * kChannels * arrays * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; block++) {
      int64_t first = block * kChannels;
      body(first, s.c - first < kChannels ? s.c - first : kChannels);
    }
  });
}

// mean, variance (biased): [c]; w, b: [c] or absent
template <class T>
void batchNorm(T* y, T* mean, T* variance, const T* x, const T* w, const T* b, double eps, const ChannelSize& s) {
  if (s.inner == 1 && s.n)
    return channelBlocks<T>(s, 3, [&](int64_t c, int64_t count) {
      double sum[kChannels] = {}, squares[kChannels] = {};
      for (int64_t n = 0; n < s.n; n++)
        for (int64_t j = 0; j < count; j++) {
          double d = double(x[n * s.c + c + j] - x[c + j]);
          sum[j] += d;
          squares[j] += d * d;
        }
      T m[kChannels], scale[kChannels], offset[kChannels];
      for (int64_t j = 0; j < count; j++) {
        double d = sum[j] / double(s.n), v = squares[j] / double(s.n) - d * d;
        v = v < 0 ? 0 : v;
        mean[c + j] = m[j] = T(double(x[c + j]) + d);
        variance[c + j] = T(v);
        scale[j] = T(rootReciprocal(v + eps) * (w ? double(w[c + j]) : 1));
        offset[j] = b ? b[c + j] : T(0);
      }
      for (int64_t n = 0; n < s.n; n++)
        for (int64_t j = 0; j < count; j++) y[n * s.c + c + j] = (x[n * s.c + c + j] - m[j]) * scale[j] + offset[j];
    });
  parallel(s.c, grainOf(s.n * s.inner * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      if (s.n == 0 || s.inner == 0) {
        mean[c] = variance[c] = T(__builtin_nan(""));
        continue;
      }
      Moments at = channelMoments(x, s, c);
      mean[c] = T(at.mean);
      variance[c] = T(at.variance);
      T scale = T(rootReciprocal(at.variance + eps) * (w ? double(w[c]) : 1));
      normaliseChannel(y, x, mean[c], scale, b ? b[c] : T(0), s, c);
    }
  });
}
KERNEL(batchNorm)

// y = (x - mean) / sqrt(variance + eps) w + b with given statistics
template <class T>
void batchNormInfer(T* y, const T* x, const T* mean, const T* variance, const T* w, const T* b, double eps,
                    const ChannelSize& s) {
  auto scaleOf = [&](int64_t c) { return T(rootReciprocal(double(variance[c]) + eps) * (w ? double(w[c]) : 1)); };
  if (s.inner == 1)
    return channelBlocks<T>(s, 2, [&](int64_t c, int64_t count) {
      T scale[kChannels];
      for (int64_t j = 0; j < count; j++) scale[j] = scaleOf(c + j);
      for (int64_t n = 0; n < s.n; n++)
        for (int64_t j = 0; j < count; j++)
          y[n * s.c + c + j] = (x[n * s.c + c + j] - mean[c + j]) * scale[j] + (b ? b[c + j] : T(0));
    });
  parallel(s.c, grainOf(s.n * s.inner * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) normaliseChannel(y, x, mean[c], scaleOf(c), b ? b[c] : T(0), s, c);
  });
}
KERNEL(batchNormInfer)

// With N = n inner, r = 1 / sqrt(variance + eps), xh = (x - mean) r:
//   db = sum dy, dw = sum dy xh, dx = w r (dy - db / N - xh dw / N); with given statistics dx = w r dy.
// Two passes over dy and x; dx, dw, db may each be absent.
template <class T>
void batchNormGrad(T* dx, T* dw, T* db, const T* dy, const T* x, const T* mean, const T* variance, const T* w,
                   double eps, int64_t training, const ChannelSize& size) {
  const ChannelSize s = size.inner == 0 ? ChannelSize{0, size.c, 0} : size; // n may be anything where x is empty
  // dx = dy p - (x - m) q - o
  struct Line {
    T p, q, o;
  };
  const double count = double(s.n) * double(s.inner);
  auto finish = [&](int64_t c, double sum, double dot) { // sum dy, sum dy (x - mean)
    double r = rootReciprocal(double(variance[c]) + eps), p = r * (w ? double(w[c]) : 1);
    if (db) db[c] = T(sum);
    if (dw) dw[c] = T(dot * r);
    return training ? Line{T(p), T(p * dot * r * r / count), T(p * sum / count)} : Line{T(p), T(0), T(0)};
  };
  const bool sums = training || dw || db;
  if (s.inner == 1)
    return channelBlocks<T>(s, 4, [&](int64_t c, int64_t width) {
      double sum[kChannels] = {}, dot[kChannels] = {};
      if (sums)
        for (int64_t n = 0; n < s.n; n++)
          for (int64_t j = 0; j < width; j++) {
            double g = double(dy[n * s.c + c + j]);
            sum[j] += g;
            dot[j] += g * double(x[n * s.c + c + j] - mean[c + j]);
          }
      T p[kChannels], q[kChannels], o[kChannels];
      for (int64_t j = 0; j < width; j++) {
        Line line = finish(c + j, sum[j], dot[j]);
        p[j] = line.p, q[j] = line.q, o[j] = line.o;
      }
      if (dx)
        for (int64_t n = 0; n < s.n; n++)
          for (int64_t j = 0; j < width; j++) {
            int64_t i = n * s.c + c + j;
            dx[i] = dy[i] * p[j] - (x[i] - mean[c + j]) * q[j] - o[j];
          }
    });
  parallel(s.c, grainOf(s.n * s.inner * 5 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t c = begin; c < end; c++) {
      const Vec<T> m = splat(mean[c]);
      PairSum<T> pair;
      if (sums)
        for (int64_t n = 0; n < s.n; n++) {
          const T *xp = x + (n * s.c + c) * s.inner, *gp = dy + (n * s.c + c) * s.inner;
          pair.plane(
              s.inner,
              [&](int64_t i, Vec<T>& a, Vec<T>& b) {
                Vec<T> g = load(gp + i);
                a += g;
                b = fma(g, load(xp + i) - m, b);
              },
              [&](int64_t i, int64_t rest, Vec<T>& a, Vec<T>& b) {
                Vec<T> g = loadPart(gp + i, rest);
                a += g;
                b = fma(g, lanesBelow<T>(rest) ? loadPart(xp + i, rest) - m : Vec<T>{}, b);
              });
        }
      pair.widen();
      Line line = finish(c, pair.wideA.total(), pair.wideB.total());
      if (!dx) continue;
      const Vec<T> p = splat(line.p), q = splat(-line.q), o = splat(line.o);
      for (int64_t n = 0; n < s.n; n++) {
        const T *xp = x + (n * s.c + c) * s.inner, *gp = dy + (n * s.c + c) * s.inner;
        T* dp = dx + (n * s.c + c) * s.inner;
        along<T>(
            s.inner, [&](int64_t i) { store(dp + i, fma(load(gp + i), p, fma(load(xp + i) - m, q, -o))); },
            [&](int64_t i, int64_t rest) {
              storePart(dp + i, fma(loadPart(gp + i, rest), p, fma(loadPart(xp + i, rest) - m, q, -o)), rest);
            });
      }
    }
  });
}
KERNEL(batchNormGrad)

// running = (1 - momentum) running + momentum statistic; the variance is made unbiased: count / (count - 1).
template <class T>
void batchNormUpdate(T* runningMean, T* runningVariance, const T* mean, const T* variance, double momentum,
                     int64_t count, int64_t c) {
  const double unbiased = count > 1 ? double(count) / (double(count) - 1) : 1;
  for (int64_t i = 0; i < c; i++) {
    runningMean[i] = T((1 - momentum) * double(runningMean[i]) + momentum * double(mean[i]));
    runningVariance[i] = T((1 - momentum) * double(runningVariance[i]) + momentum * unbiased * double(variance[i]));
  }
}
KERNEL(batchNormUpdate)

// Over the last `cols` elements: mean, then the variance about it, then y, while the row is in L1.
// mean, rstd: [rows], saved for the gradient; w, b: [cols] or absent
template <class T>
void layerNorm(T* y, T* mean, T* rstd, const T* x, const T* w, const T* b, double eps, int64_t rows, int64_t cols) {
  parallel(rows, grainOf(cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; row++) {
      const T* xr = x + row * cols;
      T* yr = y + row * cols;
      // About the first element, so that the sum of values far from 0 loses nothing.
      const Vec<T> first = splat(cols > 0 ? xr[0] : T(0));
      T m = first[0] + sumRow<T>(
                           cols, [&](Vec<T> a, int64_t i) { return a + (load(xr + i) - first); },
                           [&](Vec<T> a, int64_t i, int64_t rest) {
                             return a + (lanesBelow<T>(rest) ? loadPart(xr + i, rest) - first : Vec<T>{});
                           }) /
                           T(cols);
      Vec<T> shift = splat(m);
      T squares = sumRow<T>(
          cols,
          [&](Vec<T> a, int64_t i) {
            Vec<T> d = load(xr + i) - shift;
            return fma(d, d, a);
          },
          [&](Vec<T> a, int64_t i, int64_t rest) {
            Vec<T> d = lanesBelow<T>(rest) ? loadPart(xr + i, rest) - shift : Vec<T>{};
            return fma(d, d, a);
          });
      T r = T(rootReciprocal(double(squares) / double(cols) + eps));
      Vec<T> scale = splat(r);
      mean[row] = m;
      rstd[row] = r;
      auto finish = [=](Vec<T> v, Vec<T> wi, Vec<T> bi) { return fma((v - shift) * scale, wi, bi); };
      if (w && b)
        along<T>(
            cols, [&](int64_t i) { store(yr + i, finish(load(xr + i), load(w + i), load(b + i))); },
            [&](int64_t i, int64_t rest) {
              storePart(yr + i, finish(loadPart(xr + i, rest), loadPart(w + i, rest), loadPart(b + i, rest)), rest);
            });
      else
        for (int64_t i = 0; i < cols; i++) {
          T h = (xr[i] - m) * r;
          yr[i] = (w ? h * w[i] : h) + (b ? b[i] : T(0));
        }
    }
  });
}
KERNEL(layerNorm)

// With g = dy w, xh = (x - mean) rstd: dx = rstd (g - mean(g) - xh mean(g xh)), dw = sum dy xh, db = sum dy over rows.
// Rows go in chunks of kRowChunk; a chunk sums its dw and db in one line of `partial`, the lines are added in order.
template <class T>
void layerNormGrad(T* dx, T* dw, T* db, const T* dy, const T* x, const T* mean, const T* rstd, const T* w, int64_t rows,
                   int64_t cols) {
  constexpr int64_t kRowChunk = 64;
  const int64_t chunks = (rows + kRowChunk - 1) / kRowChunk;
  const bool sums = dw || db;
  Scratch<T> partial(sums ? chunks * 2 * cols : 1); // [chunks, 2, cols]
  parallel(chunks, grainOf(kRowChunk * cols * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk++) {
      T *pw = partial + chunk * 2 * cols, *pb = pw + cols;
      if (sums) memset(pw, 0, size_t(2 * cols) * sizeof(T));
      int64_t last = (chunk + 1) * kRowChunk < rows ? (chunk + 1) * kRowChunk : rows;
      for (int64_t row = chunk * kRowChunk; row < last; row++) {
        const T *xr = x + row * cols, *gr = dy + row * cols;
        const Vec<T> m = splat(mean[row]), r = splat(rstd[row]);
        Vec<T> sumG{}, dot{};
        auto gather = [&](Vec<T> g, Vec<T> xh, Vec<T> wi) {
          sumG = fma(g, wi, sumG);
          dot = fma(g * wi, xh, dot);
        };
        along<T>(
            cols,
            [&](int64_t i) {
              Vec<T> g = load(gr + i), xh = (load(xr + i) - m) * r;
              if (dx) gather(g, xh, w ? load(w + i) : splat(T(1)));
              if (!sums) return;
              store(pw + i, fma(g, xh, load(pw + i)));
              store(pb + i, g + load(pb + i));
            },
            [&](int64_t i, int64_t rest) {
              Vec<T> g = loadPart(gr + i, rest), xh = (loadPart(xr + i, rest) - m) * r;
              xh = lanesBelow<T>(rest) ? xh : Vec<T>{};
              if (dx) gather(g, xh, w ? loadPart(w + i, rest) : splat(T(1)));
              if (!sums) return;
              storePart(pw + i, fma(g, xh, loadPart(pw + i, rest)), rest);
              storePart(pb + i, g + loadPart(pb + i, rest), rest);
            });
        if (!dx) continue;
        T* dr = dx + row * cols;
        const Vec<T> c1 = splat(sumLanes<T>(sumG) / T(cols)), c2 = splat(sumLanes<T>(dot) / T(cols));
        auto slope = [&](Vec<T> g, Vec<T> v, Vec<T> wi) { return r * (g * wi - c1 - (v - m) * r * c2); };
        along<T>(
            cols, [&](int64_t i) { store(dr + i, slope(load(gr + i), load(xr + i), w ? load(w + i) : splat(T(1)))); },
            [&](int64_t i, int64_t rest) {
              storePart(dr + i,
                        slope(loadPart(gr + i, rest), loadPart(xr + i, rest), w ? loadPart(w + i, rest) : splat(T(1))),
                        rest);
            });
      }
    }
  });
  if (sums)
    parallel(cols, grainOf(chunks * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t j = begin; j < end; j++) {
        double sw = 0, sb = 0;
        for (int64_t chunk = 0; chunk < chunks; chunk++) {
          sw += double(partial[chunk * 2 * cols + j]);
          sb += double(partial[(chunk * 2 + 1) * cols + j]);
        }
        if (dw) dw[j] = T(sw);
        if (db) db[j] = T(sb);
      }
    });
}
KERNEL(layerNormGrad)

} // namespace napier::ISA
