#include "devices/hpet.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

constexpr uint32_t kConfig = 0x10, kStatus = 0x20, kCounter = 0xf0;
constexpr uint64_t kEnable = 1, kLegacy = 2;
constexpr uint64_t kLevel = 2, kIrqEnable = 4, kPeriodic = 8, kSetValue = 0x40, k32Bit = 0x100;

class HpetTest : public testing::Test {
 protected:
  static uint32_t config_of(unsigned timer) { return 0x100 + 0x20 * timer; }
  static uint32_t comparator_of(unsigned timer) { return 0x108 + 0x20 * timer; }
  static uint64_t route(unsigned wire) { return uint64_t{wire} << 9; }
  void advance(VirtualNs delta) {
    clock_.advance(delta);
    scheduler_.run_due();
  }
  unsigned take_edges(unsigned wire) { return std::exchange(edges_[wire], 0); }

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  std::array<unsigned, 24> edges_{};
  IrqHub hub_{24, [this](unsigned wire, bool level) { edges_[wire] += level; }};
  Hpet hpet_{scheduler_, hub_};
};

TEST_F(HpetTest, CapabilitiesTellPeriodTimersAndLegacyReplacement) {
  EXPECT_EQ(hpet_.read(0, 8), 10'000'000ull << 32 | 0x8086a201);
  EXPECT_EQ(hpet_.read(4, 4), 10'000'000u);
  EXPECT_EQ(hpet_.read(config_of(0), 4) & 0x30, 0x30u);
  EXPECT_EQ(hpet_.read(config_of(3), 8), 0u);
}

TEST_F(HpetTest, CounterRunsOnlyWhileEnabledAndCanBeSet) {
  advance(1000);
  EXPECT_EQ(hpet_.read(kCounter, 8), 0u);
  hpet_.write(kConfig, 4, kEnable);
  advance(1000);
  EXPECT_EQ(hpet_.read(kCounter, 8), 100u);
  hpet_.write(kConfig, 4, 0);
  advance(1000);
  EXPECT_EQ(hpet_.read(kCounter, 8), 100u);
  hpet_.write(kCounter, 4, 0xfffffff0);
  hpet_.write(kCounter + 4, 4, 5);
  hpet_.write(kConfig, 4, kEnable);
  advance(0x20 * 10);
  EXPECT_EQ(hpet_.read(kCounter, 8), 0x600000010u);
  EXPECT_EQ(hpet_.read(kCounter + 4, 4), 6u);
}

TEST_F(HpetTest, OneShotEdgeStaysHighUntilReprogrammed) {
  hpet_.write(config_of(2), 4, kIrqEnable | route(20));
  hpet_.write(comparator_of(2), 8, 50);
  hpet_.write(kConfig, 4, kEnable);
  advance(499);
  EXPECT_EQ(take_edges(20), 0u);
  advance(1);
  EXPECT_EQ(take_edges(20), 1u);
  EXPECT_TRUE(hub_.level(20));
  hpet_.write(comparator_of(2), 8, 100);
  advance(500);
  EXPECT_EQ(take_edges(20), 1u);
  hpet_.write(config_of(2), 4, route(20));
  EXPECT_FALSE(hub_.level(20));
}

