// A step of calls that is recorded once and then replayed with one submission: no arguments cross from JavaScript but
// the numbers that change, and the memory of everything that lives within the step is planned beforehand.
//
// While an environment records, nothing runs and nothing is allocated: alloc() answers buffers without memory, calls are
// checked and kept with their arguments as they were given. finish() looks which of those buffers JavaScript still holds
// (they get memory of their own), finds the calls that run together, lays the other buffers into one block by their
// lifetimes, and prepares the calls.
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>
#include "call.h"
#include "stream.h"
#include "watch.h"

namespace napier {

// A call ready to run, whatever its op.
struct Prepared {
  virtual ~Prepared() = default;
  virtual void run(const Table& table, Watched* watched) = 0; // watched: null unless somebody watches
  virtual double flops() const { return 0; }
  virtual int64_t bytes() const { return 0; }
  // run() in parts, of an elementwise call: see call.h.
  virtual bool begin() { return false; }
  virtual void part(const Table&, const Rows&, int64_t, int64_t) const {}
};
template <class DTypes, class Sig> struct PreparedCall final : Prepared {
  Call<DTypes, Sig> call;
  PreparedCall(const OpInfo<Sig>& op, Source& source) : call(op, source) {}
  void run(const Table& table, Watched* watched) override {
    if (watched) watched->run(call, table);
    else call.run(table);
  }
  double flops() const override { return call.flops(); }
  int64_t bytes() const override { return call.bytes(); }
  bool begin() override { return call.begin(); }
  void part(const Table& table, const Rows& rows, int64_t begin, int64_t count) const override {
    call.part(table, rows, begin, count);
  }
};
using Prepare = std::unique_ptr<Prepared> (*)(const void* op, Source& source);

// One argument as it was given.
struct Given {
  double number = 0;
  int slot = -1; // of the numbers that change; -1: it stays
  Buffer* buffer = nullptr;
  std::vector<Operand> list;
};

class Capture {
public:
  Capture() = default;
  Capture(const Capture&) = delete;
  ~Capture();

  // ---- Recording, by the thread of the environment that records
  Buffer* allocate(DType dtype, int64_t count); // carries a reference for the caller
  // A buffer that has its value already: made of host data, or by calls that are not part of the step.
  void constant(Buffer* buffer);
  // A number that changes, with its value now; answers what stands for it among a call's arguments.
  int64_t addScalar(double value);
  double scalar(int argument, int64_t bits);
  bool holds(const Buffer* buffer) const { return known.count(const_cast<Buffer*>(buffer)) > 0; }
  // `tag`: where the submitting thread is (watch.h).
  template <class DTypes, class Sig> void record(const OpInfo<Sig>& op, Source& source, uint32_t tag = 0);
  void recordGuard(std::string sentence, const std::vector<Operand>& looked, const std::vector<Operand>& kept);

  // Plans the memory, inside `shared` where that is large enough: steps that never run at once may share theirs. Throws
  // CallError where the step read a tensor that it replaced.
  void finish(const Capture* shared);

  // ---- Replaying
  // The calls whose numbers change, with the numbers of this run. Throws CallError where they do not fit.
  std::vector<std::unique_ptr<Prepared>> prepare(const double* numbers, size_t count) const;
  using Companions = std::vector<std::unique_ptr<Watched>>;
  // One for each call, where `watch` is on; else none.
  Companions watched(Watch& watch, const std::vector<std::unique_ptr<Prepared>>& fresh, int64_t entered) const;
  // Runs everything, `fresh` being what prepare() gave; ends early where `who` is gone.
  void run(const Table& table, const std::vector<std::unique_ptr<Prepared>>& fresh, const Companions& companions,
           const Submitter& who) const;
  void stamp(uint64_t position) const; // of the buffers that outlive the step

