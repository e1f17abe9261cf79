// The inverse of max pooling: values go back to where the maxima stood, everything else is 0. A thread takes whole planes.
// An index outside its plane is reported and left out: it may come from anywhere.
#include "rows.h"

namespace napier::ISA {

// y[index] = x; of several values with one index the last stays.
template <class T> void maxUnpool2d(T* y, const T* x, Indices index, const AdaptivePool2dSize& s, Fault& fault) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    for (int64_t plane = begin; plane < end; plane++) {
      T* yp = y + plane * in;
      memset(yp, 0, size_t(in) * sizeof(T));
      for (int64_t k = plane * out; k < (plane + 1) * out; k++) {
        int64_t at = index[k];
        if (uint64_t(at) < uint64_t(in)) yp[at] = x[k];
        else fault.report(k, at, 0, in - 1);
      }
    }
  });
}
KERNEL(maxUnpool2d)

// dx = dy[index] for the values that stayed: walked from the last one, a place is taken once.
template <class T> void maxUnpool2dGrad(T* dx, const T* dy, Indices index, const AdaptivePool2dSize& s, Fault& fault) {
  const int64_t in = s.h * s.w, out = s.p * s.q;
  parallel(s.planes, grainOf((in + out) * int64_t(sizeof(T))), [&](int64_t begin, int64_t end) {
    Scratch<uint8_t> taken(in);
    for (int64_t plane = begin; plane < end; plane++) {
      memset(taken, 0, size_t(in));
      for (int64_t k = (plane + 1) * out - 1; k >= plane * out; k--) {
        int64_t at = index[k];
        const bool inside = uint64_t(at) < uint64_t(in);
        if (!inside) fault.report(k, at, 0, in - 1);
        const bool stayed = inside && !taken[at];
        dx[k] = stayed ? dy[plane * in + at] : T(0);
        if (stayed) taken[at] = 1;
      }
    }
  });
}
KERNEL(maxUnpool2dGrad)

} // namespace napier::ISA
