// The pool: threadCount() - 1 helpers that claim chunks of the one job that is running.
//
// A job is published as (epoch, next chunk) in one word. A helper claims chunk i by a compare-and-swap of that word, so
// a claim can only succeed while the job is running, and the caller waits for claimed chunks alone: a helper that has
// not started costs nothing. Helpers spin for a while after a job and then park: a futex wake-up costs 30-130 us, a
// spinning hand-over 0.1-0.8 us (docs/architecture.md). What a chunk throws (scratch memory that is not to be had)
// reaches the caller after the last claimed chunk.
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

struct Pool {
  std::mutex running;             // one job at a time: an executor, or JavaScript's thread in place
  std::atomic<uint64_t> claim{0}; // epoch << 32 | next chunk
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

  // Runs chunks of the current job until none is left.
  void work() {
    for (;;) {
      uint64_t seen = claim.load(std::memory_order_acquire);
      uint32_t chunk = uint32_t(seen);
      // Read before the claim: if it succeeds, the job was still this one. (Acquire: whoever sees a field of the next
      // job also sees that this one's word was closed before.)
      Body f = body.load(std::memory_order_acquire);
      void* ctx = context.load(std::memory_order_acquire);
      int64_t n = length.load(std::memory_order_acquire), g = grain.load(std::memory_order_acquire);
      if (chunk >= chunks.load(std::memory_order_acquire)) return;
      if (!claim.compare_exchange_weak(seen, seen + 1, std::memory_order_acq_rel)) continue;
      int64_t begin = int64_t(chunk) * g, end = begin + g < n ? begin + g : n;
      try {
        f(ctx, begin, end);
      } catch (...) {
        std::lock_guard<std::mutex> lock(failing);
        if (!thrown) thrown = std::current_exception();
      }
      finished.fetch_add(1, std::memory_order_release);
    }
  }

  void help(int index) {
    uint32_t epoch = 0;
    auto idleSince = Clock::now();
    for (int turn = 0;; turn++) {
      uint32_t now = uint32_t(claim.load(std::memory_order_acquire) >> 32);
      if (now != epoch && index < wanted.load(std::memory_order_relaxed)) {
        epoch = now;
        inside() = true;
        work();
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
        return uint32_t(claim.load(std::memory_order_seq_cst) >> 32) != epoch && index < wanted.load();
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
    // Close the word first: a helper that still holds the last job's word must not claim with this job's fields.
    uint64_t epoch = claim.load(std::memory_order_relaxed) >> 32;
    claim.exchange(epoch << 32 | 0xffffffffu, std::memory_order_seq_cst);
    body.store(f, std::memory_order_release);
    context.store(ctx, std::memory_order_release);
    length.store(n, std::memory_order_release);
    grain.store(g, std::memory_order_release);
    finished.store(0, std::memory_order_relaxed);
    chunks.store(uint32_t(count), std::memory_order_release);
    claim.exchange((epoch + 1) << 32, std::memory_order_seq_cst); // not a store: stream.cc says why
    if (parked.load(std::memory_order_seq_cst) > 0) {
      std::lock_guard<std::mutex> lock(parking);
      wake.notify_all();
    }
    inside() = true;
    work();
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
