// Walks over strided operands beside a contiguous one, in row-major order of the contiguous one.
//
// collapse() drops extents of 1 and merges neighbouring dimensions that every operand crosses in one stride, so that
// most calls come down to one or two dimensions; segments() then cuts a range of flat positions into runs along the
// inner dimension. A chunk may begin in mid-row: the start is found by division once, then counted on.
#pragma once
#include "simd.h"

namespace napier::ISA {

// The same walk in as few dimensions as possible; at least one. Wants count() > 0.
template <int O> INLINE Strides<O> collapse(const Strides<O>& s) {
  Strides<O> c;
  c.rank = 0;
  for (int64_t d = 0; d < s.rank; d++) {
    if (s.extent[d] == 1) continue;
    bool merges = c.rank > 0;
    for (int o = 0; merges && o < O; o++) {
      int64_t reach;
      merges = !__builtin_mul_overflow(s.stride[o][d], s.extent[d], &reach) && c.stride[o][c.rank - 1] == reach;
    }
    const int64_t at = merges ? c.rank - 1 : c.rank++;
    c.extent[at] = merges ? c.extent[at] * s.extent[d] : s.extent[d];
    for (int o = 0; o < O; o++) c.stride[o][at] = s.stride[o][d];
  }
  if (c.rank == 0) {
    c.rank = 1;
    c.extent[0] = 1;
    for (int o = 0; o < O; o++) c.stride[o][0] = 1;
  }
  return c;
}

// run(at, offset[O], length) for each piece of a row within the flat positions [begin, end).
template <int O, class Run> INLINE void segments(const Strides<O>& s, int64_t begin, int64_t end, const Run& run) {
  const int64_t last = s.rank - 1;
  int64_t index[kMaxRank], offset[O] = {}, rest = begin;
  for (int64_t d = last; d >= 0; d--) {
    index[d] = rest % s.extent[d];
    rest /= s.extent[d];
    for (int o = 0; o < O; o++) offset[o] += index[d] * s.stride[o][d];
  }
  for (int64_t at = begin; at < end;) {
    const int64_t left = s.extent[last] - index[last], length = left < end - at ? left : end - at;
    run(at, offset, length);
    at += length;
    if (at >= end) return;
    for (int o = 0; o < O; o++) offset[o] -= index[last] * s.stride[o][last];
    index[last] = 0;
    for (int64_t d = last - 1; d >= 0; d--) {
      for (int o = 0; o < O; o++) offset[o] += s.stride[o][d];
      if (++index[d] < s.extent[d]) break;
      for (int o = 0; o < O; o++) offset[o] -= s.extent[d] * s.stride[o][d];
      index[d] = 0;
    }
  }
}

} // namespace napier::ISA
