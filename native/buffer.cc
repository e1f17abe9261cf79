#include "buffer.h"
#include "device.h"
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <mutex>
#include <new>
#include <vector>
#ifdef __linux__
#include <sys/mman.h>
#elif defined(_WIN32)
#include <malloc.h>
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

namespace napier {

namespace {

// Debug builds put a pattern behind each buffer and look at it when its memory is used again; AddressSanitizer is told
// where each buffer ends. Both want memory that no queued op uses any more.
#if defined(NAPIER_DEBUG) && !defined(__SANITIZE_ADDRESS__)
constexpr size_t kRedZone = 64;
#else
constexpr size_t kRedZone = 0;
#endif
constexpr unsigned char kRedByte = 0xA5;
#ifdef __SANITIZE_ADDRESS__
constexpr bool kWatched = true;
void endAt(void* data, size_t bytes, size_t capacity) {
  ASAN_UNPOISON_MEMORY_REGION(data, bytes);
  ASAN_POISON_MEMORY_REGION(static_cast<char*>(data) + bytes, capacity - bytes);
}
#else
constexpr bool kWatched = kRedZone > 0;
void endAt(void*, size_t, size_t) {}
#endif

constexpr size_t kSmallest = 64;

// Eight classes a power of two: at most 12.5 % of a buffer is unused.
struct SizeClass {
  uint16_t index;
  size_t bytes;
};
SizeClass classOf(size_t bytes) {
  if (bytes <= kSmallest * 8) {
    size_t steps = bytes == 0 ? 1 : (bytes + kSmallest - 1) / kSmallest;
    return {uint16_t(steps - 1), steps * kSmallest};
  }
  int log = 63 - __builtin_clzll(bytes - 1); // 2^log < bytes <= 2^(log + 1)
  size_t step = (size_t(1) << log) / 8;
  size_t eighths = (bytes - (size_t(1) << log) + step - 1) / step; // 1 to 8
  return {uint16_t(8 + (log - 9) * 8 + eighths - 1), (size_t(1) << log) + eighths * step};
}
constexpr int kClasses = 8 + (64 - 9) * 8;

#ifdef _WIN32
void* systemAlloc(size_t bytes) { return _aligned_malloc(bytes, 64); }
void systemFree(void* p) { _aligned_free(p); }
#else
constexpr size_t kHugePage = size_t(2) << 20;
void systemFree(void* p) { free(p); }
void* systemAlloc(size_t bytes) {
  void* p = nullptr;
  bool huge = bytes >= 2 * kHugePage;
  if (posix_memalign(&p, huge ? kHugePage : 64, bytes)) return nullptr;
#ifdef __linux__
  // Fresh large memory costs a page fault every 4 KB (25.7 MB: 12.6 ms, with huge pages 3.7 ms).
  if (huge) madvise(p, bytes & ~(kHugePage - 1), MADV_HUGEPAGE);
#endif
  return p;
}
#endif

std::mutex poolMutex;
// Leaked on purpose: buffers outlive static destructors when the process ends in mid-step.
std::vector<Buffer*>* freeLists = new std::vector<Buffer*>[kClasses];
MemoryStats stats{};

std::mutex failureMutex;

void markEnd(Buffer* b) {
  size_t bytes = size_t(b->bytes());
  endAt(b->data, bytes, b->capacity);
  if (kRedZone) memset(static_cast<char*>(b->data) + bytes, kRedByte, kRedZone);
}
void checkEnd(const Buffer* b) {
  for (size_t i = 0; i < kRedZone; i++)
    if (static_cast<unsigned char*>(b->data)[size_t(b->bytes()) + i] != kRedByte) {
      fprintf(stderr, "napier: a kernel wrote %zu bytes behind a buffer of %lld bytes\n", i, (long long)b->bytes());
      abort();
    }
}

void destroy(Buffer* b) {
  checkEnd(b);
  endAt(b->data, b->capacity, b->capacity);
  systemFree(b->data);
  delete b;
}

// Under poolMutex: returns idle cached buffers, largest first, until at most `keep` bytes stay cached.
int64_t trim(int64_t keep) {
  int64_t given = 0;
  uint64_t done = completedPosition.load(std::memory_order_acquire);
  for (int c = kClasses - 1; c >= 0 && stats.cachedBytes > keep; c--) {
    auto& list = freeLists[c];
    size_t kept = 0;
    for (Buffer* b : list) {
      if (stats.cachedBytes > keep && b->lastUse.load(std::memory_order_relaxed) <= done) {
        stats.cachedBytes -= int64_t(b->capacity);
        given += int64_t(b->capacity);
        destroy(b);
      } else {
        list[kept++] = b;
      }
    }
    list.resize(kept);
  }
  return given;
}

// Under poolMutex. A buffer the host writes must be out of every queued op's hands; look a few entries deep.
Buffer* takeCached(int sizeClass, bool hostWrites) {
  auto& list = freeLists[sizeClass];
  uint64_t done = completedPosition.load(std::memory_order_acquire);
  int depth = hostWrites ? 16 : 1;
  for (size_t i = list.size(); i > 0 && depth > 0; i--, depth--) {
    Buffer* b = list[i - 1];
    if (hostWrites && b->lastUse.load(std::memory_order_relaxed) > done) continue;
    list.erase(list.begin() + long(i - 1));
    stats.cachedBytes -= int64_t(b->capacity);
    checkEnd(b);
    return b;
  }
  return nullptr;
}

} // namespace

std::atomic<uint64_t> completedPosition{0};

void Buffer::fail(std::shared_ptr<const Failure> why) {
  std::lock_guard<std::mutex> lock(failureMutex);
  failed.store(why != nullptr, std::memory_order_release);
  failure = std::move(why);
}

std::shared_ptr<const Failure> Buffer::whyFailed() const {
  if (!failed.load(std::memory_order_acquire)) return nullptr;
  std::lock_guard<std::mutex> lock(failureMutex);
  return failure;
}

namespace {
// A size class of no list: whose memory is not the buffer's own.
constexpr uint16_t kBorrowed = UINT16_MAX;

int64_t bytesOf(DType dtype, int64_t count) {
  int64_t bytes;
  if (count < 0 || __builtin_mul_overflow(count, sizeOf(dtype), &bytes) || bytes > (int64_t(1) << 46))
    throw std::bad_alloc();
  return bytes;
}
} // namespace

Buffer* allocateLater(DType dtype, int64_t count) {
  bytesOf(dtype, count);
  auto* b = new Buffer{};
  b->sizeClass = kBorrowed;
  b->count = count;
  b->dtype = dtype;
  b->references.store(1, std::memory_order_relaxed);
  return b;
}

void giveMemory(Buffer* b) {
  // As for the host: no queued op may still look at the object that is deleted here.
  Buffer* from = allocateBuffer(b->dtype, b->count, true);
  b->data = from->data;
  b->capacity = from->capacity;
  b->sizeClass = from->sizeClass;
  b->lastUse.store(from->lastUse.load(std::memory_order_relaxed), std::memory_order_relaxed);
  delete from;
}

Buffer* allocateBuffer(DType dtype, int64_t count, bool hostWrites) {
  SizeClass size = classOf(size_t(bytesOf(dtype, count)) + kRedZone);
  Buffer* b;
  {
    std::lock_guard<std::mutex> lock(poolMutex);
    b = takeCached(size.index, hostWrites || kWatched);
    if (!b) {
      // The cache serves steady shapes; where shapes change it must not grow beyond what is alive.
      constexpr int64_t kFreeCache = int64_t(256) << 20;
      int64_t most = stats.liveBytes > kFreeCache ? stats.liveBytes : kFreeCache;
      if (stats.cachedBytes > most) trim(most / 2);
    }
  }
  if (!b) {
    void* data = systemAlloc(size.bytes);
    if (!data) {
      emptyCache();
      if (!(data = systemAlloc(size.bytes))) throw std::bad_alloc();
    }
    b = new Buffer{};
    b->data = data;
    b->capacity = size.bytes;
    b->sizeClass = size.index;
  }
  b->count = count;
  b->dtype = dtype;
  b->references.store(1, std::memory_order_relaxed);
  if (hostWrites) b->clearFailure();
  markEnd(b);
  std::lock_guard<std::mutex> lock(poolMutex);
  stats.liveBytes += int64_t(b->capacity);
  stats.liveBuffers++;
  if (stats.liveBytes > stats.peakBytes) stats.peakBytes = stats.liveBytes;
  return b;
}

void release(Buffer* b) {
  if (b->references.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (b->sizeClass == kBorrowed) {
    delete b;
    return;
  }
  std::lock_guard<std::mutex> lock(poolMutex);
  stats.liveBytes -= int64_t(b->capacity);
  stats.liveBuffers--;
  stats.cachedBytes += int64_t(b->capacity);
  freeLists[b->sizeClass].push_back(b);
}

MemoryStats memoryStats() {
  std::lock_guard<std::mutex> lock(poolMutex);
  return stats;
}

void resetPeakBytes() {
  std::lock_guard<std::mutex> lock(poolMutex);
  stats.peakBytes = stats.liveBytes;
}

// ---- Scratch memory: lists of its own, because a running kernel may be older than the ops that still use a freed
// buffer.

namespace {
struct alignas(64) ScratchHeader {
  size_t bytes;
  uint16_t sizeClass;
};
std::mutex scratchMutex;
// What no kernel uses: a running one has taken its own out of the lists.
std::vector<void*>* scratchLists = new std::vector<void*>[kClasses];

int64_t trimScratch() {
  int64_t given = 0;
  {
    std::lock_guard<std::mutex> lock(scratchMutex);
    for (int c = 0; c < kClasses; c++) {
      for (void* p : scratchLists[c]) {
        const size_t bytes = static_cast<ScratchHeader*>(p)->bytes;
        endAt(p, bytes, bytes);
        given += int64_t(bytes);
        systemFree(p);
      }
      scratchLists[c].clear();
    }
  }
  std::lock_guard<std::mutex> lock(poolMutex);
  stats.scratchBytes -= given;
  return given;
}
} // namespace

int64_t emptyCache() {
  const int64_t scratch = trimScratch();
  std::lock_guard<std::mutex> lock(poolMutex);
  return scratch + trim(0);
}

void* scratchAlloc(size_t bytes) {
  if (bytes > size_t(1) << 46) throw std::bad_alloc();
  SizeClass size = classOf(bytes + sizeof(ScratchHeader));
  {
    std::lock_guard<std::mutex> lock(scratchMutex);
    auto& list = scratchLists[size.index];
    if (!list.empty()) {
      void* p = list.back();
      list.pop_back();
      endAt(p, bytes + sizeof(ScratchHeader), size.bytes);
      return static_cast<char*>(p) + sizeof(ScratchHeader);
    }
  }
  void* p = systemAlloc(size.bytes);
  if (!p) throw std::bad_alloc();
  new (p) ScratchHeader{size.bytes, size.index};
  {
    std::lock_guard<std::mutex> lock(poolMutex);
    stats.scratchBytes += int64_t(size.bytes);
  }
  endAt(p, bytes + sizeof(ScratchHeader), size.bytes);
  return static_cast<char*>(p) + sizeof(ScratchHeader);
}

void scratchFree(void* memory) {
  void* p = static_cast<char*>(memory) - sizeof(ScratchHeader);
  std::lock_guard<std::mutex> lock(scratchMutex);
  scratchLists[static_cast<ScratchHeader*>(p)->sizeClass].push_back(p);
}

} // namespace napier
