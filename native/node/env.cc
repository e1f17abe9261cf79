#include "env.h"
#include <cmath>
#include <cstring>
#ifndef _WIN32
#include <dlfcn.h>
#endif
#include "../cpu.h"

namespace napier {

namespace {
// handle = slot | environment << 22 | generation << 32, below 2^52.
constexpr int kSlotBits = 22, kEnvironmentBits = 10, kGenerationBits = 20;
constexpr uint32_t kSlots = 1u << kSlotBits, kGenerations = 1u << kGenerationBits;
constexpr uint32_t kEnvironments = 1u << kEnvironmentBits;

std::mutex identifying;
bool identified[kEnvironments];
uint32_t nextId = 0;

// The next number in turn that no live environment has: a dead one's handles stay foreign for a long time.
uint32_t takeId() {
  std::lock_guard<std::mutex> lock(identifying);
  for (uint32_t tries = 0; tries < kEnvironments; tries++) {
    uint32_t id = nextId++ % kEnvironments;
    if (identified[id]) continue;
    identified[id] = true;
    return id;
  }
  throw CallError("napier: more than " + std::to_string(kEnvironments) + " threads use it at once");
}
void returnId(uint32_t id) {
  std::lock_guard<std::mutex> lock(identifying);
  identified[id] = false;
}

// A worker closes the addons that it loaded when it ends, and the last one out would unmap the code that the executor
// and the pool still run.
void stayLoaded() {
#if defined(RTLD_NODELETE)
  Dl_info self;
  if (dladdr(reinterpret_cast<void*>(&stayLoaded), &self) && self.dli_fname)
    dlopen(self.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_NODELETE);
#endif
}

napi_value construct(napi_env env, const char* className, napi_value argument) {
  napi_value global, made, theClass;
  check(napi_get_global(env, &global), "finding the globals");
  check(napi_get_named_property(env, global, className, &theClass), "finding a class");
  check(napi_new_instance(env, theClass, 1, &argument, &made), "creating the statistics");
  return made;
}
} // namespace

void check(napi_status status, const char* what) {
  if (status != napi_ok)
    throw CallError(std::string("napier: ") + what + " failed (Node-API status " + std::to_string(int(status)) + ")");
}

napi_value throwError(napi_env env, const std::string& message) {
  napi_throw_error(env, nullptr, message.c_str());
  return nullptr;
}

Environment::Environment(napi_env e) : env(e), id(takeId()) {
  stayLoaded();
  // Shared memory, which JavaScript can neither transfer nor detach while this side writes to it.
  napi_value bytes, array, name, script, allocate;
  void* data;
  check(napi_create_double(env, kStats * sizeof(double), &bytes), "creating the statistics");
  array = construct(env, "Float64Array", construct(env, "SharedArrayBuffer", bytes));
  check(napi_get_typedarray_info(env, array, nullptr, nullptr, &data, nullptr, nullptr), "creating the statistics");
  stats = static_cast<double*>(data);
  check(napi_create_reference(env, array, 1, &statsRef), "keeping the statistics");
  constexpr const char* kAllocate =
      "(bytes) => bytes < 2 ** 31 ? Buffer.allocUnsafeSlow(bytes).buffer : new ArrayBuffer(bytes)";
  check(napi_create_string_utf8(env, kAllocate, NAPI_AUTO_LENGTH, &script), "creating a string");
  check(napi_run_script(env, script, &allocate), "making the function that allocates");
  check(napi_create_reference(env, allocate, 1, &allocateUncleared), "keeping the function that allocates");
  check(napi_create_string_utf8(env, "napier", NAPI_AUTO_LENGTH, &name), "creating a name");
  check(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr, this, onFinished,
                                        &finishedFunction),
        "creating the completion function");
  check(napi_unref_threadsafe_function(env, finishedFunction), "unreferencing the completion function");
  check(napi_add_env_cleanup_hook(
            env, [](void* self) { static_cast<Environment*>(self)->tearDown(); }, this),
        "adding the cleanup hook");
}

