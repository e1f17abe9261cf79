// Random draws: element i depends on (seed, draw, i) alone, the same bits on every instruction set (../random.h).
// Philox makes four elements in 10 rounds of two multiplications; float draws run at about 1 ns an element or better.
#include "random.h"

namespace napier::ISA {

using U32 = Vec<uint32_t>;
using U64 = Vec<uint64_t>;
using I32 = Vec<int32_t>;
using F32 = Vec<float>;
using F64 = Vec<double>;

// A float for each word: its upper 24 bits as a fraction in [0, 1).
INLINE F32 unitFloat(U32 w) { return __builtin_convertvector(I32(w >> 8), F32) * 0x1p-24f; }
// A double for each pair of words: 52 bits set into 1.0 ... 2.0, less one.
INLINE F64 unitDouble(U64 w) { return F64((w >> 12) | 0x3FF0000000000000u) - 1.0; }

// y = low + (high - low) u with u in [0, 1); never high itself, even where the sum rounds up to it.
template <class F, class T> INLINE F stretch(F u, T low, T high) {
  F v = low + u * (high - low);
  return v < high ? v : F{} + low;
}

INLINE void pairs64(U64 (&p)[4], int64_t seed, int64_t draw, int64_t begin) {
  U32 w[4];
  blocksAt(w, seed, draw, begin / 2);
  // Pair 0 of the blocks in the lower and upper half of the lanes, then pair 1.
  p[0] = U64(zip<uint32_t, 0>(w[0], w[1]));
  p[1] = U64(zip<uint32_t, 1>(w[0], w[1]));
  p[2] = U64(zip<uint32_t, 0>(w[2], w[3]));
  p[3] = U64(zip<uint32_t, 1>(w[2], w[3]));
}
// f(first, second) turns pairs 0 and 1 of some blocks into elements 2 b and 2 b + 1 of each.
template <class F> INLINE void drawPairs(double* y, int64_t seed, int64_t draw, int64_t n, const F& f) {
  constexpr int run = 2 * kBlocks, w = width<double>;
  parallel(n, kDrawGrain, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += run) {
      U64 p[4];
      double made[run];
      pairs64(p, seed, draw, i);
      for (int half = 0; half < 2; half++) {
        F64 first, second;
        f(p[half], p[half + 2], first, second);
        store<double>(made + half * 2 * w, zip<double, 0>(first, second));
        store<double>(made + half * 2 * w + w, zip<double, 1>(first, second));
      }
      memcpy(y + i, made, size_t(end - i < run ? end - i : run) * sizeof(double));
    }
  });
}

template <class T> void uniform(T* y, double low, double high, int64_t seed, int64_t draw, int64_t n) {
  if constexpr (sizeof(T) == 4)
    drawEach(y, seed, draw, n,
             [=](float* to, U32 w) { store<float>(to, stretch(unitFloat(w), float(low), float(high))); });
  else
    drawPairs(y, seed, draw, n, [=](U64 a, U64 b, F64& first, F64& second) {
      first = stretch(unitDouble(a), low, high);
      second = stretch(unitDouble(b), low, high);
    });
}
KERNEL(uniform)

// Natural logarithm of u in (0, 1], Cephes logf: u = m 2^e with m in [sqrt 1/2, sqrt 2), a polynomial of degree 8 in m
// - 1.
INLINE F32 logUnit(F32 u) {
  I32 bits = I32(u), e = (bits - 0x3F3504F3) >> 23;
  F32 k = __builtin_convertvector(e, F32), f = F32(bits - (e << 23)) - 1.0f, z = f * f;
  F32 p = 7.0376836292e-2f * f - 1.1514610310e-1f;
  p = p * f + 1.1676998740e-1f;
  p = p * f - 1.2420140846e-1f;
  p = p * f + 1.4249322787e-1f;
  p = p * f - 1.6668057665e-1f;
  p = p * f + 2.0000714765e-1f;
  p = p * f - 2.4999993993e-1f;
  p = p * f + 3.3333331174e-1f;
  return f + (p * f * z - 2.12194440e-4f * k - 0.5f * z) + 0.693359375f * k; // ln 2 in two parts
}
// fdlibm's log: with s = f / (2 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + R(s^2)).
INLINE F64 logUnit(F64 u) {
  Vec<int64_t> bits = Vec<int64_t>(u), e = (bits - 0x3FE6A09E667F3BCD) >> 52;
  F64 k = F64(e + 0x4338000000000000) - 0x1.8p52; // an integer in the low bits of 1.5 2^52
  F64 f = F64(bits - (e << 52)) - 1.0, s = f / (2.0 + f), z = s * s, w = z * z, half = 0.5 * f * f;
  F64 odd = z * (6.666666666666735130e-01 +
                 w * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01)));
  F64 even = w * (3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01));
  return k * 6.93147180369123816490e-01 - ((half - (s * (half + odd + even) + k * 1.90821492927058770002e-10)) - f);
}

