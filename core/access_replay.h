// Accesses to devices that an instruction has made under one engine, which broke before the instruction was
// finished; another engine executes it again, and the devices must not notice.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace vireo {

struct DeviceAccess {
  enum class Space : uint8_t { kPorts, kMemory };
  Space space = Space::kPorts;
  bool write = false;
  uint64_t address = 0;
  unsigned size = 0;   ///< bytes
  uint64_t value = 0;  ///< that was read or written
};

/// In the order in which they were made. What is not next in it is an access like any other, and so is a
/// write of another value.
class AccessReplay {
 public:
  explicit AccessReplay(std::vector<DeviceAccess> made) : made_(std::move(made)) {}

  /// The read has been made already: its value.
  std::optional<uint64_t> take_read(DeviceAccess::Space space, uint64_t address, unsigned size) {
    const DeviceAccess* a = next(space, false, address, size);
    if (a == nullptr) return std::nullopt;
    ++next_;
    return a->value;
  }
  /// The write has been made already.
  bool take_write(DeviceAccess::Space space, uint64_t address, unsigned size, uint64_t value) {
    const DeviceAccess* a = next(space, true, address, size);
    if (a == nullptr || a->value != value) return false;
    ++next_;
    return true;
  }
  size_t left() const { return made_.size() - next_; }

 private:
  const DeviceAccess* next(DeviceAccess::Space space, bool write, uint64_t address, unsigned size) const {
    if (next_ == made_.size()) return nullptr;
    const DeviceAccess& a = made_[next_];
    return a.space == space && a.write == write && a.address == address && a.size == size ? &a : nullptr;
  }

  const std::vector<DeviceAccess> made_;
  size_t next_ = 0;
};

}  // namespace vireo
