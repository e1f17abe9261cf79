// Threads that run until the process ends, with a stack of one size on every system: a kernel that is fine where it was
// written must not overflow where threads get less (musl 128 KB, macOS 512 KB, Windows 1 MB, glibc what `ulimit -s` says).
#pragma once
#include <cstddef>
#include <utility>
#ifdef _WIN32
#include <thread>
#else
#include <pthread.h>
#include <memory>
#include <system_error>
#endif

namespace napier {

// 1 MB for kernels, which keep what grows with a size in Scratch; 1 MB for what glibc puts there itself: the thread-locals
// of every library, which are large under ThreadSanitizer.
constexpr size_t kThreadStack = size_t(2) << 20;

#ifdef _WIN32
template <class Body> void startThread(Body body) { std::thread(std::move(body)).detach(); }
#else
template <class Body> void startThread(Body body) {
  auto own = std::make_unique<Body>(std::move(body));
  const auto run = [](void* given) -> void* {
    (*std::unique_ptr<Body>(static_cast<Body*>(given)))();
    return nullptr;
  };
  pthread_attr_t attributes;
  int error = pthread_attr_init(&attributes);
  if (error == 0) {
    pthread_t thread;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, kThreadStack);
    error = pthread_create(&thread, &attributes, run, own.get());
    pthread_attr_destroy(&attributes);
  }
  if (error != 0) throw std::system_error(error, std::generic_category(), "napier: a thread could not be started");
  own.release();
}
#endif

} // namespace napier
