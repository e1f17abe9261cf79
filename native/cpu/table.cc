// Fills a device table with this instruction set's kernels: each op's file defines its fill function by KERNEL(name).
#include "simd.h"

namespace napier::ISA {

#define OP(name, ...) void fill_##name(Table& table);
#include "../ops.def"
#undef OP

void fillTable(Table& table) {
#define OP(name, ...) fill_##name(table);
#include "../ops.def"
#undef OP
}

} // namespace napier::ISA
