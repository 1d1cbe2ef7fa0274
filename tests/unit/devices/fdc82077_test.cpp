#include "devices/fdc82077.h"

#include <gmock/gmock.h>

#include "core/clock.h"
#include "core/scheduler.h"
#include "tests/unit/memory_backend.h"

namespace vireo {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using Bytes = std::vector<uint8_t>;

/// A DMA channel over one vector, with a count as the 8237's.
struct FakeDma final : DmaChannel {
  Bytes memory;
  size_t position = 0;
  bool masked = false;

  void program(size_t bytes) {
    memory.assign(bytes, 0);
    position = 0;
    masked = false;
  }
  Moved to_memory(std::span<const uint8_t> bytes) override {
    if (masked) return {};
    const size_t n = std::min(bytes.size(), memory.size() - position);
    std::copy_n(bytes.begin(), n, memory.begin() + static_cast<ptrdiff_t>(position));
    return advance(n);
  }
  Moved from_memory(std::span<uint8_t> bytes) override {
    if (masked) return {};
    const size_t n = std::min(bytes.size(), memory.size() - position);
    std::copy_n(memory.begin() + static_cast<ptrdiff_t>(position), n, bytes.begin());
    return advance(n);
  }
  Moved advance(size_t n) {
    position += n;
    masked = position == memory.size();
    return {n, masked};
  }
};

class Fdc82077Test : public ::testing::Test {
 protected:
  static constexpr unsigned kDor = 2, kMsr = 4, kFifo = 5;
  static constexpr uint8_t kMfm = 0x40;

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  FakeDma dma_;
  bool irq_ = false;
  int irq_edges_ = 0;
  MemoryMedium medium_{1474560};
  Fdc82077 fdc_{scheduler_, IrqLine([this](bool level) {
                  irq_ = level;
                  irq_edges_ += level;
                }),
                dma_};

  Fdc82077Test() {
    // Sector n (from 0) of the image is filled with n modulo 251.
    for (size_t i = 0; i < medium_.bytes.size(); ++i) medium_.bytes[i] = pattern(i / 512);
    fdc_.connect(0, FloppyDriveType::k1440K);
    fdc_.insert(0, std::make_unique<MemoryBackend>(medium_));
    set_dor(0x1c);
    pass(1'000'000);
    set_rate(FloppyRate::k500);
  }
  static uint8_t pattern(size_t sector) { return static_cast<uint8_t>(sector % 251); }
  static size_t lba(unsigned c, unsigned h, unsigned r, unsigned sectors = 18) {
    return (c * 2 + h) * sectors + r - 1;
  }

  void out(unsigned port, uint8_t value) { fdc_.registers().write(port, 1, value); }
  uint8_t in(unsigned port) { return static_cast<uint8_t>(fdc_.registers().read(port, 1)); }
  void set_dor(uint8_t value) { out(kDor, value); }
  void set_rate(FloppyRate rate) { fdc_.digital_input().write(0, 1, static_cast<uint8_t>(rate)); }
  bool disk_changed() { return (fdc_.digital_input().read(0, 1) & 0x80) != 0; }
  void pass(VirtualNs time) {
    for (int i = 0; i < 100; ++i) {
      clock_.advance(time / 100);
      scheduler_.run_due();
    }
  }
  void send(const Bytes& bytes) {
    for (const uint8_t byte : bytes) {
      EXPECT_EQ(in(kMsr)&0xc0, 0x80) << "ready for a command byte";
      out(kFifo, byte);
    }
  }
  Bytes result() {
    Bytes bytes;
    while ((in(kMsr)&0xd0) == 0xd0 && bytes.size() < 16) bytes.push_back(in(kFifo));
    return bytes;
  }
  /// A command with an execution phase, to its end.
  Bytes run(const Bytes& command) {
    send(command);
    pass(100'000'000);
    EXPECT_TRUE(irq_);
    Bytes bytes = result();
    EXPECT_FALSE(irq_) << "reading the result acknowledges";
    EXPECT_EQ(in(kMsr)&0xf0, 0x80);
    return bytes;
  }
  Bytes sense_interrupt() {
    send({0x08});
    return result();
  }
  Bytes seek(uint8_t drive, uint8_t cylinder) {
    send({0x0f, drive, cylinder});
    pass(100'000'000);
    return sense_interrupt();
  }
  void leave_reset() {
    for (int i = 0; i < 4; ++i) sense_interrupt();
  }
};

TEST_F(Fdc82077Test, ResetReportsFourDrives) {
  EXPECT_TRUE(irq_);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0xc0, 0));
  EXPECT_FALSE(irq_);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0xc1, 0));
  EXPECT_THAT(sense_interrupt(), ElementsAre(0xc2, 0));
  EXPECT_THAT(sense_interrupt(), ElementsAre(0xc3, 0));
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x80));
}

