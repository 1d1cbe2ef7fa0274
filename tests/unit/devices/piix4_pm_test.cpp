#include "devices/piix4_pm.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

constexpr uint16_t kPm = 0xb000;
constexpr uint16_t kStatus = kPm, kEnable = kPm + 2, kControl = kPm + 4, kTimer = kPm + 8;
constexpr uint16_t kApm = 0xb2;
/// The top bit of the 24-bit timer changes this often (2^23 / 3.579545 MHz).
constexpr VirtualNs kHalfPeriod = 2'343'484'437;

class Piix4PmTest : public testing::Test {
 protected:
  Piix4PmTest() {
    ports_.map(kApm, 2, pm_.apm(), "apm");
    ports_.map(0xafe0, 4, pm_.gpe(), "gpe");
    ports_.map(0xae00, 16, pm_.hotplug(), "hotplug");
    pm_.reset();
    pm_.config_write(0x40, 4, kPm | 1);
    pm_.config_write(0x80, 1, 1);
  }
  void advance(VirtualNs delta) {
    clock_.advance(delta);
    scheduler_.run_due();
  }

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  IoBus ports_;
  bool sci_ = false;
  int power_offs_ = 0;
  Piix4Pm pm_{scheduler_, ports_, IrqLine([this](bool level) { sci_ = level; }), [this] { ++power_offs_; },
              Piix4Pm::IsaPorts{.com1 = true, .com2 = true, .lpt1 = true}};
};

TEST_F(Piix4PmTest, TheBlockMovesWithItsBaseRegister) {
  EXPECT_EQ(pm_.config_read(0x40, 4), 0xb001u);
  pm_.config_write(0x40, 4, 0x4000);
  EXPECT_TRUE(ports_.is_free(kPm, 64));
  EXPECT_EQ(ports_.read(0x4004, 2), 0u);
  pm_.config_write(0x80, 1, 0);
  EXPECT_TRUE(ports_.is_free(0x4000, 64));
}

TEST_F(Piix4PmTest, FirmwareFindsSmmDoneAndTheIsaPorts) {
  EXPECT_EQ(pm_.config_read(0x58, 4) & 1u << 25, 1u << 25);
  EXPECT_EQ(pm_.config_read(0x5f, 1) & 0x80u, 0x80u);
  EXPECT_EQ(pm_.config_read(0x67, 1) & 0x88u, 0x88u);
}

TEST_F(Piix4PmTest, ApmPortSwitchesAcpiModeWithoutSmm) {
  ports_.write(kApm, 1, 0xf1);
  EXPECT_EQ(ports_.read(kControl, 2), 1u);
  EXPECT_EQ(ports_.read(kApm, 1), 0xf1u);
  ports_.write(kApm, 1, 0xf0);
  EXPECT_EQ(ports_.read(kControl, 2), 0u);
  ports_.write(kApm + 1, 1, 0x55);
  EXPECT_EQ(ports_.read(kApm, 2), 0x55f0u);
}

TEST_F(Piix4PmTest, TimerCountsAt3579545HzIn24Bits) {
  clock_.set(kNsPerSecond);
  EXPECT_EQ(ports_.read(kTimer, 4), 3'579'545u);
  EXPECT_EQ(ports_.read(kTimer + 1, 1), 3'579'545u >> 8 & 0xff);
  clock_.set(5 * kNsPerSecond);
  EXPECT_EQ(ports_.read(kTimer, 4), 5u * 3'579'545 & 0xffffff);
}

TEST_F(Piix4PmTest, TimerOverflowRaisesSciUntilCleared) {
  ports_.write(kApm, 1, 0xf1);
  ports_.write(kEnable, 2, 1);
  advance(kHalfPeriod - 1000);
  EXPECT_FALSE(sci_);
  advance(2000);
  EXPECT_TRUE(sci_);
  EXPECT_EQ(ports_.read(kStatus, 2), 1u);
  ports_.write(kStatus, 2, 1);
  EXPECT_FALSE(sci_);
  EXPECT_EQ(ports_.read(kStatus, 2), 0u);
  advance(kHalfPeriod);
  EXPECT_TRUE(sci_);
}

TEST_F(Piix4PmTest, OverflowIsVisibleWithoutInterrupts) {
  advance(kHalfPeriod + 1000);
  EXPECT_EQ(ports_.read(kStatus, 2), 1u);
  EXPECT_FALSE(sci_);
  EXPECT_EQ(scheduler_.next_deadline(), std::nullopt);
}

TEST_F(Piix4PmTest, SleepTypesOtherThanS3PowerOff) {
  ports_.write(kControl, 2, 1 << 13 | 1 << 10 | 1);
  EXPECT_EQ(power_offs_, 0);
  ports_.write(kControl, 2, 1 << 13 | 1);
  EXPECT_EQ(power_offs_, 1);
  EXPECT_EQ(ports_.read(kControl, 2), 1u);
}

TEST_F(Piix4PmTest, GpeStatusIsWriteOneToClearAndEnableIsStored) {
  ports_.write(0xafe2, 2, 0x0102);
  EXPECT_EQ(ports_.read(0xafe0, 4), 0x01020000u);
  EXPECT_EQ(ports_.read(0xafe3, 1), 0x01u);
  EXPECT_EQ(ports_.read(0xae0c, 4), 0u);
}

TEST_F(Piix4PmTest, SmbusTransactionsFailCleanly) {
  pm_.config_write(0x90, 4, 0xb101);
  pm_.config_write(0xd2, 1, 9);
  ports_.write(0xb102, 1, 0x40);
  EXPECT_EQ(ports_.read(0xb100, 1), 4u);
  EXPECT_EQ(ports_.read(0xb102, 1), 0u);
  ports_.write(0xb100, 1, 4);
  EXPECT_EQ(ports_.read(0xb100, 1), 0u);
}

TEST_F(Piix4PmTest, StateKeepsTheBlockAndTheRunningTimer) {
  ports_.write(kApm, 1, 0xf1);
  ports_.write(kEnable, 2, 1);
  StateArchive out;
  pm_.state(out);
  pm_.reset();
  EXPECT_TRUE(ports_.is_free(kPm, 64));
  StateArchive in(out.bytes());
  pm_.state(in);
  EXPECT_EQ(ports_.read(kControl, 2), 1u);
  advance(kHalfPeriod + 1000);
  EXPECT_TRUE(sci_);
}

}  // namespace
}  // namespace vireo
