// Dropout (Srivastava et al. 2014): y = x / (1 - p) where the element's random word says keep, else 0. The mask is not
// stored: the gradient is the same call on dy with the same seed and draw. Bandwidth-bound with AVX2 (8 bytes an
// element).
#include "random.h"

namespace napier::ISA {

template <class T> void dropout(T* y, const T* x, double p, int64_t seed, int64_t draw, int64_t n) {
  const uint64_t drops = chance(p); // kept: word >= drops
  if (drops >> 32) return void(memset(y, 0, size_t(n) * sizeof(T)));
  const uint32_t first = uint32_t(drops);
  const T scale = T(1 / (1 - p));
  auto keep = [=](T* to, const T* from, Vec<uint32_t> word) {
    if constexpr (sizeof(T) == 4) {
      store<T>(to, Vec<T>(Vec<uint32_t>(word >= first) & Vec<uint32_t>(load(from) * scale)));
    } else {
      for (int i = 0; i < kBlocks; i++) to[i] = word[i] >= first ? from[i] * scale : T(0);
    }
  };
  drawWords(
      seed, draw, n,
      [&](Vec<uint32_t>(&words)[4], int64_t i) {
        for (int j = 0; j < 4; j++) keep(y + i + j * kBlocks, x + i + j * kBlocks, words[j]);
      },
      [&](Vec<uint32_t>(&words)[4], int64_t i, int64_t count) {
        T last[kRun] = {};
        memcpy(last, x + i, size_t(count) * sizeof(T));
        for (int j = 0; j < 4; j++) keep(last + j * kBlocks, last + j * kBlocks, words[j]);
        memcpy(y + i, last, size_t(count) * sizeof(T));
      });
}
KERNEL(dropout)

} // namespace napier::ISA
