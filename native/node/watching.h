// The addon's functions around native/watch.h.
#pragma once
#include "env.h"

namespace napier {

void exportWatching(napi_env env, napi_value exports, Environment* environment);

} // namespace napier
