// The windows of pictures as columns (im2col), y[n, c r s, p q] from x[n, c, h, w], and back (col2im), each tap added where
// it came from. Moves only: r s times the picture is written (read). A thread takes whole channels, so that fold adds in
// a fixed order.
#include "rows.h"

namespace napier::ISA {

// Runs body(x plane, columns of that channel) for each channel of each picture.
template <class Body> INLINE void channelsOf(const Conv2dSize& d, int64_t bytes, const Body& body) {
  const int64_t columns = d.r * d.s * d.p() * d.q(), plane = d.h * d.w;
  parallel(d.n * d.c, grainOf((plane + columns) * bytes), [&](int64_t begin, int64_t end) {
    for (int64_t e = begin; e < end; e++) body(e * plane, e * columns);
  });
}

// Outputs [from, until) of one row whose tap lies on the picture, the tap of output 0 at `offset`.
struct Reach {
  int64_t offset, from, until;
};
INLINE Reach reachOf(int64_t tap, int64_t dilation, int64_t pad, int64_t stride, int64_t extent, int64_t outputs) {
  const int64_t offset = tap * dilation - pad, last = extent - 1 - offset;
  int64_t from = offset < 0 ? (-offset + stride - 1) / stride : 0, until = last < 0 ? 0 : last / stride + 1;
  if (until > outputs) until = outputs;
  return {offset, from < until ? from : until, until};
}

template <class T> void unfold(T* y, const T* x, const Conv2dSize& d) {
  const int64_t p = d.p(), q = d.q();
  channelsOf(d, sizeof(T), [&](int64_t plane, int64_t columns) {
    T* to = y + columns;
    for (int64_t r = 0; r < d.r; r++)
      for (int64_t s = 0; s < d.s; s++) {
        const Reach cols = reachOf(s, d.dilationW, d.padW, d.strideW, d.w, q);
        for (int64_t i = 0; i < p; i++, to += q) {
          const int64_t line = i * d.strideH + r * d.dilationH - d.padH;
          if (line < 0 || line >= d.h) {
            memset(to, 0, size_t(q) * sizeof(T));
            continue;
          }
          const T* from = x + plane + line * d.w + cols.offset;
          for (int64_t j = 0; j < cols.from; j++) to[j] = 0;
          if (d.strideW == 1) memcpy(to + cols.from, from + cols.from, size_t(cols.until - cols.from) * sizeof(T));
          else
            for (int64_t j = cols.from; j < cols.until; j++) to[j] = from[j * d.strideW];
          for (int64_t j = cols.until; j < q; j++) to[j] = 0;
        }
      }
  });
}
KERNEL(unfold)

template <class T> void fold(T* x, const T* y, const Conv2dSize& d) {
  const int64_t p = d.p(), q = d.q();
  channelsOf(d, sizeof(T), [&](int64_t plane, int64_t columns) {
    const T* from = y + columns;
    memset(x + plane, 0, size_t(d.h * d.w) * sizeof(T));
    for (int64_t r = 0; r < d.r; r++)
      for (int64_t s = 0; s < d.s; s++) {
        const Reach cols = reachOf(s, d.dilationW, d.padW, d.strideW, d.w, q);
        for (int64_t i = 0; i < p; i++, from += q) {
          const int64_t line = i * d.strideH + r * d.dilationH - d.padH;
          if (line < 0 || line >= d.h) continue;
          T* to = x + plane + line * d.w + cols.offset;
          if (d.strideW == 1)
            for (int64_t j = cols.from; j < cols.until; j++) to[j] += from[j];
          else
            for (int64_t j = cols.from; j < cols.until; j++) to[j * d.strideW] += from[j];
        }
      }
  });
}
KERNEL(fold)

} // namespace napier::ISA
