#include "cpu.h"
#include <cstdlib>
#include <stdexcept>
#include <utility>
#ifdef __x86_64__
#include <cpuid.h>
#endif

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
// What the CPU has and the system saves the registers of. By CPUID: __builtin_cpu_supports reads a table of the compiler's
// runtime library, which clang-cl does not link.
struct X86 {
  bool sse42, avx, fma, avx2, avx512f, avx512dq, avx512bw, avx512vl;
};
X86 readX86() {
  X86 has{};
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d)) return has;
  const auto bit = [](unsigned word, int i) { return (word >> i & 1) != 0; };
  unsigned saved = 0, high; // XCR0
  if (bit(c, 27)) asm volatile("xgetbv" : "=a"(saved), "=d"(high) : "c"(0));
  const bool ymm = (saved & 0x06) == 0x06, zmm = (saved & 0xe6) == 0xe6;
  has.sse42 = bit(c, 20);
  has.avx = ymm && bit(c, 28);
  has.fma = ymm && bit(c, 12);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return has;
  has.avx2 = ymm && bit(b, 5);
  has.avx512f = zmm && bit(b, 16);
  has.avx512dq = zmm && bit(b, 17);
  has.avx512bw = zmm && bit(b, 30);
  has.avx512vl = zmm && bit(b, 31);
  return has;
}
const X86 x86 = readX86();

[[maybe_unused]] bool runsAvx2() { return x86.avx2 && x86.fma; }
[[maybe_unused]] bool runsAvx512() { return runsAvx2() && x86.avx512f && x86.avx512dq && x86.avx512bw && x86.avx512vl; }
#endif

// Slowest first; the last one that runs is the default. A build of some variants (binding.gyp) leaves the others out.
const Variant variants[] = {
#ifndef NO_SCALAR
    {"scalar", [] { return true; }, scalar::fillTable},
#endif
#ifdef __x86_64__
#ifndef NO_AVX2
    {"avx2", runsAvx2, avx2::fillTable},
#endif
#ifndef NO_AVX512
    {"avx512", runsAvx512, avx512::fillTable},
#endif
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
  const std::pair<const char*, bool> all[] = {
      {"sse4.2", x86.sse42},     {"avx", x86.avx},           {"avx2", x86.avx2},         {"fma", x86.fma},
      {"avx512f", x86.avx512f},  {"avx512dq", x86.avx512dq}, {"avx512bw", x86.avx512bw}, {"avx512vl", x86.avx512vl},
  };
  for (auto& [name, has] : all)
    if (has) found.push_back(name);
#elif defined(__aarch64__)
  found.push_back("neon");
#endif
  return found;
}

} // namespace napier
