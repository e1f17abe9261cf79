#include "watch.h"
#include <chrono>
#include <cstdio>
#include <cstring>

namespace napier {

int64_t monotonicNanoseconds() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// ---- Values

namespace {

// Sign, exponent and fraction of a format: bits with all of the exponent set are infinite, or NaN where any of the
// fraction is.
template <class Bits, Bits kExponent> int64_t countBadBits(const void* data, int64_t n, bool nanOnly) {
  const Bits* bits = static_cast<const Bits*>(data);
  constexpr Bits kMagnitude = Bits(Bits(~Bits(0)) >> 1);
  const Bits most = nanOnly ? kExponent : Bits(kExponent - 1); // the largest magnitude that is good
  int64_t bad = 0;
  // In blocks, so that the inner loop counts in the width of the elements.
  constexpr int64_t kBlock = 128;
  for (int64_t i = 0; i < n; i += kBlock) {
    Bits some = 0;
    int64_t end = i + kBlock < n ? i + kBlock : n;
    for (int64_t j = i; j < end; j++) some = Bits(some + (Bits(bits[j] & kMagnitude) > most ? 1 : 0));
    bad += int64_t(some);
  }
  return bad;
}

double fromHalf(uint16_t bits) {
  int exponent = bits >> 10 & 31, fraction = bits & 1023;
  double value = exponent == 31 ? (fraction ? NAN : INFINITY)
                                : std::ldexp(exponent ? 1024 + fraction : fraction, (exponent ? exponent : 1) - 25);
  return bits & 0x8000 ? -value : value;
}
double fromBfloat(uint16_t bits) {
  uint32_t wide = uint32_t(bits) << 16;
  float value;
  memcpy(&value, &wide, sizeof value);
  return double(value);
}

template <class Get> Range rangeBy(int64_t n, Get get) {
  Range range;
  for (int64_t i = 0; i < n; i++) {
    double x = get(i);
    if (std::isnan(x)) range.nan++;
    else if (std::isinf(x)) range.infinite++;
    else if (!range.any) range.any = true, range.low = range.high = x;
    else if (x < range.low) range.low = x;
    else if (x > range.high) range.high = x;
  }
  return range;
}

std::string number(double x) {
  char text[40];
  snprintf(text, sizeof text, "%.6g", x);
  return text;
}

} // namespace

bool isFloatingPoint(DType d) {
  return d == DType::float32 || d == DType::float64 || d == DType::bfloat16 || d == DType::float16;
}

int64_t countBad(const View& v, bool nanOnly) {
  switch (v.dtype) {
  case DType::float32:
    return countBadBits<uint32_t, 0x7f800000u>(v.data, v.count, nanOnly);
  case DType::float64:
    return countBadBits<uint64_t, 0x7ff0000000000000u>(v.data, v.count, nanOnly);
  case DType::bfloat16:
    return countBadBits<uint16_t, 0x7f80u>(v.data, v.count, nanOnly);
  case DType::float16:
    return countBadBits<uint16_t, 0x7c00u>(v.data, v.count, nanOnly);
  default:
    return 0;
  }
}

Range rangeOf(const View& v) {
  switch (v.dtype) {
  case DType::float32:
    return rangeBy(v.count, [data = static_cast<const float*>(v.data)](int64_t i) { return double(data[i]); });
  case DType::float64:
    return rangeBy(v.count, [data = static_cast<const double*>(v.data)](int64_t i) { return data[i]; });
  case DType::bfloat16:
    return rangeBy(v.count, [data = static_cast<const uint16_t*>(v.data)](int64_t i) { return fromBfloat(data[i]); });
  case DType::float16:
    return rangeBy(v.count, [data = static_cast<const uint16_t*>(v.data)](int64_t i) { return fromHalf(data[i]); });
  default:
    return {};
  }
}

// ---- One call

void Watched::start() {
  if (record) record->start = monotonicNanoseconds();
}

void Watched::stop() {
  if (!record) return;
  record->end = monotonicNanoseconds();
  record->inPlace = std::this_thread::get_id() == watch.owner;
  record->liveAfter = memoryStats().liveBytes;
}

bool Watched::isWritten(const void* data) const {
  for (const Operand& o : operands)
    if (o.role != Role::in && o.view.data == data) return true;
  return false;
}

void Watched::lookBefore() {
  for (const Operand& o : operands)
    if (o.role != Role::out && countBad(o.view, nanOnly) > 0) clean = false;
  if (!clean) return; // whatever comes of it, this call is not to blame
  for (Operand& o : operands)
    if (o.role != Role::out && isWritten(o.view.data)) o.before = rangeOf(o.view);
}

std::string Watched::describe(const Operand& o) const {
  std::string shape;
  size_t at = 0;
  for (int i = 0; i < o.argument && at != std::string::npos; i++) {
    at = shapes.find('|', at);
    if (at != std::string::npos) at++;
  }
  if (at != std::string::npos && o.item < 0) shape = shapes.substr(at, shapes.find('|', at) - at);
  return shape.empty() ? std::to_string(o.view.count) + " elements" : shape;
}

std::shared_ptr<const Failure> Watched::lookAfter(const char* op) {
  for (const Operand& bad : operands) {
    if (bad.role == Role::in || countBad(bad.view, nanOnly) == 0) continue;
    Range result = rangeOf(bad.view);
    std::string text = std::string(op) + " (" + where + "): its result " + describe(bad);
    if (bad.item >= 0) text += ", tensor " + std::to_string(bad.item) + " of its list,";
    text += " holds " + std::to_string(result.nan) + " NaN and " + std::to_string(result.infinite) + " infinite of " +
            std::to_string(bad.view.count) + " elements, and no input held any";
    std::string inputs;
    for (const Operand& o : operands) {
      if (o.role == Role::out || (o.item >= 0 && o.item != bad.item)) continue;
      if (!isFloatingPoint(o.view.dtype)) continue;
      Range range = isWritten(o.view.data) ? o.before : rangeOf(o.view);
      inputs += (inputs.empty() ? "; inputs: " : ", ") + describe(o);
      if (range.any) inputs += " from " + number(range.low) + " to " + number(range.high);
    }
    text += inputs;
    watch.find(op, tag, text);
    return std::make_shared<Failure>(Failure{text});
  }
  return nullptr;
}

// ---- All calls of an environment

void Watch::set(int modes, int64_t limit) {
  bool begins = (modes & times) && !timed();
  mode = modes;
  if (!begins) return;
  forget();
  most = limit;
  dropped = submittingTime = waitingTime = 0;
  allocatedByTag.clear();
  liveAtStart = peakBytes = memoryStats().liveBytes;
  began = monotonicNanoseconds();
}

void Watch::forget() {
  kept = 0;
  chunks.clear();
}

uint32_t Watch::scope(std::string forward, std::string backward) {
  if (names.size() >= kScopes)
    throw CallError("scopeName: more than " + std::to_string(kScopes) + " scopes have names");
  names.push_back({std::move(forward), std::move(backward)});
  return uint32_t(names.size() - 1);
}

void Watch::enter(uint32_t now) {
  if (now / 2 >= names.size())
    throw CallError("enter: expected the tag of a scope with a name, got " + std::to_string(now));
  tag = now;
}

std::unique_ptr<Watched> Watch::begin(const char* op, double flops, int64_t bytes, int64_t entered) {
  CallRecord* record = nullptr;
  if (timed()) {
    if (kept < most) {
      if (kept % kChunk == 0) chunks.push_back(std::make_unique<CallRecord[]>(kChunk));
      record = &chunks.back()[kept++ % kChunk];
      *record = {op, tag, false, flops, bytes, entered, 0, 0, memoryStats().liveBytes, 0};
    } else {
      dropped++;
    }
  }
  bool values = mode & bad;
  if (!record && !values) return nullptr;
  std::string where, given;
  if (values) {
    where = "in " + names[tag / 2][tag % 2];
    given.swap(shapes);
  }
  return std::make_unique<Watched>(*this, record, values, !(mode & infinitiesToo), tag, std::move(where),
                                   std::move(given));
}

void Watch::allocated(int64_t bytes) {
  if (!timed()) return;
  if (allocatedByTag.size() <= tag) allocatedByTag.resize(tag + 1);
  allocatedByTag[tag] += double(bytes);
  int64_t live = memoryStats().liveBytes;
  if (live > peakBytes) peakBytes = live;
}

void Watch::find(const char* op, uint32_t at, std::string message) {
  std::lock_guard<std::mutex> lock(finding);
  if (!first) first = std::make_unique<Finding>(Finding{op, at, std::move(message)});
}

std::unique_ptr<Finding> Watch::takeFinding() {
  std::lock_guard<std::mutex> lock(finding);
  return std::move(first);
}

// ---- Guards

double Guard::cost() const {
  double bytes = 0;
  for (const Looked& l : looked) bytes += double(l.buffer->bytes());
  return bytes / 10;
}

void Guard::operator()() {
  std::shared_ptr<const Failure> bad;
  auto failed = [&](Buffer* b) {
    if (!bad && b->failed.load(std::memory_order_relaxed)) bad = b->whyFailed();
  };
  for (Buffer* b : kept) failed(b);
  for (const Looked& l : looked) {
    failed(l.buffer);
    if (!bad && countBad(l.view, false) > 0) bad = why;
  }
  if (!bad) return;
  for (Buffer* b : kept) b->fail(bad);
}

void Guard::stamp(uint64_t position) {
  for (const Looked& l : looked) l.buffer->lastUse.store(position, std::memory_order_relaxed);
  for (Buffer* b : kept) b->lastUse.store(position, std::memory_order_relaxed);
}

} // namespace napier
