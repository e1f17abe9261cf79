// The thread pool. Work is cut by size alone, never by the number of threads, so results have the same bits for any.
#pragma once
#include <cstdint>

namespace napier {

// Calls fn(ctx, begin, end) for [0, grain), [grain, 2 grain), ... up to n, each once, on this thread and the pool's.
// Each thread takes its share of them in order, then what others have left; a call from within fn runs in place. grain >= 1.
void parallelFor(int64_t n, int64_t grain, void (*fn)(void* ctx, int64_t begin, int64_t end), void* ctx);

// Outputs of at least so many bytes are written past the caches, which they would only empty: 8 MB, or
// NAPIER_STREAM_BYTES, by which tests reach that path with small tensors.
int64_t streamBytes();

int threadCount();
void setThreadCount(int threads); // 1 to 256, the calling thread included; takes effect at the next parallelFor

} // namespace napier
