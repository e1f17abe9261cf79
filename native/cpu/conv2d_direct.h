// Convolution by its definition, a row at a time: for windows so wide, mostly holes, that they would not fit the stages
// of im2col.h and conv2d_depthwise.h.
#pragma once
#include "gemm_kernel.h"

namespace napier::ISA {

// For one tap: which q in [from, until) have their column q stride + offset inside [0, w).
struct TapColumns {
  int64_t offset, from, until;
  INLINE TapColumns(const Conv2dSize& d, int64_t s) : offset(s * d.dilationW - d.padW) {
    int64_t last = d.w - 1 - offset;
    from = offset >= 0 ? 0 : (-offset + d.strideW - 1) / d.strideW;
    until = last < 0 ? 0 : last / d.strideW + 1;
    if (until > d.q()) until = d.q();
  }
};
INLINE int64_t tapRow(const Conv2dSize& d, int64_t p, int64_t r) { return p * d.strideH + r * d.dilationH - d.padH; }

// y[i] += a x[i step]
template <class T> INLINE void addScaled(T* y, T a, const T* x, int64_t step, int64_t n) {
  int64_t i = 0;
  if (step == 1)
    for (; i + width<T> <= n; i += width<T>) store(y + i, fma(splat(a), load(x + i), load(y + i)));
  for (; i < n; i++) y[i] += a * x[i * step];
}
// y[i step] += a x[i]
template <class T> INLINE void scatterScaled(T* y, T a, const T* x, int64_t step, int64_t n) {
  if (step == 1) addScaled(y, a, x, 1, n);
  else
    for (int64_t i = 0; i < n; i++) y[i * step] += a * x[i];
}

template <class T> static void conv2dDirect(T* y, const T* x, const T* w, const T* b, T least, const Conv2dSize& d) {
  int64_t cg = d.c / d.groups, og = d.o / d.groups, p = d.p(), q = d.q();
  parallel(d.n * d.o, grainOf(2 * p * q * cg * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t o = e % d.o;
      const T* planes = x + (e / d.o * d.c + o / og * cg) * d.h * d.w;
      for (int64_t i = 0; i < p; i++) {
        T* row = y + (e * p + i) * q;
        for (int64_t j = 0; j < q; j++) row[j] = b ? b[o] : T(0);
        for (int64_t c = 0; c < cg; c++)
          for (int64_t r = 0; r < d.r; r++) {
            int64_t line = tapRow(d, i, r);
            if (line < 0 || line >= d.h) continue;
            for (int64_t s = 0; s < d.s; s++) {
              TapColumns t(d, s);
              addScaled(row + t.from, w[((o * cg + c) * d.r + r) * d.s + s],
                        planes + (c * d.h + line) * d.w + t.from * d.strideW + t.offset, d.strideW, t.until - t.from);
            }
          }
        for (int64_t j = 0; j < q; j++) row[j] = atLeast(least, row[j]);
      }
    }
  });
}

template <class T> static void conv2dGradXDirect(T* dx, const T* dy, const T* w, const Conv2dSize& d) {
  int64_t cg = d.c / d.groups, og = d.o / d.groups, p = d.p(), q = d.q();
  parallel(d.n * d.c, grainOf(2 * p * q * og * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t c = e % d.c, group = c / cg;
      T* plane = dx + e * d.h * d.w;
      memset(plane, 0, size_t(d.h * d.w) * sizeof(T));
      for (int64_t o = group * og; o < (group + 1) * og; o++)
        for (int64_t i = 0; i < p; i++)
          for (int64_t r = 0; r < d.r; r++) {
            int64_t line = tapRow(d, i, r);
            if (line < 0 || line >= d.h) continue;
            for (int64_t s = 0; s < d.s; s++) {
              TapColumns t(d, s);
              scatterScaled(plane + line * d.w + t.from * d.strideW + t.offset,
                            w[((o * cg + c % cg) * d.r + r) * d.s + s], dy + ((e / d.c * d.o + o) * p + i) * q + t.from,
                            d.strideW, t.until - t.from);
            }
          }
    }
  });
}

// A sum for each weight: over rows in a vector, over pictures in order.
template <class T> static void conv2dGradWDirect(T* dw, const T* dy, const T* x, const Conv2dSize& d) {
  int64_t cg = d.c / d.groups, og = d.o / d.groups, p = d.p(), q = d.q();
  parallel(d.o * cg, grainOf(mul(d.n * p * q, int64_t(sizeof(T)))), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) {
      int64_t o = e / cg, c = o / og * cg + e % cg;
      for (int64_t r = 0; r < d.r; r++)
        for (int64_t s = 0; s < d.s; s++) {
          TapColumns t(d, s);
          T total = 0;
          for (int64_t n = 0; n < d.n; n++) {
            Vec<T> sum{};
            T rest = 0;
            for (int64_t i = 0; i < p; i++) {
              int64_t line = tapRow(d, i, r), j = t.from;
              if (line < 0 || line >= d.h) continue;
              const T* a = dy + ((n * d.o + o) * p + i) * q;
              const T* b = x + ((n * d.c + c) * d.h + line) * d.w + t.offset;
              if (d.strideW == 1)
                for (; j + width<T> <= t.until; j += width<T>) sum = fma(load(a + j), load(b + j), sum);
              for (; j < t.until; j++) rest += a[j] * b[j * d.strideW];
            }
            total += sumLanes<T>(sum) + rest;
          }
          dw[(e * d.r + r) * d.s + s] = total;
        }
    }
  });
}

} // namespace napier::ISA
