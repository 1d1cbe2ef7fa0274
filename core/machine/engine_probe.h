// What hardware assist is worth on this host, next to translation.
#pragma once

#include <string>
#include <string_view>

namespace vireo {

struct AssistVerdict {
  bool usable = false;   ///< guest code of all modes runs
  bool good = false;     ///< and it is no slower than translation
  std::string sentence;  ///< "good (...)", "absent (no /dev/kvm)", "present, but 40 times slower than
                         ///< translation (...)"
};

/// Tried once a process for each `failures` (MachineConfig::hw_failures). For one thread at a time.
const AssistVerdict& judge_hardware_assist(std::string_view failures);

}  // namespace vireo