Environment& Environment::of(napi_env env) {
  void* data = nullptr;
  check(napi_get_instance_data(env, &data), "finding the environment");
  return *static_cast<Environment*>(data);
}

void Environment::tearDown() {
  cancelled.store(true, std::memory_order_release);
  Stream::cpu().wait(lastPosition); // the running kernel ends, the queued ones are skipped
  open.reset();
  captures.clear();
  for (auto& slot : slots)
    if (slot.buffer) release(slot.buffer);
  slots.clear();
  young.clear();
  middle.clear();
  returnId(id);
}

// ---- Handles

double Environment::track(napi_value object, Buffer* buffer) {
  napi_ref weak = nullptr;
  if (napi_create_reference(env, object, 0, &weak) != napi_ok) {
    release(buffer);
    throw CallError("napier: expected an object to tie the handle to");
  }
  uint32_t index;
  if (!freeSlots.empty()) {
    index = freeSlots.back();
    freeSlots.pop_back();
  } else {
    if (slots.size() >= kSlots) {
      napi_delete_reference(env, weak);
      release(buffer);
      throw CallError("napier: more than 4 million live tensors; use scope() or drop references");
    }
    index = uint32_t(slots.size());
    slots.push_back({nullptr, nullptr, 1}); // generations start at 1: no handle is 0
  }
  Slot& slot = slots[index];
  slot.buffer = buffer;
  slot.weak = weak;
  young.push_back(index);
  stats[liveHandles]++;
  stats[youngHandles]++;
  stats[youngBytes] += double(buffer->capacity);
  refreshStats();
  return double(uint64_t(index) | uint64_t(id) << kSlotBits | uint64_t(slot.generation) << 32);
}

Buffer* Environment::findOrNull(double handle) const {
  if (!(handle >= 0 && handle < 4503599627370496.0) || handle != std::floor(handle)) return nullptr;
  uint64_t bits = uint64_t(handle);
  uint32_t index = uint32_t(bits) & (kSlots - 1);
  if (index >= slots.size() || (uint32_t(bits) >> kSlotBits) != id) return nullptr;
  const Slot& slot = slots[index];
  return slot.generation == uint32_t(bits >> 32) ? slot.buffer : nullptr;
}

Buffer* Environment::find(double handle, const char* what) const {
  if (Buffer* b = findOrNull(handle)) return b;
  throw CallError(std::string(what) +
                  ": expected a live tensor of this thread, got a handle that was freed or belongs to another thread");
}

Buffer* Environment::findValue(double handle, const char* what) const {
  Buffer* b = find(handle, what);
  if (b->data) return b;
  throw CallError(std::string(what) +
                  ": this tensor has no value: it was made inside a captured function, which was still being recorded "
                  "or did not finish");
}

Buffer* Environment::findOperand(double handle, const char* what) const {
  if (const Capture* capture = recording()) {
    Buffer* b = find(handle, what);
    if (capture->holds(b)) return b;
  }
  return findValue(handle, what);
}

void Environment::freeSlot(uint32_t index) {
  Slot& slot = slots[index];
  napi_delete_reference(env, slot.weak);
  release(slot.buffer);
  slot.buffer = nullptr;
  slot.weak = nullptr;
  if (++slot.generation < kGenerations) freeSlots.push_back(index); // else the slot retires
  stats[liveHandles]--;
}

void Environment::free(double handle) {
  if (!findOrNull(handle)) return;
  freeSlot(uint32_t(uint64_t(handle)) & (kSlots - 1));
  refreshStats();
}

