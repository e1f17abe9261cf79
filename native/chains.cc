// Chains: elementwise calls of a captured step that read what the others write or read run together, a block of elements
// through all of them while it is in the cache. Each block is run by the calls' own kernels, so the bits are the same; an
// intermediate that nobody reads again lies, by the plan, where its successor does, and never leaves the cache.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include "capture.h"
#include "elementwise.h"
#include "parallel.h"

namespace napier {

namespace {
constexpr int64_t kBlock = 4096;     // elements at a time: some ten operands fit a core's second cache
constexpr int64_t kMostBlock = 8192; // where rows must stay whole
constexpr int64_t kGrain = 32768;    // elements of a thread at a time, as of the kernels' own loops
constexpr size_t kWindow = 8;        // calls that one may be moved over
constexpr int kMostCalls = 16;

// Elements from which on calls run together: below 16384 all operands stay in the cache anyway. NAPIER_CHAIN_ELEMENTS says
// otherwise, by which tests reach chains with small tensors.
int64_t leastElements() {
  static const int64_t least = [] {
    const char* text = getenv("NAPIER_CHAIN_ELEMENTS");
    const long long n = text ? atoll(text) : 0;
    return n > 0 ? int64_t(n) : int64_t(16384);
  }();
  return least;
}

bool writes(Role role) { return role != Role::in && role != Role::none; }
} // namespace

// Whether the calls may change places.
bool Capture::independent(const Step& a, const Step& b) const {
  for (const Use& u : a.uses)
    for (const Use& v : b.uses)
      if (u.buffer == v.buffer && (writes(u.role) || writes(v.role))) return false;
  return true;
}

void Capture::findChains() {
  // The rows of a call that may be in a chain: all its operands are walked in order, or are smaller, and broadcast.
  auto fits = [](const Step& step, Rows& rows) {
    if (!rowsOf(step.name, step.arguments, rows)) return false;
    const int64_t n = step.arguments[0].buffer->count;
    if (n < leastElements() || rows.inner > kMostBlock) return false;
    for (size_t o = 1; o < step.arguments.size() && step.arguments[o].buffer; o++)
      if (step.arguments[o].buffer->count >= n && (o > 2 || rows.outer[o] != rows.inner || rows.step[o] != 1)) return false;
    return true;
  };
  auto shares = [](const Step& a, const Step& b, int64_t count) {
    for (const Use& u : a.uses)
      for (const Use& v : b.uses)
        if (u.buffer == v.buffer && u.buffer->count == count) return true;
    return false;
  };
  for (size_t first = 0; first < steps.size(); first++) {
    Chain chain{int(first), int(first), 0, 1, {Rows{}}, ""};
    if (!fits(steps[first], chain.rows[0])) continue;
    chain.count = steps[first].arguments[0].buffer->count;
    chain.block = chain.rows[0].inner;
    for (size_t at = first + 1; at < steps.size() && at - size_t(chain.last) <= kWindow; at++) {
      Rows rows;
      const Step& next = steps[at];
      if (chain.last - chain.first + 1 == kMostCalls || !fits(next, rows)) continue;
      const int64_t block = std::lcm(chain.block, rows.inner);
      bool joins = next.arguments[0].buffer->count == chain.count && block <= kMostBlock, related = false;
      for (int i = chain.first; i <= chain.last; i++) related |= shares(steps[size_t(i)], next, chain.count);
      for (size_t over = size_t(chain.last) + 1; over < at; over++) joins = joins && independent(steps[over], next);
      if (!joins || !related) continue;
      chain.block = block;
      chain.last++;
      chain.rows.push_back(rows);
      std::rotate(steps.begin() + chain.last, steps.begin() + long(at), steps.begin() + long(at) + 1);
    }
    if (chain.last == chain.first) continue;
    chain.block *= std::max<int64_t>(1, kBlock / chain.block);
    for (int i = chain.first; i <= chain.last; i++)
      chain.name += (i == chain.first ? "fused(" : ",") + std::string(steps[size_t(i)].name);
    chain.name += ")";
    first = size_t(chain.last);
    chains.push_back(std::move(chain));
  }
  // The calls that use each buffer, in their new order.
  for (auto& [buffer, how] : known) how.first = how.last = -1;
  for (size_t i = 0; i < steps.size(); i++)
    for (const Use& use : steps[i].uses) {
      Known& how = known.at(use.buffer);
      if (how.first < 0) how.first = int(i);
      how.last = int(i);
    }
}

void Capture::runChain(const Chain& chain, const std::vector<Prepared*>& calls, const Table& table) const {
  struct Work {
    const Chain& chain;
    const Table& table;
    std::vector<std::pair<const Prepared*, const Rows*>> calls;
  } work{chain, table, {}};
  for (int i = chain.first; i <= chain.last; i++)
    if (calls[size_t(i)]->begin()) work.calls.push_back({calls[size_t(i)], &chain.rows[size_t(i - chain.first)]});
  auto run = [](void* context, int64_t begin, int64_t end) {
    const Work& w = *static_cast<const Work*>(context);
    for (int64_t at = begin; at < end; at += w.chain.block) {
      const int64_t count = std::min(w.chain.block, end - at);
      for (auto [call, rows] : w.calls) call->part(w.table, *rows, at, count);
    }
  };
  parallelFor(chain.count, kGrain / chain.block * chain.block, run, &work);
}

} // namespace napier