TEST_F(Fdc82077Test, HeldInResetIsSilent) {
  set_dor(0x18);
  EXPECT_EQ(in(kMsr), 0);
  EXPECT_FALSE(irq_);
  set_dor(0x1c);
  EXPECT_EQ(in(kMsr), 0) << "busy for a moment";
  pass(1'000'000);
  EXPECT_EQ(in(kMsr), 0x80);
  EXPECT_TRUE(irq_);
}

TEST_F(Fdc82077Test, DsrResetClearsItself) {
  leave_reset();
  out(kMsr, 0x80);
  pass(1'000'000);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(sense_interrupt()[0], 0xc0);
}

TEST_F(Fdc82077Test, InterruptAndDmaNeedTheGate) {
  set_dor(0x14);
  EXPECT_FALSE(irq_);
  set_dor(0x1c);
  EXPECT_TRUE(irq_);
}

TEST_F(Fdc82077Test, IdentifyingCommands) {
  leave_reset();
  send({0x10});
  EXPECT_THAT(result(), ElementsAre(0x90));
  send({0x18});
  EXPECT_THAT(result(), ElementsAre(0x80)) << "PART ID is the 82078's";
  send({0x94});
  EXPECT_THAT(result(), ElementsAre(0x10));
  send({0x14});
  EXPECT_THAT(result(), ElementsAre(0x00));
}

TEST_F(Fdc82077Test, DumpregShowsSettingsAndLockKeepsThem) {
  leave_reset();
  send({0x03, 0xdf, 0x02});
  send({0x13, 0, 0x57, 0x0b});
  send({0x12, 0x84});
  send({0x94});
  result();
  send({0x0e});
  EXPECT_THAT(result(), ElementsAre(0, 0, 0, 0, 0xdf, 0x02, 0, 0x84, 0x57, 0x0b));
  out(kMsr, 0x80);
  pass(1'000'000);
  EXPECT_TRUE(irq_) << "polling is on again";
  leave_reset();
  send({0x0e});
  const Bytes locked = result();
  EXPECT_EQ(locked[8], 0x07) << "FIFO settings stay";
  EXPECT_EQ(locked[9], 0x0b);
  send({0x14});
  result();
  out(kMsr, 0x80);
  pass(1'000'000);
  leave_reset();
  send({0x0e});
  const Bytes unlocked = result();
  EXPECT_EQ(unlocked[4], 0xdf) << "SPECIFY's stay";
  EXPECT_EQ(unlocked[8], 0x20) << "FIFO off";
  EXPECT_EQ(unlocked[9], 0);
}

TEST_F(Fdc82077Test, SeekAndRecalibrate) {
  leave_reset();
  send({0x0f, 0, 40});
  EXPECT_EQ(in(kMsr), 0x81) << "drive 0 seeks, the controller is free";
  pass(100'000'000);
  EXPECT_TRUE(irq_);
  EXPECT_EQ(in(kMsr), 0x80);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x20, 40));
  send({0x04, 0});
  EXPECT_THAT(result(), ElementsAre(0x28));
  send({0x07, 0});
  pass(100'000'000);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x20, 0));
  send({0x04, 4});
  EXPECT_THAT(result(), ElementsAre(0x3c)) << "track 0";
}

