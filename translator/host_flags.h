// Flags that the manual calls undefined, on this host.
#pragma once

namespace vireo::translator {

/// Instructions that set all arithmetic flags by their operands alone here, although the manual calls some
/// undefined: what stood in the flags before need not be restored for them.
struct HostFlags {
  bool shifts = false;      ///< SHL, SHR, SAR by a known count that is not 0
  bool multiplies = false;  ///< IMUL with two or three operands
};

/// Tries them, once, with all flags set and clear.
HostFlags find_host_flags();

}  // namespace vireo::translator
