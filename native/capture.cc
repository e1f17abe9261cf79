#include "capture.h"
#include <algorithm>
#include "elementwise.h"
#include "plan.h"

namespace napier {

namespace {
// What stands for slot 0: the sum of two such numbers, or a product, is none.
constexpr int64_t kFirstScalar = int64_t(0x6E61706965720000); // "napier"
constexpr int64_t kMostScalars = 1 << 16;
constexpr int64_t kAlign = 64;
int64_t aligned(int64_t bytes) { return (std::max<int64_t>(bytes, 1) + kAlign - 1) / kAlign * kAlign; }
} // namespace

// A call's arguments once they were recorded.
class Capture::Replayer final : public Source {
public:
  Replayer(const std::vector<Given>& g, const double* n) : given(g), numbers(n) {}
  int count() const override { return int(given.size()); }
  double number(int i) override {
    const Given& g = given[size_t(i)];
    return g.slot >= 0 ? numbers[g.slot] : g.number;
  }
  Operand operand(int i) override { return {given[size_t(i)].buffer}; }
  void list(int i, std::vector<Operand>& into) override { into = given[size_t(i)].list; }

private:
  const std::vector<Given>& given;
  const double* numbers;
};

Capture::~Capture() {
  steps.clear();
  for (auto& [buffer, how] : known) release(buffer);
}

// ---- Recording

Capture::Known& Capture::know(Buffer* buffer, Kind kind) {
  auto [at, isNew] = known.try_emplace(buffer, Known{kind, int(known.size())});
  if (isNew) retain(buffer);
  return at->second;
}

Buffer* Capture::allocate(DType dtype, int64_t count) {
  Buffer* buffer = allocateLater(dtype, count);
  know(buffer, Kind::inside);
  return buffer;
}

void Capture::constant(Buffer* buffer) { know(buffer, Kind::constant); }

int64_t Capture::addScalar(double value) {
  if (int64_t(scalars.size()) >= kMostScalars) throw CallError("capture: more than 65,536 numbers that change");
  scalars.push_back(value);
  return kFirstScalar + int64_t(scalars.size()) - 1;
}

double Capture::scalar(int argument, int64_t bits) {
  int64_t slot = bits - kFirstScalar;
  if (slot < 0 || slot >= int64_t(scalars.size()))
    throw CallError("capture: argument " + std::to_string(argument) +
                    " was computed from a number that is read anew at each replay; compute it inside live()");
  pending.push_back({argument, int(slot)});
  return scalars[size_t(slot)];
}

void Capture::use(Buffer* buffer, Role role) {
  uses.push_back({buffer, role});
  Known& how = know(buffer, Kind::outside);
  int now = int(steps.size());
  if (how.first < 0) {
    how.first = now;
    how.readFirst = role != Role::out;
  }
  how.last = now;
}

namespace {
// A guard as a call: looked at, kept.
struct PreparedGuard final : Prepared {
  Guard guard;
  explicit PreparedGuard(const std::string& sentence) : guard(sentence) {}
  void run(const Table&, Watched*) override { guard(); }
};
} // namespace

void Capture::recordGuard(std::string sentence, const std::vector<Operand>& looked, const std::vector<Operand>& kept) {
  for (const Operand& o : looked) use(o.buffer, Role::in);
  for (const Operand& o : kept) use(o.buffer, Role::inout);
  sentences.push_back(std::move(sentence));
  Prepare prepare = [](const void* op, Source& source) -> std::unique_ptr<Prepared> {
    auto guard = std::make_unique<PreparedGuard>(*static_cast<const std::string*>(op));
    std::vector<Operand> looked, kept;
    source.list(0, looked);
    source.list(1, kept);
    for (const Operand& o : looked) guard->guard.look(o.buffer);
    for (const Operand& o : kept) guard->guard.protect(o.buffer);
    return guard;
  };
  std::vector<Given> arguments(2);
  arguments[0].list = looked;
  arguments[1].list = kept;
  push({"guard", &sentences.back(), prepare, std::move(arguments), 0, false, std::move(uses), nullptr});
}

void Capture::push(Step step) {
  steps.push_back(std::move(step));
  uses.clear();
}

// ---- Planning

// What the step read and nobody holds any more was replaced inside it: JavaScript's part of that, the new tensor in the
// old one's place, would not happen at a replay.
void Capture::refuseReplaced() const {
  for (auto& [buffer, how] : known) {
    if (how.kind != Kind::outside || !how.readFirst || buffer->references.load() > 1) continue;
    throw CallError(std::string("capture: ") + steps[size_t(how.first)].name + " read a tensor of " +
                    std::to_string(buffer->count) +
                    " elements that the function then replaced by another; a replay would read the old one each time. "
                    "Change it in place (copy_, add_), or call zeroGrad() inside the function");
  }
}

// The operand whose memory the result of call i may take: it is of this step and was made before the result, so that it
// has its place by then (plan()), and nothing reads it afterwards.
const Buffer* Capture::takenBy(size_t i) const {
  const Step& step = steps[i];
  const int made = known.at(step.arguments[0].buffer).made;
  for (size_t argument = 1; argument < step.arguments.size(); argument++) {
    if (!mayTake(step.name, step.arguments, argument)) continue;
    const Buffer* x = step.arguments[argument].buffer;
    const Known& how = known.at(const_cast<Buffer*>(x));
    if (how.inBlock && how.last == int(i) && how.made < made) return x;
  }
  return nullptr;
}

// Offsets in the block; answers its bytes.
int64_t Capture::plan() {
  std::vector<std::pair<Buffer*, Known*>> pieces;
  for (auto& [buffer, how] : known) {
    how.inBlock = how.kind == Kind::inside && !buffer->data && how.first >= 0;
    if (how.inBlock) pieces.push_back({buffer, &how});
  }
  // In an order that does not depend on addresses: the same step has the same plan in every process.
  std::sort(pieces.begin(), pieces.end(), [](auto& a, auto& b) { return a.second->made < b.second->made; });
  std::unordered_map<const Buffer*, const Buffer*> takes;
  for (size_t i = 0; i < steps.size(); i++) {
    if (walkOf(steps[i].name) == Walk::none) continue;
    Buffer* y = steps[i].arguments[0].buffer;
    const Known& how = known.at(y);
    if (!how.inBlock || how.first != int(i)) continue;
    if (const Buffer* x = takenBy(i)) takes.emplace(y, x);
  }
  // Calls that run together count as one point in time: only `takes` may use memory again among them.
  std::vector<int> begin(steps.size()), end(steps.size());
  for (int i = 0; i < int(steps.size()); i++) begin[size_t(i)] = end[size_t(i)] = i;
  for (const Chain& chain : chains)
    for (int i = chain.first; i <= chain.last; i++) begin[size_t(i)] = chain.first, end[size_t(i)] = chain.last;
  std::vector<Lifetime> lifetimes;
  std::unordered_map<const Buffer*, size_t> placed;
  for (auto& [buffer, how] : pieces) {
    unplanned += aligned(buffer->bytes());
    auto taken = takes.find(buffer);
    if (taken == takes.end()) {
      placed[buffer] = lifetimes.size();
      lifetimes.push_back({aligned(buffer->bytes()), begin[size_t(how->first)], end[size_t(how->last)]});
    } else {
      const size_t place = placed.at(taken->second);
      placed[buffer] = place;
      lifetimes[place].last = end[size_t(how->last)];
    }
  }
  int64_t bytes = planMemory(lifetimes);
  for (auto& [buffer, how] : pieces) how->offset = lifetimes[placed.at(buffer)].offset;
  return bytes;
}

void Capture::finish(const Capture* shared) {
  refuseReplaced();
  findChains();
  for (auto& [buffer, how] : known) {
    if (how.kind != Kind::inside || buffer->references.load() == 1) continue;
    giveMemory(buffer);
    own += buffer->bytes();
  }
  int64_t bytes = plan();
  if (shared && shared->block && shared->block->bytes() >= bytes) block = shared->block;
  else if (bytes > 0) block = {allocateBuffer(DType::uint8, bytes, false), release};
  for (auto& [buffer, how] : known) {
    if (how.offset >= 0) buffer->data = static_cast<char*>(block->data) + how.offset;
    else if (buffer->data) lasting.push_back(buffer);
  }
  for (Step& step : steps) {
    if (step.changes) continue;
    Replayer arguments(step.arguments, nullptr);
    step.ready = step.prepare(step.op, arguments);
  }
}

// ---- Replaying

std::vector<std::unique_ptr<Prepared>> Capture::prepare(const double* numbers, size_t count) const {
  if (count != scalars.size())
    throw CallError("capture: expected " + std::to_string(scalars.size()) + " numbers for a replay, got " +
                    std::to_string(count));
  std::vector<std::unique_ptr<Prepared>> fresh;
  for (const Step& step : steps) {
    if (!step.changes) continue;
    Replayer arguments(step.arguments, numbers);
    fresh.push_back(step.prepare(step.op, arguments));
  }
  return fresh;
}

Capture::Companions Capture::watched(Watch& watch, const std::vector<std::unique_ptr<Prepared>>& fresh,
                                     int64_t entered) const {
  Companions all;
  if (!watch.on()) return all;
  uint32_t before = watch.where();
  size_t next = 0;
  for (const Step& step : steps) {
    const Prepared& call = step.changes ? *fresh[next++] : *step.ready;
    watch.enter(step.tag);
    all.push_back(watch.begin(step.name, call.flops(), call.bytes(), entered));
  }
  watch.enter(before);
  return all;
}

void Capture::run(const Table& table, const std::vector<std::unique_ptr<Prepared>>& fresh, const Companions& companions,
                  const Submitter& who) const {
  std::vector<Prepared*> calls;
  size_t next = 0;
  for (const Step& step : steps) calls.push_back(step.changes ? fresh[next++].get() : step.ready.get());
  auto chain = chains.begin();
  for (size_t i = 0; i < calls.size(); i++) {
    if (who.cancelled.load(std::memory_order_acquire)) return;
    if (!companions.empty()) {
      calls[i]->run(table, companions[i].get());
    } else if (chain != chains.end() && chain->first == int(i)) {
      runChain(*chain, calls, table);
      i = size_t(chain++->last);
    } else {
      calls[i]->run(table, nullptr);
    }
  }
}

void Capture::stamp(uint64_t position) const {
  for (Buffer* buffer : lasting) buffer->lastUse.store(position, std::memory_order_relaxed);
  if (block) block->lastUse.store(position, std::memory_order_relaxed);
}

Capture::Memory Capture::memory() const {
  int64_t calls = int64_t(steps.size());
  for (const Chain& chain : chains) calls -= chain.last - chain.first;
  return {calls, int64_t(scalars.size()), block ? block->bytes() : 0, unplanned, own};
}

std::vector<std::string> Capture::names() const {
  std::vector<std::string> all;
  auto chain = chains.begin();
  for (size_t i = 0; i < steps.size(); i++) {
    if (chain == chains.end() || chain->first != int(i)) {
      all.push_back(steps[i].name);
    } else {
      all.push_back(chain->name);
      i = size_t(chain++->last);
    }
  }
  return all;
}

} // namespace napier
