#include <gtest/gtest.h>

#include <deque>

#include "devices/io_apic.h"
#include "devices/local_apic.h"

namespace vireo {
namespace {

constexpr uint32_t kId = 0x20, kTpr = 0x80, kPpr = 0xa0, kEoi = 0xb0, kLdr = 0xd0, kDfr = 0xe0, kSvr = 0xf0;
constexpr uint32_t kIsr = 0x100, kIrr = 0x200, kEsr = 0x280, kIcrLow = 0x300, kIcrHigh = 0x310;
constexpr uint32_t kLvtTimer = 0x320, kLvtLint0 = 0x350, kLvtLint1 = 0x360, kLvtError = 0x370;
constexpr uint32_t kInitialCount = 0x380, kCurrentCount = 0x390, kDivide = 0x3e0;
constexpr uint32_t kMasked = 1u << 16, kPeriodic = 1u << 17;

/// Both APICs wired as on a PC, with a PIC that gives vector 0x08.
class ApicTest : public testing::Test {
 protected:
  ApicTest() { set(kSvr, 0x1ff); }
  void set(uint32_t offset, uint32_t value) { apic_.write(offset, 4, value); }
  uint32_t get(uint32_t offset) { return static_cast<uint32_t>(apic_.read(offset, 4)); }
  void redirect(unsigned pin, uint64_t entry) {
    io_apic_.write(0, 4, 0x11 + 2 * pin);
    io_apic_.write(0x10, 4, entry >> 32);
    io_apic_.write(0, 4, 0x10 + 2 * pin);
    io_apic_.write(0x10, 4, entry & 0xffffffff);
  }
  uint32_t redirection_low(unsigned pin) {
    io_apic_.write(0, 4, 0x10 + 2 * pin);
    return static_cast<uint32_t>(io_apic_.read(0x10, 4));
  }
  void send_self(uint8_t vector) { set(kIcrLow, 1u << 18 | vector); }
  void advance(VirtualNs delta) {
    clock_.advance(delta);
    scheduler_.run_due();
  }

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  int pic_acknowledges_ = 0, nmis_ = 0, inits_ = 0, changes_ = 0;
  IoApic io_apic_{[this](const ApicMessage& message) { return apic_.receive(message); }};
  LocalApic apic_{scheduler_,
                  {.acknowledge_pic =
                       [this] {
                         ++pic_acknowledges_;
                         apic_.set_lint0(false);
                         return uint8_t{0x08};
                       },
                   .interrupt_changed = [this] { ++changes_; },
                   .nmi = [this] { ++nmis_; },
                   .init = [this] { ++inits_; },
                   .end_of_interrupt = [this](uint8_t vector) { io_apic_.end_of_interrupt(vector); }}};
};

TEST_F(ApicTest, ResetStateIsVirtualWire) {
  apic_.reset();
  EXPECT_EQ(apic_.base_msr(), 0xfee00900u);
  EXPECT_EQ(get(kSvr), 0xffu);
  EXPECT_EQ(get(kDfr), 0xffffffffu);
  EXPECT_EQ(get(kLvtTimer), kMasked);
  EXPECT_EQ(get(0x30) & 0xff00ff, 0x050014u);
  apic_.set_lint0(true);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(changes_, 1);
  EXPECT_EQ(apic_.acknowledge(), 0x08);
  EXPECT_FALSE(apic_.interrupt_pending());
}

TEST_F(ApicTest, PicIsBlockedByLint0MaskAndReachesTheCpuWhenTheApicIsOff) {
  set(kLvtLint0, kMasked | 0x700);
  apic_.set_lint0(true);
  EXPECT_FALSE(apic_.interrupt_pending());
  set(kLvtLint0, 0x700);
  EXPECT_TRUE(apic_.interrupt_pending());
  set(kLvtLint0, kMasked | 0x700);
  apic_.set_base(LocalApic::kDefaultBase);
  EXPECT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x08);
}

TEST_F(ApicTest, HigherPriorityPreemptsAndEoiResumesTheLower) {
  send_self(0x41);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x41);
  EXPECT_EQ(get(kPpr), 0x40u);
  send_self(0x45);  // same class: waits
  EXPECT_FALSE(apic_.interrupt_pending());
  send_self(0x51);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x51);
  EXPECT_EQ(get(kIsr + 0x20), 1u << 1 | 1u << 17);
  EXPECT_EQ(get(kIrr + 0x20), 1u << 5);
  set(kEoi, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
  set(kEoi, 0);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x45);
}