int64_t Environment::sweep(bool all) {
  int64_t freed = 0, visited = 0;
  napi_handle_scope scope;
  check(napi_open_handle_scope(env, &scope), "opening a scope");
  // Whether the slot's object lives; frees it otherwise.
  auto survives = [&](uint32_t index) {
    Slot& slot = slots[index];
    if (!slot.buffer) return false;
    if (++visited % 1024 == 0) {
      napi_close_handle_scope(env, scope);
      napi_open_handle_scope(env, &scope);
    }
    napi_value value = nullptr;
    napi_get_reference_value(env, slot.weak, &value);
    if (value) return true;
    freeSlot(index);
    freed++;
    return false;
  };
  if (all) {
    for (uint32_t i = 0; i < slots.size(); i++) survives(i);
    middle.clear();
  } else {
    for (uint32_t index : middle) survives(index);
    middle.clear();
    for (uint32_t index : young)
      if (survives(index)) middle.push_back(index);
  }
  napi_close_handle_scope(env, scope);
  young.clear();
  stats[youngHandles] = stats[youngBytes] = 0;
  stats[visitedHandles] = double(visited);
  refreshStats();
  return freed;
}

napi_value Environment::statsArray() const {
  napi_value array;
  check(napi_get_reference_value(env, statsRef, &array), "finding the statistics");
  return array;
}

void Environment::refreshStats() { stats[liveBytes] = double(memoryStats().liveBytes); }

// ---- Captured steps

Buffer* Environment::newBuffer(DType dtype, int64_t count) {
  if (Capture* capture = recording()) return capture->allocate(dtype, count);
  Buffer* b = allocateBuffer(dtype, count, false);
  madeOutside(b);
  return b;
}

void Environment::madeOutside(Buffer* buffer) {
  if (open) open->constant(buffer);
}

Capture& Environment::openCapture(const char* what) const {
  if (!open) throw CallError(std::string(what) + ": no step is being captured");
  return *open;
}

void Environment::beginCapture() {
  if (open) throw CallError("capture: a step is being captured already; captured functions cannot be nested");
  open = std::make_unique<Capture>();
  paused = false;
}

void Environment::pauseCapture(bool on) {
  openCapture("capturePause");
  paused = on;
}

double Environment::endCapture(double shared) {
  openCapture("captureEnd");
  std::shared_ptr<Capture> done = std::move(open);
  paused = false;
  auto other = captures.find(shared);
  done->finish(other == captures.end() ? nullptr : other->second.get());
  captures.emplace(++lastCapture, std::move(done));
  return lastCapture;
}

const Capture& Environment::captured(double number) const {
  auto at = captures.find(number);
  if (at == captures.end()) throw CallError("capture: expected a captured step that was not freed");
  return *at->second;
}

void Environment::replay(double number, const double* numbers, size_t count) {
  if (open) throw CallError("capture: a captured step cannot run inside another that is being captured");
  captured(number);
  std::shared_ptr<const Capture> capture = captures.at(number);
  int64_t entered = watch.on() ? monotonicNanoseconds() : 0;
  auto fresh = capture->prepare(numbers, count);
  auto companions = capture->watched(watch, fresh, entered);
  constexpr double kQueued = 1e12; // ns: never on JavaScript's thread
  Stream::cpu().submit(Replay{std::move(capture), std::move(fresh), std::move(companions), this, cpuTable}, kQueued, 0,
                       *this);
  if (watch.on()) watch.submitted(entered);
}

// ---- Promises

namespace {
napi_value newPromise(napi_env env, napi_deferred* deferred) {
  napi_value promise;
  check(napi_create_promise(env, deferred, &promise), "creating a promise");
  return promise;
}
} // namespace

// Large ones come from JavaScript, by a function that clears nothing (16 KB: 0.2 us, cleared 1 us; 1 MB: 2 us and 49)
// and throws where memory is short: there Node-API ends the process.
napi_value Environment::newArrayBuffer(size_t bytes, void** memory, const char* what) {
  constexpr size_t kLarge = size_t(8) << 10;
  napi_value array, owner, allocate, length;
  if (bytes < kLarge) {
    check(napi_create_arraybuffer(env, bytes, memory, &array), what);
    return array;
  }
  check(napi_get_reference_value(env, allocateUncleared, &allocate), what);
  check(napi_get_undefined(env, &owner), what);
  check(napi_create_double(env, double(bytes), &length), what);
  check(napi_call_function(env, owner, allocate, 1, &length, &array), what);
  size_t got = 0;
  check(napi_get_arraybuffer_info(env, array, memory, &got), what);
  if (got != bytes) throw CallError(std::string("napier: ") + what + " failed");
  return array;
}

