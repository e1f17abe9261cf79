// One call of an op of ops.def, from its arguments to its kernel. The only argument conversion: node/bind.h feeds it
// from JavaScript, capture.h from a captured step, test/native/replay.cc from a recorded file.
#pragma once
#include <bit>
#include <cmath>
#include <cstdio>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>
#include "buffer.h"
#include "device.h"

namespace napier {

struct CallError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline const char* nameOf(DType d) {
  static const char* const names[kDTypes] = {"float32", "float64", "int32",    "int64",  "uint8",
                                             "int8",    "bool",    "bfloat16", "float16"};
  return int(d) < kDTypes ? names[int(d)] : "?";
}

struct Operand {
  Buffer* buffer = nullptr;
  MutableView view() const {
    return buffer ? MutableView{buffer->data, buffer->count, buffer->dtype} : MutableView{nullptr, 0, DType::float32};
  }
};

// Where a call's arguments come from. Each is asked for once, in order; who cannot answer throws CallError.
class Source {
public:
  virtual int count() const = 0;
  virtual double number(int argument) = 0;
  virtual Operand operand(int argument) = 0; // a null Operand for an absent one
  virtual void list(int argument, std::vector<Operand>& into) = 0;

protected:
  ~Source() = default;
};

// What each operand of a signature means to the caller: its letter in `signatures()`, and whether it is written.
enum class Role { out, inout, part, in, none };
template <class A> struct ArgOf {
  static constexpr Role role = Role::none;
  static constexpr bool maybe = false, list = false, isSize = std::is_class_v<A>;
};
#define NAPIER_ARG(Type, role_, maybe_, list_)                                                                         \
  template <> struct ArgOf<Type> {                                                                                     \
    static constexpr Role role = Role::role_;                                                                          \
    static constexpr bool maybe = maybe_, list = list_, isSize = false;                                                \
  };
NAPIER_ARG(Out, out, false, false)
NAPIER_ARG(InOut, inout, false, false)
NAPIER_ARG(PartOut, part, false, false)
NAPIER_ARG(MaybeOut, out, true, false)
NAPIER_ARG(In, in, false, false)
NAPIER_ARG(MaybeIn, in, true, false)
NAPIER_ARG(Index, in, false, false)
NAPIER_ARG(IndexOut, out, false, false)
NAPIER_ARG(Mask, in, false, false)
NAPIER_ARG(MaskOut, out, false, false)
NAPIER_ARG(AnyIn, in, false, false)
NAPIER_ARG(AnyOut, out, false, false)
NAPIER_ARG(InList, in, false, true)
NAPIER_ARG(InOutList, inout, false, true)
#undef NAPIER_ARG
template <class A> using Plain = std::remove_cv_t<std::remove_reference_t<A>>;
template <class A> using Arg = ArgOf<Plain<A>>;

// Operands that share the op's dtype T; the others are Index, Mask or Any.
template <class A>
constexpr bool sharesDType =
    std::is_same_v<A, Out> || std::is_same_v<A, InOut> || std::is_same_v<A, PartOut> || std::is_same_v<A, MaybeOut> ||
    std::is_same_v<A, In> || std::is_same_v<A, MaybeIn> || std::is_same_v<A, InList> || std::is_same_v<A, InOutList>;

// Position of dtype d in the op's list of kernels, -1 if there is none. bool computes as uint8; MOVES go by width.
template <class TypeList> struct Kinds;
template <class... T> struct Kinds<Types<T...>> {
  static constexpr bool any = sizeof...(T) == 0;
  static constexpr bool moves = std::is_same_v<Types<T...>, MOVES>;
  static int indexOf(DType d) {
    if constexpr (moves) {
      return __builtin_ctzll(uint64_t(sizeOf(d)));
    } else {
      if (d == DType::bool_) d = DType::uint8;
      int i = 0, found = -1;
      ((DTypeOf<T>::value == d ? found = i : 0, i++), ...);
      return found;
    }
  }
  static std::string names() {
    std::string s;
    if constexpr (moves) s = "any dtype";
    else ((s += (s.empty() ? "" : ", ") + std::string(nameOf(DTypeOf<T>::value))), ...);
    return s;
  }
};

// The sentences of a refused call, out of line: every op has these checks.
[[noreturn]] void refuseArgument(const char* op, int argument, const std::string& what);
[[noreturn]] void refuseCount(const char* op, int expected, int got);
[[noreturn]] void refuseDType(const char* op, const std::string& expected, DType got);
[[noreturn]] void refuseContract(const char* op, const char* contract, const std::vector<int64_t>& counts);
[[noreturn]] void refuseAliasedIndex(const char* op);
int64_t toInteger(const char* op, int argument, double x);
std::shared_ptr<const Failure> outOfScratch(const char* op);
std::shared_ptr<const Failure> badValue(const char* op, const Fault& fault);

// What a call knows of its op besides the types: shared code serves all ops of one signature.
template <class Sig> struct OpInfo;
template <class... A> struct OpInfo<void(A...)> {
  const char* name;
  const char* contract;
  bool (*check)(A...);
  void* const* (*kernels)(const Table&);
};

#define OP(name_, dtypes_, signature_, check_)                                                                         \
  struct Op_##name_ {                                                                                                  \
    using Signature = void signature_;                                                                                 \
    using DTypes = dtypes_;                                                                                            \
    static bool check signature_;                                                                                      \
    static constexpr OpInfo<Signature> info{#name_, #check_, check,                                                    \
                                            [](const Table& table) -> void* const* { return table.name_.kernels; }};   \
  };
