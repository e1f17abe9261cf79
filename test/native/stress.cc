#include "stress.h"
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include "../../native/call.h"
#include "../../native/cpu.h"
#include "../../native/parallel.h"
#include "../../native/stream.h"
#include "../../native/watch.h"

namespace napier::test {

namespace {

// Sanitizers and emulators run at a tenth of the speed.
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__) || !defined(__x86_64__)
constexpr int kRounds = 1;
#else
constexpr int kRounds = 10;
#endif

void expect(bool ok, const std::string& what) {
  if (!ok) throw std::runtime_error(what);
}

// Runs body(0) ... body(n - 1) on threads of their own; the first exception is thrown here.
void onThreads(int n, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  std::vector<std::exception_ptr> thrown(static_cast<size_t>(n));
  for (int t = 0; t < n; t++)
    threads.emplace_back([&, t] {
      try {
        body(t);
      } catch (...) {
        thrown[size_t(t)] = std::current_exception();
      }
    });
  for (auto& t : threads) t.join();
  for (auto& e : thrown)
    if (e) std::rethrow_exception(e);
}

// A small generator, so that a failure comes again.
struct Lcg {
  uint64_t state;
  uint32_t next(uint32_t below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return uint32_t(state >> 33) % below;
  }
};

// ---- The pool

template <class Body> void parallel(int64_t n, int64_t grain, const Body& body) {
  parallelFor(n, grain, [](void* ctx, int64_t begin, int64_t end) { (*static_cast<const Body*>(ctx))(begin, end); }, const_cast<Body*>(&body));
}

// Each element once, in chunks that start at multiples of the grain.
void visitOnce(int64_t n, int64_t grain) {
  std::vector<std::atomic<int>> visits(static_cast<size_t>(n));
  std::atomic<bool> cuts{true};
  parallel(n, grain, [&](int64_t begin, int64_t end) {
    if (begin % grain != 0 || (end != n && end != begin + grain) || end > n) cuts = false;
    for (int64_t i = begin; i < end; i++) visits[size_t(i)].fetch_add(1, std::memory_order_relaxed);
  });
  expect(cuts, "chunks are not cut at multiples of " + std::to_string(grain));
  for (auto& v : visits) expect(v == 1, "an element of " + std::to_string(n) + " was visited " + std::to_string(v) + " times");
}

void chunksOfAllSizes() {
  for (int threads : {1, 2, 4, 7}) {
    setThreadCount(threads);
    for (int64_t n : {0, 1, 2, 3, 7, 64, 1000})
      for (int64_t grain : {1, 2, 3, 8, 63, 64, 65, 999, 1000, 1001}) visitOnce(n, grain);
  }
}

// Jobs as short as a hand-over: late helpers meet the next job's fields.
void shortJobs() {
  setThreadCount(4);
  for (int i = 0; i < 3000 * kRounds; i++) {
    int64_t n = 1 + i % 7;
    std::atomic<int64_t> sum{0};
    parallel(n, 1, [&](int64_t begin, int64_t) { sum.fetch_add(begin + 1, std::memory_order_relaxed); });
    expect(sum == n * (n + 1) / 2, "a short job lost a chunk");
  }
}

void manyCallers() {
  setThreadCount(3);
  onThreads(4, [](int t) {
    Lcg random{uint64_t(t)};
    for (int i = 0; i < 100 * kRounds; i++) visitOnce(1 + random.next(300), 1 + random.next(40));
  });
}

void nested() {
  setThreadCount(4);
  std::atomic<int> inner{0};
  parallel(50, 1, [&](int64_t, int64_t) { parallel(20, 3, [&](int64_t begin, int64_t end) { inner += int(end - begin); }); });
  expect(inner == 1000, "a nested loop visited " + std::to_string(inner) + " elements of 1000");
}

void changingThreads() {
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (int i = 0; !done; i++) setThreadCount(1 + i % 5), std::this_thread::yield();
  });
  try {
    for (int i = 0; i < 50 * kRounds; i++) visitOnce(200, 3);
  } catch (...) {
    done = true;
    changer.join();
    throw;
  }
  done = true;
  changer.join();
  expect(threadCount() >= 1 && threadCount() <= 5, "threadCount() is " + std::to_string(threadCount()));
}

// What a chunk throws reaches the caller, wherever it ran; the next job is not disturbed.
void throwingChunks() {
  setThreadCount(4);
  for (int i = 0; i < 100 * kRounds; i++) {
    bool caught = false;
    try {
      parallel(16, 1, [&](int64_t begin, int64_t) {
        if (begin % 5 == i % 5) throw std::bad_alloc();
      });
    } catch (const std::bad_alloc&) {
      caught = true;
    }
    expect(caught, "the exception of a chunk was lost");
    visitOnce(16, 1);
  }
}

