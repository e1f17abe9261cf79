// Stands in for a variant that this CPU cannot run, where building it would only take time (sanitizers).
#include <cstdlib>
#include "../../native/device.h"

namespace napier::ISA {
void fillTable(Table& table);
void fillTable(Table&) { abort(); }
} // namespace napier::ISA
