#include "cpu.h"
#include <cstdlib>
#include <stdexcept>

namespace napier {

#ifdef __x86_64__
namespace avx2 {
void fillTable(Table& table);
}
namespace avx512 {
void fillTable(Table& table);
}
#elif defined(__aarch64__)
namespace neon {
void fillTable(Table& table);
}
#endif
namespace scalar {
void fillTable(Table& table);
}

namespace {

struct Variant {
  const char* name;
  bool (*runs)();
  void (*fill)(Table&);
};

#ifdef __x86_64__
bool runsAvx2() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
bool runsAvx512() {
  return runsAvx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
         __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
}
#endif

// Slowest first; the last one that runs is the default.
const Variant variants[] = {
    {"scalar", [] { return true; }, scalar::fillTable},
#ifdef __x86_64__
    {"avx2", runsAvx2, avx2::fillTable},
    {"avx512", runsAvx512, avx512::fillTable},
#elif defined(__aarch64__)
    {"neon", [] { return true; }, neon::fillTable},
#endif
};

Table table;
const Variant* chosen = nullptr;

void choose(const Variant& v) {
  v.fill(table);
  chosen = &v;
}

bool chooseNamed(const std::string& name) {
  for (auto& v : variants)
    if (name == v.name && v.runs()) {
      choose(v);
      return true;
    }
  return false;
}

std::string joined(const std::vector<std::string>& names) {
  std::string s;
  for (auto& n : names) s += (s.empty() ? "" : ", ") + n;
  return s;
}

void chooseDefault() {
  const char* forced = getenv("NAPIER_ISA");
  if (forced && *forced) {
    if (!chooseNamed(forced))
      throw std::runtime_error("NAPIER_ISA=" + std::string(forced) + ": expected one of " + joined(cpuIsas()) +
                               ", which this CPU runs");
    return;
  }
  for (auto& v : variants)
    if (v.runs()) chosen = &v;
  choose(*chosen);
}

void chooseOnce() {
  static const bool done = (chooseDefault(), true); // environments load at the same time; a throw tries again
  (void)done;
}

} // namespace

const Table& cpuTable() {
  chooseOnce();
  return table;
}

const char* cpuIsa() {
  chooseOnce();
  return chosen->name;
}

std::vector<std::string> cpuIsas() {
  std::vector<std::string> names;
  for (auto& v : variants)
    if (v.runs()) names.push_back(v.name);
  return names;
}

bool setCpuIsa(const std::string& name) {
  chooseOnce();
  return chooseNamed(name);
}

std::vector<std::string> cpuFeatures() {
  std::vector<std::string> found;
#ifdef __x86_64__
#define FEATURE(f)                                                                                                     \
  if (__builtin_cpu_supports(f)) found.push_back(f);
  FEATURE("sse4.2")
  FEATURE("avx") FEATURE("avx2") FEATURE("fma") FEATURE("avx512f") FEATURE("avx512dq") FEATURE("avx512bw")
      FEATURE("avx512vl")
#undef FEATURE
#elif defined(__aarch64__)
  found.push_back("neon");
#endif
          return found;
}

} // namespace napier