// ---- The stream

// Order within a submitter, in place and queued mixed; the executor alone or a submitter runs, never two.
void manySubmitters() {
  static std::atomic<int> inside;
  inside = 0;
  std::atomic<bool> overlap{false};
  onThreads(4, [&](int t) {
    Submitter who;
    Lcg random{uint64_t(t)};
    int made = 0, ran = 0; // ran: touched in stream order only
    bool ordered = true;
    for (int i = 0; i < 2000 * kRounds; i++) {
      int number = made++;
      Stream::cpu().submit(
          [&, number] {
            if (inside.fetch_add(1) != 0) overlap = true;
            if (ran++ != number) ordered = false;
            inside.fetch_sub(1);
          },
          random.next(3) ? 0 : 1e9, random.next(1000), who);
      if (random.next(50) == 0) who.inPlaceSpent = 0;
      if (random.next(500) == 0) Stream::cpu().wait(who.lastPosition);
    }
    Stream::cpu().wait(who.lastPosition);
    expect(ordered && ran == made, "submitter " + std::to_string(t) + ": " + std::to_string(ran) + " of " + std::to_string(made) + " calls ran in order");
  });
  expect(!overlap, "two calls ran at the same time");
}

// Calls that arrive, and waits that begin, in the moment in which the other side goes to sleep: each must be woken. (Under
// qemu 7.2 on x86 a store may pass a later load, whatever their order: a handshake of stores hangs here.)
void wakeUps() {
  Submitter who;
  Lcg random{1};
  std::atomic<int> ran{0};
  const int rounds = 3000;
  auto spin = [](uint32_t ns) {
    auto until = std::chrono::steady_clock::now() + std::chrono::nanoseconds(ns);
    while (std::chrono::steady_clock::now() < until) {}
  };
  for (int i = 0; i < rounds; i++) {
    // Both sides spin for 50 us before they sleep.
    spin(46'000 + random.next(12'000));
    Stream::cpu().submit([&, ns = 46'000 + random.next(12'000)] { spin(ns); ran++; }, 1e9, 0, who);
    Stream::cpu().wait(who.lastPosition);
  }
  expect(ran == rounds, std::to_string(ran) + " calls ran");
}

struct Counted {
  static std::atomic<int> alive;
  Counted() { alive++; }
  Counted(const Counted&) { alive++; }
  Counted(Counted&&) noexcept { alive++; }
  ~Counted() { alive--; }
};
std::atomic<int> Counted::alive{0};

// 512 KB of it, of the 1 MB that thread.h promises: on the caller, on every helper and on the executor.
__attribute__((noinline)) void useStack() {
  volatile char block[512 << 10];
  for (size_t i = 0; i < sizeof block; i += 1024) block[i] = 1;
}

void stackOfThreads() {
  setThreadCount(4);
  std::atomic<int> arrived{0};
  parallel(4, 1, [&](int64_t, int64_t) {
    arrived++;
    while (arrived < 4) std::this_thread::yield(); // a thread each
    useStack();
  });
  Submitter who;
  Stream::cpu().submit([] { useStack(); }, 1e9, 0, who);
  Stream::cpu().wait(who.lastPosition);
}

// A call that holds the stream until it is let go.
struct Gate {
  std::atomic<bool> open{false};
  void operator()() const {
    while (!open) std::this_thread::yield();
  }
};

void fullQueue() {
  Submitter who;
  Gate gate;
  std::atomic<int> ran{0};
  Stream::cpu().submit([&] { gate(); }, 1e9, 0, who);
  std::thread opener([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(30));
    gate.open = true;
  });
  for (int i = 0; i < 3000; i++) Stream::cpu().submit([&, counted = Counted()] { ran++; }, 1e9, 0, who); // 1024 fit
  Stream::cpu().wait(who.lastPosition);
  opener.join();
  expect(ran == 3000, std::to_string(ran) + " of 3000 calls ran");
  expect(Counted::alive == 0, "calls were not destroyed");
}

// More bytes than may be pending: submitting waits, also where the last call ends while it makes up its mind, and one call
// larger than the limit still passes.
void fullOfBytes() {
  Submitter who;
  std::atomic<int> ran{0};
  const int calls = 200'000 * kRounds;
  for (int i = 0; i < calls; i++) {
    // Calls of 0 to some 300 ns: the last one ends anywhere in the next one's look at the queue.
    Stream::cpu().submit(
        [&, turns = i % 256] {
          for (int t = 0; t < turns; t++) asm volatile("" ::: "memory");
          ran++;
        },
        1e9, int64_t(3) << 30, who);
  }
  Stream::cpu().submit([&] { ran++; }, 1e9, int64_t(1) << 40, who);
  Stream::cpu().wait(who.lastPosition);
  expect(ran == calls + 1, std::to_string(ran) + " of " + std::to_string(calls + 1) + " calls ran");
}

