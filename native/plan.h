// Where the buffers of a captured step lie in the block that they share, by their lifetimes.
#pragma once
#include <cstdint>
#include <vector>

namespace napier {

struct Lifetime {
  int64_t bytes;
  int first, last;     // the calls that use it
  int64_t offset = -1; // what planMemory() finds
};

// Sets the offsets, so that what lives at the same time does not overlap; answers the bytes of the block.
int64_t planMemory(std::vector<Lifetime>& all);

} // namespace napier
