#include "translator/code_names.h"

#include <fmt/format.h>

#include <algorithm>

namespace vireo::translator {

std::string mode_name(Mode mode) {
  if (mode.has(Mode::kV86)) return "v86";
  const bool code32 = mode.has(Mode::kCode32);
  if (!mode.has(Mode::kProtected)) return code32 ? "real32" : "real";
  const std::string privilege = mode.has(Mode::kUser) ? "user" : "kernel";
  return code32 ? privilege : privilege + "16";
}

std::string block_name(const Block& block) {
  if (block.code_base == 0) return fmt::format("{:08x} {}", block.rip, mode_name(block.mode));
  return fmt::format("{:x}+{:04x} {}", block.code_base, block.rip, mode_name(block.mode));
}

std::vector<NamedCode> named_trampolines(const Trampolines& t) {
  std::vector<NamedCode> named = {
      {"enter", t.enter},
      {"exit_call_saved", t.exit_call_saved},
      {"exit_call_eflags", t.exit_call_eflags},
      {"exit_jump_saved", t.exit_jump_saved},
      {"exit_jump_eflags", t.exit_jump_eflags},
      {"exit_indirect", t.exit_indirect},
      {"fill_read", t.fill_read},
      {"fill_write", t.fill_write},
      {"read_across", t.read_across},
      {"load_segment", t.load_segment},
      {"verify_segment", t.verify_segment},
      {"verify_known_segment", t.verify_known_segment},
      {"read_tsc", t.read_tsc},
      {"load_fpu", t.load_fpu},
      {"interpret", t.interpret},
  };
  for (const uint8_t* start : t.load_known_segment) {
    if (start != nullptr) named.push_back({"load_known_segment", start});
  }
  std::sort(named.begin(), named.end(),
            [](const NamedCode& x, const NamedCode& y) { return x.start < y.start; });
  return named;
}

}  // namespace vireo::translator