// What environment teardown does: queued work is skipped and destroyed, and afterwards the submitter may go.
void cancellation() {
  for (int i = 0; i < 10 * kRounds; i++) {
    Gate gate;
    std::atomic<int> ran{0}, others{0};
    auto doomed = std::make_unique<Submitter>();
    Submitter other;
    Stream::cpu().submit([&] { gate(); }, 1e9, 0, *doomed);
    for (int c = 0; c < 200; c++) {
      Stream::cpu().submit([&, counted = Counted()] { ran++; }, 1e9, 0, *doomed);
      Stream::cpu().submit([&] { others++; }, 1e9, 0, other);
    }
    doomed->cancelled.store(true, std::memory_order_release);
    gate.open = true;
    Stream::cpu().wait(doomed->lastPosition);
    doomed.reset();
    Stream::cpu().wait(other.lastPosition);
    expect(ran == 0, std::to_string(ran) + " calls of a cancelled submitter ran");
    expect(others == 200, "another submitter lost calls");
    expect(Counted::alive == 0, "calls of a cancelled submitter were not destroyed");
  }
}

// ---- Buffers

// A call that adds the numbers of a buffer, as kernels hold their operands: by address, stamped, not counted.
struct Adds {
  Buffer* buffer;
  std::atomic<int64_t>* sum;
  void operator()() const {
    const int32_t* x = static_cast<const int32_t*>(buffer->data);
    for (int64_t i = 0; i < buffer->count; i++) sum->fetch_add(x[i], std::memory_order_relaxed);
  }
  void stamp(uint64_t position) { buffer->lastUse.store(position, std::memory_order_relaxed); }
};

// The host fills a buffer, a queued call reads it, the host frees it and fills the next: the free lists must not hand
// the memory out while the call is pending, whoever else submits.
void hostWritesWhileQueued() {
  MemoryStats before = memoryStats();
  onThreads(3, [](int t) {
    Submitter who;
    Lcg random{uint64_t(t)};
    std::atomic<int64_t> sum{0};
    int64_t expected = 0;
    for (int i = 0; i < 1500 * kRounds; i++) {
      int64_t n = 1 + random.next(40);
      Buffer* b = allocateBuffer(DType::int32, n, true);
      int32_t value = int32_t(random.next(1000));
      for (int64_t e = 0; e < n; e++) static_cast<int32_t*>(b->data)[e] = value;
      expected += n * value;
      Stream::cpu().submit(Adds{b, &sum}, random.next(2) ? 0 : 1e9, b->bytes(), who);
      release(b);
      if (random.next(400) == 0) emptyCache();
    }
    Stream::cpu().wait(who.lastPosition);
    expect(sum == expected, "a queued call read what a later upload wrote");
  });
  expect(memoryStats().liveBytes == before.liveBytes, "live bytes grew");
}

void hugeAllocations() {
  for (int64_t count : {int64_t(-1), int64_t(1) << 62, INT64_MAX, INT64_MIN, int64_t(1) << 45}) {
    bool refused = false;
    try {
      release(allocateBuffer(DType::float64, count, false));
    } catch (const std::bad_alloc&) {
      refused = true;
    }
    expect(refused, "a buffer of " + std::to_string(count) + " elements was made");
  }
}

void scratch() {
  onThreads(4, [](int t) {
    Lcg random{uint64_t(t)};
    std::vector<std::pair<unsigned char*, size_t>> held;
    auto give = [&] {
      auto [p, bytes] = held.back();
      held.pop_back();
      for (size_t i = 0; i < bytes; i++) expect(p[i] == (unsigned char)(bytes + size_t(t)), "scratch memory was handed out twice");
      scratchFree(p);
    };
    for (int i = 0; i < 300 * kRounds; i++) {
      size_t bytes = random.next(5000);
      auto* p = static_cast<unsigned char*>(scratchAlloc(bytes));
      expect(p && reinterpret_cast<uintptr_t>(p) % 64 == 0, "scratch memory is not aligned");
      memset(p, int((bytes + size_t(t)) & 255), bytes);
      held.push_back({p, bytes});
      while (held.size() > random.next(8)) give();
    }
    while (!held.empty()) give();
  });
}

// ---- Ops

