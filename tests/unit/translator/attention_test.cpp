// Requests from other threads and alarms reach translated code, wherever it is, and the count of retired
// instructions stays exact.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tests/unit/interp/bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

using SteadyClock = std::chrono::steady_clock;

class AttentionTest : public interp::CpuBench {
 protected:
  AttentionTest()
      : CpuBench("core2duo-32"), engine(Translator::create(context, {.hot_threshold = 0}).take()) {}

  /// Runs an endless loop whose ECX counts its rounds of `insns` instructions; another thread wants it to
  /// leave, again and again, at any place.
  void expect_leaves(std::initializer_list<uint8_t> loop, unsigned insns) {
    constexpr unsigned kTimes = 300;
    put(kCode, loop);
    std::atomic<unsigned> returned = 0;
    std::atomic<bool> running = false;
    std::vector<SteadyClock::time_point> requested(kTimes), left(kTimes);
    std::thread other([&] {
      for (unsigned i = 0; i < kTimes; ++i) {
        while (returned.load() != i || !running.load()) std::this_thread::yield();
        // From just before the start to far into the loop.
        const auto start = SteadyClock::now() + std::chrono::microseconds(i % 8 == 0 ? 0 : i);
        while (SteadyClock::now() < start) {
        }
        requested[i] = SteadyClock::now();
        attention.request(Attention::kExit);
      }
    });
    for (unsigned i = 0; i < kTimes; ++i) {
      running = true;
      EXPECT_EQ(engine->run({}), ExitReason::kAttention);
      left[i] = SteadyClock::now();
      running = false;
      ASSERT_EQ((cpu.retired + 1) / insns, reg(Gpr::kRcx));  // counts in the one before the last
      returned = i + 1;
    }
    other.join();
    if (std::getenv("VIREO_SHOW_LATENCY") == nullptr) return;
    std::vector<int64_t> ns;
    for (unsigned i = 0; i < kTimes; ++i) ns.push_back((left[i] - requested[i]).count());
    std::sort(ns.begin(), ns.end());
    std::printf("from request to return, ns: p50 %ld, p90 %ld, p99 %ld, most %ld\n", long(ns[kTimes / 2]),
                long(ns[kTimes * 9 / 10]), long(ns[kTimes * 99 / 100]), long(ns.back()));
  }

  std::unique_ptr<ExecutionEngine> engine;
};

TEST_F(AttentionTest, ChainedLoop) {
  // inc ecx; jmp $ - 2
  expect_leaves({0x66, 0x41, 0xeb, 0xfc}, 2);
}

TEST_F(AttentionTest, LoopOfCalls) {
  // call f; inc ecx... each in a block of its own: call +4; inc ecx; jmp start; ret
  expect_leaves({0xe8, 0x04, 0x00, 0x66, 0x41, 0xeb, 0xf9, 0xc3}, 4);
}

TEST_F(AttentionTest, InterpretedInstructions) {
  // smsw ax; inc ecx; jmp start
  expect_leaves({0x0f, 0x01, 0xe0, 0x66, 0x41, 0xeb, 0xf9}, 3);
}

TEST_F(AttentionTest, TlbFills) {
  // mov cr3, eax flushes; mov al, [bx]; inc ecx; jmp start
  expect_leaves({0x0f, 0x22, 0xd8, 0x8a, 0x07, 0x66, 0x41, 0xeb, 0xf7}, 4);
}

TEST_F(AttentionTest, X87Loop) {
  // fld1; fstp st0; inc ecx; jmp start
  expect_leaves({0xd9, 0xe8, 0xdd, 0xd8, 0x66, 0x41, 0xeb, 0xf8}, 4);
}

}  // namespace
}  // namespace vireo::translator
