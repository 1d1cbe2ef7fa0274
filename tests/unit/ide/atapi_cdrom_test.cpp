#include "devices/ide/atapi_cdrom.h"

#include <gmock/gmock.h>

#include "devices/ide/cd_sector.h"
#include "tests/unit/ide/ide_fixture.h"

namespace vireo {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Packet = std::array<uint8_t, 12>;

class AtapiTest : public IdeFixture {
 protected:
  static constexpr uint32_t kSectors = 300;
  MemoryMedium disc_{uint64_t{kSectors} * 2048};
  AtapiCdrom* drive_;

  AtapiTest() {
    disc_.number_sectors(2048);
    auto drive = std::make_unique<AtapiCdrom>(scheduler_, std::make_unique<MemoryBackend>(disc_));
    drive_ = drive.get();
    channel_.attach(0, std::move(drive));
    channel_.reset();
    wait();
    out(6, 0xa0);
  }
  uint8_t start_packet(const Packet& packet, bool dma, unsigned byte_limit) {
    out(1, dma ? 1 : 0);
    out(4, static_cast<uint8_t>(byte_limit));
    out(5, static_cast<uint8_t>(byte_limit >> 8));
    EXPECT_EQ(command(0xa0) & (kBusy | kDrq), kDrq);
    EXPECT_EQ(in(2), 1) << "command phase";
    write_block({packet.begin(), packet.end()});
    return wait();
  }
  /// Runs a PIO packet command to its end and gives its data; status_ is the last status.
  std::vector<uint8_t> packet(const Packet& bytes, unsigned byte_limit = 0xfffe) {
    std::vector<uint8_t> data;
    start_packet(bytes, false, byte_limit);
    while ((alternate_status() & kDrq) != 0) {
      EXPECT_EQ(in(2), 2) << "data to the host";
      EXPECT_TRUE(irq_);
      const unsigned n = in(4) | in(5) << 8;
      block_sizes_.push_back(n);
      in(7);
      const auto block = read_block(n);
      data.insert(data.end(), block.begin(), block.end());
      wait();
    }
    EXPECT_EQ(in(2), 3) << "status phase";
    EXPECT_TRUE(irq_);
    status_ = in(7);
    error_ = in(1);
    return data;
  }
  std::array<uint8_t, 3> sense() {
    const auto data = packet({0x03, 0, 0, 0, 18});
    return {static_cast<uint8_t>(data.at(2) & 0xf), data.at(12), data.at(13)};
  }
  void take_unit_attention() {
    packet({0x00});
    sense();
  }
  static uint32_t be32(const std::vector<uint8_t>& d, size_t i) {
    return static_cast<uint32_t>(d[i]) << 24 | d[i + 1] << 16 | d[i + 2] << 8 | d[i + 3];
  }

