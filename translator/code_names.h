// What translated code is called in traces, dumps and perf reports.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "translator/block.h"
#include "translator/trampolines.h"

namespace vireo::translator {

/// "kernel", "user", "real", "v86"; protected-mode 16-bit code has "16" behind it, 32-bit real-mode code
/// "32".
std::string mode_name(Mode mode);

/// "c0123456 kernel"; EIP has the base of CS before it if there is one: "f0000+e05b real".
std::string block_name(const Block& block);

struct NamedCode {
  std::string_view name;
  const uint8_t* start;
};
/// By address.
std::vector<NamedCode> named_trampolines(const Trampolines& trampolines);

}  // namespace vireo::translator
