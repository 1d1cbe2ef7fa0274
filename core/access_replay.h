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

/// In the order in which they were made. What is not next in it is an access like any other.
class AccessReplay {
 public:
  explicit AccessReplay(std::vector<DeviceAccess> made) : made_(std::move(made)) {}

  /// The access has been made already: the value.
  std::optional<uint64_t> take(DeviceAccess::Space space, bool write, uint64_t address, unsigned size) {
    if (next_ == made_.size()) return std::nullopt;
    const DeviceAccess& a = made_[next_];
    if (a.space != space || a.write != write || a.address != address || a.size != size) return std::nullopt;
    ++next_;
    return a.value;
  }

 private:
  const std::vector<DeviceAccess> made_;
  size_t next_ = 0;
};

}  // namespace vireo
