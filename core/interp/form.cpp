#include "core/interp/form.h"

#include <array>

#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

using isa::OperandKind;

/// Memory-or-register operands that differ only in what they allow look the same to a binder.
OperandKind general(OperandKind kind) {
  return kind == OperandKind::kM || kind == OperandKind::kR ? OperandKind::kE : kind;
}

struct Shape {
  std::array<OperandKind, 3> operands;
  FormKind kind;
};

constexpr Shape kShapes[] = {
    {{OperandKind::kNone}, FormKind::kNone},
    {{OperandKind::kE}, FormKind::kRm},
    {{OperandKind::kE, OperandKind::kG}, FormKind::kRmReg},
    {{OperandKind::kG, OperandKind::kE}, FormKind::kRegRm},
    {{OperandKind::kE, OperandKind::kI}, FormKind::kRmImm},
    {{OperandKind::kG, OperandKind::kE, OperandKind::kI}, FormKind::kRegRmImm},
    {{OperandKind::kE, OperandKind::kG, OperandKind::kI}, FormKind::kRmRegImm},
    {{OperandKind::kE, OperandKind::kG, OperandKind::kGpr}, FormKind::kRmRegCl},
    {{OperandKind::kE, OperandKind::kOne}, FormKind::kRmOne},
    {{OperandKind::kE, OperandKind::kGpr}, FormKind::kRmCl},
    {{OperandKind::kGpr, OperandKind::kI}, FormKind::kAccumulatorImm},
    {{OperandKind::kGpr, OperandKind::kO}, FormKind::kAccumulatorMoffs},
    {{OperandKind::kO, OperandKind::kGpr}, FormKind::kMoffsAccumulator},
    {{OperandKind::kZ}, FormKind::kOpcodeReg},
    {{OperandKind::kZ, OperandKind::kI}, FormKind::kOpcodeRegImm},
    {{OperandKind::kZ, OperandKind::kGpr}, FormKind::kOpcodeRegAccumulator},
    {{OperandKind::kI}, FormKind::kImm},
    {{OperandKind::kJ}, FormKind::kRelative},
};

}  // namespace

Form form_of(const isa::Insn& insn) {
  const isa::InsnRow& row = isa::row(insn);
  const Shape* found = nullptr;
  for (const Shape& shape : kShapes) {
    bool same = true;
    for (size_t i = 0; i < shape.operands.size(); ++i)
      same &= general(row.operands[i].kind) == shape.operands[i];
    if (same) found = &shape;
  }
  return {
      .kind = found != nullptr ? found->kind : FormKind::kOther,
      .size = static_cast<uint8_t>(isa::operand_bytes(row.operands[0], insn)),
      .source_size = static_cast<uint8_t>(isa::operand_bytes(row.operands[1], insn)),
  };
}

}  // namespace vireo::interp