// sine and cosine of a (2 pi / 2^32): the nearest quarter turn by integers, Cephes polynomials on [-pi/4, pi/4].
INLINE void turn(U32 a, F32& sine, F32& cosine) {
  U32 quarter = (a + 0x20000000u) >> 30;
  F32 x = __builtin_convertvector(I32(a - (quarter << 30)), F32) * 1.4629180792671596e-9f, z = x * x; // pi/2 2^-30
  F32 s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
  F32 c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z - 0.5f * z + 1.0f;
  I32 swap = I32(quarter << 31) < 0;
  sine = F32(U32(swap ? c : s) ^ ((quarter & 2u) << 30));
  cosine = F32(U32(swap ? s : c) ^ (((quarter + 1u) & 2u) << 30));
}
// The same with 52 bits of a, fdlibm's polynomials.
INLINE void turn(U64 a, F64& sine, F64& cosine) {
  F64 t = F64((a >> 12) | 0x3FF0000000000000u) - 1.5; // turns
  F64 shifted = 4.0 * t + 0x1.8p52;
  U64 quarter = U64(shifted);
  F64 x = (t - 0.25 * (shifted - 0x1.8p52)) * 6.283185307179586, z = x * x;
  F64 s = x + z * x *
                  (-1.66666666666666324348e-01 +
                   z * (8.33333333332248946124e-03 +
                        z * (-1.98412698298579493134e-04 +
                             z * (2.75573137070700676789e-06 +
                                  z * (-2.50507602534068634195e-08 + z * 1.58969099521155010221e-10)))));
  F64 c = 1.0 - (0.5 * z - z * z *
                               (4.16666666666666019037e-02 +
                                z * (-1.38888888888741095749e-03 +
                                     z * (2.48015872894767294178e-05 +
                                          z * (-2.75573143513906633035e-07 +
                                               z * (2.08757232129817482790e-09 + z * -1.13596475577881948265e-11))))));
  Vec<int64_t> swap = Vec<int64_t>(quarter << 63) < 0;
  sine = F64(U64(swap ? c : s) ^ ((quarter & 2u) << 62));
  cosine = F64(U64(swap ? s : c) ^ (((quarter + 1u) & 2u) << 62));
}

// Box & Muller 1958: with u in (0, 1] and an angle t, sqrt(-2 log u) (cos t, sin t) are two independent normals.
// Elements 2 j and 2 j + 1 share one such pair: words 2 j and 2 j + 1 for floats, the words of block j for doubles.
template <class T> void normal(T* y, double mean, double std, int64_t seed, int64_t draw, int64_t n) {
  if constexpr (sizeof(T) == 4) {
    auto pair = [=](U32 radius, U32 angle, F32& first, F32& second) {
      // 31 bits as odd multiples of 2^-32: the tail reaches sqrt(64 log 2) = 6.66
      F32 u = (__builtin_convertvector(I32(radius >> 1), F32) + 0.5f) * 0x1p-31f, r = vsqrt(-2.0f * logUnit(u)), s, c;
      turn(angle, s, c);
      first = float(mean) + float(std) * (r * c);
      second = float(mean) + float(std) * (r * s);
    };
    // Words 0 and 1 of a block give its elements 0 and 1, words 2 and 3 the others.
    auto make = [=](float* to, int64_t begin) {
      U32 w[4];
      F32 z[4];
      blocksAt(w, seed, draw, begin / 4);
      pair(w[0], w[1], z[0], z[1]);
      pair(w[2], w[3], z[2], z[3]);
      F32 even0 = zip<float, 0>(z[0], z[2]), even1 = zip<float, 1>(z[0], z[2]);
      F32 odd0 = zip<float, 0>(z[1], z[3]), odd1 = zip<float, 1>(z[1], z[3]);
      store<float>(to, zip<float, 0>(even0, odd0));
      store<float>(to + kBlocks, zip<float, 1>(even0, odd0));
      store<float>(to + 2 * kBlocks, zip<float, 0>(even1, odd1));
      store<float>(to + 3 * kBlocks, zip<float, 1>(even1, odd1));
    };
    parallel(n, kDrawGrain, [&](int64_t begin, int64_t end) {
      int64_t i = begin;
      for (; i + kRun <= end; i += kRun) make(y + i, i);
      if (i < end) {
        float last[kRun];
        make(last, i);
        memcpy(y + i, last, size_t(end - i) * sizeof(float));
      }
    });
  } else
    drawPairs(y, seed, draw, n, [=](U64 radius, U64 angle, F64& first, F64& second) {
      F64 r = vsqrt(-2.0 * logUnit(unitDouble(radius) + 0x1p-53)), s, c;
      turn(angle, s, c);
      first = mean + std * (r * c);
      second = mean + std * (r * s);
    });
}
KERNEL(normal)

