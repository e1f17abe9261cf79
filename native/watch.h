// What can be watched of the calls of one JavaScript environment: when each ran (a profile), and which was the first whose
// result holds a NaN or an infinity although its inputs held none (the finder). Nothing is by default: a call then carries
// a null pointer.
//
// Where the submitting thread is (a module, forward or backward) is a number that JavaScript sets, the tag: twice the
// scope, plus one in backward. A scope has two names that JavaScript gave once, for both passes.
#pragma once
#include <array>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>
#include "call.h"

namespace napier {

int64_t monotonicNanoseconds();

// One call of a profile. The submitting thread makes it; whoever runs the call fills in the times.
struct CallRecord {
  const char* op;
  uint32_t tag;
  bool inPlace; // ran on the submitting thread
  double flops;
  int64_t bytes;                   // of all operands
  int64_t submitted, start, end;   // ns; end is 0 where the call was never run
  int64_t liveBefore, liveAfter;   // bytes of live buffers when it was submitted, and when it had run
};

// The first result that went wrong.
struct Finding {
  const char* op;
  uint32_t tag;
  std::string message;
};

struct Range {
  int64_t nan = 0, infinite = 0;
  double low = 0, high = 0; // of the finite elements
  bool any = false;         // whether there are such
};
bool isFloatingPoint(DType dtype);
// How many elements are NaN or, unless `nanOnly`, infinite; 0 for integers.
int64_t countBad(const View& view, bool nanOnly);
Range rangeOf(const View& view);

class Watch;

// A call's companion on its way through the stream.
class Watched {
public:
  Watched(Watch& watch, CallRecord* record, bool values, bool nanOnly, uint32_t tag, std::string where,
          std::string shapes)
      : watch(watch), record(record), values(values), nanOnly(nanOnly), tag(tag), where(std::move(where)),
        shapes(std::move(shapes)) {}

  template <class Call> void run(Call& call, const Table& table) {
    if (values) {
      clean = !call.hasBadNumber(nanOnly);
      call.operands([&](const View& view, Role role, int argument, int item) {
        operands.push_back({view, role, argument, item, {}});
      });
      lookBefore();
    }
    start();
    bool ran = call.run(table);
    stop();
    if (!values || !ran || !clean) return;
    if (auto why = lookAfter(call.name())) call.reject(why);
  }

private:
  struct Operand {
    View view;
    Role role;
    int argument, item; // item: its place in a list; -1: it is alone
    Range before;       // known early where the call may overwrite it
  };
  void start();
  void stop();
  void lookBefore();
  std::shared_ptr<const Failure> lookAfter(const char* op);
  bool isWritten(const void* data) const;
  std::string describe(const Operand& operand) const;

  Watch& watch;
  CallRecord* record; // null: not timed
  bool values, nanOnly, clean = true;
  uint32_t tag;
  std::string where, shapes;
  std::vector<Operand> operands;
};

class Watch {
public:
  enum Mode { times = 1, bad = 2, infinitiesToo = 4 };
  static constexpr uint32_t kScopes = 1u << 20;

  // The thread that submits calls all this; only `find` may come from the executor.
  bool on() const { return mode != 0; }
  bool timed() const { return mode & times; }
  void set(int modes, int64_t most); // turning `times` on forgets the records so far; at most `most` are kept
  uint32_t scope(std::string forward, std::string backward); // throws CallError where there are too many
  uint32_t where() const { return tag; }
  void enter(uint32_t tag);                // throws CallError for a scope that has no name
  void nextShapes(std::string text) { shapes = std::move(text); }

  std::unique_ptr<Watched> begin(const char* op, double flops, int64_t bytes, int64_t entered);
  void submitted(int64_t entered) { submittingTime += monotonicNanoseconds() - entered; }
  void waited(int64_t since) { waitingTime += monotonicNanoseconds() - since; }
  void allocated(int64_t bytes);

  void find(const char* op, uint32_t tag, std::string message); // keeps the first
  std::unique_ptr<Finding> takeFinding();

  int64_t records() const { return kept; }
  const CallRecord& record(int64_t i) const { return chunks[size_t(i / kChunk)][i % kChunk]; }
  void forget();

  // Of the last profile.
  int64_t began = 0, dropped = 0, submittingTime = 0, waitingTime = 0, liveAtStart = 0, peakBytes = 0;
  std::vector<double> allocatedByTag;
  const std::thread::id owner = std::this_thread::get_id();

private:
  static constexpr int64_t kChunk = 1024;
  int mode = 0;
  uint32_t tag = 0;
  int64_t kept = 0, most = 0;
  std::string shapes;
  std::vector<std::array<std::string, 2>> names{{"no module, forward", "no module, backward"}}; // by scope and pass
  std::vector<std::unique_ptr<CallRecord[]>> chunks;
  std::mutex finding;
  std::unique_ptr<Finding> first;
};

// Looks, when the stream comes to it, whether buffers hold finite values only; what it protects fails where they do not,
// or where one of either has failed before.
class Guard {
public:
  explicit Guard(std::string sentence) : why(std::make_shared<Failure>(Failure{std::move(sentence)})) {}
  void look(Buffer* buffer) { looked.push_back({buffer, {buffer->data, buffer->count, buffer->dtype}}); }
  void protect(Buffer* buffer) { kept.push_back(buffer); }
  double cost() const;
  void operator()();
  void stamp(uint64_t position);

private:
  struct Looked {
    Buffer* buffer;
    View view;
  };
  std::vector<Looked> looked;
  std::vector<Buffer*> kept;
  std::shared_ptr<const Failure> why;
};

} // namespace napier
