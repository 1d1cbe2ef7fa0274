// One case: the mode that the CPU is in, its registers, the code, and where the run is cut and interrupted.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/cpu_state.h"
#include "core/isa/insn.h"
#include "tests/differential/rng.h"

namespace vireo::fuzz {

struct FuzzCase {
  unsigned mode = 0;  ///< below kModes; mode_name() says what it is
  isa::CodeSize code_size = isa::CodeSize::k32;
  CpuState start;
  uint32_t code_at = 0;                      ///< physical
  std::vector<std::vector<uint8_t>> pieces;  ///< the code: what a shrinker may take out one by one

  /// What memory has beside initial_ram() and the code: the rights of pages.
  struct PageEntry {
    uint32_t at;
    uint64_t value;
    unsigned bytes;
  };
  std::vector<PageEntry> page_entries;

  struct Event {
    enum class Kind : uint8_t { kNone, kInterrupt, kNmi, kExit };
    uint64_t retired;
    Kind kind;
    uint8_t vector;
  };
  std::vector<Event> events;  ///< run() ends at these counts; the last is the end of the case

  std::vector<uint8_t> code() const;
};

inline constexpr unsigned kModes = 24;  ///< execution mode, ring, paging
std::string mode_name(unsigned mode);

/// What the code is made of.
enum class CodeKind : uint8_t { kBytes, kRows, kMutatedRows };

FuzzCase generate_case(diff::Rng& rng, uint64_t most_instructions);

}  // namespace vireo::fuzz
