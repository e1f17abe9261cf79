#include "watching.h"
#include <unordered_map>
#include "args.h"

namespace napier {

namespace {

constexpr int64_t kMostRecords = 10'000'000; // of about 90 bytes each

// watch(modes, most): what is watched from now on (Watch::Mode); a profile keeps at most so many calls. Answers the time
// in ns that records count from.
napi_value watch(Args& a) {
  int64_t modes = a.integer(0, "watch"), most = a.count > 1 ? a.integer(1, "watch") : 0;
  if (modes < 0 || modes > 7) throw CallError("watch: expected modes from 0 to 7, got " + std::to_string(modes));
  if (most < 0 || most > kMostRecords)
    throw CallError("watch: expected room for 0 to " + std::to_string(kMostRecords) + " calls, got " +
                    std::to_string(most));
  if (modes & Watch::times) Stream::cpu().wait(a.environment->lastPosition); // calls on their way write to records
  a.environment->watch.set(int(modes), most);
  return toNumber(a.env, double(a.environment->watch.began));
}

// scopeName(forward, backward): the number of a new scope, as messages name it.
napi_value scopeName(Args& a) {
  std::string forward = a.text(0, "scopeName"), backward = a.text(1, "scopeName");
  return toNumber(a.env, double(a.environment->watch.scope(std::move(forward), std::move(backward))));
}

// enter(tag): what is called from now on has this tag. Answers the time since the profile began, in ns.
napi_value enter(Args& a) {
  int64_t tag = a.integer(0, "enter");
  if (tag < 0 || tag >= int64_t(2) * Watch::kScopes)
    throw CallError("enter: expected the tag of a scope with a name, got " + std::to_string(tag));
  Watch& watch = a.environment->watch;
  watch.enter(uint32_t(tag));
  return toNumber(a.env, watch.timed() ? double(monotonicNanoseconds() - watch.began) : 0);
}

// shapes(text): of the operands of the next call, with | between them.
napi_value shapes(Args& a) {
  a.environment->watch.nextShapes(a.text(0, "shapes"));
  return nullptr;
}

// records(): what the profile has seen, once all of it has run; takes the records away. `rows` has a row of kFields
// numbers a call: op (a place in `ops`), tag, in place, FLOPs, bytes, submitted, start, end (ns), live bytes then and at
// the end.
constexpr int64_t kFields = 10;
napi_value records(Args& a) {
  Environment& e = *a.environment;
  Stream::cpu().wait(e.lastPosition);
  Watch& watch = e.watch;
  int64_t n = watch.records();
  void* memory = nullptr;
  napi_value buffer = e.newArrayBuffer(size_t(n * kFields) * sizeof(double), &memory, "allocating memory for a profile");
  double* row = static_cast<double*>(memory);
  std::unordered_map<const char*, size_t> places;
  std::vector<std::string> ops;
  for (int64_t i = 0; i < n; i++, row += kFields) {
    const CallRecord& r = watch.record(i);
    auto [place, isNew] = places.try_emplace(r.op, ops.size());
    if (isNew) ops.push_back(r.op);
    const double values[kFields] = {double(place->second),
                                    double(r.tag),
                                    double(r.inPlace),
                                    r.flops,
                                    double(r.bytes),
                                    double(r.submitted - watch.began),
                                    double(r.start - watch.began),
                                    double(r.end - watch.began),
                                    double(r.liveBefore),
                                    double(r.liveAfter)};
    std::copy(values, values + kFields, row);
  }
  watch.forget();
  napi_value object, rows, allocated;
  check(napi_create_typedarray(a.env, napi_float64_array, size_t(n * kFields), buffer, 0, &rows), "making the profile");
  size_t tags = watch.allocatedByTag.size();
  buffer = e.newArrayBuffer(tags * sizeof(double), &memory, "allocating memory for a profile");
  std::copy(watch.allocatedByTag.begin(), watch.allocatedByTag.end(), static_cast<double*>(memory));
  check(napi_create_typedarray(a.env, napi_float64_array, tags, buffer, 0, &allocated), "making the profile");
  check(napi_create_object(a.env, &object), "making the profile");
  auto set = [&](const char* name, napi_value value) {
    check(napi_set_named_property(a.env, object, name, value), "making the profile");
  };
  set("rows", rows);
  set("ops", toTexts(a.env, ops));
  set("allocated", allocated);
  set("dropped", toNumber(a.env, double(watch.dropped)));
  set("submitting", toNumber(a.env, double(watch.submittingTime)));
  set("waiting", toNumber(a.env, double(watch.waitingTime)));
  set("liveAtStart", toNumber(a.env, double(watch.liveAtStart)));
  set("peakBytes", toNumber(a.env, double(watch.peakBytes)));
  return object;
}

// finding(): the first result that went wrong, { op, tag, message }, or null; takes it away.
napi_value finding(Args& a) {
  std::unique_ptr<Finding> found = a.environment->watch.takeFinding();
  napi_value object;
  if (!found) {
    check(napi_get_null(a.env, &object), "answering null");
    return object;
  }
  check(napi_create_object(a.env, &object), "answering a finding");
  auto set = [&](const char* name, napi_value value) {
    check(napi_set_named_property(a.env, object, name, value), "answering a finding");
  };
  set("op", toText(a.env, found->op));
  set("tag", toNumber(a.env, double(found->tag)));
  set("message", toText(a.env, found->message));
  return object;
}

// Handles in an array, read before any is looked up: an array may run code of its own.
std::vector<double> handles(Args& a, size_t i, const char* what) {
  bool isArray = false;
  uint32_t n = 0;
  if (i >= a.count || napi_is_array(a.env, a.values[i], &isArray) != napi_ok || !isArray ||
      napi_get_array_length(a.env, a.values[i], &n) != napi_ok || n > 1u << 20)
    throw CallError(std::string(what) + ": argument " + std::to_string(i) + " must be an array of tensors");
  std::vector<double> all(n);
  for (uint32_t e = 0; e < n; e++) {
    napi_value item;
    check(napi_get_element(a.env, a.values[i], e, &item), what);
    if (napi_get_value_double(a.env, item, &all[e]) != napi_ok)
      throw CallError(std::string(what) + ": argument " + std::to_string(i) + " must hold tensors only");
  }
  return all;
}

// guard(looked, protected, sentence): when the stream comes to it, `protected` fail with the sentence unless all of
// `looked` are finite.
napi_value guard(Args& a) {
  std::vector<double> looked = handles(a, 0, "guard"), kept = handles(a, 1, "guard");
  std::string sentence = a.text(2, "guard");
  auto find = [&](const std::vector<double>& handles) {
    std::vector<Operand> found;
    for (double handle : handles) found.push_back({a.environment->findOperand(handle, "guard")});
    return found;
  };
  std::vector<Operand> looks = find(looked), keeps = find(kept);
  if (Capture* capture = a.environment->recording()) {
    capture->recordGuard(std::move(sentence), looks, keeps);
    return nullptr;
  }
  Guard guard(std::move(sentence));
  for (const Operand& o : looks) guard.look(o.buffer);
  for (const Operand& o : keeps) guard.protect(o.buffer);
  double cost = guard.cost();
  Stream::cpu().submit(std::move(guard), cost, 0, *a.environment);
  return nullptr;
}

} // namespace

void exportWatching(napi_env env, napi_value exports, Environment* environment) {
  auto set = [&](const char* name, napi_callback function) {
    exportFunction(env, exports, name, function, environment);
  };
  set("watch", entry<watch>);
  set("scopeName", entry<scopeName>);
  set("enter", entry<enter>);
  set("shapes", entry<shapes>);
  set("records", entry<records>);
  set("finding", entry<finding>);
  set("guard", entry<guard>);
}

} // namespace napier
