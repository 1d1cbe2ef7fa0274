// The shape of an instruction's explicit operands, from its row in insn_table.inc; for binders, at decode
// time.
#pragma once

#include <cstdint>

#include "core/isa/insn.h"

namespace vireo::interp {

/// Operands, destination first. Rm is ModRM.rm, register or memory.
enum class FormKind : uint8_t {
  kNone,
  kRm,
  kRmReg,
  kRegRm,
  kRmImm,
  kRegRmImm,
  kRmRegImm,
  kRmRegCl,
  kRmOne,
  kRmCl,
  kAccumulatorImm,
  kAccumulatorMoffs,
  kMoffsAccumulator,
  kOpcodeReg,
  kOpcodeRegImm,
  kOpcodeRegAccumulator,
  kImm,
  kRelative,
  kOther,
};

struct Form {
  FormKind kind = FormKind::kNone;
  uint8_t size = 0;         ///< of the first operand in bytes; for string instructions, of the element
  uint8_t source_size = 0;  ///< of the second operand; 0 if there is none
};

Form form_of(const isa::Insn& insn);

}  // namespace vireo::interp
