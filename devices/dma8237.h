// ISA DMA: two 8237A controllers and the page registers.
// Source: Intel 8237A data sheet (231466); 82371FB/SB (PIIX3) data sheet for the page registers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/device.h"
#include "core/guest_memory.h"
#include "devices/dma_channel.h"

namespace vireo {

/// Registers of one controller; the pair moves the data.
class Dma8237 {
 public:
  enum class Type : uint8_t { kVerify, kWriteMemory, kReadMemory, kIllegal };
  enum class Mode : uint8_t { kDemand, kSingle, kBlock, kCascade };

  struct Channel {
    uint16_t base_address = 0;
    uint16_t base_count = 0;
    uint16_t address = 0;
    uint16_t count = 0;  ///< transfers left, minus one
    uint8_t mode_register = 0;

    Type type() const { return static_cast<Type>(mode_register >> 2 & 3); }
    Mode mode() const { return static_cast<Mode>(mode_register >> 6); }
    bool auto_initialise() const { return mode_register & 0x10; }
    bool decrement() const { return mode_register & 0x20; }
    void state(StateArchive& ar);
  };

  uint8_t read(unsigned reg);
  void write(unsigned reg, uint8_t value);

  Channel& channel(unsigned n) { return channels_[n]; }
  const Channel& channel(unsigned n) const { return channels_[n]; }
  bool masked(unsigned n) const { return mask_ >> n & 1; }
  bool enabled() const { return !(command_ & kDisable); }
  /// The channel's count has run out: TC, and either reload or mask.
  void reach_terminal_count(unsigned n);

  void reset();
  void state(StateArchive& ar);

 private:
  static constexpr uint8_t kDisable = 1 << 2;

  std::array<Channel, 4> channels_;
  uint8_t command_ = 0;
  uint8_t mask_ = 0xf;
  uint8_t request_ = 0;   ///< software requests
  uint8_t terminal_ = 0;  ///< TC reached since the status was last read
  uint8_t temporary_ = 0;
  bool high_byte_next_ = false;
};

class Dma8237Pair final : public Device {
 public:
  explicit Dma8237Pair(GuestMemory& memory);

  IoRegion& first_ports() { return first_ports_; }    ///< 16 ports at 0x00, channels 0 to 3
  IoRegion& second_ports() { return second_ports_; }  ///< 32 ports at 0xc0, channels 4 to 7
  IoRegion& page_ports() { return page_ports_; }      ///< 16 ports at 0x80

  /// Channel 0 to 3 or 5 to 7, as the device on it sees it. Addresses without RAM swallow writes and read as
  /// ones.
  DmaChannel& channel(unsigned n);

  std::string_view name() const override { return "dma8237"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint8_t read_first(uint32_t offset) { return controllers_[0].read(offset); }
  void write_first(uint32_t offset, uint8_t value) { controllers_[0].write(offset, value); }
  uint8_t read_second(uint32_t offset) { return controllers_[1].read(offset >> 1); }
  void write_second(uint32_t offset, uint8_t value) { controllers_[1].write(offset >> 1, value); }
  uint8_t read_page(uint32_t offset) { return pages_[offset]; }
  void write_page(uint32_t offset, uint8_t value) { pages_[offset] = value; }

  class Pin final : public DmaChannel {
   public:
    Pin(Dma8237Pair& pair, unsigned number) : pair_(pair), number_(number) {}
    Moved to_memory(std::span<const uint8_t> bytes) override;
    Moved from_memory(std::span<uint8_t> bytes) override;

   private:
    Dma8237Pair& pair_;
    unsigned number_;
  };

  /// One of the spans is used, by direction; see DmaChannel.
  DmaChannel::Moved transfer(unsigned n, Dma8237::Type direction, std::span<const uint8_t> from_device,
                             std::span<uint8_t> to_device);

  GuestMemory& memory_;
  std::array<Dma8237, 2> controllers_;
  std::array<uint8_t, 16> pages_{};
  std::array<Pin, 8> pins_;
  ByteRegion<Dma8237Pair, &Dma8237Pair::read_first, &Dma8237Pair::write_first> first_ports_{*this};
  ByteRegion<Dma8237Pair, &Dma8237Pair::read_second, &Dma8237Pair::write_second> second_ports_{*this};
  ByteRegion<Dma8237Pair, &Dma8237Pair::read_page, &Dma8237Pair::write_page> page_ports_{*this};
};

}  // namespace vireo
