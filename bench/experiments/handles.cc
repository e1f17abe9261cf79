// Experiment `handles`: integer handles into a native table, tracked by N-API weak references.
//
// A handle is slot | generation << 20 and fits a small integer. Each slot holds a weak reference to the
// JavaScript object that owns the handle and the index of a counted buffer (bytes are only accounted for).
// `sweep` asks the weak references of a list of handles whether their object is still there and frees the
// slots of the dead. `handles.mjs` drives it and explains the policies.
#define NAPI_VERSION 8
#include <node_api.h>

#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr uint32_t kSlotBits = 20;
constexpr uint32_t kSlotMask = (1u << kSlotBits) - 1;
constexpr uint32_t kGenerations = 1u << 11;  // slot + generation stay below 2^31
constexpr double kBufferBytes = 1 << 20;

struct Slot {
  napi_ref weak = nullptr;
  uint32_t generation = 1;
  uint32_t buffer = 0;
  uint32_t nextFree = 0;
  bool live = false;
};

// Shared with JavaScript: a Float64Array, so that reading a counter costs no call.
enum Stat { kLive, kLiveBytes, kMadeBytes, kFreedBytes, kVisited, kDead, kDeadBytes, kStats };

std::vector<Slot> slots(1);
uint32_t freeSlot = 0;
uint32_t freeTail = 0;
std::vector<uint32_t> bufferCount(1);
std::vector<uint32_t> freeBuffers;
std::vector<uint32_t> ages[3];  // handles made since the last sweep; survivors of one minor collection; the rest
double* stats = nullptr;
bool adjust = false;
bool tracked = true;

void adjustExternal(napi_env env, double bytes) {
  int64_t total;
  napi_adjust_external_memory(env, static_cast<int64_t>(bytes), &total);
}

uint32_t allocBuffer(napi_env env) {
  stats[kLiveBytes] += kBufferBytes;
  stats[kMadeBytes] += kBufferBytes;
  if (adjust) adjustExternal(env, kBufferBytes);
  if (freeBuffers.empty()) {
    bufferCount.push_back(1);
    return static_cast<uint32_t>(bufferCount.size() - 1);
  }
  uint32_t b = freeBuffers.back();
  freeBuffers.pop_back();
  bufferCount[b] = 1;
  return b;
}

void releaseBuffer(napi_env env, uint32_t b) {
  if (--bufferCount[b] != 0) return;
  freeBuffers.push_back(b);
  stats[kLiveBytes] -= kBufferBytes;
  stats[kFreedBytes] += kBufferBytes;
  if (adjust) adjustExternal(env, -kBufferBytes);
}

Slot* find(uint32_t handle) {
  uint32_t index = handle & kSlotMask;
  if (index == 0 || index >= slots.size()) return nullptr;
  Slot& s = slots[index];
  return s.live && s.generation == handle >> kSlotBits ? &s : nullptr;
}

void release(napi_env env, uint32_t handle, Slot& s) {
  if (s.weak) napi_delete_reference(env, s.weak);
  s.weak = nullptr;
  s.live = false;
  s.generation = s.generation + 1 == kGenerations ? 1 : s.generation + 1;
  releaseBuffer(env, s.buffer);
  stats[kLive] -= 1;
  uint32_t index = handle & kSlotMask;  // first in, first out: generations wrap as late as possible
  s.nextFree = 0;
  if (freeTail) slots[freeTail].nextFree = index;
  else freeSlot = index;
  freeTail = index;
}

// create(object, source): a new buffer when source is 0, else an alias of the source's buffer.
napi_value create(napi_env env, napi_callback_info info) {
  size_t argc = 2;
  napi_value argv[2];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  uint32_t source;
  napi_get_value_uint32(env, argv[1], &source);
  uint32_t buffer;
  if (source) {
    Slot* from = find(source);
    if (!from) {
      napi_throw_error(env, nullptr, "stale handle");
      return nullptr;
    }
    buffer = from->buffer;
    bufferCount[buffer]++;
  } else {
    buffer = allocBuffer(env);
  }
  uint32_t index = freeSlot;
  if (index) {
    freeSlot = slots[index].nextFree;
    if (!freeSlot) freeTail = 0;
  } else {
    index = static_cast<uint32_t>(slots.size());
    if (index > kSlotMask) {
      napi_throw_error(env, nullptr, "handle table full");
      return nullptr;
    }
    slots.emplace_back();
  }
  Slot& s = slots[index];
  s.live = true;
  s.buffer = buffer;
  uint32_t handle = index | s.generation << kSlotBits;
  if (tracked) {
    napi_create_reference(env, argv[0], 0, &s.weak);
    ages[0].push_back(handle);
  }
  stats[kLive] += 1;
  napi_value result;
  napi_create_uint32(env, handle, &result);
  return result;
}

