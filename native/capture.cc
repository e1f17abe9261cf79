#include "capture.h"
#include <algorithm>
#include <cstring>

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
  auto [at, isNew] = known.try_emplace(buffer, Known{kind});
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
  push({"guard", &sentences.back(), prepare, std::move(arguments), 0, false, nullptr});
}

void Capture::push(Step step) { steps.push_back(std::move(step)); }

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

// Offsets in the block, by lifetimes: the largest first, each as low as what lives at the same time allows.
int64_t Capture::plan() {
  struct Piece {
    Buffer* buffer;
    Known* how;
    int64_t bytes;
  };
  std::vector<Piece> pieces;
  for (auto& [buffer, how] : known)
    if (how.kind == Kind::inside && !buffer->data && how.first >= 0)
      pieces.push_back({buffer, &how, aligned(buffer->bytes())});
  std::sort(pieces.begin(), pieces.end(), [](const Piece& a, const Piece& b) {
    if (a.bytes != b.bytes) return a.bytes > b.bytes;
    if (a.how->first != b.how->first) return a.how->first < b.how->first;
    return a.how->last < b.how->last;
  });
  int64_t top = 0;
  std::vector<const Piece*> placed; // by offset
  for (Piece& piece : pieces) {
    int64_t at = 0;
    for (const Piece* other : placed) {
      if (other->how->last < piece.how->first || piece.how->last < other->how->first) continue;
      if (at + piece.bytes <= other->how->offset) break;
      at = std::max(at, other->how->offset + other->bytes);
    }
    piece.how->offset = at;
    top = std::max(top, at + piece.bytes);
    unplanned += piece.bytes;
    placed.insert(std::upper_bound(placed.begin(), placed.end(), at,
                                   [](int64_t offset, const Piece* p) { return offset < p->how->offset; }),
                  &piece);
  }
  return top;
}

void Capture::finish(const Capture* shared) {
  refuseReplaced();
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
  size_t next = 0, at = 0;
  for (const Step& step : steps) {
    if (who.cancelled.load(std::memory_order_acquire)) return;
    Watched* watched = companions.empty() ? nullptr : companions[at++].get();
    (step.changes ? *fresh[next++] : *step.ready).run(table, watched);
  }
}

void Capture::stamp(uint64_t position) const {
  for (Buffer* buffer : lasting) buffer->lastUse.store(position, std::memory_order_relaxed);
  if (block) block->lastUse.store(position, std::memory_order_relaxed);
}

Capture::Memory Capture::memory() const {
  return {int64_t(steps.size()), int64_t(scalars.size()), block ? block->bytes() : 0, unplanned, own};
}

std::vector<std::string> Capture::names() const {
  std::vector<std::string> all;
  for (const Step& step : steps) all.push_back(step.name);
  return all;
}

} // namespace napier
