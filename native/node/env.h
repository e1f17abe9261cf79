// What belongs to one JavaScript environment (the main thread, each worker): its handles, its pending promises, and
// their end. Only this folder knows Node-API.
//
// A handle is what JavaScript holds: a number made of slot, environment and generation, so that a stale or foreign one
// never reaches a tensor. Each handle is tied to a JavaScript object by a weak reference; sweep() frees the handles
// whose object is gone (docs/architecture.md: finalizers never run inside synchronous code, weak references read empty
// there).
#pragma once
#include <cstdint>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>
#include <node_api.h>
#include "../capture.h"
#include "../stream.h"
#include "../watch.h"

namespace napier {

class Environment : public Submitter {
public:
  explicit Environment(napi_env env);
  static Environment& of(napi_env env);

  // ---- Handles
  double track(napi_value object, Buffer* buffer);     // takes the caller's reference; throws CallError
  Buffer* find(double handle, const char* what) const; // throws CallError
  Buffer* findOrNull(double handle) const;
  Buffer* findValue(double handle, const char* what) const;   // throws, too, for what only a captured step fills
  Buffer* findOperand(double handle, const char* what) const; // of a call: may be filled by the step that is recorded
  void free(double handle);
  // Frees the handles whose object is gone and answers how many. V8 promotes what survives two minor collections, so a
  // handle is visited until it has survived two sweeps; all: every handle, after a full collection.
  int64_t sweep(bool all);
  napi_value statsArray() const; // Float64Array, kept current (Stat below)
  void refreshStats();
  enum Stat { liveBytes, liveHandles, youngHandles, youngBytes, visitedHandles, kStats };

  // ---- Promises
  napi_value read(Buffer* buffer); // promise of an ArrayBuffer; rejects with the buffer's failure
  napi_value readSync(Buffer* buffer);
  void synchronize();   // blocks until everything submitted has run
  napi_value settled(); // promise: everything submitted so far has run

  napi_value newArrayBuffer(size_t bytes, void** memory, const char* what);

  // ---- Captured steps (capture.h)
  Capture* recording() const { return paused ? nullptr : open.get(); }
  Buffer* newBuffer(DType dtype, int64_t count); // without memory while recording
  void madeOutside(Buffer* buffer);              // has its value already, if a step is open
  void beginCapture();
  void pauseCapture(bool on);
  void abortCapture() { open.reset(), paused = false; }
  double endCapture(double shared); // answers the number of the captured step
  const Capture& captured(double number) const;
  Capture& openCapture(const char* what) const;
  void replay(double number, const double* numbers, size_t count);
  void freeCapture(double number) { captures.erase(number); }

  napi_env env;
  Watch watch;

private:
  struct Slot {
    Buffer* buffer;
    napi_ref weak;
    uint32_t generation;
  };
  // A promise on its way: settled on JavaScript's thread once the stream has passed it.
  struct Completion {
    napi_deferred deferred;
    napi_ref result; // strong; null for undefined
    std::shared_ptr<const Failure> failure;
  };

  void freeSlot(uint32_t index);
  void finish(Completion done); // any thread
  void settleFinished();
  void settle(const Completion& done, napi_value result); // null for undefined
  void addPending(int change);
  void tearDown();
  static void onFinished(napi_env env, napi_value, void* context, void*);

  uint32_t id;
  std::vector<Slot> slots;
  std::vector<uint32_t> freeSlots, young, middle; // middle: survived one sweep
  double* stats = nullptr;
  napi_ref statsRef = nullptr, allocateUncleared = nullptr;
  napi_threadsafe_function finishedFunction = nullptr;
  int pending = 0;
  std::mutex finishedMutex;
  std::vector<Completion> finished;
  std::unique_ptr<Capture> open; // being recorded
  bool paused = false;
  std::unordered_map<double, std::shared_ptr<Capture>> captures;
  double lastCapture = 0;
};

// Throws CallError with the name of the failed Node-API call.
void check(napi_status status, const char* what);
[[nodiscard]] napi_value throwError(napi_env env, const std::string& message);

} // namespace napier
