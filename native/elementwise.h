// The ops of unary.def and binary.def, known by their names: each element of the result, which is the first operand, is
// made of the elements in its place, so that the result may lie where an operand does and a call may be run in parts.
#pragma once
#include <cstdint>
#include "capture.h"

namespace napier {

// How an op walks its operands.
enum class Walk : uint8_t {
  none,      // not element by element
  whole,     // (y, x.., numbers, n): all of n elements
  broadcast, // (y, a, b, Strides<2>)
};
Walk walkOf(const char* op);

// Whether the call's result may take the memory of operand `argument`: as many bytes an element, in the same order.
bool mayTake(const char* op, const std::vector<Given>& call, size_t argument);

// The call's elements as rows, where one stride crosses the rows of each operand; false: they have no such form.
bool rowsOf(const char* op, const std::vector<Given>& call, Rows& rows);

} // namespace napier