napi_value destroy(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  uint32_t handle;
  napi_get_value_uint32(env, argv[0], &handle);
  if (Slot* s = find(handle)) release(env, handle, *s);
  return nullptr;
}

// Frees the dead of `from`, appends the survivors to `to` (which may be `from` itself).
void sweepList(napi_env env, std::vector<uint32_t>& from, std::vector<uint32_t>& to) {
  std::vector<uint32_t> list;
  list.swap(from);
  for (size_t i = 0; i < list.size();) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    for (size_t end = i + 128 < list.size() ? i + 128 : list.size(); i < end; i++) {
      Slot* s = find(list[i]);
      if (!s) continue;  // freed explicitly
      stats[kVisited] += 1;
      napi_value object = nullptr;
      napi_get_reference_value(env, s->weak, &object);
      if (object) {
        to.push_back(list[i]);
      } else {
        stats[kDead] += 1;
        stats[kDeadBytes] += kBufferBytes;  // what the dead referred to, freed or still held by the tape
        release(env, list[i], *s);
      }
    }
    napi_close_handle_scope(env, scope);
  }
}

// sweep(depth): 1 visits the handles made since the last sweep, 2 also the survivors of one sweep, 3 all.
napi_value sweep(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t depth;
  napi_get_value_int32(env, argv[0], &depth);
  for (int i = kFreedBytes; i < kStats; i++) stats[i] = 0;
  if (depth >= 3) sweepList(env, ages[2], ages[2]);
  if (depth >= 2) sweepList(env, ages[1], ages[2]);
  sweepList(env, ages[0], depth == 1 ? ages[2] : ages[1]);
  return nullptr;
}

// watch(object) keeps one weak reference, the canary; watched(): is its object still there?
napi_ref canary = nullptr;

napi_value watch(napi_env env, napi_callback_info info) {
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  if (canary) napi_delete_reference(env, canary);
  napi_create_reference(env, argv[0], 0, &canary);
  return nullptr;
}

napi_value watched(napi_env env, napi_callback_info) {
  napi_value object = nullptr, result;
  napi_get_reference_value(env, canary, &object);
  napi_get_boolean(env, object != nullptr, &result);
  return result;
}

// setup(Float64Array, adjustExternalMemory, tracked)
napi_value setup(napi_env env, napi_callback_info info) {
  size_t argc = 3;
  napi_value argv[3];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  void* data;
  napi_ref keep;
  napi_get_typedarray_info(env, argv[0], nullptr, nullptr, &data, nullptr, nullptr);
  napi_create_reference(env, argv[0], 1, &keep);
  stats = static_cast<double*>(data);
  napi_get_value_bool(env, argv[1], &adjust);
  napi_get_value_bool(env, argv[2], &tracked);
  return nullptr;
}

// burn(n): n passes over 64 KB of a 4 MB buffer, the native work of an op (also evicts V8's data from the caches).
napi_value burn(napi_env env, napi_callback_info info) {
  static std::vector<float> memory(1 << 20, 1.0f);
  static size_t position = 0;
  size_t argc = 1;
  napi_value argv[1];
  napi_get_cb_info(env, info, &argc, argv, nullptr, nullptr);
  int32_t n;
  napi_get_value_int32(env, argv[0], &n);
  for (int32_t i = 0; i < n; i++) {
    float* p = memory.data() + position;
    for (int k = 0; k < 16384; k++) p[k] = p[k] * 0.999f + 0.001f;
    position = (position + 16384) % memory.size();
  }
  return nullptr;
}

napi_value init(napi_env env, napi_value exports) {
  const napi_property_descriptor list[] = {
      {"setup", nullptr, setup, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"create", nullptr, create, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"destroy", nullptr, destroy, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"sweep", nullptr, sweep, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"watch", nullptr, watch, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"watched", nullptr, watched, nullptr, nullptr, nullptr, napi_default, nullptr},
      {"burn", nullptr, burn, nullptr, nullptr, nullptr, napi_default, nullptr},
  };
  napi_define_properties(env, exports, sizeof list / sizeof *list, list);
  return exports;
}

}  // namespace

NAPI_MODULE(handles, init)
