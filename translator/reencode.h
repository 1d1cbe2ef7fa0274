// Guest instruction to host instruction by re-encoding: the opcode stays, prefixes, ModRM and registers are
// written for the translator's register assignment. One routine for the integer, x87, MMX and SSE set.
#pragma once

#include <asmjit/x86.h>

#include <array>
#include <cstdint>
#include <span>

#include "core/isa/insn_row.h"

namespace vireo::translator {

/// What a guest instruction's operands are, as far as re-encoding has to know.
struct OperandUse {
  bool reg_is_gpr = false;  ///< ModRM.reg is a general register
  bool rm_is_gpr = false;   ///< ModRM.rm is a general register
  bool opcode_is_gpr = false;
  bool reg_is_byte = false, rm_is_byte = false, opcode_is_byte = false;
  bool accumulator = false;  ///< AL, AX or EAX without standing in ModRM
  bool memory = false;       ///< a memory operand by ModRM or moffs that is accessed
  uint8_t memory_bytes = 0;
  bool reads_memory = false, writes_memory = false;
  bool uses_ah = false;         ///< names AH
  bool uses_high_byte = false;  ///< names AH, CH, DH or BH
  bool names_al = false;
  bool names_esp = false;
};
OperandUse operand_use(const isa::Insn& insn, const isa::InsnRow& row);

/// General registers that it writes by naming them, by number: bit i for the i-th; a byte register counts as
/// the register that it is part of.
uint8_t named_gprs_written(const isa::Insn& insn, const isa::InsnRow& row);

/// A memory operand of 16 bytes that raises #GP where it is not aligned.
bool must_be_aligned(const isa::InsnRow& row, const OperandUse& use);

/// How registers and memory stand in the host instruction.
struct HostForm {
  /// Guest EAX is in rax just now, so that AH, AL and implicit uses need no change.
  bool eax_in_rax = false;
  /// AH, CH, DH and BH have been exchanged with AL, CL, DL and BL, because a REX prefix is needed.
  bool high_bytes_exchanged = false;
  /// The memory operand: [base + index + disp], host registers.
  static constexpr uint8_t kNoIndex = 4;  ///< as in a SIB byte
  static constexpr uint8_t kNoBase = 0xff;
  uint8_t memory_base = kNoBase, memory_index = kNoIndex, memory_scale = 0;
  int32_t memory_disp = 0;
  void set_memory(const asmjit::x86::Mem& memory) {
    memory_base = memory.hasBase() ? static_cast<uint8_t>(memory.baseId()) : kNoBase;
    memory_index = memory.hasIndex() ? static_cast<uint8_t>(memory.indexId()) : kNoIndex;
    memory_scale = static_cast<uint8_t>(memory.shift());
    memory_disp = memory.offsetLo32();
  }
  /// Host register to stand in ModRM.reg instead of the guest's; 0xff: none.
  uint8_t reg_instead = 0xff;
};

struct HostInsn {
  std::array<uint8_t, 24> bytes;
  uint8_t size = 0;
  void put(uint8_t byte) { bytes[size++] = byte; }
  std::span<const uint8_t> span() const { return {bytes.data(), size}; }
};

/// `guest` are the instruction's bytes (for its immediate). Nothing checks that the result makes sense: that
/// the form fits the operands is the caller's business.
HostInsn reencode(const isa::Insn& insn, const isa::InsnRow& row, std::span<const uint8_t> guest,
                  const HostForm& form);

}  // namespace vireo::translator
