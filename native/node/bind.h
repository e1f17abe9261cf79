// From an op of ops.def to a Node-API function: JavaScript passes handles (numbers; null for an absent operand; arrays
// of handles for lists) and plain numbers, in the order of the signature, sizes spread into their fields.
#pragma once
#include "../call.h"
#include "../capture.h"
#include "../cpu.h"
#include "env.h"

namespace napier {

// Arguments as JavaScript passed them. Where the op has lists, all are copied before any handle is looked up: an array
// may run code of its own when it is read (a getter), and that code may free tensors.
class NapiSource final : public Source {
public:
  static constexpr size_t kMost = 64;
  NapiSource(napi_env e, napi_callback_info info, const char* op, bool hasLists) : env(e), name(op) {
    void* data = nullptr;
    length = kMost;
    check(napi_get_cb_info(env, info, &length, values, nullptr, &data), name);
    environment = static_cast<Environment*>(data);
    if (length > kMost) throw CallError(std::string(name) + ": too many arguments (" + std::to_string(length) + ")");
    if (hasLists) copyLists();
  }
  int count() const override { return int(length); }
  double number(int i) override {
    double x;
    if (napi_get_value_double(env, values[i], &x) == napi_ok) return x;
    if (Capture* capture = environment->recording()) {
      // A number that is read anew at each replay stands there as a BigInt: reading one runs no code, and whatever
      // JavaScript computes with it throws.
      int64_t bits;
      bool exact = false;
      if (napi_get_value_bigint_int64(env, values[i], &bits, &exact) == napi_ok && exact)
        return capture->scalar(i, bits);
    }
    throw CallError(std::string(name) + ": argument " + std::to_string(i) + " must be a number");
  }
  Operand operand(int i) override {
    napi_valuetype type;
    check(napi_typeof(env, values[i], &type), name);
    if (type == napi_null || type == napi_undefined) return {};
    double handle;
    if (napi_get_value_double(env, values[i], &handle) != napi_ok)
      throw CallError(std::string(name) + ": argument " + std::to_string(i) + " must be a tensor");
    return {environment->findOperand(handle, name)};
  }
  void list(int i, std::vector<Operand>& into) override {
    for (auto& [argument, handles] : lists) {
      if (argument != i) continue;
      into.reserve(handles.size());
      for (double handle : handles) into.push_back({environment->findOperand(handle, name)});
      return;
    }
    throw CallError(std::string(name) + ": argument " + std::to_string(i) + " must be an array of tensors");
  }
  Environment& submitter() const { return *environment; }

private:
  void copyLists() {
    for (int i = 0; i < count(); i++) {
      bool isArray = false;
      uint32_t n = 0;
      if (napi_is_array(env, values[i], &isArray) != napi_ok || !isArray) continue;
      if (napi_get_array_length(env, values[i], &n) != napi_ok || n > 1u << 20)
        throw CallError(std::string(name) + ": argument " + std::to_string(i) + " holds more than a million tensors");
      std::vector<double> handles(n);
      for (uint32_t e = 0; e < n; e++) {
        napi_value item;
        check(napi_get_element(env, values[i], e, &item), name);
        if (napi_get_value_double(env, item, &handles[e]) != napi_ok)
          throw CallError(std::string(name) + ": argument " + std::to_string(i) + " must hold tensors only");
      }
      lists.push_back({i, std::move(handles)});
    }
  }

  napi_env env;
  const char* name;
  size_t length;
  napi_value values[kMost];
  std::vector<std::pair<int, std::vector<double>>> lists;
  Environment* environment = nullptr;
};

// Runs `body` and turns every C++ exception into a JavaScript one: the only catch.
template <class Body> napi_value guarded(napi_env env, Body body) {
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return throwError(env, "napier: out of memory; free tensors, use scope(), or make the batch smaller");
  } catch (const std::exception& error) {
    return throwError(env, error.what());
  }
}

// A call on its way through the stream, with the table that is in use when it runs.
template <class Call> struct Queued {
  Call call;
  std::unique_ptr<Watched> watched; // null unless somebody watches
  void operator()() {
    if (watched) [[unlikely]] watched->run(call, cpuTable());
    else call.run(cpuTable());
  }
  void stamp(uint64_t position) { call.stamp(position); }
};

template <class DTypes, class Sig> napi_value submitCall(napi_env env, napi_callback_info info, const OpInfo<Sig>& op) {
  return guarded(env, [&]() -> napi_value {
    NapiSource source(env, info, op.name, Call<DTypes, Sig>::hasLists);
    Environment& who = source.submitter();
    if (Capture* capture = who.recording()) {
      capture->record<DTypes>(op, source, who.watch.where());
      return nullptr;
    }
    bool isWatched = who.watch.on();
    int64_t entered = isWatched ? monotonicNanoseconds() : 0;
    Call<DTypes, Sig> call(op, source);
    Stream& stream = Stream::cpu();
    double cost = call.cost();
    int64_t bytes = call.bytes();
    std::unique_ptr<Watched> watched;
    if (isWatched) [[unlikely]] watched = who.watch.begin(op.name, call.flops(), bytes, entered);
    stream.submit(Queued<Call<DTypes, Sig>>{std::move(call), std::move(watched)}, cost, bytes, who);
    if (isWatched) [[unlikely]] who.watch.submitted(entered);
    return nullptr;
  });
}

template <class Op> napi_value bindOp(napi_env env, napi_callback_info info) {
  return submitCall<typename Op::DTypes, typename Op::Signature>(env, info, Op::info);
}

} // namespace napier
