// A test program: instructions with labels, the tables of its indirect jumps, registers and memory at its
// start. Items can be taken out one by one, so that a failing program can be made short.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/isa/insn.h"
#include "tests/differential/case_generator.h"
#include "tests/differential/cpu_image.h"

namespace vireo::diff {

/// Index into Program::labels.
using Label = uint32_t;

/// One instruction.
struct ProgramItem {
  enum class Target : uint8_t { kNone, kRelative, kAbsolute };

  std::vector<uint8_t> bytes;
  Target target = Target::kNone;
  Label label = 0;            ///< where it goes
  uint8_t target_at = 0;      ///< offset of the displacement or address in `bytes`
  uint8_t target_size = 0;    ///< of it; the relative forms of one byte must reach
  bool may_be_short = false;  ///< a JMP or Jcc that becomes the form with rel8 where that reaches
  bool present = true;
};

/// A pointer to code in memory.
struct TableEntry {
  uint32_t linear;
  uint8_t size;
  Label label;
};

struct Program {
  isa::CodeSize code_size = isa::CodeSize::k32;
  uint32_t code_linear = 0;
  CpuImage before;  ///< EIP is the first item's
  std::vector<ProgramItem> items;
  std::vector<uint32_t> labels;  ///< item indices; items.size() is the end
  std::vector<TableEntry> tables;
  std::vector<Patch> patches;  ///< memory that differs from the common pattern, in order
};

struct Assembly {
  std::vector<uint8_t> code;
  /// Offset of each item in `code`, and the end; an absent item is where the next one is.
  std::vector<uint32_t> offsets;
  std::vector<Patch> tables;

  /// The present item at a linear address, if it is within the code.
  std::optional<size_t> item_at(const Program& program, uint32_t linear) const;
};

/// Takes items out whose displacement does not reach.
Assembly assemble(Program& program);

/// A line an item: address, bytes, disassembly; then registers and memory at the start.
std::string listing(const Program& program, const Assembly& assembly);

}  // namespace vireo::diff