TEST_F(ApicTest, TaskPriorityHoldsInterruptsBack) {
  set(kTpr, 0x60);
  send_self(0x65);
  EXPECT_FALSE(apic_.interrupt_pending());
  set(kTpr, 0x50);
  EXPECT_TRUE(apic_.interrupt_pending());
}

TEST_F(ApicTest, InterruptThatVanishedIsSpurious) {
  send_self(0x45);
  set(kTpr, 0xf0);
  EXPECT_EQ(apic_.acknowledge(), 0xff);
  EXPECT_EQ(get(kIsr + 0x20), 0u);
}

TEST_F(ApicTest, SoftwareDisabledMasksTheLvtAndRefusesFixedInterrupts) {
  set(kLvtTimer, 0x30);
  set(kSvr, 0xff);
  EXPECT_EQ(get(kLvtTimer), kMasked | 0x30);
  set(kLvtTimer, 0x30);
  EXPECT_EQ(get(kLvtTimer), kMasked | 0x30);
  EXPECT_FALSE(apic_.receive({.vector = 0x40}));
  EXPECT_TRUE(apic_.receive({.delivery = ApicMessage::Delivery::kNmi}));
  EXPECT_EQ(nmis_, 1);
}

TEST_F(ApicTest, DestinationsPhysicalFlatAndClustered) {
  set(kId, 3u << 24);
  EXPECT_TRUE(apic_.receive({.vector = 0x40, .destination = 3}));
  EXPECT_FALSE(apic_.receive({.vector = 0x40, .destination = 2}));
  EXPECT_TRUE(apic_.receive({.vector = 0x40, .destination = 0xff}));
  set(kLdr, 0x02u << 24);
  EXPECT_TRUE(apic_.receive({.vector = 0x40, .logical = true, .destination = 0x06}));
  EXPECT_FALSE(apic_.receive({.vector = 0x40, .logical = true, .destination = 0x04}));
  set(kDfr, 0);
  set(kLdr, 0x12u << 24);
  EXPECT_TRUE(apic_.receive({.vector = 0x40, .logical = true, .destination = 0x13}));
  EXPECT_FALSE(apic_.receive({.vector = 0x40, .logical = true, .destination = 0x22}));
}

TEST_F(ApicTest, InitResetsTheRegistersButNotTheIdAndTheBase) {
  apic_.set_base(0xfec80800);
  set(kId, 0x05000000);
  set(kTpr, 0x50);
  set(kLvtTimer, 0x40);
  set(kInitialCount, 1000);
  send_self(0x61);
  apic_.init();
  EXPECT_EQ(get(kId), 0x05000000u);
  EXPECT_EQ(apic_.base_msr() & ~0x100u, 0xfec80800u);
  EXPECT_EQ(get(kTpr), 0u);
  EXPECT_EQ(get(kSvr), 0xffu);
  EXPECT_EQ(get(kLvtTimer), kMasked);
  EXPECT_EQ(get(kIrr + 0x30), 0u);
  EXPECT_FALSE(apic_.interrupt_pending());
}

