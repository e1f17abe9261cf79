// Batch normalisation of x[n, c, inner] over n and inner (Ioffe & Szegedy 2015), and what stands behind it in a residual
// net in the same pass: y = relu(xh w + b + r). r and relu may each be absent.
//
// One thread takes a channel from the statistics to y, so that its n planes are read from memory once and from L2
// after. Planes lie c inner elements apart, and the hardware's prefetch ends with each: the next ones are asked for while
// one is walked. What is large is written past the caches.
//
// Sums: about the mean k of the channel's first plane, in one pass (with d = x - k, var = mean d^2 - (mean d)^2; that
// plane is 1/n of the data, so (mean d)^2 < n var and nothing cancels), kDepth additions in T, then in double.
#include "map.h"
#include "rows.h"
#include <utility>

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

// f<Flag>() for a flag that is known when the call runs: the loops have no branches.
template <class F> INLINE void withFlag(bool flag, const F& f) {
  if (flag) f(std::true_type{});
  else f(std::false_type{});
}

// Which plane is read some 4 KB after plane n of channel c: one of the same channel or, at its end, of the next one.
// Asked for where x comes from memory, planes are not shorter than what it costs to ask, and not so long (64 KB) that
// they would be gone again.
template <class T> struct Ahead {
  const ChannelSize& s;
  int64_t planes = 0;
  INLINE explicit Ahead(const ChannelSize& s) : s(s) {
    constexpr int64_t kB = 1024 / sizeof(T);
    if (s.n * s.c * s.inner >= streamBytes() / int64_t(sizeof(T)) && s.inner >= kB / 4 && s.inner <= 64 * kB)
      planes = (4 * kB - 1) / s.inner + 1;
  }
  INLINE operator bool() const { return planes > 0; }
  INLINE int64_t operator()(int64_t n, int64_t c) const {
    int64_t to = n + planes, channel = c;
    if (to >= s.n) to -= s.n, channel++;
    if (to >= s.n || channel >= s.c) to = n, channel = c;
    return (to * s.c + channel) * s.inner;
  }
};
// Asks for element i of each array, where Far.
template <class Far, class... P> INLINE void fetch(Far, int64_t i, const P*... arrays) {
  if constexpr (Far::value) (__builtin_prefetch(arrays + i, 0, 2), ...);
}

// Whether a result of planes is written past the caches.
template <class T> INLINE bool planesGoAround(const T* y, const ChannelSize& s) {
  return y && s.inner % width<T> == 0 && goesAround(y, s.n * s.c * s.inner);
}

INLINE double rootReciprocal(double v) { return 1 / __builtin_sqrt(v); }

