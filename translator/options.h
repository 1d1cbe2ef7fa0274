// What a user may change about the translator. Every optimisation has its off switch here.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/result.h"
#include "translator/host_costs.h"

namespace vireo::translator {

struct Options {
  /// Executions of a piece of code by the interpreter before it is translated; 0: at first sight.
  uint32_t hot_threshold = 8;
  /// Bytes of host code kept, 1 MiB to 1 GiB; a multiple of the page size.
  uint64_t code_cache_bytes = uint64_t{64} << 20;
  /// Most guest instructions in a block, 1 to 64.
  unsigned max_block_insns = 48;
  bool chain = true;          ///< blocks jump to each other directly
  bool inline_lookup = true;  ///< indirect branches look their target up without leaving translated code
  bool branch_tables = true;  ///< indirect branches through tables remember where each entry led
  bool pair_calls = true;     ///< guest calls and returns use the host's
  bool inline_memory = true;  ///< else every memory access is the interpreter's
  bool page_groups = true;    ///< one probe for several accesses of a block to one page
  bool side_exits = true;     ///< a block goes on behind conditional branches
  bool late_poll = true;      ///< blocks look at the countdown where their flags are dead
  bool defer_esp = true;      ///< several pushes and pops change the register of ESP once
  bool unroll = true;         ///< a block that is a short loop holds several turns of it
  bool adapt = true;          ///< code whose fast paths keep failing is translated anew without them
  bool self_check = true;     ///< pages with code and data that is written often need no protection
  bool fpu = true;            ///< x87, MMX and SSE instructions run in the host's units
  bool strings = true;        ///< string instructions are translated
  bool system = true;         ///< frequent system instructions are translated
  bool descriptors = true;   ///< a segment whose descriptor has not changed is loaded without the interpreter
  bool windows = true;       ///< busy address spaces are reached through windows of host memory
  bool trust = true;         ///< without windows: probes of busy address spaces leave checks to the host
  bool trust_asked = false;  ///< by name, so that a host which cannot is reported
  /// Instructions of a privilege after which is judged whether it gets a window, or probes that trust; 0:
  /// both have that, always.
  uint64_t window_after = uint64_t{4} << 20;
  /// Of the host's mappings, for the windows of all machines in the process; none: half of what the host
  /// permits.
  std::optional<uint64_t> window_mappings = {};
  /// Mmu::keep_spaces_after(); none: as the MMU decides.
  std::optional<uint32_t> keep_spaces_after = {};
  /// Of the host, for the policies; none: measured.
  std::optional<HostCosts> host_costs = {};
  bool perf_map = false;  ///< /tmp/perf-PID.map names translated code for perf
};

/// The options that comma-separated words ask for, from the left to the right:
/// "all-off,chain,hot=0,cache=8M". options.cpp has the words. What is wrong with them is an Error, one
/// sentence.
Result<Options> parse_options(std::string_view words);

}  // namespace vireo::translator
