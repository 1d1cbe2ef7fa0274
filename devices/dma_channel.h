// A channel of an ISA DMA controller, as the device on its DREQ/DACK/TC pins sees it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vireo {

/// The controller implements this; a device asserts DREQ by calling transfer functions when it has or wants
/// bytes.
class DmaChannel {
 public:
  virtual ~DmaChannel() = default;

  struct Moved {
    size_t bytes = 0;  ///< how many went through; 0 while the channel is masked or set the other way
    bool terminal_count = false;  ///< the TC pin pulsed with the last byte: the host wants no more
  };

  /// The device's bytes go to memory (an 8237 "write transfer"; a verify transfer counts and drops them).
  /// Stops at terminal count, also when the channel auto-initialises.
  virtual Moved to_memory(std::span<const uint8_t> bytes) = 0;
  /// Memory's bytes go to the device (an 8237 "read transfer"; a verify transfer gives zeros).
  virtual Moved from_memory(std::span<uint8_t> bytes) = 0;
};

}  // namespace vireo
