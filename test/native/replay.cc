// The record's reader, its Source for call.h, and the comparison.
#include "replay.h"
#include <cmath>
#include <cstring>
#include <fstream>
#include <map>
#include <memory>
#include "../../native/call.h"
#include "../../native/capture.h"
#include "../../native/cpu.h"
#include "../../native/stream.h"

namespace napier::test {

namespace {

struct RecordedOperand {
  DType dtype;
  Role role;
  int64_t count;
  std::vector<char> before, after;
};

struct Argument {
  enum Kind : uint8_t { number, operand, absent, list } kind;
  double value = 0;
  std::vector<RecordedOperand> operands; // one for `operand`
};

struct Record {
  std::string name;
  std::vector<Argument> arguments;
  double tolerance;
};

class Reader {
public:
  explicit Reader(const std::string& path) : in(path, std::ios::binary) {
    char magic[8];
    if (!in) throw std::runtime_error(path + ": no such file");
    bytes(magic, 8);
    if (memcmp(magic, "NAPREC1\0", 8)) throw std::runtime_error(path + ": expected a record of kernel calls (NAPREC1)");
  }
  bool atEnd() { return in.peek() == EOF; }
  Record record() {
    Record r;
    r.name.resize(get<uint32_t>());
    bytes(r.name.data(), r.name.size());
    r.arguments.resize(get<uint32_t>());
    for (Argument& a : r.arguments) a = argument();
    r.tolerance = get<double>();
    return r;
  }

private:
  std::ifstream in;

  void bytes(char* into, size_t n) {
    if (!in.read(into, std::streamsize(n))) throw std::runtime_error("the record ends in the middle of a call");
  }
  template <class T> T get() {
    T value;
    bytes(reinterpret_cast<char*>(&value), sizeof value);
    return value;
  }
  RecordedOperand operand() {
    RecordedOperand o;
    uint8_t dtype = get<uint8_t>(), role = get<uint8_t>();
    if (dtype >= kDTypes || role > 2) throw std::runtime_error("the record holds an unknown dtype or role");
    o.dtype = DType(dtype);
    o.role = role == 0 ? Role::in : role == 1 ? Role::out : Role::inout;
    o.count = get<int64_t>();
    size_t size = size_t(o.count * sizeOf(o.dtype));
    if (o.role != Role::out) bytes((o.before.resize(size), o.before.data()), size);
    if (o.role != Role::in) bytes((o.after.resize(size), o.after.data()), size);
    return o;
  }
  Argument argument() {
    Argument a{Argument::Kind(get<uint8_t>()), 0, {}};
    switch (a.kind) {
    case Argument::number: a.value = get<double>(); break;
    case Argument::operand: a.operands.push_back(operand()); break;
    case Argument::absent: break;
    case Argument::list:
      for (uint32_t n = get<uint32_t>(); n > 0; n--) a.operands.push_back(operand());
      break;
    default: throw std::runtime_error("the record holds an unknown kind of argument");
    }
    return a;
  }
};

// The buffers of one replayed call, in the order of its operands.
class RecordSource final : public Source {
public:
  explicit RecordSource(const Record& r) : record(r) {
    for (const Argument& a : r.arguments) {
      first.push_back(buffers.size());
      for (const RecordedOperand& o : a.operands) {
        Buffer* b = allocateBuffer(o.dtype, o.count, true);
        // What an output holds before is undefined: here a NaN, or an integer that stands out.
        if (o.role == Role::out) memset(b->data, 0xFF, size_t(b->bytes()));
        else if (b->bytes()) memcpy(b->data, o.before.data(), size_t(b->bytes()));
        buffers.push_back(b);
      }
    }
  }
  ~RecordSource() {
    for (Buffer* b : buffers) release(b);
  }
  RecordSource(const RecordSource&) = delete;

  int count() const override { return int(record.arguments.size()); }
  double number(int i) override {
    if (record.arguments[size_t(i)].kind != Argument::number) throw CallError("argument " + std::to_string(i) + " must be a number");
    return record.arguments[size_t(i)].value;
  }
  Operand operand(int i) override {
    const Argument& a = record.arguments[size_t(i)];
    if (a.kind == Argument::absent) return {};
    if (a.kind != Argument::operand) throw CallError("argument " + std::to_string(i) + " must be a tensor");
    return {buffers[first[size_t(i)]]};
  }
  void list(int i, std::vector<Operand>& into) override {
    if (record.arguments[size_t(i)].kind != Argument::list) throw CallError("argument " + std::to_string(i) + " must be a list");
    for (size_t e = 0; e < record.arguments[size_t(i)].operands.size(); e++) into.push_back({buffers[first[size_t(i)] + e]});
  }