TEST_F(ApicTest, InterprocessorInterrupts) {
  set(kIcrLow, 0x000c4500);  // INIT to all others: nobody
  set(kIcrLow, 0x000c4610);  // SIPI to all others
  set(kIcrLow, 0x000c4041);
  EXPECT_EQ(inits_, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
  set(kIcrHigh, 0);
  set(kIcrLow, 0x8500);  // INIT de-assert
  EXPECT_EQ(inits_, 0);
  set(kIcrLow, 0x4500);
  EXPECT_EQ(inits_, 1);
  set(kIcrLow, 0x4041);
  EXPECT_EQ(get(kIcrLow), 0x4041u);
  EXPECT_EQ(apic_.acknowledge(), 0x41);
}

TEST_F(ApicTest, ErrorsAreLatchedByAWriteAndInterrupt) {
  set(kLvtError, 0xfe);
  send_self(0x05);
  EXPECT_EQ(get(kEsr), 0u);
  set(kEsr, 0);
  EXPECT_EQ(get(kEsr), 1u << 5);
  EXPECT_EQ(apic_.acknowledge(), 0xfe);
  set(kEsr, 0);
  EXPECT_EQ(get(kEsr), 0u);
}

TEST_F(ApicTest, Lint1IsNmiWhenProgrammedSo) {
  apic_.set_lint1(true);
  EXPECT_EQ(nmis_, 0);
  apic_.set_lint1(false);
  set(kLvtLint1, 0x400);
  apic_.set_lint1(true);
  EXPECT_EQ(nmis_, 1);
}

TEST_F(ApicTest, OneShotTimerFiresOnce) {
  set(kLvtTimer, 0x30);
  set(kDivide, 3);  // by 16
  set(kInitialCount, 1000);
  advance(8000);
  EXPECT_EQ(get(kCurrentCount), 500u);
  EXPECT_FALSE(apic_.interrupt_pending());
  advance(8000);
  EXPECT_EQ(get(kCurrentCount), 0u);
  EXPECT_EQ(apic_.acknowledge(), 0x30);
  set(kEoi, 0);
  advance(100'000);
  EXPECT_FALSE(apic_.interrupt_pending());
}

/// Real time: it passes while the guest writes registers.
class TickingClock final : public Clock {
 public:
  VirtualNs now() const override { return now_ += 100; }

 private:
  mutable VirtualNs now_ = 0;
};

class RealtimeApicTest : public testing::Test {
 protected:
  RealtimeApicTest() { set(kSvr, 0x1ff); }
  void set(uint32_t offset, uint32_t value) { apic_.write(offset, 4, value); }
  /// Within the next 100 us.
  bool timer_interrupts() {
    for (int i = 0; i < 1000; ++i) scheduler_.run_due();
    if (!apic_.interrupt_pending()) return false;
    apic_.acknowledge();
    set(kEoi, 0);
    return true;
  }

  TickingClock clock_;
  Scheduler scheduler_{clock_};
  LocalApic apic_{scheduler_,
                  {.acknowledge_pic = [] { return uint8_t{0x08}; },
                   .interrupt_changed = [] {},
                   .nmi = [] {},
                   .init = [] {},
                   .end_of_interrupt = [](uint8_t) {}}};
};

TEST_F(RealtimeApicTest, OneShotsOfAnyLengthFireOnce) {
  set(kDivide, 0xb);
  set(kLvtTimer, 0x40);
  for (uint32_t count = 1; count < 2000; ++count) {
    set(kInitialCount, count);
    ASSERT_TRUE(timer_interrupts()) << count;
    ASSERT_FALSE(timer_interrupts()) << count;
  }
}

TEST_F(RealtimeApicTest, WritesWhileTheCountRunsOutLoseNoInterrupt) {
  set(kDivide, 0xb);
  set(kLvtTimer, 0x40);
  for (uint32_t count = 1; count < 2000; ++count) {
    set(kInitialCount, count);
    set(kLvtTimer, 0x40);
    set(kDivide, 0xb);
    set(kLvtTimer, 0x40);
    ASSERT_TRUE(timer_interrupts()) << count;
    ASSERT_FALSE(timer_interrupts()) << count;
  }
}

TEST_F(ApicTest, PeriodicTimerKeepsItsPhaseAndCoalescesWhatIsLate) {
  set(kLvtTimer, kPeriodic | 0x30);
  set(kDivide, 0xb);  // by 1
  set(kInitialCount, 10'000);
  advance(10'000);
  EXPECT_EQ(apic_.acknowledge(), 0x30);
  set(kEoi, 0);
  advance(35'000);
  EXPECT_EQ(apic_.acknowledge(), 0x30);
  set(kEoi, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
  EXPECT_EQ(scheduler_.next_deadline(), 50'000);
  EXPECT_EQ(get(kCurrentCount), 5000u);
  set(kInitialCount, 0);
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
}

TEST_F(ApicTest, AbsurdlyShortPeriodsDoNotLockUp) {
  set(kLvtTimer, kPeriodic | 0x30);
  set(kDivide, 0xb);
  set(kInitialCount, 1);
  advance(kNsPerSecond);
  EXPECT_EQ(apic_.acknowledge(), 0x30);
  EXPECT_GE(*scheduler_.next_deadline(), clock_.now() + 1);
}

TEST_F(ApicTest, MaskedTimerCountsWithoutInterrupting) {
  set(kLvtTimer, kMasked | 0x30);
  set(kDivide, 0xb);
  set(kInitialCount, 0xffffffff);
  advance(1'000'000);
  EXPECT_EQ(get(kCurrentCount), 0xffffffffu - 1'000'000);
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
}

TEST_F(ApicTest, ChangingTheDividerKeepsTheCount) {
  set(kLvtTimer, 0x30);
  set(kDivide, 0xb);
  set(kInitialCount, 10'000);
  advance(4000);
  set(kDivide, 0);  // by 2
  EXPECT_EQ(get(kCurrentCount), 6000u);
  advance(11'999);
  EXPECT_FALSE(apic_.interrupt_pending());
  advance(1);
  EXPECT_TRUE(apic_.interrupt_pending());
}

TEST_F(ApicTest, IoApicRegistersReadBack) {
  io_apic_.write(0, 4, 1);
  EXPECT_EQ(io_apic_.read(0x10, 4), 0x00170011u);
  io_apic_.write(0, 4, 0);
  io_apic_.write(0x10, 4, 0xffffffff);
  EXPECT_EQ(io_apic_.read(0x10, 4), 0x0f000000u);
  redirect(23, 0xaa00'0000'0001'5555);
  EXPECT_EQ(redirection_low(23), 0x10555u);
  io_apic_.write(0, 4, 0x3f);
  EXPECT_EQ(io_apic_.read(0x10, 4), 0xaa000000u);
  io_apic_.write(0, 4, 0x40);
  EXPECT_EQ(io_apic_.read(0x10, 4), 0u);
}

TEST_F(ApicTest, EdgePinsDeliverOnRisingEdgesAndLoseMaskedOnes) {
  redirect(4, kMasked | 0x54);
  io_apic_.set_pin(4, true);
  redirect(4, 0x54);
  EXPECT_FALSE(apic_.interrupt_pending());
  io_apic_.set_pin(4, false);
  io_apic_.set_pin(4, true);
  io_apic_.set_pin(4, true);
  EXPECT_EQ(apic_.acknowledge(), 0x54);
  set(kEoi, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
}

TEST_F(ApicTest, LevelPinsRedeliverAtEoiWhileAsserted) {
  redirect(11, 1u << 15 | 0x61);
  io_apic_.set_pin(11, true);
  EXPECT_EQ(redirection_low(11) & 1u << 14, 1u << 14);
  EXPECT_EQ(apic_.acknowledge(), 0x61);
  set(kEoi, 0);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x61);
  io_apic_.set_pin(11, false);
  set(kEoi, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
  EXPECT_EQ(redirection_low(11) & 1u << 14, 0u);
}

TEST_F(ApicTest, LevelPinWaitsForItsMask) {
  redirect(10, kMasked | 1u << 15 | 0x61);
  io_apic_.set_pin(10, true);
  EXPECT_FALSE(apic_.interrupt_pending());
  redirect(10, 1u << 15 | 0x61);
  EXPECT_EQ(apic_.acknowledge(), 0x61);
}

TEST_F(ApicTest, ExtIntThroughTheIoApic) {
  set(kLvtLint0, kMasked);
  redirect(0, 0x700);
  io_apic_.set_pin(0, true);
  ASSERT_TRUE(apic_.interrupt_pending());
  EXPECT_EQ(apic_.acknowledge(), 0x08);
  EXPECT_FALSE(apic_.interrupt_pending());
  EXPECT_EQ(IoApic::pin_of_isa_irq(0), 2u);
  EXPECT_EQ(IoApic::pin_of_isa_irq(9), 9u);
}

TEST_F(ApicTest, StateOfBothSurvives) {
  redirect(11, 1u << 15 | 0x61);
  io_apic_.set_pin(11, true);
  apic_.acknowledge();
  set(kLvtTimer, 0x30);
  set(kInitialCount, 1000);
  StateArchive out;
  out.section("l", 1, [&](StateArchive& ar) { apic_.state(ar); });
  out.section("i", 1, [&](StateArchive& ar) { io_apic_.state(ar); });
  apic_.reset();
  io_apic_.reset();
  StateArchive in(out.bytes());
  in.section("l", 1, [&](StateArchive& ar) { apic_.state(ar); });
  in.section("i", 1, [&](StateArchive& ar) { io_apic_.state(ar); });
  io_apic_.set_pin(11, false);
  set(kEoi, 0);
  EXPECT_FALSE(apic_.interrupt_pending());
  advance(2000);
  EXPECT_EQ(apic_.acknowledge(), 0x30);
}

}  // namespace
}  // namespace vireo
