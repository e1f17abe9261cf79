// The arguments and answers of the addon's functions that are no ops.
#pragma once
#include <string>
#include <vector>
#include "bind.h"

namespace napier {

// Arguments of a function that is no op.
struct Args {
  napi_env env;
  napi_value values[4] = {};
  size_t count = 4;
  Environment* environment = nullptr;
  Args(napi_env e, napi_callback_info info) : env(e) {
    void* data;
    check(napi_get_cb_info(env, info, &count, values, nullptr, &data), "reading the arguments");
    environment = static_cast<Environment*>(data);
  }
  double number(size_t i, const char* what) const {
    double x;
    if (i >= count || napi_get_value_double(env, values[i], &x) != napi_ok)
      throw CallError(std::string(what) + ": argument " + std::to_string(i) + " must be a number");
    return x;
  }
  int64_t integer(size_t i, const char* what) const {
    double x = number(i, what);
    if (!(x >= -9007199254740991.0 && x <= 9007199254740991.0) || x != double(int64_t(x)))
      throw CallError(std::string(what) + ": argument " + std::to_string(i) + " must be a safe integer");
    return int64_t(x);
  }
  DType dtype(size_t i, const char* what) const {
    int64_t d = integer(i, what);
    if (d < 0 || d >= kDTypes)
      throw CallError(std::string(what) + ": expected a dtype code from 0 to " + std::to_string(kDTypes - 1) +
                      ", got " + std::to_string(d));
    return DType(d);
  }
  std::string text(size_t i, const char* what) const {
    char buffer[256];
    size_t length;
    if (i >= count || napi_get_value_string_utf8(env, values[i], buffer, sizeof buffer, &length) != napi_ok)
      throw CallError(std::string(what) + ": argument " + std::to_string(i) + " must be a string");
    return buffer;
  }
};

inline napi_value toNumber(napi_env env, double x) {
  napi_value v;
  check(napi_create_double(env, x, &v), "creating a number");
  return v;
}
inline napi_value toText(napi_env env, const std::string& s) {
  napi_value v;
  check(napi_create_string_utf8(env, s.c_str(), s.size(), &v), "creating a string");
  return v;
}
inline napi_value toTexts(napi_env env, const std::vector<std::string>& all) {
  napi_value array;
  check(napi_create_array(env, &array), "creating an array");
  for (uint32_t i = 0; i < all.size(); i++)
    check(napi_set_element(env, array, i, toText(env, all[i])), "filling an array");
  return array;
}

inline napi_value toObject(napi_env env, std::initializer_list<std::pair<const char*, int64_t>> fields) {
  napi_value object;
  check(napi_create_object(env, &object), "creating an object");
  for (auto [name, value] : fields)
    check(napi_set_named_property(env, object, name, toNumber(env, double(value))), "filling an object");
  return object;
}

inline void exportFunction(napi_env env, napi_value object, const char* name, napi_callback function, Environment* of) {
  napi_value f;
  check(napi_create_function(env, name, NAPI_AUTO_LENGTH, function, of, &f), "creating a function");
  check(napi_set_named_property(env, object, name, f), "exporting a function");
}

template <napi_value (*Body)(Args&)> napi_value entry(napi_env env, napi_callback_info info) {
  return guarded(env, [&] {
    Args args(env, info);
    return Body(args);
  });
}

} // namespace napier