// y = x[n, c, h, w], in box[i] (top, left, height, width, cut at the borders) of picture i standard normals of float
// precision: those of element e of picture `samples[i]` come from words 0 and 1 of the block at (sample, e, epoch, "nois").
template <class T>
void eraseNoise(T* y, const T* x, Indices samples, Indices box, int64_t seed, int64_t epoch, const PictureSize& s) {
  const int64_t picture = s.c * s.h * s.w;
  parallel(s.n, grainOf(3 * picture * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    U32 lane, w[4];
    for (int i = 0; i < kBlocks; i++) lane[i] = uint32_t(i);
    for (int64_t i = begin; i < end; i++) {
      T* yi = y + i * picture;
      memcpy(yi, x + i * picture, size_t(picture) * sizeof(T));
      // An end beyond any picture: sums of two cannot overflow.
      const auto near = [&](int64_t j) {
        constexpr int64_t far = int64_t(1) << 30;
        const int64_t v = box[4 * i + j];
        return v < -far ? -far : v > far ? far : v;
      };
      const auto cut = [](int64_t at, int64_t most) { return at < 0 ? 0 : at > most ? most : at; };
      const int64_t top = cut(near(0), s.h), bottom = cut(near(0) + near(2), s.h);
      const int64_t left = cut(near(1), s.w), right = cut(near(1) + near(3), s.w);
      for (int64_t c = 0; c < s.c; c++)
        for (int64_t row = top; row < bottom; row++)
          for (int64_t column = left; column < right; column += kBlocks) {
            const int64_t e = (c * s.h + row) * s.w + column;
            w[0] = U32{} + uint32_t(samples[i]);
            w[1] = lane + uint32_t(e);
            w[2] = U32{} + uint32_t(epoch);
            w[3] = U32{} + 0x6E6F6973u;
            philox(w, uint64_t(seed), [](U32 a, U32 b) { return mulHigh(a, b); });
            F32 sine, cosine;
            turn(w[1], sine, cosine);
            const F32 u = (__builtin_convertvector(I32(w[0] >> 1), F32) + 0.5f) * 0x1p-31f;
            const F32 z = vsqrt(-2.0f * logUnit(u)) * cosine;
            for (int64_t j = 0; j < kBlocks && column + j < right; j++) yi[e + j] = T(z[j]);
          }
    }
  });
}
KERNEL(eraseNoise)

// True where the element's word is below p 2^32.
void bernoulli(uint8_t* y, double p, int64_t seed, int64_t draw, int64_t n) {
  uint64_t wins = chance(p);
  if (wins == 0) return void(memset(y, 0, size_t(n)));
  uint32_t last = uint32_t(wins - 1);
  using Bytes [[gnu::vector_size(kBlocks)]] = uint8_t;
  drawEach(y, seed, draw, n, [=](uint8_t* to, U32 w) {
    Bytes yes = __builtin_convertvector(U32(w <= last) & 1u, Bytes);
    memcpy(to, &yes, sizeof yes);
  });
}
KERNEL_ANY(bernoulli)

// low ... high - 1, each as likely: the upper half of (64 random bits) x (high - low).
template <class T> void randint(T* y, int64_t low, int64_t high, int64_t seed, int64_t draw, int64_t n) {
  uint64_t range = uint64_t(high) - uint64_t(low);
  parallel(n, kDrawGrain, [=](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i += 2) {
      Block b(seed, draw, i / 2);
      y[i] = T(uint64_t(low) + below(b.pair(0), range));
      if (i + 1 < end) y[i + 1] = T(uint64_t(low) + below(b.pair(1), range));
    }
  });
}
KERNEL(randint)

