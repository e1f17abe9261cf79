// Experiment `executor`: an in-order queue with an executor thread and one helper, beside the JavaScript thread.
//
// Ops are counted loops cut into chunks of about 10 us. Fork/join is by chunk claiming: the job word is
// [epoch | chunks left]; the caller and the helper claim by compare-and-swap, so the caller waits only for chunks
// that the helper has really claimed, never for a helper that has not started. The executor (waiting for work), the
// helper (waiting for a job) and the caller (waiting for the helper's last chunk) spin, then park on a futex.
// `executor.mjs` drives it.
#define NAPI_VERSION 8
#include <node_api.h>

#include <linux/futex.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <climits>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

std::atomic<int64_t> executorSpin{50000}, helperSpin{50000}, joinSpin{20000};  // ns before parking
std::atomic<bool> yieldInSpin{false};

void pause() { __builtin_ia32_pause(); }

// A futex word with a count of sleepers: signal() costs one fence and one load when nobody sleeps.
struct Gate {
  std::atomic<uint32_t> word{0};
  std::atomic<uint32_t> sleepers{0};

  template <class Ready> void wait(int64_t spinNs, Ready ready) {
    if (ready()) return;
    if (spinNs > 0) {
      const auto end = Clock::now() + std::chrono::nanoseconds(spinNs);
      const bool yields = yieldInSpin.load(std::memory_order_relaxed);
      do {
        for (int i = 0; i < 16; i++) {
          if (ready()) return;
          pause();
        }
        if (yields) sched_yield();
      } while (Clock::now() < end);
    }
    sleepers.fetch_add(1, std::memory_order_seq_cst);
    for (;;) {
      const uint32_t seen = word.load(std::memory_order_seq_cst);
      if (ready()) break;
      syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, nullptr, nullptr, 0);
    }
    sleepers.fetch_sub(1, std::memory_order_seq_cst);
  }

  void signal() {
    std::atomic_thread_fence(std::memory_order_seq_cst);
    if (sleepers.load(std::memory_order_seq_cst) == 0) return;
    word.fetch_add(1, std::memory_order_seq_cst);
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, INT_MAX, nullptr, nullptr, 0);
  }
};

// ------------------------------------------------------------------ the pool: one caller at a time, one helper

std::atomic<uint64_t> job{0};     // [epoch : 32 | chunks left : 32]; 0 left means closed
std::atomic<int64_t> jobWork{0};  // loop count of a chunk, stable from a claim until `claimedDone` is counted
alignas(64) std::atomic<uint32_t> helperDone{0};
Gate helperGate, joinGate;
std::atomic<bool> stopping{false};
std::atomic<uint64_t> helperChunks{0};
std::thread helper;

