#include "elementwise.h"
#include <string_view>

namespace napier {

namespace {
constexpr std::string_view kWhole[] = {
#define STEP(name, forward) #name,
#define UNARY(name, saved, forward, gradient) #name, #name "Grad",
#define UNARY1(name, saved, forward, gradient) #name, #name "Grad",
#define UNARY2(name, saved, forward, gradient) #name, #name "Grad",
#define AFFINE0(name, forward) #name,
#define AFFINE1(name, forward) #name,
#define AFFINE2(name, forward) #name,
#include "unary.def"
};
constexpr std::string_view kBroadcast[] = {
#define ARITHMETIC(name, expression) #name,
#define BINARY(name, dtypes, expression) #name,
#define COMPARE(name, expression) #name,
#define LOGICAL(name, expression) #name,
#include "binary.def"
};

template <size_t N> bool among(const std::string_view (&names)[N], std::string_view name) {
  for (std::string_view each : names)
    if (each == name) return true;
  return false;
}

// Whether operand `which` of a broadcast call is as large as the result and in its order.
bool isWhole(const std::vector<Given>& call, size_t which) {
  const size_t rank = size_t(call[3].number);
  double elements = 1;
  for (size_t d = rank; d-- > 0;) {
    const double extent = call[4 + d].number, stride = call[4 + rank * (1 + which) + d].number;
    if (extent != 1 && stride != elements) return false;
    elements *= extent;
  }
  return true;
}
} // namespace

Walk walkOf(const char* op) {
  return among(kWhole, op) ? Walk::whole : among(kBroadcast, op) ? Walk::broadcast : Walk::none;
}

bool mayTake(const char* op, const std::vector<Given>& call, size_t argument) {
  const Walk walk = walkOf(op);
  if (walk == Walk::none || argument < 1 || argument > 2) return false;
  const Buffer *y = call[0].buffer, *x = call[argument].buffer;
  if (!x || sizeOf(x->dtype) != sizeOf(y->dtype) || x->count != y->count) return false;
  if (walk == Walk::whole) return true;
  return isWhole(call, argument - 1) && (call[3 - argument].buffer != x || isWhole(call, 2 - argument));
}

bool rowsOf(const char* op, const std::vector<Given>& call, Rows& rows) {
  const Walk walk = walkOf(op);
  rows = {};
  if (walk != Walk::broadcast) return walk == Walk::whole;
  const size_t rank = size_t(call[3].number);
  int64_t inner = 1, outer = 1, step[2] = {1, 1}, across[2] = {0, 0}; // from the last dimension on
  bool begun = false, crossed = false;
  for (size_t d = rank; d-- > 0;) {
    const int64_t extent = int64_t(call[4 + d].number);
    if (extent == 1) continue;
    const int64_t stride[2] = {int64_t(call[4 + rank + d].number), int64_t(call[4 + 2 * rank + d].number)};
    if (!begun) {
      inner = extent, step[0] = stride[0], step[1] = stride[1], begun = true;
    } else if (!crossed && stride[0] == inner * step[0] && stride[1] == inner * step[1]) {
      inner *= extent;
    } else if (!crossed) {
      outer = extent, across[0] = stride[0], across[1] = stride[1], crossed = true;
    } else if (stride[0] == outer * across[0] && stride[1] == outer * across[1]) {
      outer *= extent;
    } else {
      return false;
    }
  }
  if (!crossed) { // one row, that can be cut anywhere
    for (int o = 0; o < 2; o++) across[o] = step[o];
    inner = 1;
  }
  rows.inner = rows.outer[0] = inner;
  for (int o = 0; o < 2; o++) rows.outer[1 + o] = across[o], rows.step[1 + o] = step[o];
  return true;
}

} // namespace napier