// A permutation of 0 ... n - 1 (Fisher & Yates, from the end), element i swapped with one of 0 ... i. One thread.
void randperm(int32_t* y, int64_t seed, int64_t draw, int64_t n) {
  for (int64_t i = 0; i < n; i++) y[i] = int32_t(i);
  for (int64_t i = n - 1; i > 0;) {
    Block b(seed, draw, i / 2);
    for (int half = int(i % 2); half >= 0 && i > 0; half--, i--) {
      int64_t j = int64_t(below(b.pair(half), uint64_t(i) + 1));
      int32_t t = y[i];
      y[i] = y[j];
      y[j] = t;
    }
  }
}
KERNEL_ANY(randperm)

// ---- multinomial

// Element i's number in [0, 1), of 52 bits as unitDouble's.
INLINE double unitOf(int64_t seed, int64_t draw, int64_t i) {
  return double(Block(seed, draw, i / 2).pair(int(i % 2)) >> 12) * 0x1p-52;
}
// One number of a race, and whose it is; the earlier column where two are equal.
struct Racer {
  double time;
  int32_t column;
  INLINE bool behind(const Racer& other) const {
    return time > other.time || (time == other.time && column > other.column);
  }
};
// Restores the heap whose greatest stands at 0, after heap[at] became smaller.
INLINE void siftDown(Racer* heap, int64_t n, int64_t at) {
  const Racer moving = heap[at];
  for (int64_t child; (child = 2 * at + 1) < n; at = child) {
    if (child + 1 < n && heap[child + 1].behind(heap[child])) child++;
    if (!heap[child].behind(moving)) break;
    heap[at] = heap[child];
  }
  heap[at] = moving;
}

// Row by row, n columns drawn by their weights p. With replacement: where u times the sum falls among the running sums
// (bisection; element = place in y). Without: every column runs an exponential race of rate p, -log(u) / p, and the n
// first arrive in the order in which they would be drawn one by one (element = place in p): a heap of the n best.
// A row that cannot be drawn from is reported by the number of its weights above 0, of which it needs n (1 with
// replacement); 0 where a weight is negative or not finite.
template <class T>
void multinomial(int32_t* y, const T* p, int64_t replacement, int64_t seed, int64_t draw, int64_t rows, int64_t cols,
                 int64_t n, Fault& fault) {
  if (n == 0) return;
  const int64_t needs = replacement ? 1 : n;
  parallel(rows, grainOf((cols + n) * 64), [&](int64_t begin, int64_t end) {
    Scratch<double> sums(replacement ? cols : 0);
    Scratch<Racer> heap(replacement ? 0 : n);
    for (int64_t row = begin; row < end; row++) {
      const T* pr = p + row * cols;
      int32_t* yr = y + row * n;
      int64_t positive = 0;
      bool valid = true;
      for (int64_t j = 0; j < cols; j++) {
        positive += pr[j] > 0;
        valid &= pr[j] >= 0 && pr[j] < T(__builtin_inf());
      }
      if (!valid || positive < needs) {
        fault.report(row, valid ? positive : 0, needs, cols);
        memset(yr, 0, size_t(n) * sizeof(int32_t));
        continue;
      }
      if (replacement) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++) sums[j] = sum += double(pr[j]);
        for (int64_t i = 0; i < n; i++) {
          const double at = unitOf(seed, draw, row * n + i) * sum;
          int64_t low = 0, high = cols - 1; // the first column whose running sum is above `at`
          while (low < high) {
            const int64_t middle = (low + high) / 2;
            if (sums[middle] > at) high = middle;
            else low = middle + 1;
          }
          while (pr[low] == 0) low--; // u times the sum was rounded up to the sum
          yr[i] = int32_t(low);
        }
        continue;
      }
      int64_t running = 0;
      for (int64_t j = 0; j < cols; j++) {
        if (pr[j] == 0) continue;
        const double u = unitOf(seed, draw, row * cols + j) + 0x1p-53; // in (0, 1]
        const Racer racer{-logUnit(splat(u))[0] / double(pr[j]), int32_t(j)};
        if (running < n) {
          heap[running++] = racer;
          if (running == n)
            for (int64_t k = n / 2 - 1; k >= 0; k--) siftDown(heap, n, k);
        } else if (heap[0].behind(racer)) {
          heap[0] = racer;
          siftDown(heap, n, 0);
        }
      }
      for (int64_t last = n - 1; last >= 0; last--) { // the heap sorts itself: its greatest is the last to arrive
        yr[last] = heap[0].column;
        heap[0] = heap[last];
        siftDown(heap, last, 0);
      }
    }
  });
}
KERNEL(multinomial)

} // namespace napier::ISA
