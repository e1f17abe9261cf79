#include "stream.h"
#include "thread.h"
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <thread>
#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace napier {

// Two handshakes keep a wake-up from being lost: whoever makes something (a call, progress) publishes it and then looks
// whether the other side sleeps; whoever goes to sleep says so and then looks again. That a store comes before the load
// behind it is what both rest on, and so they are exchanges: on x86 the instruction of a seq_cst store anyway, and right
// under qemu 7.2 too, which lets a seq_cst store of arm64 pass a later load (1 in 3 of a litmus test's rounds).

namespace {
using Clock = std::chrono::steady_clock;
constexpr auto kSpin = std::chrono::microseconds(50);

inline void relax() {
#ifdef __x86_64__
  _mm_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

// Spins until `ready` or kSpin has passed.
template <class Ready> bool spinFor(Ready ready) {
  auto start = Clock::now();
  do {
    for (int i = 0; i < 32; i++) {
      if (ready()) return true;
      relax();
    }
    std::this_thread::yield(); // free on an idle core, and the fastest where another process wants it
  } while (Clock::now() - start < kSpin);
  return ready();
}
} // namespace

Stream& Stream::cpu() {
  static Stream* stream = new Stream;
  return *stream;
}

Stream::Stream() : ring(new Task[kTasks]) {
  const char* sync = getenv("NAPIER_SYNC");
  inPlaceOnly = sync && strcmp(sync, "0") != 0 && *sync;
  startThread([this] { execute(); });
}

bool Stream::beginInPlace(double cost, Submitter& who) {
  if (inPlaceOnly) {
    wait(position());
    running.lock();
    return true;
  }
  if (cost > kInPlaceCost || who.inPlaceSpent + cost > kInPlaceRow || !reached(position()) || !running.try_lock())
    return false;
  if (reached(position())) { // nobody queued in between
    who.inPlaceSpent += cost;
    return true;
  }
  running.unlock();
  return false;
}

void Stream::endInPlace() { running.unlock(); }

void Stream::waitForSpace(int64_t bytes) {
  uint64_t at = position();
  if (at >= kTasks) wait(at - kTasks + 1);
  for (;;) {
    // Read once: waiting for one call more than was seen to be done is waiting for one that was submitted.
    uint64_t done = completedPosition.load(std::memory_order_acquire);
    if (done >= at || pendingBytes.load() + bytes <= kMostBytes) return;
    wait(done + 1);
  }
}

uint64_t Stream::publish(Submitter& who) {
  uint64_t at = tail.load(std::memory_order_relaxed) + 1;
  pendingBytes.fetch_add(ring[(at - 1) % kTasks].bytes);
  who.lastPosition = at;
  tail.exchange(at, std::memory_order_seq_cst);
  if (parked.load(std::memory_order_seq_cst)) {
    std::lock_guard<std::mutex> lock(sleeping);
    work.notify_one();
  }
  return at;
}

void Stream::wait(uint64_t position) {
  if (spinFor([&] { return reached(position); })) return;
  std::unique_lock<std::mutex> lock(sleeping);
  waiters.fetch_add(1, std::memory_order_seq_cst);
  progress.wait(lock, [&] { return completedPosition.load(std::memory_order_seq_cst) >= position; });
  waiters.fetch_sub(1, std::memory_order_seq_cst);
}

void Stream::execute() {
  uint64_t head = 0;
  for (;;) {
    auto some = [&] { return tail.load(std::memory_order_acquire) != head; };
    if (!spinFor(some)) {
      std::unique_lock<std::mutex> lock(sleeping);
      parked.exchange(1, std::memory_order_seq_cst);
      work.wait(lock, [&] { return tail.load(std::memory_order_seq_cst) != head; });
      parked.store(0, std::memory_order_seq_cst);
    }
    std::lock_guard<std::mutex> lock(running);
    while (some()) {
      Task& task = ring[head % kTasks];
      if (!task.who->cancelled.load(std::memory_order_acquire)) task.run(task.storage);
      task.drop(task.storage);
      pendingBytes.fetch_sub(task.bytes);
      head++;
      completedPosition.exchange(head, std::memory_order_seq_cst);
      if (waiters.load(std::memory_order_seq_cst)) {
        std::lock_guard<std::mutex> sleep(sleeping);
        progress.notify_all();
      }
    }
  }
}

} // namespace napier
