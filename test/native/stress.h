// What the threads of native/ must survive: many submitters, all sizes of chunks, a full queue, cancellation.
#pragma once
#include <vector>

namespace napier::test {

struct Stress {
  const char* name;
  void (*run)(); // throws std::runtime_error
};

std::vector<Stress> stresses();

} // namespace napier::test