TEST_F(HpetTest, PeriodicModeTakesMatchThenPeriod) {
  hpet_.write(config_of(0), 4, kIrqEnable | kPeriodic | kSetValue | k32Bit | route(16));
  hpet_.write(comparator_of(0), 4, 1000);
  hpet_.write(comparator_of(0), 4, 300);
  hpet_.write(kConfig, 4, kEnable);
  advance(9'990);
  EXPECT_EQ(take_edges(16), 0u);
  advance(10);
  EXPECT_EQ(take_edges(16), 1u);
  EXPECT_EQ(hpet_.read(comparator_of(0), 4), 1300u);
  advance(3'000);
  EXPECT_EQ(take_edges(16), 1u);
  advance(6'500);  // two periods late: one interrupt, the phase stays
  EXPECT_EQ(take_edges(16), 1u);
  EXPECT_EQ(hpet_.read(comparator_of(0), 4), 2200u);
}

TEST_F(HpetTest, PeriodicModeIn64BitsByDwords) {
  hpet_.write(config_of(0), 4, kIrqEnable | kPeriodic | kSetValue | route(16));
  hpet_.write(comparator_of(0), 4, 500);
  hpet_.write(comparator_of(0) + 4, 4, 0);
  hpet_.write(comparator_of(0), 4, 200);
  hpet_.write(comparator_of(0) + 4, 4, 0);
  hpet_.write(kConfig, 4, kEnable);
  advance(5'000);
  EXPECT_EQ(take_edges(16), 1u);
  EXPECT_EQ(hpet_.read(comparator_of(0), 8), 700u);
}

TEST_F(HpetTest, LevelModeHoldsTheLineUntilTheStatusIsCleared) {
  hpet_.write(config_of(1), 4, kIrqEnable | kLevel | route(21));
  hpet_.write(comparator_of(1), 8, 10);
  hpet_.write(kConfig, 4, kEnable);
  advance(200);
  EXPECT_TRUE(hub_.level(21));
  EXPECT_EQ(hpet_.read(kStatus, 4), 2u);
  hpet_.write(kStatus, 4, 2);
  EXPECT_FALSE(hub_.level(21));
}

TEST_F(HpetTest, LegacyReplacementTakesIrq0And8FromPitAndRtc) {
  IrqLine pit = hpet_.pit_input(), rtc = hpet_.rtc_input();
  pit.raise();
  EXPECT_TRUE(hub_.level(0));
  hpet_.write(config_of(0), 4, kIrqEnable);
  hpet_.write(comparator_of(0), 8, 10);
  hpet_.write(kConfig, 4, kEnable | kLegacy);
  EXPECT_FALSE(hub_.level(0));
  rtc.raise();
  EXPECT_FALSE(hub_.level(8));
  take_edges(0);
  advance(100);
  EXPECT_EQ(take_edges(0), 1u);
  hpet_.write(kConfig, 4, kEnable);
  EXPECT_TRUE(hub_.level(0));
  EXPECT_TRUE(hub_.level(8));
}

TEST_F(HpetTest, RouteToInput2IsTheWireOfIrq0) {
  hpet_.write(config_of(2), 4, kIrqEnable | route(2));
  hpet_.write(comparator_of(2), 8, 10);
  hpet_.write(kConfig, 4, kEnable);
  advance(100);
  EXPECT_EQ(take_edges(0), 1u);
  EXPECT_EQ(take_edges(2), 0u);
}

TEST_F(HpetTest, AComparatorInThePastWaitsForTheWrap) {
  hpet_.write(kConfig, 4, kEnable);
  advance(10'000);
  hpet_.write(config_of(0), 4, kIrqEnable | k32Bit | route(16));
  hpet_.write(comparator_of(0), 4, 500);
  advance(kNsPerSecond);
  EXPECT_EQ(take_edges(16), 0u);
  clock_.set((0x100000000 + 500) * 10);
  scheduler_.run_due();
  EXPECT_EQ(take_edges(16), 1u);
}

TEST_F(HpetTest, StateKeepsCounterAlarmsAndLines) {
  hpet_.write(config_of(1), 4, kIrqEnable | kLevel | route(21));
  hpet_.write(comparator_of(1), 8, 10);
  hpet_.write(config_of(2), 4, kIrqEnable | route(20));
  hpet_.write(comparator_of(2), 8, 1000);
  hpet_.write(kConfig, 4, kEnable);
  advance(200);
  StateArchive out;
  hpet_.state(out);
  out.field("hub", hub_);
  hpet_.reset();
  EXPECT_FALSE(hub_.level(21));
  StateArchive in(out.bytes());
  hpet_.state(in);
  in.field("hub", hub_);
  EXPECT_TRUE(hub_.level(21));
  EXPECT_EQ(hpet_.read(kCounter, 8), 20u);
  advance(9'800);
  EXPECT_EQ(take_edges(20), 1u);
  hpet_.write(kStatus, 4, 2);
  EXPECT_FALSE(hub_.level(21));
}

}  // namespace
}  // namespace vireo
