// What the translator counts, for --stats and --trace exits.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "core/isa/mnemonic.h"

namespace vireo::translator {

/// Why translated code came back to the dispatcher.
enum class Leaving : uint8_t {
  kLink,         ///< a direct branch to a block that it is not linked to
  kIndirect,     ///< an indirect branch to an EIP that is not in the jump cache
  kTable,        ///< an entry of a branch table that is not known, or another one now
  kCountdown,    ///< the limit of retired instructions, or the time to look up
  kStep,         ///< the rest of an instruction is the interpreter's
  kNoFpu,        ///< x87, MMX or SSE instructions that may not execute now
  kHostFault,    ///< a host exception: division
  kNotDirect,    ///< an access through the window, or behind a probe that trusts, that cannot be direct
  kOtherPage,    ///< an element of a table in another page than was guessed
  kUnaligned,    ///< an unaligned access where a probe trusted that there is none
  kEvent,        ///< an interpreted instruction faulted, paused, or made an interrupt or an exit due
  kModeChanged,  ///< an interpreted instruction changed the mode
  kCodeChanged,  ///< an interpreted instruction wrote to translated code
  kCount,
};
std::string_view leaving_name(Leaving leaving);

struct Counters {
  uint64_t entries = 0;
  std::array<uint64_t, static_cast<size_t>(Leaving::kCount)> leaves{};
  uint64_t fills = 0, failed_fills = 0, fpu_loads = 0, adapted = 0;
  uint64_t trapped = 0;  ///< accesses through the window, or behind a probe that trusts, that raised SIGSEGV

  // Instructions that the interpreter executed from the dispatcher.
  uint64_t cold = 0;        ///< not executed often enough to be translated
  uint64_t near_limit = 0;  ///< a block before the limit of retired instructions
  uint64_t alone = 0;       ///< nothing that could be translated, or the rest of one after a Leaving

  using ByMnemonic = std::array<uint64_t, isa::kMnemonicCount>;
  ByMnemonic no_emitter{};  ///< in the middle of translated code
  ByMnemonic missed{};  ///< the same where there is translated code, but not for what happened (MMIO, ...)

  /// `retired`: by the whole engine.
  void visit(uint64_t retired, const std::function<void(std::string_view, uint64_t)>& visit) const;
};

}  // namespace vireo::translator
