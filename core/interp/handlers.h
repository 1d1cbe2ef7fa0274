// Which function executes which row. Each INSTRUCTION(NAME, ...) of insn_table.inc has a binder bind::NAME,
// called once when an instruction is decoded; it returns the handler specialised for the operand form and
// size, or throws nothing and returns ud_handler() when this form does not exist. A row without a binder does
// not link.
#pragma once

#include "core/interp/interp.h"

namespace vireo::interp {

namespace bind {
#define INSTRUCTION(NAME, ...) Handler NAME(const Insn& insn);
#define NATIVE(...)
#define DECODE_ONLY(...)
#define ROW(...)
#include "core/isa/insn_table.inc"
#undef INSTRUCTION
#undef NATIVE
#undef DECODE_ONLY
#undef ROW
}  // namespace bind

/// For NATIVE rows: executed by the host's own instruction on the guest's register images.
Handler bind_native(const Insn& insn);

/// The handler for `insn` on this CPU: #UD when the model lacks the row's feature or nothing implements it.
/// `insn` changes when such a CPU executes its bytes as another row.
Handler bind_handler(Insn& insn, const CpuModel& model);

/// Raises #UD.
Handler ud_handler();

}  // namespace vireo::interp