// Eight independent chains of multiply-adds; the result is kept so that the loop is not removed.
void work(int64_t n) {
  float a[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  for (int64_t i = 0; i < n; i++)
    for (float& x : a) x = x * 0.999f + 0.001f;
  for (float& x : a) asm volatile("" ::"x"(x));
}

bool claim(uint32_t epoch) {
  uint64_t w = job.load(std::memory_order_acquire);
  while (static_cast<uint32_t>(w >> 32) == epoch && static_cast<uint32_t>(w) != 0)
    if (job.compare_exchange_weak(w, w - 1, std::memory_order_acq_rel, std::memory_order_acquire)) return true;
  return false;
}

void helperMain() {
  while (!stopping) {
    helperGate.wait(helperSpin.load(std::memory_order_relaxed),
                    [] { return stopping || static_cast<uint32_t>(job.load(std::memory_order_acquire)) != 0; });
    const uint32_t epoch = static_cast<uint32_t>(job.load(std::memory_order_acquire) >> 32);
    while (claim(epoch)) {
      work(jobWork.load(std::memory_order_relaxed));
      helperChunks.fetch_add(1, std::memory_order_relaxed);
      helperDone.fetch_add(1, std::memory_order_seq_cst);
      joinGate.signal();
    }
  }
}

void parallel(uint32_t chunks, int64_t workPerChunk, bool useHelper) {
  if (!useHelper || chunks < 2) {
    for (uint32_t i = 0; i < chunks; i++) work(workPerChunk);
    return;
  }
  static uint32_t epoch = 0;
  epoch++;
  jobWork.store(workPerChunk, std::memory_order_relaxed);
  helperDone.store(0, std::memory_order_relaxed);
  job.store(static_cast<uint64_t>(epoch) << 32 | chunks, std::memory_order_seq_cst);
  helperGate.signal();
  uint32_t mine = 0;
  while (claim(epoch)) {
    work(workPerChunk);
    mine++;
  }
  joinGate.wait(joinSpin.load(std::memory_order_relaxed),
                [=] { return helperDone.load(std::memory_order_acquire) == chunks - mine; });
}

// ------------------------------------------------------------------ the queue: JavaScript pushes, the executor pops

struct Op {
  uint32_t chunks;  // 0: a completion to report
  int64_t work;
};

constexpr uint64_t kCapacity = 1024;
Op ring[kCapacity];
alignas(64) std::atomic<uint64_t> head{0};  // written by JavaScript
alignas(64) std::atomic<uint64_t> tail{0};  // written by the executor, after an op has run
Gate workGate, spaceGate;
std::thread executor;
napi_threadsafe_function completed = nullptr;
std::mutex poolLock;  // held while running ops; in place only by try_lock
uint64_t depth = kCapacity;
uint64_t ranInPlace = 0;

void executorMain() {
  for (;;) {
    const uint64_t t = tail.load(std::memory_order_relaxed);
    workGate.wait(executorSpin.load(std::memory_order_relaxed),
                  [=] { return stopping || head.load(std::memory_order_acquire) != t; });
    if (stopping) return;
    const Op op = ring[t % kCapacity];
    if (op.chunks) {
      std::lock_guard<std::mutex> hold(poolLock);
      parallel(op.chunks, op.work, true);
    } else {
      napi_call_threadsafe_function(completed, nullptr, napi_tsfn_nonblocking);
    }
    tail.store(t + 1, std::memory_order_release);
    spaceGate.signal();
  }
}

void push(Op op) {
  const uint64_t h = head.load(std::memory_order_relaxed);
  if (h - tail.load(std::memory_order_acquire) >= depth)
    spaceGate.wait(20000, [=] { return h - tail.load(std::memory_order_acquire) < depth; });
  ring[h % kCapacity] = op;
  head.store(h + 1, std::memory_order_release);
  workGate.signal();
}

// ------------------------------------------------------------------ bindings

template <size_t N> void numbers(napi_env env, napi_callback_info info, double (&out)[N]) {
  size_t argc = N;
  napi_value argv[N];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  for (size_t i = 0; i < N; i++) napi_get_value_double(env, argv[i], &out[i]);
}

// queue(chunks, work)
napi_value queue(napi_env env, napi_callback_info info) {
  double a[2];
  numbers(env, info, a);
  push({static_cast<uint32_t>(a[0]), static_cast<int64_t>(a[1])});
  return nullptr;
}

// inPlace(chunks, work): on this thread, with the helper
napi_value inPlace(napi_env env, napi_callback_info info) {
  double a[2];
  numbers(env, info, a);
  parallel(static_cast<uint32_t>(a[0]), static_cast<int64_t>(a[1]), true);
  return nullptr;
}

// hybrid(chunks, work, most): in place if everything queued has run and the op has at most `most` chunks
napi_value hybrid(napi_env env, napi_callback_info info) {
  double a[3];
  numbers(env, info, a);
  const Op op{static_cast<uint32_t>(a[0]), static_cast<int64_t>(a[1])};
  if (op.chunks <= a[2] && head.load(std::memory_order_relaxed) == tail.load(std::memory_order_acquire) &&
      poolLock.try_lock()) {
    parallel(op.chunks, op.work, true);
    poolLock.unlock();
    ranInPlace++;
  } else {
    push(op);
  }
  return nullptr;
}

// complete(): reports to the function given to start once everything queued so far has run
napi_value complete(napi_env, napi_callback_info) {
  push({0, 0});
  return nullptr;
}

// idle(): has everything queued run?
napi_value idle(napi_env env, napi_callback_info) {
  napi_value result;
  napi_get_boolean(env, head.load(std::memory_order_relaxed) == tail.load(std::memory_order_acquire), &result);
  return result;
}

// spin(executorNs, helperNs, joinNs, yieldInSpin, depth)
napi_value spin(napi_env env, napi_callback_info info) {
  double a[5];
  numbers(env, info, a);
  executorSpin = static_cast<int64_t>(a[0]);
  helperSpin = static_cast<int64_t>(a[1]);
  joinSpin = static_cast<int64_t>(a[2]);
  yieldInSpin = a[3] != 0;
  depth = a[4] > 0 ? static_cast<uint64_t>(a[4]) : kCapacity;
  return nullptr;
}

// counters(): ops run in place by hybrid(), chunks run by the helper
napi_value counters(napi_env env, napi_callback_info) {
  napi_value result, value;
  napi_create_array(env, &result);
  napi_create_double(env, static_cast<double>(ranInPlace), &value);
  napi_set_element(env, result, 0, value);
  napi_create_double(env, static_cast<double>(helperChunks.load()), &value);
  napi_set_element(env, result, 1, value);
  ranInPlace = 0;
  helperChunks = 0;
  return result;
}

// measure(work): ns of one chunk on this thread
napi_value measure(napi_env env, napi_callback_info info) {
  double a[1];
  numbers(env, info, a);
  const auto start = Clock::now();
  work(static_cast<int64_t>(a[0]));
  napi_value result;
  napi_create_double(env, static_cast<double>((Clock::now() - start).count()), &result);
  return result;
}

// start(function called at each completion); stop()
napi_value start(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1], name;
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  napi_create_string_utf8(env, "completed", NAPI_AUTO_LENGTH, &name);
  napi_create_threadsafe_function(env, argv[0], nullptr, name, 0, 1, nullptr, nullptr, nullptr, nullptr, &completed);
  executor = std::thread(executorMain);
  helper = std::thread(helperMain);
  return nullptr;
}

napi_value stop(napi_env, napi_callback_info) {
  stopping = true;
  workGate.signal();
  helperGate.signal();
  executor.join();
  helper.join();
  napi_release_threadsafe_function(completed, napi_tsfn_release);
  return nullptr;
}

napi_value init(napi_env env, napi_value exports) {
#define EXPORT(f) {#f, nullptr, f, nullptr, nullptr, nullptr, napi_default, nullptr}
  const napi_property_descriptor list[] = {EXPORT(queue), EXPORT(inPlace),  EXPORT(hybrid),  EXPORT(complete),
                                           EXPORT(idle),  EXPORT(spin),     EXPORT(counters), EXPORT(measure),
                                           EXPORT(start), EXPORT(stop)};
  napi_define_properties(env, exports, sizeof list / sizeof *list, list);
  return exports;
}

}  // namespace

NAPI_MODULE(executor, init)
