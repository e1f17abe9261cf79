// The export list: every op of ops.def under `ops`, and what lib/native.ts needs around them.
#include <cstring>
#include "args.h"
#include "bind.h"
#include "capturing.h"
#include "watching.h"
#include "../parallel.h"

namespace napier {

namespace {

// The handle of a new buffer, tied to the first argument.
napi_value tracked(Args& a, Buffer* b) {
  int64_t bytes = int64_t(b->capacity);
  double handle = a.environment->track(a.values[0], b);
  if (a.environment->watch.on()) a.environment->watch.allocated(bytes);
  return toNumber(a.env, handle);
}

// alloc(object, dtype, count): handle of a buffer with undefined contents.
napi_value alloc(Args& a) {
  if (a.count < 1) throw CallError("alloc: expected (object, dtype, count)");
  return tracked(a, a.environment->newBuffer(a.dtype(1, "alloc"), a.integer(2, "alloc")));
}

// alias(object, handle): another handle on the same buffer.
napi_value alias(Args& a) {
  if (a.count < 1) throw CallError("alias: expected (object, handle)");
  Buffer* b = a.environment->find(a.number(1, "alias"), "alias");
  retain(b);
  return toNumber(a.env, a.environment->track(a.values[0], b));
}

// fromHost(object, dtype, array): a buffer with a copy of the typed array's bytes.
napi_value fromHost(Args& a) {
  if (a.count < 3) throw CallError("fromHost: expected (object, dtype, array)");
  DType dtype = a.dtype(1, "fromHost");
  napi_typedarray_type type;
  size_t length;
  void* data;
  bool isArray = false;
  napi_is_typedarray(a.env, a.values[2], &isArray);
  if (!isArray || napi_get_typedarray_info(a.env, a.values[2], &type, &length, &data, nullptr, nullptr) != napi_ok)
    throw CallError("fromHost: expected a typed array");
  constexpr int8_t width[] = {1, 1, 1, 2, 2, 4, 4, 4, 8, 8, 8}; // by napi_typedarray_type
  size_t bytes = length * size_t(size_t(type) < sizeof width ? width[type] : 1);
  if (bytes % size_t(sizeOf(dtype)))
    throw CallError("fromHost: " + std::to_string(bytes) + " bytes are no whole number of " + nameOf(dtype) +
                    " elements");
  Buffer* b = allocateBuffer(dtype, int64_t(bytes) / sizeOf(dtype), true);
  if (bytes) memcpy(b->data, data, bytes);
  a.environment->madeOutside(b);
  return tracked(a, b);
}

napi_value freeHandle(Args& a) {
  a.environment->free(a.number(0, "free"));
  return nullptr;
}
napi_value isLive(Args& a) {
  napi_value v;
  check(napi_get_boolean(a.env, a.environment->findOrNull(a.number(0, "isLive")) != nullptr, &v), "creating a boolean");
  return v;
}
napi_value sweep(Args& a) {
  bool all = false;
  if (a.count) napi_get_value_bool(a.env, a.values[0], &all);
  return toNumber(a.env, double(a.environment->sweep(all)));
}
napi_value stats(Args& a) { return a.environment->statsArray(); }
napi_value read(Args& a) { return a.environment->read(a.environment->findValue(a.number(0, "read"), "read")); }
napi_value readSync(Args& a) {
  return a.environment->readSync(a.environment->findValue(a.number(0, "readSync"), "readSync"));
}
napi_value settled(Args& a) { return a.environment->settled(); }
napi_value synchronize(Args& a) {
  a.environment->synchronize();
  return nullptr;
}

// The event loop has turned: small ops may run in place again.
napi_value turned(Args& a) {
  a.environment->inPlaceSpent = 0;
  return nullptr;
}

napi_value memory(Args& a) {
  MemoryStats m = memoryStats();
  return toObject(a.env, {{"liveBytes", m.liveBytes},
                          {"liveBuffers", m.liveBuffers},
                          {"peakBytes", m.peakBytes},
                          {"cachedBytes", m.cachedBytes},
                          {"scratchBytes", m.scratchBytes}});
}
napi_value resetPeak(Args&) {
  resetPeakBytes();
  return nullptr;
}
napi_value emptyCacheNow(Args& a) {
  Stream::cpu().wait(Stream::cpu().position());
  return toNumber(a.env, double(emptyCache()));
}

napi_value threads(Args& a) {
  if (a.count) {
    int64_t n = a.integer(0, "setNumThreads");
    if (n < 1 || n > 256) throw CallError("setNumThreads: expected 1 to 256 threads, got " + std::to_string(n));
    setThreadCount(int(n));
  }
  return toNumber(a.env, threadCount());
}
// isa(): the name in use; isa(name) changes it once the stream is empty.
napi_value isa(Args& a) {
  if (a.count) {
    Stream::cpu().wait(Stream::cpu().position());
    std::string name = a.text(0, "isa");
    if (!setCpuIsa(name)) throw CallError("isa: this CPU does not run '" + name + "'");
  }
  return toText(a.env, cpuIsa());
}
napi_value isas(Args& a) { return toTexts(a.env, cpuIsas()); }
napi_value features(Args& a) { return toTexts(a.env, cpuFeatures()); }

// One line an op for the fuzz test and lib/native.ts: "name:dtypes:kinds", a letter for each argument: o out, u inout,
// i in, x index, X indexOut, m mask, M maskOut, a anyIn, A anyOut, l list in, L list inout, n integer, d double, s a
// size of so many integers, * a list of integers to the end; ? follows an operand that may be absent.
template <class A> std::string letter() {
  using T = Plain<A>;
  if constexpr (std::is_same_v<T, Out>) return "o";
  else if constexpr (std::is_same_v<T, InOut> || std::is_same_v<T, PartOut>) return "u";
  else if constexpr (std::is_same_v<T, MaybeOut>) return "o?";
  else if constexpr (std::is_same_v<T, In>) return "i";
  else if constexpr (std::is_same_v<T, MaybeIn>) return "i?";
  else if constexpr (std::is_same_v<T, Index>) return "x";
  else if constexpr (std::is_same_v<T, IndexOut>) return "X";
  else if constexpr (std::is_same_v<T, Mask>) return "m";
  else if constexpr (std::is_same_v<T, MaskOut>) return "M";
  else if constexpr (std::is_same_v<T, AnyIn>) return "a";
  else if constexpr (std::is_same_v<T, AnyOut>) return "A";
  else if constexpr (std::is_same_v<T, InList>) return "l";
  else if constexpr (std::is_same_v<T, InOutList>) return "L";
  else if constexpr (std::is_same_v<T, int64_t>) return "n";
  else if constexpr (std::is_same_v<T, double>) return "d";
  else if constexpr (std::is_same_v<T, Fault>) return "";
  else if constexpr (requires { T::isList; }) return "*";
  else return std::string(sizeof(T) / sizeof(int64_t), 's');
}
template <class Sig> struct Letters;
template <class... A> struct Letters<void(A...)> {
  static std::string of() { return (std::string() + ... + letter<A>()); }
};
napi_value signatures(Args& a) {
  std::vector<std::string> all;
#define OP(name, ...)                                                                                                  \
  all.push_back(#name ":" + Kinds<Op_##name::DTypes>::names() + ":" + Letters<Op_##name::Signature>::of());
#include "../ops.def"
#undef OP
  return toTexts(a.env, all);
}

napi_value init(napi_env env, napi_value exports) {
  return guarded(env, [&] {
    cpuTable(); // an impossible NAPIER_ISA fails here, with its sentence
    auto* environment = new Environment(env);
    check(napi_set_instance_data(
              env, environment, [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); }, nullptr),
          "keeping the environment");
    auto set = [&](napi_value object, const char* name, napi_callback function) {
      exportFunction(env, object, name, function, environment);
    };
    set(exports, "alloc", entry<alloc>);
    set(exports, "alias", entry<alias>);
    set(exports, "fromHost", entry<fromHost>);
    set(exports, "free", entry<freeHandle>);
    set(exports, "isLive", entry<isLive>);
    set(exports, "sweep", entry<sweep>);
    set(exports, "stats", entry<stats>);
    set(exports, "read", entry<read>);
    set(exports, "readSync", entry<readSync>);
    set(exports, "settled", entry<settled>);
    set(exports, "synchronize", entry<synchronize>);
    set(exports, "turned", entry<turned>);
    set(exports, "memory", entry<memory>);
    set(exports, "resetPeak", entry<resetPeak>);
    set(exports, "emptyCache", entry<emptyCacheNow>);
    set(exports, "threads", entry<threads>);
    set(exports, "isa", entry<isa>);
    set(exports, "isas", entry<isas>);
    set(exports, "features", entry<features>);
    set(exports, "signatures", entry<signatures>);
    exportCapturing(env, exports, environment);
    exportWatching(env, exports, environment);
    napi_value ops;
    check(napi_create_object(env, &ops), "creating the op table");
#define OP(name, ...) set(ops, #name, bindOp<Op_##name>);
#include "../ops.def"
#undef OP
    check(napi_set_named_property(env, exports, "ops", ops), "exporting the op table");
    return exports;
  });
}

} // namespace
} // namespace napier

NAPI_MODULE_INIT(/* env, exports */) { return napier::init(env, exports); }
