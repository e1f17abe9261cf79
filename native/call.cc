#include "call.h"

namespace napier {

void refuseArgument(const char* op, int argument, const std::string& what) {
  throw CallError(std::string(op) + ": argument " + std::to_string(argument) + " " + what);
}

void refuseCount(const char* op, int expected, int got) {
  throw CallError(std::string(op) + ": expected " + std::to_string(expected) + " arguments, got " +
                  std::to_string(got));
}

void refuseDType(const char* op, const std::string& expected, DType got) {
  throw CallError(std::string(op) + ": expected dtype " + expected + ", got " + nameOf(got));
}

void refuseContract(const char* op, const char* contract, const std::vector<int64_t>& counts) {
  std::string s =
      std::string(op) + ": these operands and sizes do not fit together, expected " + contract + " (elements:";
  for (int64_t n : counts) s += " " + std::to_string(n);
  throw CallError(s + ")");
}

void refuseAliasedIndex(const char* op) {
  throw CallError(std::string(op) +
                  ": an output shares memory with the indices it is written by; copy the indices first");
}

int64_t toInteger(const char* op, int argument, double x) {
  if (!(std::fabs(x) <= 9007199254740991.0) || x != std::floor(x)) {
    char text[40];
    snprintf(text, sizeof text, "%g", x);
    refuseArgument(op, argument, std::string("must be a safe integer, got ") + text);
  }
  return int64_t(x);
}

std::shared_ptr<const Failure> outOfScratch(const char* op) {
  return std::make_shared<Failure>(Failure{std::string(op) + ": out of memory for its scratch space"});
}

std::shared_ptr<const Failure> badValue(const char* op, const Fault& fault) {
  return std::make_shared<Failure>(Failure{std::string(op) + ": expected a value between " + std::to_string(fault.low) +
                                           " and " + std::to_string(fault.high) + ", got " +
                                           std::to_string(fault.value) + " (at flat index " +
                                           std::to_string(fault.index) + ")"});
}

} // namespace napier
