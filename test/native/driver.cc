// The native tests: everything of native/ but native/node/, without Node and so under any sanitizer or emulator.
//
//   driver [RECORD]    stresses pool, stream, buffers and scratch; then replays the record of kernel calls (FORMAT.md)
//
// One line a failure, "N passed, N failed" at the end; exit code 1 where one failed.
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <thread>
#include "../../native/cpu.h"
#include "../../native/stream.h"
#include "replay.h"
#include "stress.h"

using namespace napier;
using namespace napier::test;

// Ends the process, with the name of what hangs, where one test takes longer than any does under an emulator.
class Watchdog {
public:
  Watchdog() {
    std::thread([this] {
      for (int quiet = 0;; quiet = seen == turns ? quiet + 1 : 0) {
        seen = turns;
        if (quiet > 300) {
          printf("FAILED %s: it hangs\n", running.load());
          fflush(stdout);
          _Exit(1);
        }
        std::this_thread::sleep_for(std::chrono::seconds(1));
      }
    }).detach();
  }
  void turn(const char* name) {
    running = name;
    turns++;
  }

private:
  std::atomic<const char*> running{""};
  std::atomic<int> turns{0};
  int seen = 0;
};

int main(int argc, char** argv) {
  setvbuf(stdout, nullptr, _IOLBF, 0);
  static Watchdog watchdog;
  int passed = 0, failed = 0;
  auto report = [&](const std::string& name, const std::string& error) {
    error.empty() ? passed++ : failed++;
    if (!error.empty()) printf("FAILED %s: %s\n", name.c_str(), error.c_str());
  };
  for (const Stress& stress : stresses()) {
    auto start = std::chrono::steady_clock::now();
    watchdog.turn(stress.name);
    std::string error;
    try {
      stress.run();
    } catch (const std::exception& e) {
      error = e.what();
    }
    printf("%-52s %5lld ms\n", stress.name, (long long)std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start).count());
    report(stress.name, error);
  }
  if (argc > 1) {
    int calls = 0;
    try {
      watchdog.turn("the replay");
      for (const Outcome& o : replay(argv[1])) {
        calls += o.calls;
        report(o.name, o.error);
      }
    } catch (const std::exception& e) {
      report(argv[1], e.what());
    }
    printf("replayed %d calls; instruction sets:", calls);
    for (const std::string& isa : cpuIsas()) printf(" %s", isa.c_str());
    printf("\n");
  }
  Stream::cpu().wait(Stream::cpu().position());
  emptyCache(); // looks behind every buffer that is left
  printf("%d passed, %d failed\n", passed, failed);
  return failed > 0;
}
