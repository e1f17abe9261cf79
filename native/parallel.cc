// The pool: threadCount() - 1 helpers that claim chunks of the one job that is running.
//
// Each thread has a run of chunks of its own, the same of every job of as many chunks, and takes from the others' when it
// is through: so what it wrote in one job is near it in the next, which counts where cores do not share their caches (two
// threads of a product ran at half the speed while each met the panels that the other had packed). A run is published as
// (epoch, next chunk) in one word. A thread claims chunk i by a compare-and-swap of that word, so a claim can only succeed
// while the job is running, and the caller waits for claimed chunks alone: a helper that has not started costs nothing.
//
// Helpers spin for a while after a job and then park: a futex wake-up costs 30-130 us, a spinning hand-over 0.1-0.8 us
// (docs/architecture.md). What a chunk throws (scratch memory that is not to be had) reaches the caller after the last
// claimed chunk.
#include "parallel.h"
#include "thread.h"
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace napier {

namespace {

using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(50); // 200: +14 to 22 % where another process shares the cores

inline void relax() {
#ifdef __x86_64__
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

using Body = void (*)(void*, int64_t, int64_t);

constexpr int kMostRuns = 8; // more threads share them
constexpr uint32_t kClosed = 0xffffffffu;

struct alignas(64) Run {
  std::atomic<uint64_t> claim{kClosed}; // epoch << 32 | next chunk, or kClosed
};

struct Pool {
  std::mutex running; // one job at a time: an executor, or JavaScript's thread in place
  Run runs[kMostRuns];
  std::atomic<uint32_t> runCount{1}; // of this job; the others are closed
  std::atomic<uint32_t> chunks{0}, finished{0};
  std::atomic<Body> body{nullptr};
  std::atomic<void*> context{nullptr};
  std::atomic<int64_t> length{0}, grain{1};
  std::mutex failing;
  std::exception_ptr thrown; // the first that a chunk of this job threw

  std::mutex parking;
  std::condition_variable wake;
  std::atomic<int> parked{0};
  std::atomic<int> wanted{0}; // helpers that should exist
  int started = 0;

  // The first chunk of a run.
  static uint32_t startOf(uint64_t run, uint64_t runs, uint64_t chunks) { return uint32_t(chunks * run / runs); }

  // Runs chunks of the current job until none is left, first those of `thread`.
  void work(uint32_t thread) {
    const uint32_t count = runCount.load(std::memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
      const uint32_t run = (thread + i) % count;
      while (workOn(run)) {}
    }
  }

  // Runs the next chunk of a run: false if there is none.
  bool workOn(uint32_t run) {
    std::atomic<uint64_t>& claim = runs[run].claim;
    for (;;) {
      uint64_t seen = claim.load(std::memory_order_acquire);
      uint32_t chunk = uint32_t(seen);
      // Read before the claim: if it succeeds, the job was still this one. (Acquire: whoever sees a field of the next
      // job also sees that this one's words were closed before.)
      Body f = body.load(std::memory_order_acquire);
      void* ctx = context.load(std::memory_order_acquire);
      int64_t n = length.load(std::memory_order_acquire), g = grain.load(std::memory_order_acquire);
      uint32_t all = chunks.load(std::memory_order_acquire), count = runCount.load(std::memory_order_acquire);
      if (chunk >= startOf(run + 1, count, all)) return false;
      if (!claim.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      int64_t begin = int64_t(chunk) * g, end = begin + g < n ? begin + g : n;
      try {
        f(ctx, begin, end);
      } catch (...) {
        std::lock_guard<std::mutex> lock(failing);
        if (!thrown) thrown = std::current_exception();
      }
      finished.fetch_add(1, std::memory_order_release);
      return true;
    }
  }

  uint32_t epochNow(std::memory_order order) const { return uint32_t(runs[0].claim.load(order) >> 32); }

  void help(int index) {
    uint32_t epoch = 0;
    auto idleSince = Clock::now();
    for (int turn = 0;; turn++) {
      uint32_t now = epochNow(std::memory_order_acquire);
      if (now != epoch && index < wanted.load(std::memory_order_relaxed)) {
        epoch = now;
        inside() = true;
        work(uint32_t(index) + 1);
        inside() = false;
        idleSince = Clock::now();
        turn = 0;
        continue;
      }
      relax();
      if (turn % 64 != 63) continue;
      std::this_thread::yield();
      if (Clock::now() - idleSince < kSpin) continue;
      std::unique_lock<std::mutex> lock(parking);
      parked.fetch_add(1, std::memory_order_seq_cst);
      wake.wait(lock, [&] {
        return epochNow(std::memory_order_seq_cst) != epoch && index < wanted.load();
      });
      parked.fetch_sub(1, std::memory_order_seq_cst);
      idleSince = Clock::now();
    }
  }

  static bool& inside() {
    thread_local bool in = false;
    return in;
  }

  void run(int64_t n, int64_t g, Body f, void* ctx) {
    int64_t count = (n + g - 1) / g;
    if (count > int64_t(1) << 31) g = (n >> 30) + 1, count = (n + g - 1) / g;
    // Close the words first: a helper that still holds one of the last job must not claim with this job's fields.
    const uint64_t epoch = runs[0].claim.load(std::memory_order_relaxed) >> 32;
    const uint32_t before = runCount.load(std::memory_order_relaxed), threads = uint32_t(wanted.load()) + 1;
    const uint32_t now = threads < kMostRuns ? threads : kMostRuns;
    for (uint32_t i = 0; i < before; i++) runs[i].claim.exchange(epoch << 32 | kClosed, std::memory_order_seq_cst);
    body.store(f, std::memory_order_release);
    context.store(ctx, std::memory_order_release);
    length.store(n, std::memory_order_release);
    grain.store(g, std::memory_order_release);
    finished.store(0, std::memory_order_relaxed);
    chunks.store(uint32_t(count), std::memory_order_release);
    runCount.store(now, std::memory_order_release);
    // The first run last: it is the one that helpers watch. Not stores: stream.cc says why.
    for (uint32_t i = now; i-- > 0;)
      runs[i].claim.exchange((epoch + 1) << 32 | startOf(i, now, uint64_t(count)), std::memory_order_seq_cst);
    if (parked.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(parking);
      wake.notify_all();
    }
    inside() = true;
    work(0);
    inside() = false;
    for (int turn = 0; finished.load(std::memory_order_acquire) != uint32_t(count); turn++) {
      relax();
      if (turn % 1024 == 1023) std::this_thread::yield(); // the helper may have lost its core
    }
    if (std::exception_ptr error = std::exchange(thrown, nullptr)) std::rethrow_exception(error);
  }

  void start() {
    while (started < wanted.load()) {
      startThread([this, index = started] { help(index); });
      started++;
    }
  }
};

int initialThreads() {
  if (const char* text = getenv("NAPIER_THREADS")) {
    int n = atoi(text);
    if (n >= 1 && n <= 256) return n;
  }
  unsigned n = std::thread::hardware_concurrency();
  return n == 0 ? 1 : n > 256 ? 256 : int(n);
}

Pool& pool() {
  static Pool* p = [] { // leaked: helpers run until the process ends
    Pool* made = new Pool;
    made->wanted = initialThreads() - 1;
    return made;
  }();
  return *p;
}

} // namespace

void parallelFor(int64_t n, int64_t grain, void (*fn)(void* ctx, int64_t begin, int64_t end), void* ctx) {
  if (n <= 0) return;
  if (grain < 1) grain = 1; // a kernel that cuts too finely must not end the process
  Pool& p = pool();
  if (n <= grain || Pool::inside() || p.wanted.load(std::memory_order_relaxed) == 0) {
    // The same cuts as with helpers: results depend on the size alone.
    for (int64_t begin = 0; begin < n; begin += grain) fn(ctx, begin, begin + grain < n ? begin + grain : n);
    return;
  }
  std::lock_guard<std::mutex> lock(p.running);
  p.start();
  p.run(n, grain, fn, ctx);
}

int64_t streamBytes() {
  static const int64_t bytes = [] {
    const char* text = getenv("NAPIER_STREAM_BYTES");
    const long long n = text ? atoll(text) : 0;
    return n > 0 ? int64_t(n) : int64_t(8) << 20;
  }();
  return bytes;
}

int threadCount() { return pool().wanted.load() + 1; }

void setThreadCount(int threads) {
  Pool& p = pool();
  std::lock_guard<std::mutex> lock(p.running);
  p.wanted = threads - 1;
}

} // namespace napier
