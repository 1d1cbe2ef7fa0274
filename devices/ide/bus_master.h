// Bus-master IDE: eight registers a channel, physical region descriptors.
// Source: Programming Interface for Bus Master IDE Controller, revision 1.0; 82371SB datasheet (290550), 2.7.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/guest_memory.h"
#include "core/state_archive.h"
#include "devices/ide/ata_device.h"

namespace vireo {

class BusMasterIde final : public IdeDma {
 public:
  /// `started(true)` when the guest sets the start bit, `started(false)` when it clears it.
  BusMasterIde(GuestMemory& memory, std::function<void(bool)> started);

  /// `offset` 0 to 7: command, -, status, -, descriptor table pointer.
  uint8_t read(unsigned offset) const;
  void write(unsigned offset, uint8_t value);

  bool active() const { return (status_ & kActive) != 0; }
  /// INTRQ rose: latches the interrupt bit.
  void interrupt_rose() { status_ |= kInterrupt; }
  void reset();
  void state(StateArchive& ar);

  size_t to_memory(std::span<const uint8_t> bytes) override;
  size_t from_memory(std::span<uint8_t> bytes) override;

 private:
  static constexpr uint8_t kStart = 0x01, kToMemory = 0x08;
  static constexpr uint8_t kActive = 0x01, kBusError = 0x02, kInterrupt = 0x04;

  bool next_descriptor();
  template <class Byte, class Move>
  size_t transfer(std::span<Byte> bytes, bool to_memory, Move move);

  GuestMemory& memory_;
  std::function<void(bool)> started_;
  uint8_t command_ = 0, status_ = 0;
  uint32_t table_ = 0;   ///< as programmed
  uint32_t next_ = 0;    ///< address of the next descriptor
  uint32_t region_ = 0;  ///< rest of the current region: address, bytes
  uint32_t region_left_ = 0;
  bool last_region_ = false;
};

}  // namespace vireo
