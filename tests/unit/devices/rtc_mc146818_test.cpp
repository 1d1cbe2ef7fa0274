#include "devices/rtc_mc146818.h"

#include <gtest/gtest.h>

#include <array>

#include "devices/cmos_layout.h"

namespace vireo {
namespace {

// 1999-12-31 23:59:58 UTC, a Friday.
constexpr int64_t kStart = 946684798;
constexpr VirtualNs kMs = 1'000'000;

class RtcTest : public ::testing::Test {
 protected:
  void write(uint8_t index, uint8_t value) {
    rtc.ports().write(0, 1, index);
    rtc.ports().write(1, 1, value);
  }
  uint8_t read(uint8_t index) {
    rtc.ports().write(0, 1, index);
    return static_cast<uint8_t>(rtc.ports().read(1, 1));
  }
  void run(VirtualNs duration) {
    const VirtualNs end = clock.now() + duration;
    while (scheduler.next_deadline() && *scheduler.next_deadline() <= end) {
      clock.set(*scheduler.next_deadline());
      scheduler.run_due();
    }
    clock.set(end);
  }
  std::array<uint8_t, 8> date() {
    return {read(0x32), read(9), read(8), read(7), read(4), read(2), read(0), read(6)};
  }

  FakeClock clock;
  Scheduler scheduler{clock};
  unsigned edges = 0;
  IrqLine irq8{[this](bool level) { edges += level; }};
  bool nmi_enabled = true;
  RtcMc146818 rtc{scheduler, irq8, kStart, [this](bool enabled) { nmi_enabled = enabled; }};
};

using Date = std::array<uint8_t, 8>;

TEST_F(RtcTest, CountsOverTheCentury) {
  EXPECT_EQ(date(), (Date{0x19, 0x99, 0x12, 0x31, 0x23, 0x59, 0x58, 6}));
  run(2000 * kMs);
  EXPECT_EQ(date(), (Date{0x20, 0x00, 0x01, 0x01, 0x00, 0x00, 0x00, 7}));
  write(7, 0x28);
  write(8, 0x02);
  run(kNsPerSecond * 86400);
  EXPECT_EQ(date(), (Date{0x20, 0x00, 0x02, 0x29, 0x00, 0x00, 0x00, 3})) << "2000 is a leap year";
  EXPECT_EQ(read(0x37), 0x20);
  EXPECT_EQ(read(0x0d), 0x80);
}

TEST_F(RtcTest, BinaryAndTwelveHours) {
  write(0x0b, 0x80 | 0x04);
  write(4, 0x80 | 11);
  write(2, 59);
  write(0, 59);
  write(7, 28);
  write(8, 2);
  write(9, 23);
  write(0x32, 20);
  run(5000 * kMs);
  EXPECT_EQ(read(0), 59) << "SET stops the clock";
  write(0x0b, 0x04);
  run(1000 * kMs);
  EXPECT_EQ(date(), (Date{20, 23, 3, 1, 12, 0, 0, 4})) << "11 pm and 59:59 becomes 12 am of the next day";
}

TEST_F(RtcTest, UpdateInProgressBeforeEachUpdate) {
  EXPECT_EQ(read(0x0a), 0x26);
  run(997 * kMs);
  EXPECT_EQ(read(0x0a), 0x26);
  run(2 * kMs);
  EXPECT_EQ(read(0x0a), 0xa6);
  EXPECT_EQ(read(0), 0x58);
  run(1 * kMs);
  EXPECT_EQ(read(0x0a), 0x26);
  EXPECT_EQ(read(0), 0x59);
}

TEST_F(RtcTest, PeriodicInterruptAt1024Hz) {
  write(0x0b, 0x42);
  run(1000 * kMs);
  EXPECT_EQ(edges, 1u) << "no further edge until C is read";
  EXPECT_EQ(read(0x0c), 0xd0) << "periodic, and the second's update";
  EXPECT_FALSE(irq8.level());
  edges = 0;
  for (int i = 0; i < 1000; ++i) {
    run(kMs);
    read(0x0c);
  }
  EXPECT_GE(edges, 999u);
  edges = 0;
  write(0x0a, 0x2f);  // 2 Hz
  for (int i = 0; i < 1000; ++i) {
    run(kMs);
    read(0x0c);
  }
  EXPECT_EQ(edges, 2u);
}

TEST_F(RtcTest, PeriodicFlagWithoutInterrupt) {
  run(10 * kMs);
  EXPECT_EQ(read(0x0c), 0x40);
  EXPECT_EQ(edges, 0u);
  EXPECT_FALSE(scheduler.next_deadline()) << "nothing to wake the machine for";
}

TEST_F(RtcTest, UpdateInterrupt) {
  write(0x0b, 0x12);
  run(999 * kMs);
  EXPECT_EQ(edges, 0u);
  run(1 * kMs);
  EXPECT_EQ(edges, 1u);
  EXPECT_EQ(read(0x0c) & 0xb0, 0x90);
}

TEST_F(RtcTest, AlarmWithDontCare) {
  write(1, 0x05);
  write(3, 0xff);
  write(5, 0xc0);
  write(0x0b, 0x22);
  run(6999 * kMs);
  EXPECT_EQ(edges, 0u);
  run(1 * kMs);
  EXPECT_EQ(edges, 1u);
  EXPECT_EQ(read(0x0c) & 0xa0, 0xa0);
  run(60'000 * kMs);
  EXPECT_EQ(edges, 2u);
}

TEST_F(RtcTest, DividerResetDelaysTheNextUpdateByHalfASecond) {
  write(0x0a, 0x76);
  run(3000 * kMs);
  EXPECT_EQ(read(0), 0x58);
  write(0x0a, 0x26);
  run(499 * kMs);
  EXPECT_EQ(read(0), 0x58);
  run(1 * kMs);
  EXPECT_EQ(read(0), 0x59);
}

TEST_F(RtcTest, NmiMaskAndRam) {
  rtc.ports().write(0, 1, 0x8f);
  EXPECT_FALSE(nmi_enabled);
  rtc.ports().write(1, 1, 0x05);
  EXPECT_EQ(read(0x0f), 0x05);
  EXPECT_TRUE(nmi_enabled);
  rtc.ports().write(0, 2, 0xa57f);  // index and data in one word
  EXPECT_EQ(rtc.cmos(0x7f), 0xa5);
  EXPECT_EQ(rtc.ports().read(0, 1), 0xffu);
}

TEST_F(RtcTest, ResetKeepsTimeAndRam) {
  rtc.set_cmos(0x40, 0x77);
  write(0x0b, 0x72);
  run(1000 * kMs);
  EXPECT_TRUE(irq8.level());
  rtc.reset();
  EXPECT_FALSE(irq8.level());
  EXPECT_EQ(read(0x0b), 0x02);
  EXPECT_EQ(read(0x40), 0x77);
  EXPECT_EQ(read(0), 0x59);
}

TEST_F(RtcTest, CmosMemoryAndDrives) {
  set_cmos_memory(rtc, 3ull << 30, 5ull << 30);
  EXPECT_EQ(read(0x15) | read(0x16) << 8, 640);
  EXPECT_EQ(read(0x17) | read(0x18) << 8, 0xffff);
  EXPECT_EQ(read(0x30) | read(0x31) << 8, 0xffff);
  EXPECT_EQ(read(0x34) | read(0x35) << 8, (3072 - 16) * 16);
  EXPECT_EQ(read(0x5b) | read(0x5c) << 8 | read(0x5d) << 16, 5 * 1024 * 16);
  set_cmos_memory(rtc, 8 << 20, 0);
  EXPECT_EQ(read(0x17) | read(0x18) << 8, 7168);
  EXPECT_EQ(read(0x34) | read(0x35) << 8, 0);
  set_cmos_floppies(rtc, CmosFloppyType::k1440K, CmosFloppyType::k1200K);
  EXPECT_EQ(read(0x10), 0x42);
  EXPECT_EQ(read(0x14), 0x47);
  set_cmos_boot_order(rtc, CmosBootDevice::kCdrom, CmosBootDevice::kHardDisk, CmosBootDevice::kFloppy);
  EXPECT_EQ(read(0x3d), 0x23);
  EXPECT_EQ(read(0x38), 0x10);
  rtc.update_checksum();
  unsigned sum = 0;
  for (uint8_t i = 0x10; i <= 0x2d; ++i) sum += read(i);
  EXPECT_EQ(static_cast<unsigned>(read(0x2e) << 8 | read(0x2f)), sum);
}

TEST_F(RtcTest, StateRoundTrip) {
  write(0x0b, 0x42);
  run(100 * kMs);
  StateArchive saved;
  rtc.state(saved);
  unsigned other_edges = 0;
  IrqLine other_irq{[&](bool level) { other_edges += level; }};
  RtcMc146818 other{scheduler, other_irq, 0, {}};
  StateArchive loading{saved.bytes()};
  other.state(loading);
  EXPECT_TRUE(other_irq.level());
  other.ports().write(0, 1, 0x0c);
  EXPECT_EQ(other.ports().read(1, 1), 0xc0u);
  run(10 * kMs);
  EXPECT_EQ(other_edges, 1u);
}

}  // namespace
}  // namespace vireo
