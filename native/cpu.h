// The CPU's kernel tables: one an instruction set, the best one chosen when the library loads.
#pragma once
#include <string>
#include <vector>
#include "device.h"

namespace napier {

// The table in use. Throws std::runtime_error where NAPIER_ISA names no variant that this CPU runs.
const Table& cpuTable();
const char* cpuIsa();
std::vector<std::string> cpuIsas();      // those that this CPU runs, slowest first
bool setCpuIsa(const std::string& name); // false: not among them. No op may be running.
std::vector<std::string> cpuFeatures();

} // namespace napier
