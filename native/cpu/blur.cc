// Gaussian blur, and boxes cut out of or pasted into pictures x[n, c, h, w].
#include "pixel.h"

namespace napier::ISA {

// y = x convolved with weights[i] along rows and along columns, mirrored at the borders without repeating the edge
// pixel. Sums are float64 from first tap to last; bytes round once, at the end. 4k operations a pixel.
template <class T> void blur(T* y, const T* x, View weights, const PictureSize& s) {
  const int64_t half = s.k / 2;
  const auto mirrored = [](int64_t at, int64_t length) {
    return at < 0 ? -at : at >= length ? 2 * length - 2 - at : at;
  };
  parallel(s.n * s.c, grainOf(s.h * s.w * s.k * 4), [&](int64_t begin, int64_t end) {
    Scratch<double> across(s.h * s.w), taps(s.k), line(s.w + 2 * half);
    for (int64_t plane = begin; plane < end; plane++) {
      const T* xp = x + plane * s.h * s.w;
      T* yp = y + plane * s.h * s.w;
      memcpy(taps, static_cast<const double*>(weights.data) + plane / s.c * s.k, size_t(s.k) * sizeof(double));
      for (int64_t row = 0; row < s.h; row++) {
        for (int64_t at = -half; at < s.w + half; at++) line[at + half] = double(xp[row * s.w + mirrored(at, s.w)]);
        for (int64_t column = 0; column < s.w; column++) {
          double sum = 0;
          for (int64_t t = 0; t < s.k; t++) sum += taps[t] * line[column + t];
          across[row * s.w + column] = sum;
        }
      }
      for (int64_t row = 0; row < s.h; row++) {
        for (int64_t column = 0; column < s.w; column++) line[column] = 0;
        for (int64_t t = 0; t < s.k; t++) {
          const double* from = across + mirrored(row + t - half, s.h) * s.w;
          for (int64_t column = 0; column < s.w; column++) line[column] += taps[t] * from[column];
        }
        for (int64_t column = 0; column < s.w; column++) yp[row * s.w + column] = toPixel<T>(line[column]);
      }
    }
  });
}
KERNEL(blur)

// y = x; box[i] (top, left, height, width, cut at the borders) of it is that of picture partner[i], or `fill` for -1.
template <class T>
void patch(T* y, const T* x, Indices partner, Indices box, View fill, const PictureSize& s, Fault& fault) {
  const double* colour = static_cast<const double*>(fill.data);
  const int64_t hw = s.h * s.w;
  const auto cut = [](int64_t at, int64_t most) { return at < 0 ? 0 : at > most ? most : at; };
  parallel(s.n, grainOf(2 * s.c * hw * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const int64_t other = partner[i];
      if (other < -1 || other >= s.n) {
        fault.report(i, other, -1, s.n - 1);
        continue;
      }
      // Far enough beyond any picture, and sums cannot overflow.
      constexpr int64_t far = int64_t(1) << 30;
      int64_t b[4];
      for (int j = 0; j < 4; j++) {
        const int64_t v = box[4 * i + j];
        b[j] = v < -far ? -far : v > far ? far : v;
      }
      const int64_t top = cut(b[0], s.h), bottom = cut(b[0] + b[2], s.h);
      const int64_t left = cut(b[1], s.w), right = cut(b[1] + b[3], s.w);
      for (int64_t ch = 0; ch < s.c; ch++) {
        T* yp = y + (i * s.c + ch) * hw;
        memmove(yp, x + (i * s.c + ch) * hw, size_t(hw) * sizeof(T));
        const T* from = x + ((other < 0 ? i : other) * s.c + ch) * hw;
        const T flat = toPixel<T>(colour[ch]);
        for (int64_t row = top; row < bottom; row++)
          for (int64_t column = left; column < right; column++)
            yp[row * s.w + column] = other < 0 ? flat : from[row * s.w + column];
      }
    }
  });
}
KERNEL(patch)

} // namespace napier::ISA
