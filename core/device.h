// What the machine needs of a device. A device never knows where it is mapped: it sees offsets into its regions.
#pragma once

#include <cstdint>
#include <string_view>

#include "core/state_archive.h"

namespace vireo {

/// A block of registers that the board maps into port or MMIO space.
class IoRegion {
 public:
  virtual ~IoRegion() = default;
  /// `offset` is from the start of the region as mapped. `size` is 1, 2 or 4 (8 also for MMIO); the access lies
  /// inside the region. Value bits above `size` are 0 on write and ignored on read.
  virtual uint64_t read(uint32_t offset, unsigned size) = 0;
  virtual void write(uint32_t offset, unsigned size, uint64_t value) = 0;
};

/// An IoRegion made of two member functions, for devices that have several regions:
///   MemberRegion<Ide, &Ide::read_command, &Ide::write_command> command_{*this};
template <class Device, uint64_t (Device::*kRead)(uint32_t, unsigned),
          void (Device::*kWrite)(uint32_t, unsigned, uint64_t)>
class MemberRegion final : public IoRegion {
 public:
  explicit MemberRegion(Device& device) : device_(device) {}
  uint64_t read(uint32_t offset, unsigned size) override { return (device_.*kRead)(offset, size); }
  void write(uint32_t offset, unsigned size, uint64_t value) override { (device_.*kWrite)(offset, size, value); }

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
