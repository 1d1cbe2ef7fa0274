// The realtime clock: what it tells the engine, and the alarm for a guest that has become slow.
#include <gtest/gtest.h>

#include <chrono>
#include <fstream>
#include <string>
#include <thread>

#include "core/machine/clocks.h"

namespace vireo {
namespace {

using namespace std::chrono_literals;
using SteadyClock = std::chrono::steady_clock;

unsigned posix_timers() {
  std::ifstream list("/proc/self/timers");
  unsigned count = 0;
  for (std::string line; std::getline(list, line);) count += line.starts_with("ID:");
  return count;
}

bool wait_for_exit_request(const Attention& attention, SteadyClock::duration at_most) {
  const auto end = SteadyClock::now() + at_most;
  while ((attention.bits() & Attention::kExit) == 0) {
    if (SteadyClock::now() > end) return false;
    std::this_thread::sleep_for(100us);
  }
  return true;
}

TEST(HostAlarm, GoesOffBetweenTheTimesUnlessMovedOn) {
  Attention attention;
  auto alarm = HostAlarm::create(attention).take();
  const auto start = SteadyClock::now();
  alarm->set_between(start + 5ms, start + 15ms);
  alarm->set_between(start + 300ms, start + 500ms);
  EXPECT_FALSE(wait_for_exit_request(attention, 100ms));
  alarm->set_between(start + 320ms, start + 520ms);  // the time that is set will do
  EXPECT_TRUE(wait_for_exit_request(attention, 10s));
  EXPECT_GE(SteadyClock::now() - start, 399ms);
}

TEST(HostAlarm, LeavesNothingBehind) {
  if (!std::ifstream("/proc/self/timers")) GTEST_SKIP() << "this kernel does not list timers";
  const unsigned before = posix_timers();
  for (int i = 0; i < 10; ++i) {
    auto attention = std::make_unique<Attention>();
    auto alarm = HostAlarm::create(*attention).take();
    EXPECT_EQ(posix_timers(), before + 1);
    alarm->set_between(SteadyClock::now() - 1ms, SteadyClock::now());
  }
  EXPECT_EQ(posix_timers(), before);
}

class RealtimeClockTest : public testing::Test {
 protected:
  /// As if the engine ran: what the limit allows, at `speed` instructions a ns.
  void run(VirtualNs until, double speed) {
    const uint64_t limit = clock.limits_until(until, true).retired;
    ASSERT_GT(limit, cpu.retired);
    const auto end =
        SteadyClock::now() +
        std::chrono::nanoseconds(static_cast<int64_t>(static_cast<double>(limit - cpu.retired) / speed));
    while (SteadyClock::now() < end) {
    }
    cpu.retired = limit;
  }

  CpuState cpu;
  Attention attention;
  RealtimeClock clock{cpu, HostAlarm::create(attention).take()};
};

TEST_F(RealtimeClockTest, LimitsFollowTheSpeedOfLate) {
  for (const double speed : {2.0, 0.1}) {
    unsigned runs = 0;
    VirtualNs due = 0;
    for (int i = 0; i < 100; ++i) {
      due = clock.now() + 1'000'000;
      for (runs = 0; clock.now() < due && runs < 1000; ++runs) run(due, speed);
    }
    // Not instruction by instruction once it knows the speed.
    EXPECT_LT(runs, 50u);
  }
}

TEST_F(RealtimeClockTest, AGuestThatIsAlwaysLateGetsOn) {
  for (int i = 0; i < 100; ++i) run(clock.now() - 1'000'000, 1.0);
  EXPECT_GT(cpu.retired, 100u);
}

TEST_F(RealtimeClockTest, AlarmForAGuestThatHasBecomeSlow) {
  for (int i = 0; i < 50; ++i) run(clock.now() + 1'000'000, 1.0);
  attention.clear(Attention::kExit);
  const VirtualNs due = clock.now() + 1'000'000;
  clock.limits_until(due, true);
  EXPECT_TRUE(wait_for_exit_request(attention, 10s));
  EXPECT_GE(clock.now(), due);
}

TEST_F(RealtimeClockTest, AlarmAloneForAnEngineThatDoesNotCount) {
  const VirtualNs due = clock.now() + 1'000'000;
  EXPECT_EQ(clock.limits_until(due, false).retired, ~uint64_t{0});
  EXPECT_TRUE(wait_for_exit_request(attention, 10s));
  EXPECT_GE(clock.now(), due);
}

}  // namespace
}  // namespace vireo