#include "ops.def"
#undef OP
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
#define OP(name_, dtypes_, signature_, check_)                                                                         \
  inline bool Op_##name_::check signature_ { return check_; }
#include "ops.def"
#undef OP
#pragma GCC diagnostic pop

// A few items without a heap allocation; the lists of an optimizer's parameters are longer.
template <class T, int N> class Few {
public:
  void push_back(T value) {
    if (length < N) inlined[length++] = value;
    else longer.push_back(value);
  }
  template <class Visit> void each(Visit visit) const {
    for (int i = 0; i < length; i++) visit(inlined[i]);
    for (const T& value : longer) visit(value);
  }

private:
  int length = 0;
  T inlined[N];
  std::vector<T> longer;
};

// Some of the elements that an elementwise call makes (elementwise.h): whole rows of `inner`, from element `begin` on.
// Operand o crosses a row in steps of step[o], and comes to the next in outer[o].
struct Rows {
  int64_t inner = 1, outer[3] = {1, 1, 1}, step[3] = {1, 1, 1};
};

template <class DTypes, class Sig> class Call;
template <class DTypes, class... A> class Call<DTypes, void(A...)> {
public:
  static constexpr int arguments = sizeof...(A);
  static constexpr bool hasLists = (Arg<A>::list || ...);

  // Reads and checks the arguments; throws CallError.
  Call(const OpInfo<void(A...)>& op, Source& source) : info(&op) {
    int at = 0, length = source.count();
    [&]<size_t... I>(std::index_sequence<I...>) { (parse<I>(source, at, length), ...); }
    (std::index_sequence_for<A...>{});
    if (at != length) refuseCount(info->name, at, length);
    if constexpr (!Kinds<DTypes>::any) {
      kernel = Kinds<DTypes>::indexOf(dtype);
      if (kernel < 0) refuseDType(info->name, Kinds<DTypes>::names(), dtype);
    }
    Fault none;
    if (!std::apply([&](auto&... a) { return info->check(pass<A>(a, none)...); }, args))
      refuseContract(info->name, info->contract, counts());
    indices.each([&](Buffer* index) {
      uses.each([&](Use use) {
        if (use.buffer == index && use.role != Role::in) refuseAliasedIndex(info->name);
      });
    });
  }
  Call(Call&&) = default;

  // Runs the kernel, unless an input holds no value; then, and where the kernel meets a bad value, the outputs fail.
  // Whether they hold values now.
  bool run(const Table& table) {
    std::shared_ptr<const Failure> bad;
    uses.each([&](Use use) {
      if (!bad && use.role != Role::out && use.buffer->failed.load(std::memory_order_relaxed))
        bad = use.buffer->whyFailed();
    });
    if (bad) return failOutputs(bad, false), false;
    Fault fault;
    try {
      if (writesSomething) invoke(table, fault);
    } catch (const std::bad_alloc&) {
      return failOutputs(outOfScratch(info->name), true), false;
    }
    if (fault.raised()) return failOutputs(badValue(info->name, fault), true), false;
    uses.each([](Use use) {
      if (use.role == Role::out) use.buffer->clearFailure();
    });
    return true;
  }
  // run() in parts, of an elementwise op: whether its inputs hold values (else its outputs fail), then the elements.
  bool begin() {
    std::shared_ptr<const Failure> bad;
    uses.each([&](Use use) {
      if (!bad && use.role != Role::out) bad = use.buffer->whyFailed();
    });
    if (bad) return failOutputs(bad, false), false;
    uses.each([](Use use) {
      if (use.role == Role::out) use.buffer->clearFailure();
    });
    return true;
  }
  static constexpr bool hasParts = [] {
    using Last = Plain<std::tuple_element_t<sizeof...(A) - 1, std::tuple<A...>>>;
    const int operands = (0 + ... + (Arg<A>::role != Role::none)), integers = (0 + ... + std::is_same_v<Plain<A>, int64_t>);
    return operands <= 3 && !hasLists &&
           ((std::is_same_v<Last, int64_t> && integers == 1) || (std::is_same_v<Last, BroadcastSize> && integers == 0));
  }();
  void part(const Table& table, const Rows& rows, int64_t begin, int64_t count) const {
    if constexpr (hasParts) {
      Call some(*this, rows, begin, count);
      Fault none;
      some.invoke(table, none);
    }
  }
  // All that the call wrote fails: what a look at its results answers.
  void reject(std::shared_ptr<const Failure> why) { failOutputs(std::move(why), true); }

  const char* name() const { return info->name; }
  // What the sizes count; 0 where they count none.
  double flops() const {
    double sum = 0;
    std::apply([&](auto&... a) { (addFlops(a, sum), ...); }, args);
    return sum;
  }
  // Estimated nanoseconds on one thread, and the bytes that the operands hold.
  double cost() const { return flops() / 40 + double(bytes()) / 10; }
  int64_t bytes() const {
    int64_t sum = 0;
    uses.each([&](Use use) { sum += use.buffer->bytes(); });
    return sum;
  }
  // visit(view, role, argument, place in a list or -1) for each operand, as it was when the call was made.
  template <class Visit> void operands(Visit visit) const {
    int argument = 0;
    std::apply([&](auto&... a) { (visitOperand(a, argument++, visit), ...); }, args);
  }
  // Whether a number among the arguments is NaN, or infinite.
  bool hasBadNumber(bool nanOnly) const {
    bool found = false;
    auto look = [&](const auto& a) {
      if constexpr (std::is_same_v<Plain<decltype(a)>, double>) found |= nanOnly ? std::isnan(a) : !std::isfinite(a);
    };
    std::apply([&](auto&... a) { (look(a), ...); }, args);
    return found;
  }
  void stamp(uint64_t position) {
    uses.each([&](Use use) { use.buffer->lastUse.store(position, std::memory_order_relaxed); });
  }
  // Each operand there is, with what the call does to it.
  template <class Visit> void eachUse(Visit visit) const {
    uses.each([&](Use use) { visit(use.buffer, use.role); });
  }

private:
  struct Use {
    Buffer* buffer;
    Role role;
  };
  // Part of another call.
  Call(const Call& all, const Rows& rows, int64_t begin, int64_t count)
      : info(all.info), args(all.args), dtype(all.dtype), kernel(all.kernel) {
    int operand = 0;
    auto narrow = [&](auto& a) {
      using Type = Plain<decltype(a)>;
      if constexpr (std::is_same_v<Type, BroadcastSize>) {
        a.rank = 2;
        a.extent[0] = count / rows.inner, a.extent[1] = rows.inner;
        for (int o = 0; o < 2; o++) a.stride[o][0] = rows.outer[1 + o], a.stride[o][1] = rows.step[1 + o];
      } else if constexpr (std::is_same_v<Type, int64_t>) {
        a = count;
      } else if constexpr (std::is_base_of_v<View, Type>) {
        const int64_t at = begin / rows.inner * rows.outer[operand++];
        a.data = static_cast<const char*>(a.data) + at * sizeOf(a.dtype);
      } else if constexpr (std::is_base_of_v<MutableView, Type>) {
        const int64_t at = begin / rows.inner * rows.outer[operand++];
        a.data = static_cast<char*>(a.data) + at * sizeOf(a.dtype);
      }
    };
    std::apply([&](auto&... a) { (narrow(a), ...); }, args);
  }
  const OpInfo<void(A...)>* info;
  std::tuple<Plain<A>...> args;
  Few<Use, 8> uses;
  Few<Buffer*, 2> indices;
  std::vector<std::unique_ptr<MutableView[]>> lists;
  DType dtype = DType::float32;
  bool typed = false;
  // Where all outputs are empty there is nothing to do, and the other extents may be as large as a number can be. Seen when
  // the call is made: once it is queued, a buffer may have been freed and have its next owner's count.
  bool writesSomething = false;
  int kernel = 0;

  [[noreturn]] void fail(int i, const char* what) const { refuseArgument(info->name, i, what); }

  template <size_t I> void parse(Source& source, int& at, int length) {
    using Type = Plain<std::tuple_element_t<I, std::tuple<A...>>>;
    Type& into = std::get<I>(args);
    if constexpr (std::is_same_v<Type, Fault>) {
      return;
    } else if constexpr (Arg<Type>::isSize) {
      constexpr int fields = int(sizeof(Type) / sizeof(int64_t));
      int64_t values[fields];
      if constexpr (requires { Type::isList; }) {
        int n = length - at;
        if (n > fields) refuseCount(info->name, at + fields, length);
        for (int f = 0; f < n; f++) values[f] = integer(source, at + f, length);
        if (!Type::parse(values, n, into)) fail(at, "must start a list of rank, extents and strides");
        at += n;
      } else {
        for (int f = 0; f < fields; f++) values[f] = integer(source, at + f, length);
        into = std::bit_cast<Type>(values);
        at += fields;
      }
    } else if constexpr (std::is_same_v<Type, int64_t>) {
      into = integer(source, at++, length);
    } else if constexpr (std::is_same_v<Type, double>) {
      if (at >= length) fail(at, "is missing");
      into = source.number(at++);
    } else if constexpr (Arg<Type>::list) {
      if (at >= length) fail(at, "is missing");
      std::vector<Operand> found;
      source.list(at, found);
      lists.push_back(std::make_unique<MutableView[]>(found.size()));
      MutableView* views = lists.back().get();
      for (size_t i = 0; i < found.size(); i++) {
        views[i] = found[i].view();
        use<Type>(found[i], at);
      }
      if constexpr (std::is_same_v<Type, InList>) into = InList{views, int64_t(found.size())};
      else into = InOutList{views, int64_t(found.size())};
      at++;
    } else {
      if (at >= length) fail(at, "is missing");
      Operand operand = source.operand(at);
      if (!operand.buffer && !Arg<Type>::maybe) fail(at, "must be a tensor, got null");
      static_cast<std::conditional_t<std::is_base_of_v<View, Type>, View, MutableView>&>(into) = {
          operand.view().data, operand.view().count, operand.view().dtype};
      if (operand.buffer) use<Type>(operand, at);
      at++;
    }
  }

  int64_t integer(Source& source, int i, int length) const {
    if (i >= length) fail(i, "is missing");
    return toInteger(info->name, i, source.number(i));
  }

  template <class Type> void use(Operand operand, int at) {
    DType d = operand.buffer->dtype;
    if constexpr (sharesDType<Type>) {
      if (!typed) dtype = d, typed = true;
      else if (Kinds<DTypes>::moves ? sizeOf(d) != sizeOf(dtype) : d != dtype)
        refuseArgument(info->name, at,
                       std::string("must have the dtype of the others, ") + nameOf(dtype) + ", got " + nameOf(d));
    } else if constexpr (std::is_same_v<Type, Index>) {
      if (d != DType::int32 && d != DType::int64 && d != DType::uint8)
        refuseArgument(info->name, at, std::string("must be int32, int64 or uint8, got ") + nameOf(d));
      indices.push_back(operand.buffer);
    } else if constexpr (std::is_same_v<Type, IndexOut>) {
      if (d != DType::int32) refuseArgument(info->name, at, std::string("must be int32, got ") + nameOf(d));
    } else if constexpr (std::is_same_v<Type, Mask> || std::is_same_v<Type, MaskOut>) {
      if (d != DType::bool_) refuseArgument(info->name, at, std::string("must be bool, got ") + nameOf(d));
    }
    uses.push_back({operand.buffer, Arg<Type>::role});
    writesSomething |= Arg<Type>::role != Role::in && operand.buffer->count > 0;
  }

  std::vector<int64_t> counts() const {
    std::vector<int64_t> all;
    uses.each([&](Use use) { all.push_back(use.buffer->count); });
    return all;
  }

  template <class Param, class Value> static decltype(auto) pass(Value& value, Fault& fault) {
    if constexpr (std::is_same_v<Value, Fault>) return (fault);
    else return static_cast<const Value&>(value);
  }

  template <class Value> static void addFlops(const Value& value, double& flops) {
    if constexpr (requires { value.flops(); }) flops += value.flops();
  }

  template <class Value, class Visit> static void visitOperand(const Value& value, int argument, Visit visit) {
    if constexpr (Arg<Value>::list) {
      for (int64_t i = 0; i < value.length; i++) {
        const MutableView& item = value.items[i];
        visit(View{item.data, item.count, item.dtype}, Arg<Value>::role, argument, int(i));
      }
    } else if constexpr (Arg<Value>::role != Role::none) {
      if (value.data) visit(View{value.data, value.count, value.dtype}, Arg<Value>::role, argument, -1);
    }
  }

  void failOutputs(std::shared_ptr<const Failure> why, bool inPlaceToo) {
    uses.each([&](Use use) {
      if (use.role == Role::out || use.role == Role::part || (inPlaceToo && use.role == Role::inout))
        use.buffer->fail(why);
    });
  }

  // The lists of a fused call as the kernel sees them.
  template <class E> struct ListOf {
    std::vector<E*> data;
    std::vector<int64_t> count;
  };

  template <class T, class Param, class Value>
  static auto toKernel(Value& value, Fault& fault, std::vector<std::shared_ptr<void>>& keep) ->
      typename KernelArg<T, Param>::type {
    using Type = Plain<Param>;
    if constexpr (std::is_same_v<Type, Fault>) {
      return fault;
    } else if constexpr (Arg<Type>::list) {
      using E = std::conditional_t<std::is_same_v<Type, InList>, const T, T>;
      auto list = std::make_shared<ListOf<E>>();
      for (int64_t i = 0; i < value.length; i++) {
        list->data.push_back(static_cast<E*>(const_cast<void*>(static_cast<const void*>(value.items[i].data))));
        list->count.push_back(value.items[i].count);
      }
      keep.push_back(list);
      return {list->data.data(), list->count.data(), value.length};
    } else if constexpr (std::is_same_v<Type, Index>) {
      return Indices{value.data, value.dtype};
    } else if constexpr (std::is_same_v<Type, AnyIn> || std::is_same_v<Type, AnyOut>) {
      return value;
    } else if constexpr (std::is_base_of_v<View, Type> || std::is_base_of_v<MutableView, Type>) {
      return static_cast<typename KernelArg<T, Type>::type>(value.data);
    } else {
      return value;
    }
  }

  template <class T> void invokeAs(const Table& table, int index, Fault& fault) {
    using Kernel = void (*)(typename KernelArg<T, A>::type...);
    auto kernelOf = reinterpret_cast<Kernel>(info->kernels(table)[index]);
    std::vector<std::shared_ptr<void>> keep;
    std::apply([&](auto&... a) { kernelOf(toKernel<T, A>(a, fault, keep)...); }, args);
  }

  template <class... T> void dispatch(Types<T...>, const Table& table, Fault& fault) {
    int i = 0;
    ((i++ == kernel ? invokeAs<T>(table, i - 1, fault) : void()), ...);
  }

  void invoke(const Table& table, Fault& fault) {
    if constexpr (Kinds<DTypes>::any) invokeAs<void>(table, 0, fault);
    else dispatch(DTypes{}, table, fault);
  }
};

} // namespace napier