template <class T, class Far>
INLINE Moments channelMoments(const T* x, const Ahead<T>& ahead, Far far, int64_t c) {
  const ChannelSize& s = ahead.s;
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
    const T *xp = x0 + n * step, *next = x + ahead(n, c);
    sums.plane(
        s.inner,
        [&](int64_t i, Vec<T>& a, Vec<T>& b) {
          fetch(far, i, next);
          Vec<T> d = load(xp + i) - shift;
          a += d;
          b = fma(d, d, b);
        },
        [&](int64_t i, int64_t rest, Vec<T>& a, Vec<T>& b) {
          fetch(far, i, next);
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

// What follows the normalisation of an element v: r is added, and what is below 0 becomes 0 (NaN passes).
template <bool Relu, class V> INLINE V rectified(V v) {
  if constexpr (Relu) return v < V{} ? V{} : v;
  else return v;
}
// The gradient of that, by its result: dy where it is above 0.
template <class V> INLINE V passed(V y, V dy) { return y <= V{} ? V{} : dy; }

// y = relu((x - mean) scale + b + r) over the channel's planes
template <class T, class Far>
INLINE void normaliseChannel(T* y, const T* x, const T* r, T mean, T scale, T b, bool relu, const Ahead<T>& ahead, Far far,
                             int64_t c) {
  const ChannelSize& s = ahead.s;
  const Vec<T> m = splat(mean), f = splat(scale), o = splat(b);
  const bool around = planesGoAround(y, s);
  withFlag(relu, [&](auto isRelu) {
    withFlag(r != nullptr, [&](auto isAdded) {
      constexpr bool kRelu = decltype(isRelu)::value, kAdded = decltype(isAdded)::value;
      for (int64_t n = 0; n < s.n; n++) {
        const int64_t at = (n * s.c + c) * s.inner, next = ahead(n, c);
        const T *xp = x + at, *rp = kAdded ? r + at : nullptr;
        T* yp = y + at;
        along<T>(
            s.inner,
            [&](int64_t i) {
              fetch(far, next + i, x);
              Vec<T> v = fma(load(xp + i) - m, f, o);
              if constexpr (kAdded) fetch(far, next + i, r), v += load(rp + i);
              put<T>(yp + i, rectified<kRelu>(v), around);
            },
            [&](int64_t i, int64_t rest) {
              fetch(far, next + i, x);
              Vec<T> v = fma(loadPart(xp + i, rest) - m, f, o);
              if constexpr (kAdded) fetch(far, next + i, r), v += loadPart(rp + i, rest);
              storePart(yp + i, rectified<kRelu>(v), rest);
            });
      }
    });
  });
  if (around) streamed();
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

// w / sqrt(variance + eps): the same bits wherever it is computed, so that the gradient finds the elements that relu cut.
template <class T> INLINE T scaleOf(T variance, const T* w, double eps, int64_t c) {
  return T(rootReciprocal(double(variance) + eps) * (w ? double(w[c]) : 1));
}
template <class T> INLINE T finished(T v, const T* r, int64_t i, int64_t relu) {
  if (r) v += r[i];
  return relu && v < 0 ? T(0) : v;
}

// mean, variance (biased): [c]; w, b: [c] or absent; r: as x, or absent
template <class T>
void batchNorm(T* y, T* mean, T* variance, const T* x, const T* r, const T* w, const T* b, double eps, int64_t relu,
               const ChannelSize& s) {
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
        scale[j] = scaleOf(variance[c + j], w, eps, c + j);
        offset[j] = b ? b[c + j] : T(0);
      }
      for (int64_t n = 0; n < s.n; n++)
        for (int64_t j = 0; j < count; j++) {
          const int64_t i = n * s.c + c + j;
          y[i] = finished((x[i] - m[j]) * scale[j] + offset[j], r, i, relu);
        }
    });
  if (s.n == 0 || s.inner == 0) {
    for (int64_t c = 0; c < s.c; c++) mean[c] = variance[c] = T(__builtin_nan(""));
    return;
  }
  const Ahead<T> ahead(s);
  withFlag(ahead, [&](auto far) {
    parallel(s.c, grainOf(s.n * s.inner * 3 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++) {
        Moments at = channelMoments(x, ahead, far, c);
        mean[c] = T(at.mean);
        variance[c] = T(at.variance);
        normaliseChannel(y, x, r, mean[c], scaleOf(variance[c], w, eps, c), b ? b[c] : T(0), relu != 0, ahead, far, c);
      }
    });
  });
}
KERNEL(batchNorm)

// The same with given statistics.
template <class T>
void batchNormInfer(T* y, const T* x, const T* r, const T* mean, const T* variance, const T* w, const T* b, double eps,
                    int64_t relu, const ChannelSize& s) {
  if (s.inner == 1)
    return channelBlocks<T>(s, 2, [&](int64_t c, int64_t count) {
      T scale[kChannels];
      for (int64_t j = 0; j < count; j++) scale[j] = scaleOf(variance[c + j], w, eps, c + j);
      for (int64_t n = 0; n < s.n; n++)
        for (int64_t j = 0; j < count; j++) {
          const int64_t i = n * s.c + c + j;
          y[i] = finished((x[i] - mean[c + j]) * scale[j] + (b ? b[c + j] : T(0)), r, i, relu);
        }
    });
  const Ahead<T> ahead(s);
  withFlag(ahead, [&](auto far) {
    parallel(s.c, grainOf(s.n * s.inner * 2 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++)
        normaliseChannel(y, x, r, mean[c], scaleOf(variance[c], w, eps, c), b ? b[c] : T(0), relu != 0, ahead, far, c);
    });
  });
}
KERNEL(batchNormInfer)

