// What the machine needs of a device. A device never knows where it is mapped: it sees offsets into its
// regions.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/state_archive.h"

namespace vireo {

/// A block of registers that the board maps into port or MMIO space.
class IoRegion {
 public:
  virtual ~IoRegion() = default;
  /// `offset` is from the start of the region as mapped. `size` is 1, 2 or 4 (8 also for MMIO); the access
  /// lies inside the region. Value bits above `size` are 0 on write and ignored on read.
  virtual uint64_t read(uint32_t offset, unsigned size) = 0;
  virtual void write(uint32_t offset, unsigned size, uint64_t value) = 0;
  /// A write need not be told before the CPU's next other access to any device, or the end of the engine's
  /// run: nobody else sees what it does. All of them are told, in order.
  virtual bool writes_may_wait() const { return false; }
};

/// An IoRegion made of two member functions, for devices that have several regions:
///   MemberRegion<Ide, &Ide::read_command, &Ide::write_command> command_{*this};
template <class Device, uint64_t (Device::*kRead)(uint32_t, unsigned),
          void (Device::*kWrite)(uint32_t, unsigned, uint64_t), bool kWritesMayWait = false>
class MemberRegion final : public IoRegion {
 public:
  explicit MemberRegion(Device& device) : device_(device) {}
  uint64_t read(uint32_t offset, unsigned size) override { return (device_.*kRead)(offset, size); }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    (device_.*kWrite)(offset, size, value);
  }
  bool writes_may_wait() const override { return kWritesMayWait; }

 private:
  Device& device_;
};

/// An IoRegion for chips with an 8-bit bus: a wide access becomes byte accesses at ascending offsets, as the
/// ISA bridge makes them. Not for registers where a wide access means something else.
///   ByteRegion<Pit8254, &Pit8254::read_port, &Pit8254::write_port> ports_{*this};
template <class Device, uint8_t (Device::*kRead)(uint32_t), void (Device::*kWrite)(uint32_t, uint8_t)>
class ByteRegion final : public IoRegion {
 public:
  explicit ByteRegion(Device& device) : device_(device) {}
  uint64_t read(uint32_t offset, unsigned size) override {
    uint64_t value = 0;
    for (unsigned i = 0; i < size; ++i) value |= uint64_t{(device_.*kRead)(offset + i)} << (8 * i);
    return value;
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    for (unsigned i = 0; i < size; ++i) (device_.*kWrite)(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  }

 private:
  Device& device_;
};

class Device {
 public:
  virtual ~Device() = default;
  /// Unique on a board; names the section in saved state ("pit8254", "uart16550.com1").
  virtual std::string_view name() const = 0;
  /// Version of the saved state; raise it when state() changes incompatibly.
  virtual uint32_t state_version() const { return 1; }
  /// To the state after the hardware reset pin, without touching the host (files stay open).
  virtual void reset() = 0;
  /// Saves or loads everything that reset() would set, timers and line levels included.
  virtual void state(StateArchive& ar) = 0;
};

}  // namespace vireo
