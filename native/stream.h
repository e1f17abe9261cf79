// The in-order queue of the CPU and the thread that runs it.
//
// Submitting costs a copy of the call into a ring slot. While the stream is idle, small calls run at once on the
// submitting thread (tiny models keep their latency); all else is queued (the event loop stays free). Either way ops
// take effect in the order of submission.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <new>
#include <type_traits>
#include <utility>
#include "buffer.h"

namespace napier {

// Who submits: one JavaScript environment. When it goes, its queued work is skipped.
struct Submitter {
  std::atomic<bool> cancelled{false};
  uint64_t lastPosition = 0;
  double inPlaceSpent = 0; // estimated ns on the submitting thread since the event loop last turned
};

class Stream {
public:
  static Stream& cpu(); // leaked: its thread runs until the process ends

  // Runs `call()` after everything submitted before. `cost` is its estimated time in nanoseconds on one thread, `bytes`
  // what it keeps pending. Blocks while the queue is full. Answers the call's position (0: it has already run). A call
  // with stamp(position) is told its own before anybody can run it.
  template <class Call> uint64_t submit(Call&& call, double cost, int64_t bytes, Submitter& who) {
    using Stored = std::decay_t<Call>;
    static_assert(sizeof(Stored) <= sizeof(Task::storage));
    if (runNow(call, cost, who)) return 0;
    std::unique_lock<std::mutex> lock(submitting);
    waitForSpace(bytes);
    Task& task = ring[tail.load(std::memory_order_relaxed) % kTasks];
    new (task.storage) Stored(std::forward<Call>(call));
    task.run = [](void* stored) { (*static_cast<Stored*>(stored))(); };
    task.drop = [](void* stored) { static_cast<Stored*>(stored)->~Stored(); };
    task.who = &who;
    task.bytes = bytes;
    if constexpr (requires(Stored & stored) { stored.stamp(uint64_t()); })
      std::launder(reinterpret_cast<Stored*>(task.storage))->stamp(position() + 1);
    return publish(who);
  }

  // Runs `call()` at once if it may run in place, as submit() says.
  template <class Call> bool runNow(Call&& call, double cost, Submitter& who) {
    if (!beginInPlace(cost, who)) return false;
    call();
    endInPlace();
    return true;
  }

  // Position of the last call submitted.
  uint64_t position() const { return tail.load(std::memory_order_acquire); }
  bool reached(uint64_t position) const { return completedPosition.load(std::memory_order_acquire) >= position; }
  void wait(uint64_t position);

  void setInPlaceOnly(bool on) { inPlaceOnly = on; }

private:
  static constexpr uint64_t kTasks = 1024;
  static constexpr int64_t kMostBytes = int64_t(4) << 30;
  // In place only small ops (ns), and only so many in a row until the event loop turns: otherwise a stream that never
  // fills would hold up the loop for the whole step (bench/experiments/RESULTS.md).
  static constexpr double kInPlaceCost = 50e3, kInPlaceRow = 2e6;

  struct Task {
    void (*run)(void*);
    void (*drop)(void*);
    Submitter* who;
    int64_t bytes;
    alignas(16) unsigned char storage[704];
  };

  Stream();
  bool beginInPlace(double cost, Submitter& who);
  void endInPlace();
  void waitForSpace(int64_t bytes);
  uint64_t publish(Submitter& who);
  void execute();

  Task* ring;
  std::mutex submitting; // one submitter fills a slot at a time
  std::mutex running;    // held by whoever runs kernels
  std::atomic<uint64_t> tail{0};
  std::atomic<int64_t> pendingBytes{0};
  std::mutex sleeping;
  std::condition_variable work, progress;
  std::atomic<int> parked{0}, waiters{0};
  bool inPlaceOnly = false;
};

} // namespace napier
