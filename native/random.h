// Philox4x32-10, the counter-based generator (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011),
// and what is drawn with it. Every number is a pure function of (seed, draw, element): any thread or device can make
// any part, and all make the same bits, since only integers, + - * / and sqrt without FMA are used.
//
//   key = seed, counter = (block, draw), both 64 bits, low word first; a block is four 32-bit words
//   32 bits an element: element i is word i % 4 of block i / 4;  64 bits: words 2 (i % 2), 2 (i % 2) + 1 of block i / 2
//
// Templates over U: uint32_t, or a register of them with a mulHigh of its own.
#pragma once
#include "dtype.h"

namespace napier {

// Turns the counter c into four random words. mulHigh: the upper half of a product.
template <class U, class MulHigh> INLINE void philox(U (&c)[4], uint64_t key, const MulHigh& mulHigh) {
  uint32_t k0 = uint32_t(key), k1 = uint32_t(key >> 32);
#pragma GCC unroll 10
  for (int round = 0; round < 10; round++) {
    U m0 = U{} + 0xD2511F53u, m1 = U{} + 0xCD9E8D57u;
    U low0 = c[0] * m0, high0 = mulHigh(c[0], m0);
    U low1 = c[2] * m1, high1 = mulHigh(c[2], m1);
    c[0] = high1 ^ c[1] ^ k0;
    c[1] = low1;
    c[2] = high0 ^ c[3] ^ k1;
    c[3] = low0;
    k0 += 0x9E3779B9u; // golden ratio
    k1 += 0xBB67AE85u; // sqrt(3) - 1
  }
}

// The four words of one block.
struct Block {
  uint32_t word[4];
  INLINE Block(int64_t seed, int64_t draw, int64_t block)
      : word{uint32_t(block), uint32_t(uint64_t(block) >> 32), uint32_t(draw), uint32_t(uint64_t(draw) >> 32)} {
    philox(word, uint64_t(seed), [](uint32_t a, uint32_t b) { return uint32_t((uint64_t(a) * b) >> 32); });
  }
  INLINE uint64_t pair(int i) const { return word[2 * i] | uint64_t(word[2 * i + 1]) << 32; }
};

// A whole number in [0, range) from 64 random bits; the bias is below range / 2^64. range 0 stands for 2^64.
INLINE uint64_t below(uint64_t bits, uint64_t range) {
  return range ? uint64_t((unsigned __int128)bits * range >> 64) : bits;
}

// Of the 2^32 words, how many make an event of probability p happen: word < chance(p).
INLINE uint64_t chance(double p) { return p >= 1 ? uint64_t(1) << 32 : p > 0 ? uint64_t(p * 4294967296.0) : 0; }

} // namespace napier
