#include "devices/pic8259.h"

#include <gtest/gtest.h>

namespace vireo {
namespace {

class Pic8259Test : public ::testing::Test {
 protected:
  Pic8259Test() { initialise(); }

  void out_master(uint32_t offset, uint8_t value) { pic.master_ports().write(offset, 1, value); }
  void out_slave(uint32_t offset, uint8_t value) { pic.slave_ports().write(offset, 1, value); }
  uint8_t in_master(uint32_t offset) { return static_cast<uint8_t>(pic.master_ports().read(offset, 1)); }
  uint8_t in_slave(uint32_t offset) { return static_cast<uint8_t>(pic.slave_ports().read(offset, 1)); }
  uint8_t isr_master() {
    out_master(0, 0x0b);
    return in_master(0);
  }
  uint8_t irr_master() {
    out_master(0, 0x0a);
    return in_master(0);
  }

  /// As a PC BIOS does: vectors 0x08 and 0x70.
  void initialise(uint8_t master_icw4 = 1, uint8_t slave_icw4 = 1) {
    out_master(0, 0x11);
    out_master(1, 0x08);
    out_master(1, 0x04);
    out_master(1, master_icw4);
    out_slave(0, 0x11);
    out_slave(1, 0x70);
    out_slave(1, 0x02);
    out_slave(1, slave_icw4);
  }

  bool intr = false;
  IrqLine intr_line{[this](bool level) { intr = level; }};
  Pic8259Pair pic{intr_line};
};

TEST_F(Pic8259Test, EdgeIsServedOnceUntilTheLineRisesAgain) {
  pic.set_irq(1, true);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x09);
  EXPECT_FALSE(intr);
  EXPECT_EQ(isr_master(), 0x02);
  out_master(0, 0x20);
  EXPECT_EQ(isr_master(), 0);
  EXPECT_FALSE(intr);
  pic.set_irq(1, false);
  pic.set_irq(1, true);
  EXPECT_TRUE(intr);
}

TEST_F(Pic8259Test, RequestWithdrawnBeforeAcknowledgeGivesSpurious7) {
  pic.set_irq(4, true);
  pic.set_irq(4, false);
  EXPECT_FALSE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x0f);
  EXPECT_EQ(isr_master(), 0) << "a spurious interrupt is not in service";
}

TEST_F(Pic8259Test, LevelInputRequestsAgainAfterEoi) {
  pic.elcr_ports().write(0, 1, 0xff);
  EXPECT_EQ(pic.elcr_ports().read(0, 1), 0xf8u) << "0 to 2 stay edge triggered";
  pic.elcr_ports().write(1, 1, 0xff);
  EXPECT_EQ(pic.elcr_ports().read(1, 1), 0xdeu) << "8 and 13 stay edge triggered";
  pic.set_irq(5, true);
  EXPECT_EQ(pic.acknowledge(), 0x0d);
  EXPECT_EQ(irr_master(), 0x20);
  EXPECT_FALSE(intr) << "its own level is in service";
  out_master(0, 0x20);
  EXPECT_TRUE(intr);
  pic.set_irq(5, false);
  EXPECT_FALSE(intr);
}

TEST_F(Pic8259Test, PriorityNestsInFullyNestedMode) {
  pic.set_irq(3, true);
  EXPECT_EQ(pic.acknowledge(), 0x0b);
  pic.set_irq(4, true);
  EXPECT_FALSE(intr);
  pic.set_irq(1, true);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x09);
  EXPECT_EQ(isr_master(), 0x0a);
  out_master(0, 0x20);
  EXPECT_EQ(isr_master(), 0x08);
  EXPECT_FALSE(intr);
  out_master(0, 0x20);
  EXPECT_EQ(pic.acknowledge(), 0x0c);
}

TEST_F(Pic8259Test, MaskHoldsTheRequest) {
  out_master(1, 0x01);
  EXPECT_EQ(in_master(1), 0x01);
  pic.set_irq(0, true);
  EXPECT_FALSE(intr);
  EXPECT_EQ(irr_master(), 0x01);
  out_master(1, 0x00);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x08);
}

TEST_F(Pic8259Test, SlaveGoesThroughTheCascade) {
  pic.set_irq(12, true);
  pic.set_irq(8, true);
  EXPECT_EQ(pic.acknowledge(), 0x70);
  EXPECT_EQ(isr_master(), 0x04);
  EXPECT_FALSE(intr);
  out_slave(0, 0x20);
  EXPECT_FALSE(intr) << "input 2 is still in service";
  out_master(0, 0x20);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x74);
}

