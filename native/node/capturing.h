// The addon's functions around native/capture.h.
#pragma once
#include "env.h"

namespace napier {

void exportCapturing(napi_env env, napi_value exports, Environment* environment);

} // namespace napier
