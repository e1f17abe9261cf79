// Random words a register at a time, in the order of the elements that they belong to (../random.h).
#pragma once
#include "simd.h"
#include "../random.h"
#include <utility>

namespace napier::ISA {

INLINE Vec<uint32_t> mulHigh(Vec<uint32_t> a, Vec<uint32_t> b) {
  Vec<uint64_t> even = mulEven(a, b), odd = mulEven(Vec<uint32_t>(Vec<uint64_t>(a) >> 32), b); // b: equal lanes
  return Vec<uint32_t>((even >> 32) | (odd & 0xFFFFFFFF00000000u));
}

// a0 b0 a1 b1 ... : the first or second register of it.
template <int Second, class T, int... I> INLINE Vec<T> zip(Vec<T> a, Vec<T> b, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(a, b, (I / 2 + Second * width<T> / 2 + I % 2 * width<T>)...);
}
template <class T, int Second> INLINE Vec<T> zip(Vec<T> a, Vec<T> b) {
  return zip<Second, T>(a, b, std::make_integer_sequence<int, width<T>>{});
}

constexpr int kBlocks = width<uint32_t>; // blocks made at once, one a lane

// Word k of blocks first, first + 1, ... in the lanes of w[k]; first: a multiple of kBlocks.
INLINE void blocksAt(Vec<uint32_t> (&w)[4], int64_t seed, int64_t draw, int64_t first) {
  Vec<uint32_t> lane;
  for (int i = 0; i < kBlocks; i++) lane[i] = uint32_t(i);
  Vec<uint32_t> zero{};
  w[0] = zero + uint32_t(first) + lane; // no carry: first is a multiple of the lanes
  w[1] = zero + uint32_t(uint64_t(first) >> 32);
  w[2] = zero + uint32_t(draw);
  w[3] = zero + uint32_t(uint64_t(draw) >> 32);
  philox(w, uint64_t(seed), [](Vec<uint32_t> a, Vec<uint32_t> b) { return mulHigh(a, b); });
}

// words[j]: the 32-bit words of elements begin + j width ...; begin: a multiple of 4 kBlocks.
INLINE void words32(Vec<uint32_t> (&words)[4], int64_t seed, int64_t draw, int64_t begin) {
  Vec<uint32_t> w[4];
  blocksAt(w, seed, draw, begin / 4);
  Vec<uint32_t> even0 = zip<uint32_t, 0>(w[0], w[2]), even1 = zip<uint32_t, 1>(w[0], w[2]);
  Vec<uint32_t> odd0 = zip<uint32_t, 0>(w[1], w[3]), odd1 = zip<uint32_t, 1>(w[1], w[3]);
  words[0] = zip<uint32_t, 0>(even0, odd0);
  words[1] = zip<uint32_t, 1>(even0, odd0);
  words[2] = zip<uint32_t, 0>(even1, odd1);
  words[3] = zip<uint32_t, 1>(even1, odd1);
}

// Elements made by one call of words32, and the chunk that a thread makes.
constexpr int kRun = 4 * kBlocks;
constexpr int64_t kDrawGrain = 16384;

// run(words, i) for each run of kRun elements from i; rest(words, i, n - i) for the last, shorter one.
template <class Run, class Rest>
INLINE void drawWords(int64_t seed, int64_t draw, int64_t n, const Run& run, const Rest& rest) {
  parallel(n, kDrawGrain, [&](int64_t begin, int64_t end) {
    Vec<uint32_t> words[4];
    int64_t i = begin;
    for (; i + kRun <= end; i += kRun) {
      words32(words, seed, draw, i);
      run(words, i);
    }
    if (i < end) {
      words32(words, seed, draw, i);
      rest(words, i, end - i);
    }
  });
}
// y[i] = f(word of element i) for each element, from registers of words to registers of T of as many lanes.
template <class T, class F> INLINE void drawEach(T* y, int64_t seed, int64_t draw, int64_t n, const F& f) {
  drawWords(
      seed, draw, n,
      [&](Vec<uint32_t>(&words)[4], int64_t i) {
        for (int j = 0; j < 4; j++) f(y + i + j * kBlocks, words[j]);
      },
      [&](Vec<uint32_t>(&words)[4], int64_t i, int64_t count) {
        T last[kRun];
        for (int j = 0; j < 4; j++) f(last + j * kBlocks, words[j]);
        memcpy(y + i, last, size_t(count) * sizeof(T));
      });
}

} // namespace napier::ISA
