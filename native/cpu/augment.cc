// Augmentation of batches x[n, c, h, w]. What happens to a picture depends on (seed, epoch, its number in the data set)
// alone, never on the batch it came in: its random words are Block(seed, epoch, samples[i]). Bandwidth-bound.
#include "simd.h"
#include "../random.h"

namespace napier::ISA {

// y[n, c, p, q] is cut out of x with `pad` zeros around it, at a place drawn for each picture.
template <class T> void randomCrop(T* y, const T* x, Indices samples, int64_t seed, int64_t epoch, const CropSize& s) {
  const int64_t roomH = s.h + 2 * s.pad - s.p, roomW = s.w + 2 * s.pad - s.q;
  parallel(s.n, grainOf(s.c * (s.h * s.w + s.p * s.q) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      Block random(seed, epoch, samples[i]);
      const int64_t top = int64_t(uint64_t(random.word[0]) * uint64_t(roomH + 1) >> 32) - s.pad;
      const int64_t left = int64_t(uint64_t(random.word[1]) * uint64_t(roomW + 1) >> 32) - s.pad;
      // Columns [from, to) of y lie on the picture.
      const int64_t from = left < 0 ? (-left < s.q ? -left : s.q) : 0;
      const int64_t over = s.w - left < s.q ? s.w - left : s.q, to = over > from ? over : from;
      for (int64_t row = 0; row < s.c * s.p; row++) {
        T* yr = y + (i * s.c * s.p + row) * s.q;
        const int64_t h = top + row % s.p;
        if (h < 0 || h >= s.h) {
          memset(yr, 0, size_t(s.q) * sizeof(T));
          continue;
        }
        const T* xr = x + ((i * s.c + row / s.p) * s.h + h) * s.w;
        memset(yr, 0, size_t(from) * sizeof(T));
        if (to > from) memcpy(yr + from, xr + left + from, size_t(to - from) * sizeof(T));
        memset(yr + to, 0, size_t(s.q - to) * sizeof(T));
      }
    }
  });
}
KERNEL(randomCrop)

// Mirrors x[n, rows, w, inner] along w with probability p: a picture left to right, or upside down as [n, c, h, w].
template <class T>
void randomFlip(T* y, const T* x, Indices samples, double p, int64_t seed, int64_t epoch, int64_t n, int64_t rows,
                int64_t w, int64_t inner) {
  const int64_t picture = rows * w * inner;
  if (picture == 0) return;
  const uint64_t wins = chance(p);
  parallel(n, grainOf(2 * picture * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; i++) {
      const T* xi = x + i * picture;
      T* yi = y + i * picture;
      if (Block(seed, epoch, samples[i]).word[2] >= wins) {
        memcpy(yi, xi, size_t(picture) * sizeof(T));
        continue;
      }
      for (int64_t row = 0; row < rows; row++)
        for (int64_t j = 0; j < w; j++) {
          const T* from = xi + (row * w + w - 1 - j) * inner;
          T* to = yi + (row * w + j) * inner;
          if (inner == 1) *to = *from;
          else memcpy(to, from, size_t(inner) * sizeof(T));
        }
    }
  });
}
KERNEL(randomFlip)

// y = (x / 255 - mean) / std by channel, x of bytes
template <class T> void normalise(T* y, View x, const T* mean, const T* std, const ChannelSize& s) {
  const uint8_t* bytes = static_cast<const uint8_t*>(x.data);
  parallel(s.n * s.c, grainOf(s.inner * int64_t(1 + sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; plane++) {
      const T m = mean[plane % s.c], d = std[plane % s.c];
      const uint8_t* xp = bytes + plane * s.inner;
      T* yp = y + plane * s.inner;
      for (int64_t i = 0; i < s.inner; i++) yp[i] = (T(xp[i]) / T(255) - m) / d;
    }
  });
}
KERNEL(normalise)

} // namespace napier::ISA
