// The machine's limit for bench/peak.ts: multiply-adds in registers, twelve independent chains of one vector, so that
// the latency of one is hidden behind the others. y[i] receives the sum of chunk i; chunks run on all threads. Each
// chunk: rounds * 12 * width<T> multiply-adds.
#include "simd.h"

namespace napier::ISA {

template <class T> void peakFma(T* y, const PeakSize& s) {
  const int64_t rounds = s.rounds;
  parallel(s.chunks, 1, [=](int64_t begin, int64_t end) {
    for (int64_t chunk = begin; chunk < end; chunk++) {
      constexpr int chains = 12;
      Vec<T> sum[chains];
      for (int i = 0; i < chains; i++) sum[i] = splat<T>(T(i));
      Vec<T> scale = splat<T>(T(0.999)), shift = splat<T>(T(0.001));
      for (int64_t r = 0; r < rounds; r++)
        for (int i = 0; i < chains; i++) sum[i] = fma(sum[i], scale, shift);
      Vec<T> all = sum[0];
      for (int i = 1; i < chains; i++) all += sum[i];
      y[chunk] = sumLanes<T>(all);
    }
  });
}

KERNEL(peakFma)

} // namespace napier::ISA
