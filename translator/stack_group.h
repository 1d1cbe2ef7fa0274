// Stack accesses of a block that one probe covers. The offsets of PUSH, POP, CALL, RET and of operands [ESP +
// n] from ESP at the first of them are known, so one test says that all of them lie in one page.
#pragma once

#include <cstdint>
#include <span>

#include "core/isa/insn.h"

namespace vireo::translator {

struct ScannedInsn;
struct OperandUse;

struct StackGroup {
  uint16_t first = 0, end = 0;  ///< instructions [first, end) of the block; none: first == end
  int32_t low = 0, high = 0;    ///< bytes touched, from ESP before `first`
  bool writes = false;

  bool contains(unsigned insn) const { return insn >= first && insn < end; }
};

/// A memory operand [ESP + n].
bool is_stack_operand(const isa::Insn& insn, const OperandUse& use);

/// The first group of at least two accesses, for 32-bit code on a flat 32-bit stack.
StackGroup find_stack_group(std::span<const ScannedInsn> insns);

}  // namespace vireo::translator