TEST_F(Fdc82077Test, RecalibrateOfAnAbsentDriveFails) {
  leave_reset();
  send({0x07, 1});
  pass(100'000'000);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x71, 0));
}

TEST_F(Fdc82077Test, RelativeSeek) {
  leave_reset();
  seek(0, 10);
  send({0xcf, 0, 5});
  pass(100'000'000);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x20, 15));
  send({0x8f, 0, 3});
  pass(100'000'000);
  EXPECT_THAT(sense_interrupt(), ElementsAre(0x20, 12));
}

TEST_F(Fdc82077Test, ChangeLineClearsOnAStepWithAMedium) {
  leave_reset();
  EXPECT_TRUE(disk_changed());
  seek(0, 0);
  EXPECT_TRUE(disk_changed()) << "no step, no pulse";
  seek(0, 1);
  EXPECT_FALSE(disk_changed());
  fdc_.eject(0);
  EXPECT_TRUE(disk_changed());
  seek(0, 2);
  EXPECT_TRUE(disk_changed());
  fdc_.insert(0, std::make_unique<MemoryBackend>(medium_));
  seek(0, 3);
  EXPECT_FALSE(disk_changed());
}

TEST_F(Fdc82077Test, ReadsUntilTerminalCount) {
  leave_reset();
  seek(0, 3);
  dma_.program(3 * 512);
  EXPECT_THAT(run({0x06 | kMfm, 0x04, 3, 1, 5, 2, 18, 0x1b, 0xff}), ElementsAre(0x04, 0, 0, 3, 1, 8, 2));
  EXPECT_EQ(dma_.memory[0], pattern(lba(3, 1, 5)));
  EXPECT_EQ(dma_.memory[1024], pattern(lba(3, 1, 7)));
}

TEST_F(Fdc82077Test, TerminalCountAtTheEndOfTheTrackGoesToTheNextCylinder) {
  leave_reset();
  dma_.program(512);
  EXPECT_THAT(run({0x06 | kMfm, 0, 0, 0, 18, 2, 18, 0x1b, 0xff}), ElementsAre(0, 0, 0, 1, 0, 1, 2));
}

TEST_F(Fdc82077Test, MultiTrackGoesOnWithTheSecondSide) {
  leave_reset();
  dma_.program(20 * 512);
  EXPECT_THAT(run({0x86 | kMfm, 0, 0, 0, 17, 2, 18, 0x1b, 0xff}), ElementsAre(0x04, 0, 0, 1, 0, 1, 2));
  dma_.program(21 * 512);
  EXPECT_THAT(run({0x86 | kMfm, 0, 0, 0, 17, 2, 18, 0x1b, 0xff}), ElementsAre(0x44, 0x80, 0, 1, 0, 1, 2))
      << "but not to the next cylinder";
  dma_.program(19 * 512);
  EXPECT_THAT(run({0x86 | kMfm, 0, 0, 0, 17, 2, 18, 0x1b, 0xff}), ElementsAre(0x04, 0, 0, 0, 1, 18, 2));
  EXPECT_EQ(dma_.memory[2 * 512], pattern(lba(0, 1, 1)));
}