TEST_F(Pic8259Test, SlaveWithAutoEoiStillGivesTheMasterAnEdgePerRequest) {
  initialise(1, 3);
  pic.set_irq(12, true);
  pic.set_irq(8, true);
  EXPECT_EQ(pic.acknowledge(), 0x70);
  out_master(0, 0x20);
  EXPECT_EQ(pic.acknowledge(), 0x74);
}

TEST_F(Pic8259Test, SpecialFullyNestedModeLetsTheSlaveNest) {
  initialise(0x11);
  pic.set_irq(12, true);
  EXPECT_EQ(pic.acknowledge(), 0x74);
  pic.set_irq(8, true);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x70);
}

TEST_F(Pic8259Test, WithoutSpecialFullyNestedModeTheCascadeBlocks) {
  pic.set_irq(12, true);
  EXPECT_EQ(pic.acknowledge(), 0x74);
  pic.set_irq(8, true);
  EXPECT_FALSE(intr);
}

TEST_F(Pic8259Test, SpecialMaskModeLetsLowerLevelsThrough) {
  pic.set_irq(3, true);
  pic.acknowledge();
  pic.set_irq(6, true);
  EXPECT_FALSE(intr);
  out_master(0, 0x68);
  out_master(1, 0x08);
  EXPECT_TRUE(intr);
  EXPECT_EQ(pic.acknowledge(), 0x0e);
  out_master(0, 0x20);
  EXPECT_EQ(isr_master(), 0x08) << "the non-specific EOI ended level 6, not the masked 3";
}

TEST_F(Pic8259Test, AutoEoi) {
  initialise(3);
  pic.set_irq(1, true);
  pic.acknowledge();
  EXPECT_EQ(isr_master(), 0);
}

TEST_F(Pic8259Test, RotateOnNonSpecificEoiMakesTheServedLevelLowest) {
  pic.set_irq(3, true);
  pic.acknowledge();
  out_master(0, 0xa0);
  pic.set_irq(3, false);
  pic.set_irq(3, true);
  pic.set_irq(4, true);
  EXPECT_EQ(pic.acknowledge(), 0x0c);
}

TEST_F(Pic8259Test, SetPriorityAndSpecificEoi) {
  out_master(0, 0xc4);
  pic.set_irq(1, true);
  pic.set_irq(5, true);
  EXPECT_EQ(pic.acknowledge(), 0x0d);
  EXPECT_FALSE(intr);
  out_master(0, 0x65);
  EXPECT_EQ(isr_master(), 0);
  EXPECT_EQ(pic.acknowledge(), 0x09);
}

TEST_F(Pic8259Test, RotateInAutoEoiMode) {
  initialise(3);
  out_master(0, 0x80);
  pic.set_irq(0, true);
  EXPECT_EQ(pic.acknowledge(), 0x08);
  pic.set_irq(0, false);
  pic.set_irq(0, true);
  pic.set_irq(1, true);
  EXPECT_EQ(pic.acknowledge(), 0x09);
}

TEST_F(Pic8259Test, PollAcknowledges) {
  out_master(0, 0x0c);
  EXPECT_EQ(in_master(0), 0x07);
  pic.set_irq(6, true);
  out_master(0, 0x0c);
  EXPECT_EQ(in_master(0), 0x86);
  EXPECT_EQ(isr_master(), 0x40);
  EXPECT_FALSE(intr);
}

TEST_F(Pic8259Test, InitialisationForgetsEdgesAndUnmasks) {
  out_master(1, 0xff);
  pic.set_irq(3, true);
  initialise();
  EXPECT_EQ(irr_master(), 0) << "a new low-high transition is needed";
  EXPECT_EQ(in_master(1), 0);
}

TEST_F(Pic8259Test, StateRoundTrip) {
  pic.set_irq(12, true);
  pic.acknowledge();
  pic.set_irq(1, true);
  StateArchive saved;
  pic.state(saved);
  bool other_intr = false;
  IrqLine other_line{[&](bool level) { other_intr = level; }};
  Pic8259Pair other(other_line);
  StateArchive loading{saved.bytes()};
  other.state(loading);
  EXPECT_TRUE(other_line.level());
  EXPECT_TRUE(other.interrupt_pending());
  EXPECT_EQ(other.acknowledge(), 0x09);
  StateArchive again;
  pic.state(again);
  EXPECT_EQ(again.bytes(), saved.bytes());
}

}  // namespace
}  // namespace vireo