// With N = n inner, q = 1 / sqrt(variance + eps), xh = (x - mean) q, and g = dy where relu passed it (all of dy without):
//   dr = g, db = sum g, dw = sum g xh, dx = w q (g - db / N - xh dw / N); with given statistics dx = w q g.
// relu passed what is above 0 in y, or, where y is absent (nothing was added), in y computed again from x.
// Two passes over dy and x; dx, dr, dw, db may each be absent.
template <class T>
void batchNormGrad(T* dx, T* dr, T* dw, T* db, const T* dy, const T* x, const T* y, const T* mean, const T* variance,
                   const T* w, const T* b, double eps, int64_t training, int64_t relu, const ChannelSize& size) {
  const ChannelSize s = size.inner == 0 ? ChannelSize{0, size.c, 0} : size; // n may be anything where x is empty
  // dx = g p - (x - m) q - o
  struct Line {
    T p, q, o;
  };
  const double count = double(s.n) * double(s.inner);
  auto finish = [&](int64_t c, double sum, double dot) { // sum g, sum g (x - mean)
    double r = rootReciprocal(double(variance[c]) + eps), p = r * (w ? double(w[c]) : 1);
    if (db) db[c] = T(sum);
    if (dw) dw[c] = T(dot * r);
    return training ? Line{T(p), T(p * dot * r * r / count), T(p * sum / count)} : Line{T(p), T(0), T(0)};
  };
  const bool sums = training || dw || db || dr;
  if (s.inner == 1)
    return channelBlocks<T>(s, 4, [&](int64_t c, int64_t width) {
      T scale[kChannels];
      for (int64_t j = 0; j < width; j++) scale[j] = scaleOf(variance[c + j], w, eps, c + j);
      auto slope = [&](int64_t i, int64_t j) {
        if (!relu) return dy[i];
        return passed(y ? y[i] : (x[i] - mean[c + j]) * scale[j] + (b ? b[c + j] : T(0)), dy[i]);
      };
      double sum[kChannels] = {}, dot[kChannels] = {};
      if (sums)
        for (int64_t n = 0; n < s.n; n++)
          for (int64_t j = 0; j < width; j++) {
            const int64_t i = n * s.c + c + j;
            const T g = slope(i, j);
            if (dr) dr[i] = g;
            sum[j] += double(g);
            dot[j] += double(g) * double(x[i] - mean[c + j]);
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
            dx[i] = slope(i, j) * p[j] - (x[i] - mean[c + j]) * q[j] - o[j];
          }
    });
  const bool around = planesGoAround(dx, s), aroundR = planesGoAround(dr, s);
  const Ahead<T> ahead(s);
  // Of: how g comes from element i of a plane: 0 dy itself, 1 by y, 2 by y computed again.
  auto channels = [&](auto of, auto far) {
    constexpr int kOf = decltype(of)::value;
    parallel(s.c, grainOf(s.n * s.inner * 5 * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
      for (int64_t c = begin; c < end; c++) {
        const Vec<T> m = splat(mean[c]), scale = splat(scaleOf(variance[c], w, eps, c)), offset = splat(b ? b[c] : T(0));
        auto slope = [&](const auto& read, int64_t i) {
          Vec<T> g = read(dy + i);
          if constexpr (kOf == 1) g = passed(read(y + i), g);
          if constexpr (kOf == 2) g = passed(fma(read(x + i) - m, scale, offset), g);
          return g;
        };
        const auto whole = [](const T* p) { return load(p); };
        const auto fetchAll = [=](int64_t i) {
          fetch(far, i, x, dy);
          if constexpr (kOf == 1) fetch(far, i, y);
        };
        PairSum<T> pair;
        if (sums)
          for (int64_t n = 0; n < s.n; n++) {
            const int64_t at = (n * s.c + c) * s.inner, next = ahead(n, c);
            pair.plane(
                s.inner,
                [&](int64_t i, Vec<T>& a, Vec<T>& b) {
                  fetchAll(next + i);
                  Vec<T> g = slope(whole, at + i);
                  if (dr) put<T>(dr + at + i, g, aroundR);
                  a += g;
                  b = fma(g, load(x + at + i) - m, b);
                },
                [&](int64_t i, int64_t rest, Vec<T>& a, Vec<T>& b) {
                  const auto part = [=](const T* p) { return loadPart(p, rest); };
                  fetchAll(next + i);
                  Vec<T> g = slope(part, at + i);
                  if (dr) storePart(dr + at + i, g, rest);
                  a += g;
                  b = fma(g, lanesBelow<T>(rest) ? loadPart(x + at + i, rest) - m : Vec<T>{}, b);
                });
          }
        pair.widen();
        Line line = finish(c, pair.wideA.total(), pair.wideB.total());
        if (!dx) continue;
        const Vec<T> p = splat(line.p), q = splat(-line.q), o = splat(line.o);
        for (int64_t n = 0; n < s.n; n++) {
          const int64_t at = (n * s.c + c) * s.inner, next = ahead(n, c);
          along<T>(
              s.inner,
              [&](int64_t i) {
                fetchAll(next + i);
                put<T>(dx + at + i, fma(slope(whole, at + i), p, fma(load(x + at + i) - m, q, -o)), around);
              },
              [&](int64_t i, int64_t rest) {
                fetchAll(next + i);
                const auto part = [=](const T* p) { return loadPart(p, rest); };
                storePart(dx + at + i, fma(slope(part, at + i), p, fma(part(x + at + i) - m, q, -o)), rest);
              });
        }
      }
      if (around || aroundR) streamed();
    });
  };
  withFlag(ahead, [&](auto far) {
    if (!relu) channels(std::integral_constant<int, 0>{}, far);
    else if (y) channels(std::integral_constant<int, 1>{}, far);
    else channels(std::integral_constant<int, 2>{}, far);
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

} // namespace napier::ISA