TEST_F(Fdc82077Test, CountBeyondTheTrackIsEndOfCylinder) {
  leave_reset();
  dma_.program(19 * 512);
  const Bytes status = run({0x06 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[0], 0x40);
  EXPECT_EQ(status[1], 0x80);
}

TEST_F(Fdc82077Test, WritesAndFillsAShortSector) {
  leave_reset();
  dma_.program(700);
  std::fill(dma_.memory.begin(), dma_.memory.end(), 0xee);
  EXPECT_THAT(run({0x05 | kMfm, 0, 0, 0, 4, 2, 18, 0x1b, 0xff}), ElementsAre(0, 0, 0, 0, 0, 6, 2));
  const auto* sector = &medium_.bytes[lba(0, 0, 4) * 512];
  EXPECT_THAT(Bytes(sector, sector + 700), Each(0xee));
  EXPECT_THAT(Bytes(sector + 700, sector + 1024), Each(0));
  EXPECT_EQ(sector[1024], pattern(lba(0, 0, 6)));
}

TEST_F(Fdc82077Test, WriteProtectAndHostErrors) {
  leave_reset();
  medium_.read_only = true;
  dma_.program(512);
  Bytes status = run({0x05 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[0], 0x40);
  EXPECT_EQ(status[1], 0x02);
  send({0x04, 0});
  EXPECT_EQ(result()[0] & 0x40, 0x40);
  medium_.read_only = false;
  medium_.fail_writes = true;
  dma_.program(512);
  status = run({0x05 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x20);
  medium_.fail_reads = true;
  dma_.program(512);
  status = run({0x06 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x20);
  EXPECT_EQ(status[2], 0x20);
}

TEST_F(Fdc82077Test, MaskedDmaIsAnOverrun) {
  leave_reset();
  dma_.masked = true;
  const Bytes status = run({0x06 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[0], 0x40);
  EXPECT_EQ(status[1], 0x10);
}

TEST_F(Fdc82077Test, SectorsThatAreNotThere) {
  leave_reset();
  dma_.program(512);
  Bytes status = run({0x06 | kMfm, 0, 0, 0, 19, 2, 30, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x04);
  status = run({0x06 | kMfm, 0, 7, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x04);
  EXPECT_EQ(status[2], 0x10) << "the heads are on another cylinder";
  status = run({0x06 | kMfm, 0, 0, 1, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x04) << "head field of the ID";
  status = run({0x06 | kMfm, 0, 0, 0, 1, 3, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x04) << "1024-byte sectors";
  status = run({0x06, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[1], 0x01) << "single density";
  EXPECT_THAT(dma_.memory, Each(0));
}

TEST_F(Fdc82077Test, WrongDataRateFindsNothing) {
  leave_reset();
  set_rate(FloppyRate::k250);
  EXPECT_EQ(run({0x0a | kMfm, 0})[1], 0x01);
  set_rate(FloppyRate::k500);
  EXPECT_THAT(run({0x0a | kMfm, 0}), ElementsAre(0, 0, 0, 0, 0, ::testing::_, 2));
}

TEST_F(Fdc82077Test, ReadIdWalksAroundTheTrack) {
  leave_reset();
  seek(0, 9);
  const uint8_t first = run({0x0a | kMfm, 4})[5];
  const Bytes second = run({0x0a | kMfm, 4});
  EXPECT_EQ(second[3], 9);
  EXPECT_EQ(second[4], 1);
  EXPECT_EQ(second[5], first % 18 + 1);
}

TEST_F(Fdc82077Test, NoMediumNoDriveFail) {
  leave_reset();
  fdc_.eject(0);
  EXPECT_EQ(run({0x0a | kMfm, 0})[0], 0x40);
  EXPECT_EQ(run({0x0a | kMfm, 1})[0], 0x41);
}

TEST_F(Fdc82077Test, ImpliedSeek) {
  leave_reset();
  send({0x13, 0, 0x40, 0});
  dma_.program(512);
  EXPECT_THAT(run({0x06 | kMfm, 0, 33, 0, 2, 2, 18, 0x1b, 0xff}), ElementsAre(0, 0, 0, 33, 0, 3, 2));
  EXPECT_EQ(dma_.memory[0], pattern(lba(33, 0, 2)));
}

TEST_F(Fdc82077Test, ReadTrackIgnoresTheId) {
  leave_reset();
  dma_.program(4 * 512);
  EXPECT_EQ(run({0x02 | kMfm, 0, 77, 0, 9, 2, 4, 0x1b, 0xff})[0], 0x00);
  EXPECT_EQ(dma_.memory[0], pattern(lba(0, 0, 1)));
  EXPECT_EQ(dma_.memory[3 * 512], pattern(lba(0, 0, 4)));
}

TEST_F(Fdc82077Test, VerifyMovesNothing) {
  leave_reset();
  dma_.program(512);
  EXPECT_EQ(run({0x16 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff})[0], 0);
  EXPECT_EQ(run({0x16 | kMfm, 0x80, 0, 0, 1, 2, 18, 0x1b, 4})[5], 5);
  EXPECT_EQ(run({0x16 | kMfm, 0, 0, 0, 17, 2, 20, 0x1b, 0xff})[1], 0x04);
  EXPECT_EQ(dma_.position, 0u);
}

TEST_F(Fdc82077Test, ReadDeletedStopsAtTheFirstNormalSector) {
  leave_reset();
  dma_.program(4 * 512);
  const Bytes status = run({0x0c | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  EXPECT_EQ(status[0], 0);
  EXPECT_EQ(status[2], 0x40);
  EXPECT_EQ(dma_.position, 512u);
}

TEST_F(Fdc82077Test, FormatsATrackOfTheImagesFormat) {
  leave_reset();
  seek(0, 5);
  dma_.program(18 * 4);
  for (size_t i = 0; i < 18; ++i) {
    const Bytes id = {5, 1, static_cast<uint8_t>(i + 1), 2};
    std::copy(id.begin(), id.end(), dma_.memory.begin() + static_cast<ptrdiff_t>(4 * i));
  }
  EXPECT_EQ(run({0x0d | kMfm, 4, 2, 18, 0x54, 0xf6})[0], 0x04);
  const auto* track = &medium_.bytes[lba(5, 1, 1) * 512];
  EXPECT_THAT(Bytes(track, track + 18 * 512), Each(0xf6));
  EXPECT_EQ(track[18 * 512], pattern(lba(6, 0, 1)));
  EXPECT_EQ(track[-1], pattern(lba(5, 0, 18)));

  dma_.program(9 * 4);
  EXPECT_EQ(run({0x0d | kMfm, 4, 2, 9, 0x54, 0xf6})[0], 0x54) << "nine sectors do not fit a 1.44M image";
}

TEST_F(Fdc82077Test, NonDmaModeGoesThroughTheFifo) {
  leave_reset();
  send({0x03, 0xdf, 0x03});
  send({0x06 | kMfm, 0, 0, 0, 1, 2, 2, 0x1b, 0xff});
  Bytes data;
  for (int i = 0; i < 2; ++i) {
    pass(10'000'000);
    EXPECT_TRUE(irq_);
    while (in(kMsr) == 0xf0) data.push_back(in(kFifo));
  }
  ASSERT_EQ(data.size(), 1024u);
  EXPECT_EQ(data[512], pattern(1));
  EXPECT_THAT(result(), ElementsAre(0x40, 0x80, 0, 1, 0, 1, 2)) << "no terminal count in this mode";

  send({0x05 | kMfm, 0, 0, 0, 1, 2, 1, 0x1b, 0xff});
  pass(10'000'000);
  EXPECT_EQ(in(kMsr), 0xb0);
  for (int i = 0; i < 512; ++i) out(kFifo, 0x77);
  pass(10'000'000);
  EXPECT_EQ(result()[1], 0x80);
  EXPECT_EQ(medium_.bytes[511], 0x77);
}

TEST_F(Fdc82077Test, ResetStopsATransfer) {
  leave_reset();
  dma_.program(512 * 18);
  send({0x06 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  set_dor(0x18);
  pass(100'000'000);
  EXPECT_EQ(dma_.position, 0u);
  set_dor(0x1c);
  pass(1'000'000);
  EXPECT_EQ(in(kMsr), 0x80);
}

TEST_F(Fdc82077Test, StateKeepsARunningTransfer) {
  leave_reset();
  dma_.program(2 * 512);
  send({0x06 | kMfm, 0, 0, 0, 1, 2, 18, 0x1b, 0xff});
  StateArchive saved;
  fdc_.state(saved);
  fdc_.reset();
  const auto bytes = saved.bytes();
  StateArchive loading{bytes};
  fdc_.state(loading);
  pass(100'000'000);
  EXPECT_THAT(result(), ElementsAre(0, 0, 0, 0, 0, 3, 2));
  EXPECT_EQ(dma_.memory[512], pattern(1));
}

TEST_F(Fdc82077Test, LowDensityMediaInA1200KDrive) {
  leave_reset();
  MemoryMedium old{368640};
  for (size_t i = 0; i < old.bytes.size(); ++i) old.bytes[i] = pattern(i / 512);
  fdc_.connect(1, FloppyDriveType::k1200K);
  fdc_.insert(1, std::make_unique<MemoryBackend>(old));
  set_dor(0x2d);
  set_rate(FloppyRate::k300);
  seek(1, 20);
  dma_.program(512);
  EXPECT_EQ(run({0x06 | kMfm, 1, 10, 0, 1, 2, 9, 0x2a, 0xff})[0], 0x01) << "two steps a cylinder";
  EXPECT_EQ(dma_.memory[0], pattern(lba(10, 0, 1, 9)));
  dma_.program(512);
  EXPECT_EQ(run({0x06 | kMfm, 1, 20, 0, 1, 2, 9, 0x2a, 0xff})[0], 0x01)
      << "or as firmware asks that knows no better";
  EXPECT_EQ(dma_.memory[0], pattern(lba(20, 0, 1, 9)));
  fdc_.eject(1);
}

class FloppyFormatTest : public ::testing::TestWithParam<FloppyFormat> {};

TEST_P(FloppyFormatTest, LastSectorIsReadAtItsRate) {
  const FloppyFormat format = GetParam();
  FakeClock clock;
  Scheduler scheduler{clock};
  FakeDma dma;
  Fdc82077 fdc{scheduler, IrqLine{}, dma};
  MemoryMedium medium{format.bytes()};
  medium.bytes.back() = 0xab;
  fdc.connect(0, format.drive);
  fdc.insert(0, std::make_unique<MemoryBackend>(medium));
  const auto out = [&](unsigned port, unsigned value) { fdc.registers().write(port, 1, value); };
  const auto pass = [&] {
    for (int i = 0; i < 100; ++i) {
      clock.advance(1'000'000);
      scheduler.run_due();
    }
  };
  out(2, 0x1c);
  pass();
  fdc.digital_input().write(0, 1, static_cast<unsigned>(format.rate));
  const unsigned cylinder = format.cylinders - 1u, head = format.heads - 1u;
  for (const unsigned byte : {0x0fu, 0u, cylinder}) out(5, byte);
  pass();
  dma.program(512);
  for (const unsigned byte : {0x46u, head << 2, cylinder, head, unsigned{format.sectors_per_track}, 2u,
                              unsigned{format.sectors_per_track}, 0x1bu, 0xffu}) {
    out(5, byte);
  }
  pass();
  EXPECT_EQ(fdc.registers().read(5, 1), head << 2);
  EXPECT_EQ(dma.memory.back(), 0xab);
}

INSTANTIATE_TEST_SUITE_P(All, FloppyFormatTest, ::testing::ValuesIn(kFloppyFormats), [](const auto& info) {
  std::string name = "F";
  for (const char c : info.param.name) name += c == '.' ? '_' : c;
  return name;
});

}  // namespace
}  // namespace vireo
