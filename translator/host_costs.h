// What the host's kernel takes for what translated code asks of it. Under a hypervisor that is several times
// what it is on a bare CPU, so the policies that weigh it ask.
#pragma once

#include <cstdint>

namespace vireo::translator {

/// In ns; as they are here, those of a bare CPU (architecture.md).
struct HostCosts {
  uint32_t signal = 2'500;  ///< SIGSEGV in translated code, its handler, and to go on
  uint32_t map = 6'000;     ///< to show a page in a window, beside the signal
  uint32_t unmap = 3'600;   ///< to show it no longer

  /// How many instructions translated code executes in that time.
  static constexpr int64_t instructions(uint64_t ns) { return static_cast<int64_t>(ns * 10 / 3); }
};

/// Tries it, once in the process, in less than a millisecond.
HostCosts measure_host_costs();

}  // namespace vireo::translator
