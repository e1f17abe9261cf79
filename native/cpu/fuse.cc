// A program of elementwise steps in one pass over memory: each block of 1,024 elements goes through all steps while it is in
// L1, so a chain costs what its inputs and its result cost, whatever its length (8 bytes an element for a chain of one input).
//
// program: [steps, 5], rows of (step of fused.h, a, b, c, alpha). Values are numbered: the inputs first, then what each step
// makes, in order; a, b and c name values that stand before, and the last is y. A step costs a dispatch a block, some 10 ns.
#include "map.h"
#include "math.h"

namespace napier::ISA {

constexpr int64_t kFusedBlock = 1024;
constexpr int kMostSteps = 256, kMostInputs = 32;

enum class Fused : int32_t {
#define FUSED(name, expression) name,
#include "fused.h"
#undef FUSED
  count
};

struct FusedStep {
  Fused op;
  int32_t a, b, c; // values
  int32_t slot;    // where its own lies between the steps; -1: in y
  double alpha;
};

// Reads and checks the program; gives each value a slot, free again after its last use. Answers how many slots there are,
// or -1 where the program was reported.
INLINE int planFused(FusedStep* steps, View program, int64_t inputs, Fault& fault) {
  const int64_t length = program.count / 5;
  const double* row = static_cast<const double*>(program.data);
  if (length < 1 || length > kMostSteps || inputs > kMostInputs) {
    fault.report(0, length, 1, kMostSteps);
    return -1;
  }
  int32_t last[kMostInputs + kMostSteps] = {}; // the step that reads a value last
  for (int64_t i = 0; i < length; i++, row += 5) {
    const int64_t most[4] = {int64_t(Fused::count) - 1, inputs + i - 1, inputs + i - 1, inputs + i - 1};
    for (int k = 0; k < 4; k++)
      if (!(row[k] >= 0 && row[k] <= double(most[k]))) {
        fault.report(5 * i + k, row[k] == row[k] && row[k] < 1e9 && row[k] > -1e9 ? int64_t(row[k]) : -1, 0, most[k]);
        return -1;
      }
    steps[i] = {Fused(int32_t(row[0])), int32_t(row[1]), int32_t(row[2]), int32_t(row[3]), -1, row[4]};
    last[steps[i].a] = last[steps[i].b] = last[steps[i].c] = int32_t(i);
  }
  bool used[kMostSteps] = {};
  int slots = 0;
  for (int64_t i = 0; i + 1 < length; i++) {
    const int32_t operands[3] = {steps[i].a, steps[i].b, steps[i].c};
    for (int32_t v : operands)
      if (v >= inputs && last[v] == i) used[steps[v - inputs].slot] = false; // read before this step's value is written
    int slot = 0;
    while (used[slot]) slot++;
    used[slot] = last[inputs + i] > i; // a value that nobody reads holds its slot for this step alone
    steps[i].slot = slot;
    slots = slot < slots ? slots : slot + 1;
  }
  return slots;
}

template <class T, class F>
INLINE void fusedLoop(T* y, const T* a, const T* b, const T* c, int64_t n, bool around, const F& f) {
  int64_t i = 0;
  for (; i + width<T> <= n; i += width<T>) put<T>(y + i, f(load(a + i), load(b + i), load(c + i)), around);
  if (i < n) storePart<T>(y + i, f(loadPart(a + i, n - i), loadPart(b + i, n - i), loadPart(c + i, n - i)), n - i);
}

template <class T> void fusedStep(Fused op, double number, T* y, const T* a, const T* b, const T* c, int64_t n, bool around) {
  typedef Vec<T> V;
  [[maybe_unused]] const T alpha = T(number);
  switch (op) {
#define FUSED(name, expression)                                                                                        \
  case Fused::name:                                                                                                    \
    return fusedLoop<T>(                                                                                               \
        y, a, b, c, n, around,                                                                                         \
        [=]([[maybe_unused]] V a, [[maybe_unused]] V b, [[maybe_unused]] V c)                                          \
            __attribute__((always_inline)) -> V { return expression; });
#include "fused.h"
#undef FUSED
  case Fused::count:
    return;
  }
}

template <class T> void fuse(T* y, List<const T> x, View program, int64_t n, Fault& fault) {
  FusedStep steps[kMostSteps];
  const int64_t inputs = x.length, length = program.count / 5;
  const int slots = planFused(steps, program, inputs, fault);
  if (slots < 0) return;
  bool around = goesAround(y, n);
  for (int64_t i = 0; i < inputs; i++) around = around && x.data[i] != y;
  parallel(n, kMapGrain, [&](int64_t begin, int64_t end) {
    Scratch<T> between(slots * kFusedBlock + 1);
    for (int64_t at = begin; at < end; at += kFusedBlock) {
      const int64_t count = end - at < kFusedBlock ? end - at : kFusedBlock;
      auto value = [&](int32_t v) -> const T* {
        return v < inputs ? x.data[v] + at : between + steps[v - inputs].slot * kFusedBlock;
      };
      for (int64_t i = 0; i < length; i++) {
        const FusedStep& s = steps[i];
        T* to = i + 1 < length ? between + s.slot * kFusedBlock : y + at;
        fusedStep<T>(s.op, s.alpha, to, value(s.a), value(s.b), value(s.c), count, around && i + 1 == length);
      }
    }
    if (around) streamed();
  });
}
KERNEL(fuse)

} // namespace napier::ISA
