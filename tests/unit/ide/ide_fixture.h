// One channel on fake time, driven through its ports as a guest would.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <vector>

#include "core/clock.h"
#include "core/scheduler.h"
#include "devices/ide/ata_disk.h"
#include "devices/ide/atapi_cdrom.h"
#include "devices/ide/ide_channel.h"
#include "tests/unit/memory_backend.h"

namespace vireo {

/// A bus master whose memory is one vector.
struct FakeIdeDma final : IdeDma {
  std::vector<uint8_t> memory;
  size_t position = 0;
  size_t limit = SIZE_MAX;

  size_t to_memory(std::span<const uint8_t> bytes) override {
    const size_t n = std::min(bytes.size(), limit - memory.size());
    memory.insert(memory.end(), bytes.begin(), bytes.begin() + static_cast<ptrdiff_t>(n));
    return n;
  }
  size_t from_memory(std::span<uint8_t> bytes) override {
    const size_t n = std::min(bytes.size(), memory.size() - position);
    std::copy_n(memory.begin() + static_cast<ptrdiff_t>(position), n, bytes.begin());
    position += n;
    return n;
  }
};

class IdeFixture : public ::testing::Test {
 protected:
  static constexpr uint8_t kBusy = 0x80, kReady = 0x40, kFault = 0x20, kSeekDone = 0x10, kDrq = 0x08,
                           kErr = 0x01;
  static constexpr uint8_t kIdle = kReady | kSeekDone;

  FakeClock clock_;
  Scheduler scheduler_{clock_};
  FakeIdeDma dma_;
  bool irq_ = false;
  int irq_edges_ = 0;
  bool dma_requested_ = false;
  IdeChannel channel_{IrqLine([this](bool level) {
                        irq_ = level;
                        irq_edges_ += level;
                      }),
                      dma_, [this] { dma_requested_ = true; }};

  void out(unsigned reg, uint8_t value) { channel_.command_block().write(reg, 1, value); }
  uint8_t in(unsigned reg) { return static_cast<uint8_t>(channel_.command_block().read(reg, 1)); }
  uint8_t alternate_status() { return static_cast<uint8_t>(channel_.control_block().read(0, 1)); }
  void control(uint8_t value) { channel_.control_block().write(0, 1, value); }
  void pass(VirtualNs time) {
    clock_.advance(time);
    scheduler_.run_due();
  }
  /// Lets time pass until the selected drive is not busy.
  uint8_t wait() {
    for (int i = 0; i < 100000 && (alternate_status() & kBusy) != 0; ++i) pass(1000);
    return alternate_status();
  }
  uint8_t command(uint8_t opcode) {
    out(7, opcode);
    EXPECT_EQ(alternate_status() & kBusy, kBusy) << "a command starts with BSY";
    return wait();
  }
  std::vector<uint8_t> read_block(size_t bytes) {
    std::vector<uint8_t> block(bytes);
    for (size_t i = 0; i < bytes; i += 2) {
      const uint64_t value = channel_.command_block().read(0, 2);
      block[i] = static_cast<uint8_t>(value);
      if (i + 1 < bytes) block[i + 1] = static_cast<uint8_t>(value >> 8);
    }
    return block;
  }
  void write_block(const std::vector<uint8_t>& block) {
    for (size_t i = 0; i < block.size(); i += 2) {
      channel_.command_block().write(0, 2, block[i] | static_cast<unsigned>(block[i + 1]) << 8);
    }
  }
  static uint16_t word(const std::vector<uint8_t>& block, size_t index) {
    return static_cast<uint16_t>(block[2 * index] | block[2 * index + 1] << 8);
  }
};

}  // namespace vireo