  std::vector<unsigned> block_sizes_;
  uint8_t status_ = 0, error_ = 0;
};

TEST_F(AtapiTest, SignatureAndRefusalOfAtaCommands) {
  EXPECT_EQ(alternate_status(), 0);
  EXPECT_EQ(in(4), 0x14);
  EXPECT_EQ(in(5), 0xeb);
  out(4, 0);
  EXPECT_EQ(command(0xec) & kErr, kErr);
  EXPECT_EQ(in(1), 0x04);
  EXPECT_EQ(in(4), 0x14);
  EXPECT_EQ(in(5), 0xeb);
}

TEST_F(AtapiTest, IdentifyPacketDevice) {
  EXPECT_EQ(command(0xa1), kIdle | kDrq);
  const auto id = read_block(512);
  EXPECT_EQ(word(id, 0), 0x85c0);
  EXPECT_EQ(word(id, 49) & 0x0300, 0x0300);
  EXPECT_EQ(in(7), kIdle);
}

TEST_F(AtapiTest, DeviceResetMakesNoInterrupt) {
  in(7);
  out(7, 0x08);
  EXPECT_EQ(wait(), 0);
  EXPECT_FALSE(irq_);
  EXPECT_EQ(in(5), 0xeb);
}

TEST_F(AtapiTest, DeviceResetEndsARunningPacket) {
  take_unit_attention();
  start_packet({0x28, 0, 0, 0, 0, 0, 0, 0, 4}, false, 2048);
  EXPECT_EQ(alternate_status() & kDrq, kDrq);
  out(7, 0x08);
  EXPECT_EQ(wait(), 0);
  EXPECT_EQ(packet({0x12, 0, 0, 0, 36}).size(), 36u);
}

TEST_F(AtapiTest, NewDiscIsAUnitAttentionOnce) {
  packet({0x00});
  EXPECT_EQ(status_ & kErr, kErr);
  EXPECT_EQ(error_ >> 4, 6);
  EXPECT_THAT(sense(), ElementsAre(6, 0x28, 0));
  packet({0x00});
  EXPECT_EQ(status_, kIdle);
  EXPECT_THAT(sense(), ElementsAre(0, 0, 0));
}

TEST_F(AtapiTest, InquiryWorksBeforeUnitAttentionAndIsCutToItsAllocation) {
  const auto data = packet({0x12, 0, 0, 0, 36});
  EXPECT_EQ(status_, kIdle);
  ASSERT_EQ(data.size(), 36u);
  EXPECT_EQ(data[0], 5);
  EXPECT_EQ(data[1], 0x80);
  EXPECT_EQ(std::string(data.begin() + 8, data.begin() + 13), "VIREO");
  EXPECT_EQ(packet({0x12, 0, 0, 0, 5}).size(), 5u);
  EXPECT_EQ(packet({0x12, 0, 0, 0, 0}).size(), 0u);
}

TEST_F(AtapiTest, ReadCapacityIsTheLastSector) {
  take_unit_attention();
  const auto data = packet({0x25});
  EXPECT_EQ(be32(data, 0), kSectors - 1);
  EXPECT_EQ(be32(data, 4), 2048u);
}

TEST_F(AtapiTest, ReadsInBlocksOfTheByteCountLimit) {
  take_unit_attention();
  block_sizes_.clear();
  const auto data = packet({0x28, 0, 0, 0, 0, 7, 0, 0, 2}, 3000);
  EXPECT_EQ(status_, kIdle);
  EXPECT_THAT(block_sizes_, ElementsAre(3000, 1096));
  ASSERT_EQ(data.size(), 4096u);
  EXPECT_EQ(data[2047], 7);
  EXPECT_EQ(data[2048], 8);
  block_sizes_.clear();
  packet({0xa8, 0, 0, 0, 0, 7, 0, 0, 0, 1}, 1025);  // odd limits are rounded down
  EXPECT_THAT(block_sizes_, ElementsAre(1024, 1024));
}

TEST_F(AtapiTest, ReadsByDma) {
  take_unit_attention();
  in(7);
  out(1, 1);
  command(0xa0);
  const Packet read = {0x28, 0, 0, 0, 0, 9, 0, 0, 40};
  write_block({read.begin(), read.end()});
  pass(50'000'000);
  EXPECT_TRUE(dma_requested_);
  EXPECT_FALSE(irq_);
  channel_.dma_start();
  EXPECT_EQ(wait(), kIdle);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(in(2), 3);
  ASSERT_EQ(dma_.memory.size(), 40u * 2048);
  EXPECT_EQ(dma_.memory[0], 9);
  EXPECT_EQ(dma_.memory.back(), 48);
}

TEST_F(AtapiTest, ReadsBeyondTheEndAndOfBadSectorsFail) {
  take_unit_attention();
  packet({0x28, 0, 0, 0, 1, 43, 0, 0, 2});  // 299, two sectors
  EXPECT_EQ(status_, kIdle | kErr);
  EXPECT_EQ(error_, 0x54);
  EXPECT_THAT(sense(), ElementsAre(5, 0x21, 0));
  packet({0x28, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 2});
  EXPECT_THAT(sense(), ElementsAre(5, 0x21, 0));
  disc_.fail_reads = true;
  packet({0x28, 0, 0, 0, 0, 1, 0, 0, 1});
  EXPECT_THAT(sense(), ElementsAre(3, 0x11, 0));
}

TEST_F(AtapiTest, UnknownCommandIsIllegal) {
  take_unit_attention();
  packet({0xff});
  EXPECT_EQ(error_, 0x54);
  EXPECT_THAT(sense(), ElementsAre(5, 0x20, 0));
}

TEST_F(AtapiTest, TocFormats) {
  take_unit_attention();
  const auto lba = packet({0x43, 0, 0, 0, 0, 0, 0, 0, 100});
  EXPECT_THAT(lba, ElementsAre(0, 18, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0, 0, 0x14, 0xaa, 0, 0, 0, 1, 44));
  const auto msf = packet({0x43, 2, 0, 0, 0, 0, 0xaa, 0, 100});
  EXPECT_THAT(msf, ElementsAre(0, 10, 1, 1, 0, 0x14, 0xaa, 0, 0, 0, 6, 0));
  const auto session = packet({0x43, 0, 0, 0, 0, 0, 0, 0, 100, 0x40});
  EXPECT_THAT(session, ElementsAre(0, 10, 1, 1, 0, 0x14, 1, 0, 0, 0, 0, 0));
  const auto raw = packet({0x43, 2, 2, 0, 0, 0, 0, 0, 100});
  ASSERT_EQ(raw.size(), 4u + 4 * 11);
  EXPECT_EQ(raw[4 + 2 * 11 + 3], 0xa2);
  EXPECT_THAT(std::vector<uint8_t>(raw.begin() + 4 + 2 * 11 + 8, raw.begin() + 4 + 3 * 11),
              ElementsAre(0, 6, 0));
  packet({0x43, 0, 5, 0, 0, 0, 0, 0, 100});
  EXPECT_THAT(sense(), ElementsAre(5, 0x24, 0));
  EXPECT_EQ(packet({0x43, 0, 0, 0, 0, 0, 0, 0, 4}).size(), 4u);
}

TEST_F(AtapiTest, ModeSenseCapabilities) {
  take_unit_attention();
  const auto ten = packet({0x5a, 0, 0x2a, 0, 0, 0, 0, 0, 200});
  ASSERT_EQ(ten.size(), 8u + 20);
  EXPECT_EQ(ten[1], ten.size() - 2);
  EXPECT_EQ(ten[2], 1) << "data disc";
  EXPECT_EQ(ten[8], 0x2a);
  EXPECT_EQ(ten[14] & 0x29, 0x29) << "lock, eject, tray";
  const auto six = packet({0x1a, 0, 0x01, 0, 200});
  ASSERT_EQ(six.size(), 4u + 8);
  EXPECT_EQ(six[0], six.size() - 1);
  EXPECT_GT(packet({0x5a, 0, 0x3f, 0, 0, 0, 0, 0, 200}).size(), ten.size());
  packet({0x5a, 0, 0x33, 0, 0, 0, 0, 0, 200});
  EXPECT_THAT(sense(), ElementsAre(5, 0x24, 0));
  packet({0x5a, 0, 0xea, 0, 0, 0, 0, 0, 200});
  EXPECT_THAT(sense(), ElementsAre(5, 0x39, 0)) << "saved values";
}

TEST_F(AtapiTest, GuestEjectsAndLoads) {
  take_unit_attention();
  packet({0x1e, 0, 0, 0, 1});
  EXPECT_TRUE(drive_->locked());
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_THAT(sense(), ElementsAre(5, 0x53, 2));
  EXPECT_EQ(drive_->eject(false), nullptr) << "the guest's lock holds";
  packet({0x1e, 0, 0, 0, 0});
  packet({0x1b, 0, 0, 0, 2});
  EXPECT_EQ(status_, kIdle);
  packet({0x00});
  EXPECT_THAT(sense(), ElementsAre(2, 0x3a, 2));
  EXPECT_EQ(packet({0xbd, 0, 0, 0, 0, 0, 0, 0, 0, 8})[1], 0x10) << "door open";
  packet({0x1b, 0, 0, 0, 3});
  EXPECT_THAT(sense(), ElementsAre(6, 0x28, 0));
  packet({0x00});
  EXPECT_EQ(status_, kIdle);
}

TEST_F(AtapiTest, HostChangesTheDisc) {
  take_unit_attention();
  const Packet poll = {0x4a, 1, 0, 0, 0x10, 0, 0, 0, 8};
  EXPECT_THAT(packet(poll), ElementsAre(0, 6, 4, 0x10, 0, 2, 0, 0));
  EXPECT_NE(drive_->eject(false), nullptr);
  EXPECT_THAT(packet(poll), ElementsAre(0, 6, 4, 0x10, 3, 0, 0, 0));
  packet({0x00});
  EXPECT_THAT(sense(), ElementsAre(2, 0x3a, 1));
  MemoryMedium other{10 * 2048};
  drive_->insert(std::make_unique<MemoryBackend>(other));
  EXPECT_THAT(packet(poll), ElementsAre(0, 6, 4, 0x10, 2, 2, 0, 0));
  EXPECT_THAT(packet(poll), ElementsAre(0, 6, 4, 0x10, 0, 2, 0, 0)) << "told once";
  packet({0x00});
  EXPECT_THAT(sense(), ElementsAre(6, 0x28, 0));
  EXPECT_EQ(be32(packet({0x25}), 0), 9u);
  drive_->eject(true);
}

TEST_F(AtapiTest, DiscThatVanishesDuringAReadIsAnError) {
  take_unit_attention();
  start_packet({0x28, 0, 0, 0, 0, 0, 0, 0, 4}, false, 2048);
  drive_->eject(true);
  read_block(2048);
  EXPECT_EQ(wait() & kErr, kErr);
  EXPECT_EQ(in(1) >> 4, 3);
}

TEST_F(AtapiTest, OnlyPolledEventsAndKnownClasses) {
  take_unit_attention();
  packet({0x4a, 0, 0, 0, 0x10, 0, 0, 0, 8});
  EXPECT_THAT(sense(), ElementsAre(5, 0x24, 0));
  EXPECT_THAT(packet({0x4a, 1, 0, 0, 0x40, 0, 0, 0, 8}), ElementsAre(0, 2, 0x80, 0x10));
}

TEST_F(AtapiTest, ConfigurationTellsTheProfile) {
  const auto all = packet({0x46, 0, 0, 0, 0, 0, 0, 1, 0});
  EXPECT_EQ(be32(all, 0), all.size() - 4);
  EXPECT_EQ(all[7], 0x08) << "CD-ROM";
  const auto one = packet({0x46, 2, 0, 3, 0, 0, 0, 1, 0});
  EXPECT_EQ(one.size(), 8u + 8);
  EXPECT_EQ(one[9], 3);
}

TEST_F(AtapiTest, SubchannelDiscInfoTrackInfoHeader) {
  take_unit_attention();
  EXPECT_EQ(packet({0x42, 0, 0x40, 1, 0, 0, 0, 0, 16}).size(), 16u);
  const auto info = packet({0x51, 0, 0, 0, 0, 0, 0, 0, 34});
  EXPECT_EQ(info.size(), 34u);
  EXPECT_EQ(info[2], 0x0e);
  const auto track = packet({0x52, 1, 0, 0, 0, 1, 0, 0, 36});
  EXPECT_EQ(be32(track, 24), kSectors);
  EXPECT_THAT(packet({0x44, 0, 0, 0, 0, 5, 0, 0, 8}), ElementsAre(1, 0, 0, 0, 0, 0, 0, 5));
  packet({0x45});
  EXPECT_THAT(sense(), ElementsAre(5, 0x64, 0)) << "no audio on a data track";
}

TEST_F(AtapiTest, ReadCdGivesTheParts) {
  take_unit_attention();
  EXPECT_THAT(packet({0xbe, 0, 0, 0, 0, 6, 0, 0, 1, 0x10}), Each(6));
  const auto raw = packet({0xbe, 0, 0, 0, 0, 6, 0, 0, 1, 0xf8});
  ASSERT_EQ(raw.size(), 2352u);
  EXPECT_THAT(std::vector<uint8_t>(raw.begin() + 12, raw.begin() + 16), ElementsAre(0, 2, 6, 1))
      << "00:02:06, mode 1";
  EXPECT_EQ(raw[16], 6);
  EXPECT_EQ(packet({0xbe, 0, 0, 0, 0, 6, 0, 0, 1, 0x20}).size(), 4u);
  EXPECT_EQ(packet({0xbe, 0, 0, 0, 0, 6, 0, 0, 1, 0}).size(), 0u);
  EXPECT_EQ(packet({0xb9, 0, 0, 0, 2, 6, 0, 2, 8, 0x10}).size(), 4096u);
  packet({0xbe, 0x04, 0, 0, 0, 6, 0, 0, 1, 0x10});
  EXPECT_THAT(sense(), ElementsAre(5, 0x64, 0)) << "CD-DA";
}

TEST_F(AtapiTest, StateInTheMiddleOfAReadGoesOn) {
  take_unit_attention();
  start_packet({0x28, 0, 0, 0, 0, 20, 0, 0, 2}, false, 1000);
  read_block(500);
  StateArchive saved;
  channel_.state(saved);
  channel_.reset();
  const auto bytes = saved.bytes();
  StateArchive loading{bytes};
  channel_.state(loading);
  std::vector<uint8_t> rest = read_block(500);
  while ((wait() & kDrq) != 0) {
    const auto block = read_block(in(4) | in(5) << 8);
    rest.insert(rest.end(), block.begin(), block.end());
  }
  ASSERT_EQ(rest.size(), 4096u - 500);
  EXPECT_EQ(rest[2048 - 500 - 1], 20);
  EXPECT_EQ(rest[2048 - 500], 21);
}

// ECMA-130 14.3: the code words of a good sector have zero syndromes.
TEST(CdSector, ParityAndEdcAreConsistent) {
  std::array<uint8_t, kCdRawBytes> raw{};
  for (size_t i = 0; i < kCdUserBytes; ++i) raw[16 + i] = static_cast<uint8_t>(i * 7 + i / 256);
  finish_mode1_sector(4500 - 150, raw);
  EXPECT_EQ(raw[12], 0x01) << "minute 1 in BCD";
  const auto times_alpha = [](uint8_t v) {
    return static_cast<uint8_t>(v << 1 ^ ((v & 0x80) != 0 ? 0x1d : 0));
  };
  for (size_t column = 0; column < 86; ++column) {
    uint8_t sum = 0, weighted = 0;
    for (size_t row = 0; row < 26; ++row) {
      const uint8_t value = raw[12 + row * 86 + column];
      sum ^= value;
      weighted = static_cast<uint8_t>(times_alpha(weighted) ^ value);
    }
    EXPECT_EQ(sum, 0) << column;
    EXPECT_EQ(weighted, 0) << column;
  }
  for (size_t diagonal = 0; diagonal < 52; ++diagonal) {
    uint8_t sum = 0;
    for (size_t i = 0; i < 43; ++i) sum ^= raw[12 + (diagonal / 2 * 86 + diagonal % 2 + i * 88) % 2236];
    EXPECT_EQ(sum ^ raw[2248 + diagonal] ^ raw[2248 + 52 + diagonal], 0) << diagonal;
  }
  uint32_t edc = 0;
  for (size_t i = 0; i < 2068; ++i) {
    edc ^= raw[i];
    for (int bit = 0; bit < 8; ++bit) edc = edc >> 1 ^ ((edc & 1) != 0 ? 0xd8018001 : 0);
  }
  EXPECT_EQ(edc, 0u) << "a CRC over data and CRC is zero";
}

}  // namespace
}  // namespace vireo
