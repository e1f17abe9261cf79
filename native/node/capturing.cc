#include "capturing.h"
#include "args.h"

namespace napier {

namespace {

napi_value captureBegin(Args& a) {
  a.environment->beginCapture();
  return nullptr;
}
// capturePause(on): what follows runs at once and is no part of the step.
napi_value capturePause(Args& a) {
  bool on = false;
  if (a.count) napi_get_value_bool(a.env, a.values[0], &on);
  a.environment->pauseCapture(on);
  return nullptr;
}
napi_value captureAbort(Args& a) {
  a.environment->abortCapture();
  return nullptr;
}
// captureEnd(other): the number of the captured step, whose memory may lie where other's does.
napi_value captureEnd(Args& a) { return toNumber(a.env, a.environment->endCapture(a.number(0, "captureEnd"))); }
// captureScalar(value): what stands among arguments for a number that each replay brings anew.
napi_value captureScalar(Args& a) {
  napi_value v;
  Capture& capture = a.environment->openCapture("captureScalar");
  check(napi_create_bigint_int64(a.env, capture.addScalar(a.number(0, "captureScalar")), &v), "creating a bigint");
  return v;
}
// captureReplay(number, numbers): runs it with these numbers, a Float64Array.
napi_value captureReplay(Args& a) {
  double number = a.number(0, "captureReplay");
  napi_typedarray_type type;
  size_t length;
  void* data;
  bool isArray = false;
  if (a.count > 1) napi_is_typedarray(a.env, a.values[1], &isArray);
  if (!isArray || napi_get_typedarray_info(a.env, a.values[1], &type, &length, &data, nullptr, nullptr) != napi_ok ||
      type != napi_float64_array)
    throw CallError("captureReplay: expected a Float64Array");
  a.environment->replay(number, static_cast<const double*>(data), length);
  return nullptr;
}
napi_value captureNames(Args& a) {
  return toTexts(a.env, a.environment->captured(a.number(0, "captureNames")).names());
}
napi_value captureFree(Args& a) {
  a.environment->freeCapture(a.number(0, "captureFree"));
  return nullptr;
}

napi_value captureInfo(Args& a) {
  Capture::Memory m = a.environment->captured(a.number(0, "captureInfo")).memory();
  return toObject(a.env, {{"calls", m.calls},
                          {"numbers", m.numbers},
                          {"plannedBytes", m.plannedBytes},
                          {"unplannedBytes", m.unplannedBytes},
                          {"ownBytes", m.ownBytes}});
}

} // namespace

void exportCapturing(napi_env env, napi_value exports, Environment* environment) {
  auto set = [&](const char* name, napi_callback function) {
    exportFunction(env, exports, name, function, environment);
  };
  set("captureBegin", entry<captureBegin>);
  set("capturePause", entry<capturePause>);
  set("captureAbort", entry<captureAbort>);
  set("captureEnd", entry<captureEnd>);
  set("captureScalar", entry<captureScalar>);
  set("captureReplay", entry<captureReplay>);
  set("captureNames", entry<captureNames>);
  set("captureInfo", entry<captureInfo>);
  set("captureFree", entry<captureFree>);
}

} // namespace napier