// Operands and numbers in order.
struct Arguments final : Source {
  struct One { Buffer* buffer; double value; };
  std::vector<One> all;
  explicit Arguments(std::vector<One> a) : all(std::move(a)) {}
  int count() const override { return int(all.size()); }
  double number(int i) override { return all[size_t(i)].value; }
  Operand operand(int i) override { return {all[size_t(i)].buffer}; }
  void list(int, std::vector<Operand>&) override { throw CallError("no lists here"); }
};

template <class Op> struct Queued {
  Call<typename Op::DTypes, typename Op::Signature> call;
  void operator()() { call.run(cpuTable()); }
  void stamp(uint64_t position) { call.stamp(position); }
};
template <class Op> void submit(Submitter& who, double cost, std::vector<Arguments::One> arguments) {
  Arguments source{std::move(arguments)};
  Stream::cpu().submit(Queued<Op>{{Op::info, source}}, cost, 0, who);
}

// Chains of additions from several threads, each freeing what it no longer needs while it is still queued.
void opsFromManyThreads() {
  cpuTable();
  setThreadCount(2);
  onThreads(4, [](int t) {
    Submitter who;
    Lcg random{uint64_t(t)};
    for (int round = 0; round < 10 * kRounds; round++) {
      int64_t n = 1 + random.next(3000);
      Buffer* x = allocateBuffer(DType::float32, n, true);
      for (int64_t i = 0; i < n; i++) static_cast<float*>(x->data)[i] = 1;
      int doublings = int(random.next(20));
      for (int d = 0; d < doublings; d++) {
        Buffer* y = allocateBuffer(DType::float32, n, false);
        submit<Op_add>(who, random.next(2) ? 0 : 1e9, {{y, 0}, {x, 0}, {x, 0}, {nullptr, 1}, {nullptr, double(n)}, {nullptr, 1}, {nullptr, 1}});
        release(x);
        x = y;
      }
      Stream::cpu().wait(who.lastPosition);
      for (int64_t i = 0; i < n; i++) expect(static_cast<float*>(x->data)[i] == float(1 << doublings), "a chain of additions went wrong");
      release(x);
    }
  });
}

// Each thread watches its own calls; a doubling too many is found, fails its result, and a guard passes that on.
void watchedFromManyThreads() {
  onThreads(4, [](int t) {
    struct WatchedCall {
      Queued<Op_add> queued;
      std::unique_ptr<Watched> watched;
      void operator()() {
        if (watched) watched->run(queued.call, cpuTable());
        else queued();
      }
      void stamp(uint64_t position) { queued.stamp(position); }
    };
    Submitter who;
    Watch watch;
    Lcg random{uint64_t(t)};
    for (int round = 0; round < 5 * kRounds; round++) {
      int64_t n = 1 + random.next(3000), calls = 20 + random.next(3000), most = 1500;
      bool overflows = random.next(2);
      watch.set(Watch::times | Watch::bad | Watch::infinitiesToo, most);
      watch.enter(uint32_t(random.next(2)));
      Buffer *x = allocateBuffer(DType::float32, n, true), *y = allocateBuffer(DType::float32, n, true);
      for (int64_t i = 0; i < n; i++) static_cast<float*>(x->data)[i] = overflows && i == n / 2 ? 3e38f : 0;
      for (int64_t c = 0; c < calls; c++) {
        watch.nextShapes("[a]|[b]|[c]");
        auto watched = watch.begin("add", 0, n * 12, monotonicNanoseconds());
        Arguments source{{{y, 0}, {x, 0}, {x, 0}, {nullptr, 1}, {nullptr, double(n)}, {nullptr, 1}, {nullptr, 1}}};
        Stream::cpu().submit(WatchedCall{{{Op_add::info, source}}, std::move(watched)}, random.next(2) ? 0 : 1e9, 0, who);
      }
      Guard guard("guarded");
      guard.look(x);
      guard.protect(x);
      guard.look(y);
      guard.protect(y);
      Stream::cpu().submit(std::move(guard), 1e9, 0, who);
      Stream::cpu().wait(who.lastPosition);
      expect(watch.records() == std::min(calls, most) && watch.dropped == std::max<int64_t>(0, calls - most), "records were lost in silence");
      int64_t before = 0;
      for (int64_t i = 0; i < watch.records(); i++) {
        const CallRecord& r = watch.record(i);
        expect(r.submitted <= r.start && r.start <= r.end && before <= r.start, "times are out of order");
        before = r.end;
      }
      auto found = watch.takeFinding();
      expect((found != nullptr) == overflows, "the finder was wrong");
      auto why = y->whyFailed();
      expect((why != nullptr) == overflows && !watch.takeFinding(), "a result that went wrong did not fail");
      if (found) expect(why->message == found->message && found->message.find("its result [a] holds 0 NaN and 1 infinite") != std::string::npos, "unexpected finding: " + found->message);
      expect((x->whyFailed() != nullptr) == overflows, "the guard did not pass the failure on");
      watch.set(0, 0); // so that the next round's records begin anew
      release(x);
      release(y);
    }
  });
}

