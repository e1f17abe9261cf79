// Resizing of planes x[planes, h, w] to y[planes, p, q] by tables of taps, one an axis: output i is the sum of `taps`
// neighbours from start[i] on, weighed by w[i]. Nearest, linear, cubic and antialiased filters differ in their tables
// alone. The map is linear; the gradient is its transpose, so both close under differentiation.
//
// Rows are resized first, into a plane [h, q] of scratch, then columns, a register of neighbours at a time:
// planes (h q tapsW + p q tapsH) multiply-adds instead of planes p q tapsH tapsW. A thread takes whole planes.
#include "rows.h"
#include <utility>

namespace napier::ISA {

// The taps of one axis: start[i] on, `taps` of them, weighed by w[i]; 0 taps keep the axis.
template <class T> struct Taps {
  const int64_t* start;
  const T* w;
  int64_t taps, outputs;
};

// Copies starts out of their dtype. Reports those whose taps would leave [0, extent).
INLINE bool readStarts(int64_t* to, Indices start, int64_t outputs, int64_t taps, int64_t extent, Fault& fault) {
  bool good = true;
  for (int64_t i = 0; taps > 0 && i < outputs; i++) {
    to[i] = start[i];
    if (to[i] >= 0 && to[i] <= extent - taps) continue;
    fault.report(i, to[i], 0, extent - taps);
    good = false;
  }
  return good;
}

template <int N, class T> INLINE void resizeRow(T* y, const T* x, const Taps<T>& t) {
  const int64_t taps = N ? N : t.taps;
  const T* w = t.w;
  for (int64_t j = 0; j < t.outputs; j++, w += taps) {
    const T* from = x + t.start[j];
    T sum = w[0] * from[0];
    for (int64_t k = 1; k < taps; k++) sum += w[k] * from[k];
    y[j] = sum;
  }
}
// dx [extent] = the transpose of resizeRow on dy
template <int N, class T> INLINE void spreadRow(T* dx, const T* dy, int64_t extent, const Taps<T>& t) {
  const int64_t taps = N ? N : t.taps;
  const T* w = t.w;
  memset(dx, 0, size_t(extent) * sizeof(T));
  for (int64_t j = 0; j < t.outputs; j++, w += taps) {
    T* to = dx + t.start[j];
    for (int64_t k = 0; k < taps; k++) to[k] += w[k] * dy[j];
  }
}
// The usual numbers of taps are known to the compiler: nearest 1, linear 2, cubic 4.
template <class Run> INLINE void byTaps(int64_t taps, const Run& run) {
  if (taps == 1) run(std::integral_constant<int, 1>{});
  else if (taps == 2) run(std::integral_constant<int, 2>{});
  else if (taps == 4) run(std::integral_constant<int, 4>{});
  else run(std::integral_constant<int, 0>{});
}

// row (+)= w x
template <class T> INLINE void addScaled(T* row, const T* x, T w, int64_t n, bool first) {
  const Vec<T> scale = splat(w);
  if (first)
    along<T>(
        n, [&](int64_t j) { store(row + j, load(x + j) * scale); },
        [&](int64_t j, int64_t rest) { storePart(row + j, loadPart(x + j, rest) * scale, rest); });
  else
    along<T>(
        n, [&](int64_t j) { store(row + j, load(row + j) + load(x + j) * scale); },
        [&](int64_t j, int64_t rest) {
          storePart(row + j, loadPart(row + j, rest) + loadPart(x + j, rest) * scale, rest);
        });
}

template <class T>
INLINE void resizePlane(T* y, const T* x, T* half, const Taps<T>& rows, const Taps<T>& cols, const TapsSize& s) {
  if (cols.taps > 0) {
    T* to = rows.taps > 0 ? half : y;
    byTaps(cols.taps, [&](auto count) {
      for (int64_t r = 0; r < s.h; r++) resizeRow<decltype(count)::value>(to + r * s.q, x + r * s.w, cols);
    });
    x = to;
  }
  if (rows.taps == 0) {
    if (cols.taps == 0) memcpy(y, x, size_t(s.h * s.w) * sizeof(T));
    return;
  }
  for (int64_t i = 0; i < s.p; i++)
    for (int64_t k = 0; k < rows.taps; k++)
      addScaled(y + i * s.q, x + (rows.start[i] + k) * s.q, rows.w[i * rows.taps + k], s.q, k == 0);
}
template <class T>
INLINE void spreadPlane(T* dx, const T* dy, T* half, const Taps<T>& rows, const Taps<T>& cols, const TapsSize& s) {
  if (rows.taps > 0) {
    T* to = cols.taps > 0 ? half : dx;
    memset(to, 0, size_t(s.h * s.q) * sizeof(T));
    for (int64_t i = 0; i < s.p; i++)
      for (int64_t k = 0; k < rows.taps; k++)
        addScaled(to + (rows.start[i] + k) * s.q, dy + i * s.q, rows.w[i * rows.taps + k], s.q, false);
    dy = to;
  }
  if (cols.taps == 0) {
    if (rows.taps == 0) memcpy(dx, dy, size_t(s.h * s.w) * sizeof(T));
    return;
  }
  byTaps(cols.taps, [&](auto count) {
    for (int64_t r = 0; r < s.h; r++) spreadRow<decltype(count)::value>(dx + r * s.w, dy + r * s.q, s.w, cols);
  });
}

// Reads both tables and runs plane(i, scratch [h, q], rows, columns) for every plane.
template <class T, class Plane>
INLINE void resamplePlanes(Indices startH, const T* wH, Indices startW, const T* wW, const TapsSize& s, Fault& fault,
                           const Plane& plane) {
  Scratch<int64_t> starts(s.p + s.q);
  const bool good = readStarts(starts, startH, s.p, s.tapsH, s.h, fault) &&
                    readStarts(starts + s.p, startW, s.q, s.tapsW, s.w, fault);
  if (!good) return;
  const Taps<T> rows{starts, wH, s.tapsH, s.p}, cols{starts + s.p, wW, s.tapsW, s.q};
  parallel(s.planes, grainOf((s.h * s.w + s.p * s.q + s.h * s.q) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    Scratch<T> half(s.h * s.q);
    for (int64_t i = begin; i < end; i++) plane(i, half.data, rows, cols);
  });
}

template <class T>
void interpolate(T* y, const T* x, Indices startH, const T* wH, Indices startW, const T* wW, const TapsSize& s,
                Fault& fault) {
  resamplePlanes(startH, wH, startW, wW, s, fault, [&](int64_t i, T* half, const Taps<T>& rows, const Taps<T>& cols) {
    resizePlane(y + i * s.p * s.q, x + i * s.h * s.w, half, rows, cols, s);
  });
}
KERNEL(interpolate)

template <class T>
void interpolateGrad(T* dx, const T* dy, Indices startH, const T* wH, Indices startW, const T* wW, const TapsSize& s,
                    Fault& fault) {
  resamplePlanes(startH, wH, startW, wW, s, fault, [&](int64_t i, T* half, const Taps<T>& rows, const Taps<T>& cols) {
    spreadPlane(dx + i * s.h * s.w, dy + i * s.p * s.q, half, rows, cols, s);
  });
}
KERNEL(interpolateGrad)

} // namespace napier::ISA