  struct Memory {
    int64_t calls, numbers, plannedBytes, unplannedBytes, ownBytes;
  };
  Memory memory() const;
  // Names of the calls in order.
  std::vector<std::string> names() const;

private:
  enum class Kind : uint8_t { outside, constant, inside };
  struct Known {
    Kind kind;
    int made;                  // its place among what the step knows
    int first = -1, last = -1; // calls that use it
    bool readFirst = false;
    bool inBlock = false;
    int64_t offset = -1; // in the block
  };
  // What a call does to a buffer.
  struct Use {
    Buffer* buffer;
    Role role;
  };
  // Elementwise calls [first, last] of `count` elements, which run together through the cache.
  struct Chain {
    int first, last;
    int64_t count, block; // elements, and how many at a time: whole rows of every call
    std::vector<Rows> rows;
    std::string name;
  };
  struct Step {
    const char* name;
    const void* op;
    Prepare prepare;
    std::vector<Given> arguments;
    uint32_t tag;
    bool changes; // has numbers that change
    std::vector<Use> uses;
    std::unique_ptr<Prepared> ready;
  };
  class Recorder;
  class Replayer;

  Known& know(Buffer* buffer, Kind kind);
  void use(Buffer* buffer, Role role);
  void push(Step step);
  void refuseReplaced() const;
  bool independent(const Step& a, const Step& b) const;
  void findChains();
  void runChain(const Chain& chain, const std::vector<Prepared*>& calls, const Table& table) const;
  const Buffer* takenBy(size_t i) const;
  int64_t plan();

  std::vector<Step> steps;
  std::vector<Chain> chains; // in order
  std::vector<Use> uses;     // of the call that is being recorded
  std::unordered_map<Buffer*, Known> known; // each with a reference of ours
  std::deque<std::string> sentences; // of guards: their `op`
  std::vector<double> scalars;
  std::vector<std::pair<int, int>> pending; // argument and slot of the call that is being read
  std::shared_ptr<Buffer> block;            // where what lives inside the step lies
  std::vector<Buffer*> lasting;             // what outlives the step
  int64_t unplanned = 0, own = 0;
};

// Hands on what a source answers, and keeps it.
class Capture::Recorder final : public Source {
public:
  Recorder(Capture& c, Source& s) : capture(c), from(s), arguments(size_t(s.count())) {}
  int count() const override { return from.count(); }
  double number(int i) override {
    capture.pending.clear();
    double x = from.number(i);
    arguments[size_t(i)].number = x;
    for (auto [argument, slot] : capture.pending) arguments[size_t(argument)].slot = slot, changes = true;
    return x;
  }
  Operand operand(int i) override {
    Operand o = from.operand(i);
    arguments[size_t(i)].buffer = o.buffer;
    return o;
  }
  void list(int i, std::vector<Operand>& into) override {
    from.list(i, into);
    arguments[size_t(i)].list = into;
  }

  Capture& capture;
  Source& from;
  std::vector<Given> arguments;
  bool changes = false;
};

template <class DTypes, class Sig> void Capture::record(const OpInfo<Sig>& op, Source& source, uint32_t tag) {
  Recorder recorder(*this, source);
  Call<DTypes, Sig> call(op, recorder); // all the checks
  call.eachUse([&](Buffer* buffer, Role role) { use(buffer, role); });
  Prepare prepare = [](const void* o, Source& s) -> std::unique_ptr<Prepared> {
    return std::make_unique<PreparedCall<DTypes, Sig>>(*static_cast<const OpInfo<Sig>*>(o), s);
  };
  push({op.name, &op, prepare, std::move(recorder.arguments), tag, recorder.changes, std::move(uses), nullptr});
}

// One replay on its way through the stream.
struct Replay {
  std::shared_ptr<const Capture> capture;
  std::vector<std::unique_ptr<Prepared>> fresh;
  Capture::Companions companions;
  const Submitter* who;
  const Table& (*table)();
  void operator()() { capture->run(table(), fresh, companions, *who); }
  void stamp(uint64_t position) { capture->stamp(position); }
};

} // namespace napier
