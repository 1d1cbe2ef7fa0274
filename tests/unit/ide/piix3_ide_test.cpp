#include "devices/ide/piix3_ide.h"

#include <gmock/gmock.h>

#include "core/clock.h"
#include "core/scheduler.h"
#include "devices/ide/ata_disk.h"
#include "tests/unit/memory_backend.h"

namespace vireo {
namespace {

using ::testing::Each;

class Piix3IdeTest : public ::testing::Test {
 protected:
  static constexpr uint16_t kBusMaster = 0xc000;
  static constexpr uint32_t kTable = 0x1000;

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  std::unique_ptr<GuestMemory> memory_ = GuestMemory::create(1 << 20).take();
  IoBus ports_;
  PciBus pci_{ports_, *memory_, [](unsigned, unsigned, bool) {}};
  bool irq14_ = false, irq15_ = false;
  MemoryMedium medium_{1024 * 512};
  Piix3Ide ide_{*memory_, IrqLine([this](bool level) { irq14_ = level; }),
                IrqLine([this](bool level) { irq15_ = level; })};

  Piix3IdeTest() {
    memory_->map_ram(Gpa{0}, 1 << 20, 0, "ram");
    medium_.number_sectors(512);
    pci_.attach(1, 1, ide_);
    ports_.map(0x1f0, 8, ide_.command_block(0), "ide0");
    ports_.map(0x3f6, 1, ide_.control_block(0), "ide0 control");
    ports_.map(0x170, 8, ide_.command_block(1), "ide1");
    ide_.attach(0, 0, std::make_unique<AtaDisk>(scheduler_, std::make_unique<MemoryBackend>(medium_)));
    ide_.reset();
    ide_.config_write(0x20, 4, kBusMaster);
    ide_.config_write(0x04, 2, 5);
    ide_.config_write(0x40, 2, 0x8000);
    pass(10'000'000);
  }
  void pass(VirtualNs time) {
    for (int i = 0; i < 1000; ++i) {
      clock_.advance(time / 1000);
      scheduler_.run_due();
    }
  }
  void descriptor(unsigned index, uint32_t address, uint32_t bytes, bool last) {
    memory_->write_value<uint32_t>(Gpa{kTable + 8 * index}, address);
    memory_->write_value<uint32_t>(Gpa{kTable + 8 * index + 4}, (bytes & 0xffff) | (last ? 0x80000000 : 0));
  }
  void start_read(uint8_t sectors, uint8_t direction = 8) {
    ports_.write(kBusMaster + 4, 4, kTable);
    ports_.write(kBusMaster + 2, 1, 6);
    ports_.write(0x1f2, 1, sectors);
    ports_.write(0x1f3, 1, 1);
    ports_.write(0x1f4, 1, 0);
    ports_.write(0x1f5, 1, 0);
    ports_.write(0x1f6, 1, 0xe0);
    ports_.write(0x1f7, 1, 0xc8);
    ports_.write(kBusMaster, 1, direction | 1);
  }
  uint8_t bus_master_status() { return static_cast<uint8_t>(ports_.read(kBusMaster + 2, 1)); }
};

TEST_F(Piix3IdeTest, IdentifiesItself) {
  EXPECT_EQ(ide_.config_read(0, 4), 0x70108086u);
  EXPECT_EQ(ide_.config_read(8, 4) >> 8, 0x010180u);
}

TEST_F(Piix3IdeTest, LegacyPortsDecodeOnlyWhenEnabled) {
  EXPECT_EQ(ports_.read(0x1f7, 1), 0x50u);
  ide_.config_write(0x40, 2, 0);
  EXPECT_EQ(ports_.read(0x1f7, 1), 0xffu);
  ide_.config_write(0x40, 2, 0x8000);
  ide_.config_write(0x04, 2, 4);
  EXPECT_EQ(ports_.read(0x1f7, 1), 0xffu);
  ide_.enable_legacy_ports();
  EXPECT_EQ(ports_.read(0x1f7, 1), 0x50u);
  EXPECT_EQ(ports_.read(0x177, 1), 0x7fu) << "the empty secondary channel floats";
}

TEST_F(Piix3IdeTest, DmaScattersOverDescriptors) {
  descriptor(0, 0x2000, 256, false);
  descriptor(1, 0x8000, 768, true);
  start_read(2);
  EXPECT_EQ(bus_master_status() & 7, 1);
  pass(10'000'000);
  EXPECT_TRUE(irq14_);
  EXPECT_FALSE(irq15_);
  EXPECT_EQ(bus_master_status() & 7, 4) << "interrupt, no longer active";
  EXPECT_THAT(memory_->ram().subspan(0x2000, 256), Each(1));
  EXPECT_THAT(memory_->ram().subspan(0x8000, 256), Each(1));
  EXPECT_THAT(memory_->ram().subspan(0x8100, 512), Each(2));
  EXPECT_EQ(memory_->ram()[0x8300], 0);
  ports_.read(0x1f7, 1);
  EXPECT_FALSE(irq14_);
  ports_.write(kBusMaster + 2, 1, 4);
  EXPECT_EQ(bus_master_status() & 7, 0);
}

TEST_F(Piix3IdeTest, LargerTableStaysActiveUntilStopped) {
  descriptor(0, 0x2000, 4096, true);
  start_read(1);
  pass(10'000'000);
  EXPECT_EQ(bus_master_status() & 7, 5);
  ports_.write(kBusMaster, 1, 8);
  EXPECT_EQ(bus_master_status() & 7, 4);
}

TEST_F(Piix3IdeTest, SmallerTableEndsInactiveWithoutInterrupt) {
  descriptor(0, 0x2000, 100, true);
  start_read(1);
  pass(10'000'000);
  EXPECT_EQ(bus_master_status() & 7, 0);
  EXPECT_FALSE(irq14_);
}

TEST_F(Piix3IdeTest, WildTablesAreHarmless) {
  descriptor(0, 0xfffff000, 4096, false);  // not memory
  start_read(8);
  pass(10'000'000);
  EXPECT_EQ(bus_master_status() & 7, 2) << "bus error";
  EXPECT_FALSE(irq14_);
  ports_.write(kBusMaster, 1, 0);
  ports_.write(0x3f6, 1, 4);
  ports_.write(0x3f6, 1, 0);
  pass(10'000'000);

  ports_.write(kBusMaster + 4, 4, 0xfffffffc);  // a table outside of memory
  ports_.write(kBusMaster + 2, 1, 6);
  ports_.write(0x1f2, 1, 1);
  ports_.write(0x1f6, 1, 0xe0);
  ports_.write(0x1f7, 1, 0xc8);
  ports_.write(kBusMaster, 1, 9);
  pass(10'000'000);
  EXPECT_EQ(bus_master_status() & 7, 2);
}

TEST_F(Piix3IdeTest, TableWithoutEndStopsWithTheData) {
  for (unsigned i = 0; i < 64; ++i) descriptor(i, 0x4000, 2, false);
  memory_->write_value<uint32_t>(Gpa{kTable + 8 * 64}, 0x4000);
  memory_->write_value<uint32_t>(Gpa{kTable + 8 * 64 + 4}, 0);  // 64 KiB
  start_read(1);
  pass(10'000'000);
  EXPECT_TRUE(irq14_);
  EXPECT_EQ(bus_master_status() & 7, 5);
}

TEST_F(Piix3IdeTest, WrongDirectionMovesNothing) {
  descriptor(0, 0x2000, 512, true);
  start_read(1, 0);
  pass(10'000'000);
  EXPECT_FALSE(irq14_);
  EXPECT_THAT(memory_->ram().subspan(0x2000, 512), Each(0));
}

TEST_F(Piix3IdeTest, NoDmaWithoutBusMasterEnable) {
  ide_.config_write(0x04, 2, 1);
  descriptor(0, 0x2000, 512, true);
  start_read(1);
  pass(10'000'000);
  EXPECT_FALSE(irq14_);
  EXPECT_EQ(memory_->ram()[0x2000], 0);
}

TEST_F(Piix3IdeTest, CapableBitsAreTheGuests) {
  ports_.write(kBusMaster + 2, 1, 0x60);
  EXPECT_EQ(bus_master_status(), 0x60);
  EXPECT_EQ(ports_.read(kBusMaster + 8, 4), 0u) << "the other channel's registers";
}

TEST_F(Piix3IdeTest, StateKeepsARunningTransfer) {
  descriptor(0, 0x2000, 512, true);
  start_read(1);
  StateArchive saved;
  ide_.state(saved);
  ide_.reset();
  EXPECT_EQ(ports_.read(0x1f7, 1), 0xffu);
  const auto bytes = saved.bytes();
  StateArchive loading{bytes};
  ide_.state(loading);
  pass(10'000'000);
  EXPECT_TRUE(irq14_);
  EXPECT_EQ(memory_->ram()[0x2000], 1);
}

}  // namespace
}  // namespace vireo