  const Record& record;
  std::vector<Buffer*> buffers;

private:
  std::vector<size_t> first;
};

// ---- Comparison

template <class T> std::string compareFloats(const T* got, const T* want, int64_t n, double tolerance) {
  double error = 0, scale = 0;
  for (int64_t i = 0; i < n; i++) {
    bool same = memcmp(got + i, want + i, sizeof(T)) == 0 || (std::isnan(got[i]) && std::isnan(want[i]));
    if (same && !std::isfinite(want[i])) continue;
    if (!same && (tolerance == 0 || !std::isfinite(got[i]) || !std::isfinite(want[i])))
      return "element " + std::to_string(i) + ": expected " + std::to_string(want[i]) + ", got " + std::to_string(got[i]);
    double d = double(got[i]) - double(want[i]);
    error += d * d;
    scale += double(want[i]) * double(want[i]);
  }
  if (error == 0 || std::sqrt(error) <= tolerance * std::sqrt(scale)) return ""; // the scale of large values is infinite
  return "relative error " + std::to_string(std::sqrt(error / scale)) + ", allowed " + std::to_string(tolerance);
}

std::string compare(const RecordedOperand& o, const Buffer& b, double tolerance) {
  if (auto why = b.whyFailed()) return why->message;
  if (o.dtype == DType::float32)
    return compareFloats(static_cast<const float*>(b.data), reinterpret_cast<const float*>(o.after.data()), o.count, tolerance);
  if (o.dtype == DType::float64)
    return compareFloats(static_cast<const double*>(b.data), reinterpret_cast<const double*>(o.after.data()), o.count, tolerance);
  return o.after.empty() || memcmp(b.data, o.after.data(), o.after.size()) == 0 ? "" : "other bytes than expected";
}

std::string check(const RecordSource& source) {
  size_t at = 0;
  for (size_t i = 0; i < source.record.arguments.size(); i++)
    for (const RecordedOperand& o : source.record.arguments[i].operands) {
      const Buffer& b = *source.buffers[at++];
      // An input must still be what it was.
      if (o.role == Role::in && !o.before.empty() && memcmp(b.data, o.before.data(), o.before.size()))
        return "argument " + std::to_string(i) + ", an input, was written";
      if (o.role == Role::in) continue;
      if (auto wrong = compare(o, b, source.record.tolerance); !wrong.empty()) return "argument " + std::to_string(i) + ": " + wrong;
    }
  return "";
}

// ---- Calls

Submitter& submitter() {
  static Submitter one;
  return one;
}

// One function for all ops of one signature, as in the binding: what differs is data.
template <class DTypes, class Sig> void run(const OpInfo<Sig>& op, Source& source) {
  using Made = Call<DTypes, Sig>;
  struct Queued {
    Made call;
    void operator()() { call.run(cpuTable()); }
    void stamp(uint64_t position) { call.stamp(position); }
  };
  // In turn: at once, through the queue whatever it costs, and as a captured step of one call.
  static int turn = 0;
  turn = (turn + 1) % 3;
  Stream& stream = Stream::cpu();
  if (turn == 2) {
    auto capture = std::make_shared<Capture>();
    capture->record<DTypes>(op, source);
    capture->finish(nullptr);
    stream.submit(Replay{capture, capture->prepare(nullptr, 0), {}, &submitter(), cpuTable}, 1e12, 0, submitter());
  } else {
    Made call(op, source);
    int64_t bytes = call.bytes();
    stream.submit(Queued{std::move(call)}, turn ? 1e9 : 0, bytes, submitter());
  }
  stream.wait(stream.position());
}

const std::map<std::string, void (*)(Source&)>& runners() {
  static const std::map<std::string, void (*)(Source&)> all = {
#define OP(name, ...) \
  {#name, [](Source& source) { run<Op_##name::DTypes>(Op_##name::info, source); }},
#include "../../native/ops.def"
#undef OP
  };
  return all;
}

std::string replayOne(const Record& record) {
  auto runner = runners().find(record.name);
  if (runner == runners().end()) return "ops.def has no such op; record again";
  try {
    RecordSource source(record);
    runner->second(source);
    return check(source);
  } catch (const CallError& error) {
    return error.what();
  }
}

} // namespace

std::vector<Outcome> replay(const std::string& path) {
  std::map<std::string, std::vector<Record>> records;
  for (Reader reader(path); !reader.atEnd();) {
    Record r = reader.record();
    records[r.name].push_back(std::move(r));
  }
  std::vector<Outcome> outcomes;
  for (const std::string& isa : cpuIsas()) {
    setCpuIsa(isa);
    for (auto& [name, calls] : records) {
      Outcome o{name + " on " + isa, 0, ""};
      for (const Record& r : calls) {
        o.calls++;
        if (auto wrong = replayOne(r); !wrong.empty() && o.error.empty()) o.error = "call " + std::to_string(o.calls) + ": " + wrong;
      }
      outcomes.push_back(std::move(o));
    }
  }
  return outcomes;
}

} // namespace napier::test