// A bad label fails the loss; what reads it is skipped and fails too; in place it is left alone; the cause is kept.
void failuresTravel() {
  Submitter who;
  auto make = [](DType dtype, int64_t n) {
    Buffer* b = allocateBuffer(dtype, n, true);
    memset(b->data, 0, size_t(b->bytes()));
    return b;
  };
  Buffer *x = make(DType::float32, 6), *labels = make(DType::int32, 2), *loss = make(DType::float32, 2), *sums = make(DType::float32, 2),
         *y = make(DType::float32, 2), *weights = make(DType::float32, 2);
  static_cast<int32_t*>(labels->data)[1] = 3;
  submit<Op_crossEntropy>(who, 0, {{loss, 0}, {sums, 0}, {x, 0}, {labels, 0}, {nullptr, -100}, {nullptr, 2}, {nullptr, 3}});
  submit<Op_relu>(who, 1e9, {{y, 0}, {loss, 0}, {nullptr, 2}});
  submit<Op_addInto>(who, 1e9, {{weights, 0}, {y, 0}, {nullptr, 1}, {nullptr, 2}});
  Stream::cpu().wait(Stream::cpu().position());
  auto why = y->whyFailed();
  expect(loss->whyFailed() && why && why == loss->whyFailed(), "the failure did not travel");
  expect(why->message.find("between 0 and 2, got 3 (at flat index 1)") != std::string::npos, "unexpected failure: " + why->message);
  expect(!weights->whyFailed(), "an in-place op with a failed input failed its weights");
  submit<Op_relu>(who, 0, {{y, 0}, {weights, 0}, {nullptr, 2}});
  Stream::cpu().wait(Stream::cpu().position());
  expect(!y->whyFailed(), "a written buffer still counts as failed");
  for (Buffer* b : {x, labels, loss, sums, y, weights}) release(b);
}

// A call that does not fit must be refused before anything runs.
void contractsRefuse() {
  Submitter who;
  Buffer *x = allocateBuffer(DType::float32, 4, true), *wide = allocateBuffer(DType::float64, 4, true);
  auto refused = [&](std::vector<Arguments::One> arguments) {
    try {
      submit<Op_relu>(who, 0, arguments);
    } catch (const CallError&) {
      return true;
    }
    return false;
  };
  for (double n : {3.0, 5.0, -1.0, 0.5, 1e300, double(NAN), double(INFINITY)}) expect(refused({{x, 0}, {x, 0}, {nullptr, n}}), "relu of 4 as " + std::to_string(n) + " elements");
  expect(refused({{x, 0}, {wide, 0}, {nullptr, 4}}), "relu of mixed dtypes");
  expect(refused({{x, 0}, {nullptr, 0}, {nullptr, 4}}), "relu of nothing");
  expect(refused({{x, 0}, {x, 0}}) && refused({{x, 0}, {x, 0}, {nullptr, 4}, {nullptr, 4}}), "relu of a wrong number of arguments");
  release(x);
  release(wide);
}

} // namespace

std::vector<Stress> stresses() {
  return {
      {"parallelFor: chunks of all sizes", chunksOfAllSizes},
      {"parallelFor: short jobs in a row", shortJobs},
      {"parallelFor: many callers", manyCallers},
      {"parallelFor: nested", nested},
      {"parallelFor: the thread count changes", changingThreads},
      {"parallelFor: chunks that throw", throwingChunks},
      {"parallelFor and stream: the stack that kernels have", stackOfThreads},
      {"stream: many submitters", manySubmitters},
      {"stream: wake-ups while the other side parks", wakeUps},
      {"stream: a full queue", fullQueue},
      {"stream: too many pending bytes", fullOfBytes},
      {"stream: cancellation", cancellation},
      {"buffers: host writes beside queued reads", hostWritesWhileQueued},
      {"buffers: impossible sizes", hugeAllocations},
      {"scratch: handed out once", scratch},
      {"ops: from many threads", opsFromManyThreads},
      {"ops: watched from many threads", watchedFromManyThreads},
      {"ops: failures travel", failuresTravel},
      {"ops: contracts refuse", contractsRefuse},
  };
}

} // namespace napier::test
