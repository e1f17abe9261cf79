// Replays the record of kernel calls (FORMAT.md) against a table. It knows no shape rule: what a call may be is ops.def's
// affair, what it must give stands in the file.
#pragma once
#include <string>
#include <vector>

namespace napier::test {

struct Outcome {
  std::string name; // "gemm on avx2"
  int calls = 0;
  std::string error; // of the first call that failed; empty: all passed
};

// One outcome an op and instruction set. Throws std::runtime_error where the file is no record.
std::vector<Outcome> replay(const std::string& path);

} // namespace napier::test