napi_value Environment::read(Buffer* buffer) {
  void* memory = nullptr;
  size_t bytes = size_t(buffer->bytes());
  napi_value array = newArrayBuffer(bytes, &memory, "allocating memory for data()");
  Completion done{};
  napi_value promise = newPromise(env, &done.deferred);
  auto copy = [buffer, memory, bytes](std::shared_ptr<const Failure>& failure) {
    failure = buffer->whyFailed();
    if (!failure && bytes) memcpy(memory, buffer->data, bytes);
  };
  const double cost = double(bytes) / 10;
  if (Stream::cpu().runNow([&] { copy(done.failure); }, cost, *this)) {
    settle(done, array);
    return promise;
  }
  check(napi_create_reference(env, array, 1, &done.result), "keeping the result");
  addPending(1);
  auto later = [this, copy, done]() mutable {
    copy(done.failure);
    finish(done);
  };
  uint64_t at = Stream::cpu().submit(later, cost, 0, *this);
  if (at) buffer->lastUse.store(at, std::memory_order_relaxed);
  else settleFinished();
  return promise;
}

void Environment::synchronize() {
  int64_t since = watch.on() ? monotonicNanoseconds() : 0;
  Stream::cpu().wait(Stream::cpu().position());
  if (watch.on()) watch.waited(since);
  inPlaceSpent = 0; // who blocks holds up the loop anyway: small ops may run in place again
}

napi_value Environment::readSync(Buffer* buffer) {
  synchronize();
  if (auto why = buffer->whyFailed()) throw CallError(why->message);
  void* memory = nullptr;
  napi_value array = newArrayBuffer(size_t(buffer->bytes()), &memory, "allocating memory for dataSync()");
  if (buffer->bytes()) memcpy(memory, buffer->data, size_t(buffer->bytes()));
  return array;
}

napi_value Environment::settled() {
  Completion done{};
  napi_value promise = newPromise(env, &done.deferred);
  addPending(1);
  if (!Stream::cpu().submit([this, done] { finish(done); }, 0, 0, *this)) settleFinished();
  return promise;
}

void Environment::addPending(int change) {
  int before = pending;
  pending += change;
  if (before == 0 && pending > 0) napi_ref_threadsafe_function(env, finishedFunction);
  if (before > 0 && pending == 0) napi_unref_threadsafe_function(env, finishedFunction);
}

void Environment::finish(Completion done) {
  bool first;
  {
    std::lock_guard<std::mutex> lock(finishedMutex);
    first = finished.empty();
    finished.push_back(std::move(done));
  }
  if (first) napi_call_threadsafe_function(finishedFunction, nullptr, napi_tsfn_nonblocking);
}

void Environment::onFinished(napi_env env, napi_value, void* context, void*) {
  if (!env) return; // the environment is going
  auto* self = static_cast<Environment*>(context);
  self->inPlaceSpent = 0;
  self->settleFinished();
}

void Environment::settleFinished() {
  std::vector<Completion> now;
  {
    std::lock_guard<std::mutex> lock(finishedMutex);
    now.swap(finished);
  }
  for (auto& done : now) {
    napi_value result = nullptr;
    if (done.result) {
      napi_get_reference_value(env, done.result, &result);
      napi_delete_reference(env, done.result);
    }
    settle(done, result);
    addPending(-1);
  }
}

void Environment::settle(const Completion& done, napi_value result) {
  if (done.failure) {
    napi_value message;
    napi_create_string_utf8(env, done.failure->message.c_str(), NAPI_AUTO_LENGTH, &message);
    napi_create_error(env, nullptr, message, &result);
    napi_reject_deferred(env, done.deferred, result);
    return;
  }
  if (!result) napi_get_undefined(env, &result);
  napi_resolve_deferred(env, done.deferred, result);
}

} // namespace napier
