#include "devices/ide/ata_disk.h"

#include <gmock/gmock.h>

#include "tests/unit/ide/ide_fixture.h"

namespace vireo {
namespace {

using ::testing::Each;

class AtaDiskTest : public IdeFixture {
 protected:
  static constexpr uint32_t kCylinders = 40;
  MemoryMedium medium_{uint64_t{kCylinders} * 16 * 63 * 512};

  AtaDiskTest() {
    medium_.number_sectors(512);
    channel_.attach(0, std::make_unique<AtaDisk>(scheduler_, std::make_unique<MemoryBackend>(medium_)));
    channel_.reset();
    wait();
  }
  void set_lba28(uint32_t lba, uint8_t count) {
    out(2, count);
    out(3, static_cast<uint8_t>(lba));
    out(4, static_cast<uint8_t>(lba >> 8));
    out(5, static_cast<uint8_t>(lba >> 16));
    out(6, static_cast<uint8_t>(0xe0 | lba >> 24));
  }
  void set_lba48(uint64_t lba, uint16_t count) {
    out(2, static_cast<uint8_t>(count >> 8));
    out(3, static_cast<uint8_t>(lba >> 24));
    out(4, static_cast<uint8_t>(lba >> 32));
    out(5, static_cast<uint8_t>(lba >> 40));
    out(2, static_cast<uint8_t>(count));
    out(3, static_cast<uint8_t>(lba));
    out(4, static_cast<uint8_t>(lba >> 8));
    out(5, static_cast<uint8_t>(lba >> 16));
    out(6, 0xe0);
  }
  void set_chs(unsigned cylinder, unsigned head, unsigned sector, uint8_t count) {
    out(2, count);
    out(3, static_cast<uint8_t>(sector));
    out(4, static_cast<uint8_t>(cylinder));
    out(5, static_cast<uint8_t>(cylinder >> 8));
    out(6, static_cast<uint8_t>(0xa0 | head));
  }
  std::vector<uint8_t> identify() {
    EXPECT_EQ(command(0xec), kIdle | kDrq);
    auto data = read_block(512);
    EXPECT_EQ(in(7), kIdle);
    return data;
  }
};

TEST_F(AtaDiskTest, SignatureAfterReset) {
  EXPECT_EQ(alternate_status(), kIdle);
  EXPECT_EQ(in(1), 1);
  EXPECT_EQ(in(2), 1);
  EXPECT_EQ(in(3), 1);
  EXPECT_EQ(in(4), 0);
  EXPECT_EQ(in(5), 0);
}

TEST_F(AtaDiskTest, IdentifyTellsGeometryAndModes) {
  const auto id = identify();
  EXPECT_EQ(word(id, 1), kCylinders);
  EXPECT_EQ(word(id, 3), 16);
  EXPECT_EQ(word(id, 6), 63);
  EXPECT_EQ(word(id, 60) | static_cast<uint32_t>(word(id, 61)) << 16, kCylinders * 16 * 63);
  EXPECT_EQ(word(id, 100), word(id, 60));
  EXPECT_EQ(word(id, 49) & 0x0300, 0x0300) << "LBA and DMA";
  EXPECT_EQ(word(id, 63), 0x0407) << "multiword DMA 2 is selected";
  EXPECT_EQ(word(id, 83) & 0xf400, 0x7400) << "48-bit addresses, FLUSH CACHE (EXT)";
  EXPECT_EQ(word(id, 88), 0x003f);
  const std::string model(id.begin() + 54, id.begin() + 94);
  EXPECT_EQ(model.substr(0, 4), "IVER") << "characters are swapped in each word";
  uint8_t sum = 0;
  for (const uint8_t byte : id) sum = static_cast<uint8_t>(sum + byte);
  EXPECT_EQ(sum, 0);
}

TEST_F(AtaDiskTest, SetFeaturesSelectsTransferMode) {
  out(1, 0x03);
  out(2, 0x45);
  EXPECT_EQ(command(0xef), kIdle);
  const auto id = identify();
  EXPECT_EQ(word(id, 88), 0x203f);
  EXPECT_EQ(word(id, 63), 0x0007);
  out(1, 0x03);
  out(2, 0x47);  // ultra DMA 7 is not there
  EXPECT_EQ(command(0xef), kIdle | kErr);
  EXPECT_EQ(in(1), 0x04);
}

TEST_F(AtaDiskTest, ReadsSectorsWithOneInterruptEach) {
  set_lba28(5, 3);
  irq_edges_ = 0;
  EXPECT_EQ(command(0x20), kIdle | kDrq);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(wait(), kIdle | kDrq);
    EXPECT_TRUE(irq_);
    in(7);
    EXPECT_FALSE(irq_) << "reading the status acknowledges";
    EXPECT_THAT(read_block(512), Each(5 + i));
  }
  EXPECT_EQ(wait(), kIdle);
  EXPECT_EQ(irq_edges_, 3);
  EXPECT_EQ(in(3), 7) << "address of the last sector";
  EXPECT_EQ(in(2), 0);
}

TEST_F(AtaDiskTest, AlternateStatusDoesNotAcknowledge) {
  set_lba28(0, 1);
  command(0x20);
  EXPECT_TRUE(irq_);
  alternate_status();
  EXPECT_TRUE(irq_);
}

TEST_F(AtaDiskTest, InterruptCanBeGatedOff) {
  control(0x02);
  set_lba28(0, 1);
  command(0x20);
  EXPECT_FALSE(irq_);
  control(0);
  EXPECT_TRUE(irq_);
}

TEST_F(AtaDiskTest, WritesSectorsByPio) {
  set_lba28(9, 2);
  irq_edges_ = 0;
  EXPECT_EQ(command(0x30), kIdle | kDrq);
  EXPECT_FALSE(irq_) << "the first block of a write comes without interrupt";
  write_block(std::vector<uint8_t>(512, 0xaa));
  EXPECT_EQ(alternate_status() & kBusy, kBusy);
  EXPECT_EQ(wait(), kIdle | kDrq);
  EXPECT_TRUE(irq_);
  in(7);
  write_block(std::vector<uint8_t>(512, 0xbb));
  EXPECT_EQ(wait(), kIdle);
  EXPECT_EQ(irq_edges_, 2);
  EXPECT_EQ(medium_.bytes[9 * 512], 0xaa);
  EXPECT_EQ(medium_.bytes[11 * 512 - 1], 0xbb);
  EXPECT_EQ(medium_.bytes[11 * 512], 11);
}

TEST_F(AtaDiskTest, MultipleMovesBlocksOfSectors) {
  set_lba28(0, 5);
  EXPECT_EQ(command(0xc4), kIdle | kErr) << "off after power-on";
  out(2, 4);
  EXPECT_EQ(command(0xc6), kIdle);
  EXPECT_EQ(word(identify(), 59), 0x0104);
  set_lba28(1, 5);
  irq_edges_ = 0;
  EXPECT_EQ(command(0xc4), kIdle | kDrq);
  const auto block = read_block(4 * 512);
  EXPECT_EQ(block[0], 1);
  EXPECT_EQ(block[2047], 4);
  EXPECT_EQ(wait(), kIdle | kDrq);
  EXPECT_THAT(read_block(512), Each(5)) << "the last block is shorter";
  EXPECT_EQ(wait(), kIdle);
  EXPECT_EQ(irq_edges_, 1) << "unacknowledged, the second one makes no edge";
  out(2, 3);
  EXPECT_EQ(command(0xc6), kIdle | kErr);
}

TEST_F(AtaDiskTest, ChsAddressesTranslate) {
  set_chs(1, 2, 3, 1);
  command(0x20);
  EXPECT_THAT(read_block(512), Each(static_cast<uint8_t>((1 * 16 + 2) * 63 + 2)));
  // Another translation: 8 heads of 17 sectors.
  out(2, 17);
  out(6, 0xa7);
  EXPECT_EQ(command(0x91), kIdle);
  set_chs(1, 2, 3, 1);
  command(0x20);
  EXPECT_THAT(read_block(512), Each(static_cast<uint8_t>((1 * 8 + 2) * 17 + 2)));
  const auto id = identify();
  EXPECT_EQ(word(id, 55), 8);
  EXPECT_EQ(word(id, 56), 17);
  EXPECT_EQ(word(id, 3), 16) << "the default stays";
}

TEST_F(AtaDiskTest, WrongAddressesAreNotFound) {
  set_chs(0, 0, 0, 1);
  EXPECT_EQ(command(0x20), kIdle | kErr);
  EXPECT_EQ(in(1), 0x10);
  set_chs(kCylinders, 0, 1, 1);
  EXPECT_EQ(command(0x20), kIdle | kErr);
  EXPECT_EQ(in(1), 0x10);
  set_lba28(kCylinders * 16 * 63, 1);
  EXPECT_EQ(command(0x20), kIdle | kErr);
  EXPECT_EQ(in(1), 0x10);
  set_lba48(uint64_t{1} << 47, 1);
  EXPECT_EQ(command(0x24), kIdle | kErr);
  EXPECT_EQ(in(1), 0x10);
}

TEST_F(AtaDiskTest, ReadAcrossTheEndStopsThere) {
  const uint32_t last = kCylinders * 16 * 63 - 1;
  set_lba28(last, 2);
  EXPECT_EQ(command(0x20), kIdle | kDrq);
  read_block(512);
  EXPECT_EQ(wait(), kIdle | kErr);
  EXPECT_EQ(in(1), 0x10);
}

TEST_F(AtaDiskTest, Lba48ReadsAndTellsHighOrderBytes) {
  set_lba48(300, 2);
  EXPECT_EQ(command(0x24), kIdle | kDrq);
  EXPECT_THAT(read_block(512), Each(static_cast<uint8_t>(300)));
  wait();
  EXPECT_THAT(read_block(512), Each(static_cast<uint8_t>(301)));
  EXPECT_EQ(in(3), 301 & 0xff);
  EXPECT_EQ(in(4), 1);
  control(0x80);
  EXPECT_EQ(in(3), 0);
}

TEST_F(AtaDiskTest, DmaWaitsForTheBusMaster) {
  set_lba28(2, 0);  // 256 sectors
  out(7, 0xc8);
  pass(1'000'000);
  EXPECT_TRUE(dma_requested_);
  EXPECT_NE(alternate_status() & kBusy, 0);
  channel_.dma_start();
  EXPECT_EQ(wait(), kIdle);
  EXPECT_TRUE(irq_);
  ASSERT_EQ(dma_.memory.size(), 256u * 512);
  EXPECT_EQ(dma_.memory[0], 2);
  EXPECT_EQ(dma_.memory[255 * 512], 1);
}

TEST_F(AtaDiskTest, DmaWrites) {
  dma_.memory.assign(1024, 0x5a);
  set_lba48(70, 2);
  out(7, 0x35);
  pass(1'000'000);
  channel_.dma_start();
  EXPECT_EQ(wait(), kIdle);
  EXPECT_EQ(medium_.bytes[70 * 512], 0x5a);
  EXPECT_EQ(medium_.bytes[72 * 512 - 1], 0x5a);
  EXPECT_EQ(medium_.bytes[72 * 512], 72);
}

TEST_F(AtaDiskTest, ShortDescriptorsLeaveTheDriveWaitingUntilReset) {
  dma_.limit = 700;
  set_lba28(0, 4);
  out(7, 0xc8);
  pass(1'000'000);
  channel_.dma_start();
  pass(10'000'000);
  EXPECT_EQ(alternate_status() & kBusy, kBusy);
  EXPECT_FALSE(irq_);
  control(0x04);
  control(0);
  EXPECT_EQ(wait(), kIdle);
}

TEST_F(AtaDiskTest, StoppedBusMasterMovesNothing) {
  set_lba28(0, 1);
  out(7, 0xc8);
  pass(10'000);
  channel_.dma_start();
  channel_.dma_stop();
  pass(10'000'000);
  EXPECT_TRUE(dma_.memory.empty());
  EXPECT_FALSE(irq_);
}

TEST_F(AtaDiskTest, HostFailuresAreMediumErrorsAndFaults) {
  medium_.fail_reads = true;
  set_lba28(4, 1);
  EXPECT_EQ(command(0x20), kIdle | kErr);
  EXPECT_EQ(in(1), 0x40);
  EXPECT_EQ(in(3), 4);
  medium_.fail_writes = true;
  set_lba28(4, 1);
  command(0x30);
  write_block(std::vector<uint8_t>(512, 0xff));
  EXPECT_EQ(wait(), kIdle | kErr | kFault);
  EXPECT_EQ(medium_.bytes[4 * 512], 4);
}

TEST_F(AtaDiskTest, FlushReachesTheBackend) {
  EXPECT_EQ(command(0xe7), kIdle);
  EXPECT_EQ(command(0xea), kIdle);
  EXPECT_EQ(medium_.flushes, 2);
  medium_.fail_flushes = true;
  EXPECT_EQ(command(0xe7), kIdle | kErr | kFault);
}

TEST_F(AtaDiskTest, NativeMaxIsTheLastSector) {
  const uint32_t last = kCylinders * 16 * 63 - 1;
  out(6, 0xe0);
  EXPECT_EQ(command(0xf8), kIdle);
  EXPECT_EQ(in(3) | in(4) << 8 | in(5) << 16 | (in(6) & 0xf) << 24, static_cast<int>(last));
  EXPECT_EQ(command(0x27), kIdle);
  EXPECT_EQ(in(3) | in(4) << 8 | in(5) << 16, static_cast<int>(last));
}

TEST_F(AtaDiskTest, PowerModes) {
  EXPECT_EQ(command(0xe5), kIdle);
  EXPECT_EQ(in(2), 0xff);
  command(0xe0);
  command(0xe5);
  EXPECT_EQ(in(2), 0x00);
  command(0xe6);
  EXPECT_EQ(command(0xec), kIdle | kErr) << "asleep until a reset";
  control(0x04);
  control(0);
  wait();
  identify();
}

TEST_F(AtaDiskTest, VerifySeekRecalibrateNopAndUnknown) {
  set_lba28(1, 200);
  EXPECT_EQ(command(0x40), kIdle);
  set_lba28(kCylinders * 16 * 63 - 1, 2);
  EXPECT_EQ(command(0x40), kIdle | kErr);
  set_chs(3, 0, 1, 1);
  EXPECT_EQ(command(0x70), kIdle);
  EXPECT_EQ(command(0x10), kIdle);
  EXPECT_EQ(command(0x00), kIdle | kErr);
  EXPECT_EQ(command(0xa1), kIdle | kErr) << "not a packet device";
  EXPECT_EQ(command(0x08), kIdle | kErr);
}

TEST_F(AtaDiskTest, DiagnosticAnswersFromTheMaster) {
  out(6, 0xb0);  // the absent slave
  out(7, 0x90);
  pass(10'000'000);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(in(1), 1);
  EXPECT_EQ(in(6) & 0x10, 0);
}

TEST_F(AtaDiskTest, AbsentSlaveReadsAsMastersRegistersWithStatusZero) {
  out(6, 0xb0);
  out(2, 0x55);
  out(3, 0xaa);
  EXPECT_EQ(in(2), 0x55);
  EXPECT_EQ(in(3), 0xaa);
  EXPECT_EQ(in(7), 0);
  out(7, 0xec);
  pass(10'000'000);
  EXPECT_EQ(in(7), 0);
  EXPECT_FALSE(irq_);
}

TEST_F(AtaDiskTest, SoftwareResetStopsACommand) {
  set_lba28(0, 8);
  command(0x20);
  control(0x04);
  EXPECT_EQ(alternate_status(), kBusy);
  EXPECT_FALSE(irq_);
  pass(100'000'000);
  EXPECT_EQ(alternate_status(), kBusy) << "held in reset";
  control(0);
  EXPECT_EQ(wait(), kIdle);
  EXPECT_EQ(in(2), 1);
}

TEST_F(AtaDiskTest, CommandsWhileBusyAreIgnored) {
  set_lba28(6, 1);
  out(7, 0x20);
  out(3, 99);
  out(7, 0xec);
  wait();
  EXPECT_THAT(read_block(512), Each(6));
}

TEST_F(AtaDiskTest, StateInTheMiddleOfAReadGoesOn) {
  set_lba28(20, 2);
  command(0x20);
  read_block(100);
  StateArchive saved;
  channel_.state(saved);
  read_block(412);
  wait();

  const auto bytes = saved.bytes();
  StateArchive loading{bytes};
  channel_.state(loading);
  EXPECT_EQ(alternate_status(), kIdle | kDrq);
  EXPECT_THAT(read_block(412), Each(20));
  wait();
  EXPECT_THAT(read_block(512), Each(21));
}

TEST(EmptyChannel, FloatsWithoutLookingBusy) {
  FakeIdeDma dma;
  IdeChannel channel{IrqLine{}, dma, nullptr};
  channel.reset();
  EXPECT_EQ(channel.command_block().read(7, 1), 0x7fu);
  channel.command_block().write(2, 1, 0x55);
  EXPECT_EQ(channel.command_block().read(2, 1), 0xffu);
  EXPECT_EQ(channel.command_block().read(0, 2), 0xffffu);
}

TEST(DiskGeometryTest, ComesFromSizeOrPartitions) {
  MemoryMedium medium{uint64_t{615} * 4 * 17 * 512};
  MemoryBackend backend{medium};
  const DiskGeometry by_size = default_geometry(backend);
  EXPECT_EQ(by_size.heads, 16);
  EXPECT_EQ(by_size.sectors_per_track, 63);
  EXPECT_EQ(by_size.cylinders, 41);
  // One partition over the whole of a drive with 4 heads of 17 sectors.
  const uint32_t end = 615 * 4 * 17;
  uint8_t* entry = &medium.bytes[446];
  entry[4] = 1;
  entry[5] = 3;
  entry[6] = 17 | (614 >> 8) << 6;
  entry[7] = 614 & 0xff;
  entry[8] = 17;
  entry[12] = static_cast<uint8_t>(end - 17);
  entry[13] = static_cast<uint8_t>((end - 17) >> 8);
  entry[14] = static_cast<uint8_t>((end - 17) >> 16);
  medium.bytes[510] = 0x55;
  medium.bytes[511] = 0xaa;
  const DiskGeometry by_table = default_geometry(backend);
  EXPECT_EQ(by_table.cylinders, 615);
  EXPECT_EQ(by_table.heads, 4);
  EXPECT_EQ(by_table.sectors_per_track, 17);
}

TEST(DiskGeometryTest, TinyDisksHaveOneCylinderAtLeast) {
  MemoryMedium medium{512};
  MemoryBackend backend{medium};
  const DiskGeometry g = default_geometry(backend);
  EXPECT_EQ(g.cylinders * g.heads * g.sectors_per_track, 1);
}

}  // namespace
}  // namespace vireo
