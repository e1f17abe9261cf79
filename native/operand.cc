#include "operand.h"
#include <mutex>

namespace napier {

namespace {
std::mutex faultMutex;
}

void Fault::report(int64_t flatIndex, int64_t badValue, int64_t allowedLow, int64_t allowedHigh) {
  std::lock_guard<std::mutex> lock(faultMutex);
  if (flatIndex >= index) return;
  index = flatIndex;
  value = badValue;
  low = allowedLow;
  high = allowedHigh;
}

bool Fault::raised() const { return index != INT64_MAX; }

} // namespace napier
