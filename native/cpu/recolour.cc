// What changes the colours of pictures x[n, c, h, w]: for each a program of k steps (code, strength), done in place on
// y one after the other while the picture is in the cache. Bytes give PIL's results bit for bit (ImageEnhance,
// ImageOps), but hue, which is computed in float64 without PIL's rounding of HSV to bytes; floats use the same formulas
// on 0-1.
#include "pixel.h"

namespace napier::ISA {

// lib/data/recolour.ts has the same list.
enum Code {
  kNothing,
  kBrightness,
  kContrast,
  kSaturation,
  kSharpness,
  kHue,
  kInvert,
  kSolarize,
  kAutocontrast,
  kPosterize,
  kEqualize
};

// flat + f (x - flat), cut to black and white; bytes in float32 and rounded down, as PIL's Image.blend.
template <class T> INLINE T blend(T flat, T x, double f) {
  if constexpr (sizeof(T) == 1) {
    const float v = float(int(flat)) + float(f) * float(int(x) - int(flat));
    return v >= 255 ? T(255) : v > 0 ? T(int(v)) : T(0);
  } else {
    const double v = double(flat) + f * (double(x) - double(flat));
    return T(v > 1 ? 1 : v > 0 ? v : 0);
  }
}

// Luma of ITU-R 601, in PIL's 16-bit fixed point for bytes.
template <class T> INLINE T grey(T r, T g, T b) {
  if constexpr (sizeof(T) == 1)
    return T((uint32_t(r) * 19595 + uint32_t(g) * 38470 + uint32_t(b) * 7471 + 0x8000) >> 16);
  else return T(0.299 * double(r) + 0.587 * double(g) + 0.114 * double(b));
}

template <class T> INLINE void contrast(T* y, int64_t c, int64_t hw, double f) {
  double sum = 0;
  for (int64_t j = 0; j < hw; j++) sum += double(c == 3 ? grey(y[j], y[hw + j], y[2 * hw + j]) : y[j]);
  const double mean = sum / double(hw);
  const T flat = sizeof(T) == 1 ? T(int64_t(mean + 0.5)) : T(mean);
  for (int64_t j = 0; j < c * hw; j++) y[j] = blend(flat, y[j], f);
}

template <class T> INLINE void saturation(T* y, int64_t c, int64_t hw, double f) {
  if (c != 3) return; // grey pictures have none
  for (int64_t j = 0; j < hw; j++) {
    const T flat = grey(y[j], y[hw + j], y[2 * hw + j]);
    for (int64_t ch = 0; ch < 3; ch++) y[ch * hw + j] = blend(flat, y[ch * hw + j], f);
  }
}

// Blends with the picture smoothed by [1 1 1; 1 5 1; 1 1 1] / 13; the border stays.
template <class T> INLINE void sharpness(T* y, T* copy, int64_t c, int64_t h, int64_t w, double f) {
  for (int64_t ch = 0; ch < c; ch++) {
    T* plane = y + ch * h * w;
    memcpy(copy, plane, size_t(h * w) * sizeof(T));
    for (int64_t row = 1; row + 1 < h; row++)
      for (int64_t column = 1; column + 1 < w; column++) {
        const T* at = copy + row * w + column;
        double sum = 4 * double(*at);
        for (int64_t dr = -1; dr <= 1; dr++)
          for (int64_t dc = -1; dc <= 1; dc++) sum += double(at[dr * w + dc]);
        plane[row * w + column] = blend(toPixel<T>(sum / 13), *at, f);
      }
    for (int64_t j = 0; j < h * w; j++) { // the border too is cut to black and white, as blend() does
      const int64_t row = j / w, column = j % w;
      if (row == 0 || column == 0 || row == h - 1 || column == w - 1) plane[j] = blend(copy[j], copy[j], f);
    }
  }
}

// Turns the hue of HSV by `turn` (1 is once around), value and saturation kept (Smith 1978).
template <class T> INLINE void hue(T* y, int64_t c, int64_t hw, double turn) {
  if (c != 3) return;
  for (int64_t j = 0; j < hw; j++) {
    const double r = double(y[j]) / kWhite<T>, g = double(y[hw + j]) / kWhite<T>, b = double(y[2 * hw + j]) / kWhite<T>;
    const double most = r > g ? (r > b ? r : b) : (g > b ? g : b), least = r < g ? (r < b ? r : b) : (g < b ? g : b);
    const double span = most - least;
    if (!(span > 0)) continue;
    double sixth = most == r ? (g - b) / span : most == g ? 2 + (b - r) / span : 4 + (r - g) / span;
    sixth = sixth / 6 + turn;
    sixth = (sixth - __builtin_floor(sixth)) * 6;
    const int part = sixth >= 5 ? 5 : sixth >= 4 ? 4 : sixth >= 3 ? 3 : sixth >= 2 ? 2 : sixth >= 1 ? 1 : 0;
    const double f = sixth - part, falling = most - span * f, rising = least + span * f;
    const double red[6] = {most, falling, least, least, rising, most};
    const double green[6] = {rising, most, most, falling, least, least};
    const double blue[6] = {least, least, rising, most, most, falling};
    y[j] = toPixel<T>(red[part] * kWhite<T>);
    y[hw + j] = toPixel<T>(green[part] * kWhite<T>);
    y[2 * hw + j] = toPixel<T>(blue[part] * kWhite<T>);
  }
}

// Stretches each channel to black and white.
template <class T> INLINE void autocontrast(T* plane, int64_t hw) {
  T low = plane[0], high = plane[0];
  for (int64_t j = 1; j < hw; j++) {
    if (plane[j] < low) low = plane[j];
    if (plane[j] > high) high = plane[j];
  }
  if (!(high > low)) return;
  const double scale = kWhite<T> / (double(high) - double(low)), offset = -double(low) * scale;
  for (int64_t j = 0; j < hw; j++) {
    const double v = double(plane[j]) * scale + offset;
    plane[j] = v >= kWhite<T> ? T(kWhite<T>) : v > 0 ? T(v) : T(0);
  }
}

// Gives each channel a flat histogram, as far as whole grey values can be moved. Bytes only.
INLINE void equalize(uint8_t* plane, int64_t hw) {
  int64_t count[256] = {};
  for (int64_t j = 0; j < hw; j++) count[plane[j]]++;
  int last = 255;
  while (count[last] == 0) last--;
  const int64_t step = (hw - count[last]) / 255;
  if (step == 0) return;
  uint8_t table[256];
  for (int64_t v = 0, n = step / 2; v < 256; n += count[v++]) table[v] = uint8_t(n / step < 255 ? n / step : 255);
  for (int64_t j = 0; j < hw; j++) plane[j] = table[plane[j]];
}

template <class T> void recolour(T* y, const T* x, View program, const PictureSize& s, Fault& fault) {
  const int64_t hw = s.h * s.w, picture = s.c * hw;
  if (picture == 0) return;
  parallel(s.n, grainOf(2 * picture * int64_t(sizeof(T)) * (1 + 4 * s.k)), [&](int64_t begin, int64_t end) {
    Scratch<T> copy(hw);
    for (int64_t i = begin; i < end; i++) {
      T* yi = y + i * picture;
      memmove(yi, x + i * picture, size_t(picture) * sizeof(T));
      for (int64_t step = 0; step < s.k; step++) {
        const double* at = static_cast<const double*>(program.data) + (i * s.k + step) * 2;
        const int code = at[0] >= 0 && at[0] < 1e9 ? int(at[0]) : -1;
        const double f = at[1];
        constexpr int most = sizeof(T) == 1 ? kEqualize : kAutocontrast; // what floats have stands first
        if (code < 0 || code > most) {
          fault.report(i * s.k + step, code, 0, most);
          break;
        }
        switch (Code(code)) {
        case kBrightness:
          for (int64_t j = 0; j < picture; j++) yi[j] = blend(T(0), yi[j], f);
          break;
        case kContrast:
          contrast(yi, s.c, hw, f);
          break;
        case kSaturation:
          saturation(yi, s.c, hw, f);
          break;
        case kSharpness:
          sharpness<T>(yi, copy, s.c, s.h, s.w, f);
          break;
        case kHue:
          hue(yi, s.c, hw, f);
          break;
        case kInvert:
          for (int64_t j = 0; j < picture; j++) yi[j] = T(kWhite<T> - double(yi[j]));
          break;
        case kSolarize: // what is at least f
          for (int64_t j = 0; j < picture; j++)
            if (double(yi[j]) >= f) yi[j] = T(kWhite<T> - double(yi[j]));
          break;
        case kPosterize: // keeps f bits
          if constexpr (sizeof(T) == 1) {
            const uint8_t mask = f >= 8 ? 255 : f > 0 ? uint8_t(0xff00 >> int(f)) : 0;
            for (int64_t j = 0; j < picture; j++) yi[j] &= mask;
          }
          break;
        case kAutocontrast:
          for (int64_t ch = 0; ch < s.c; ch++) autocontrast(yi + ch * hw, hw);
          break;
        case kEqualize:
          if constexpr (sizeof(T) == 1)
            for (int64_t ch = 0; ch < s.c; ch++) equalize(yi + ch * hw, hw);
          break;
        case kNothing:
          break;
        }
      }
    }
  });
}
KERNEL(recolour)

} // namespace napier::ISA
