// Reference-counted, aligned memory on one device, from caching free lists.
//
// A Buffer is freed in JavaScript while queued kernels still use it: order makes that safe, because whatever takes it
// from the free list is queued after them. Only what the host writes or reads out of order (uploads, returning memory
// to the system) needs `lastUse`, the stream position of the last op that touched the buffer.
#pragma once
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>
#include "dtype.h"

namespace napier {

// Why a buffer holds no value: the sentence that the next read rejects with.
struct Failure {
  std::string message;
};

struct Buffer {
  void* data;
  int64_t count;
  DType dtype;
  uint16_t sizeClass;
  size_t capacity;
  std::atomic<int32_t> references;
  std::atomic<uint64_t> lastUse;          // stream position
  std::atomic<bool> failed;               // set and cleared by whoever runs kernels, in stream order
  std::shared_ptr<const Failure> failure; // guarded by failureMutex in buffer.cc

  int64_t bytes() const { return count * sizeOf(dtype); }
  void fail(std::shared_ptr<const Failure> why);
  std::shared_ptr<const Failure> whyFailed() const;
  void clearFailure() {
    if (failed.load(std::memory_order_relaxed)) fail(nullptr);
  }
};

// Stream position up to which every op has finished; written by the stream.
extern std::atomic<uint64_t> completedPosition;

// A buffer with one reference and undefined contents. hostWrites: the caller fills it now, out of stream order.
// Throws std::bad_alloc, also where count * sizeOf(dtype) is too large.
Buffer* allocateBuffer(DType dtype, int64_t count, bool hostWrites);
// A buffer that holds no memory yet, with one reference: what a step that is being recorded makes. Its `data` is null
// until giveMemory() makes it a buffer like any other, or the step's plan lends it memory.
Buffer* allocateLater(DType dtype, int64_t count);
void giveMemory(Buffer* b);
inline void retain(Buffer* b) { b->references.fetch_add(1, std::memory_order_relaxed); }
void release(Buffer* b);

struct MemoryStats {
  int64_t liveBytes, liveBuffers, peakBytes, cachedBytes, scratchBytes;
};
MemoryStats memoryStats();
void resetPeakBytes();
// Gives cached memory that no queued op uses, and scratch memory that no kernel uses, back to the system; answers the bytes.
int64_t emptyCache();

} // namespace napier
