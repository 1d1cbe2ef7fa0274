// Executors of x87 instructions (and EMMS). See native_exec.h.
#pragma once

#include "core/interp/native_exec.h"

namespace vireo::interp {

/// On the whole FXSAVE image: right for every instruction and every state.
void execute_x87(Interp& interp, const Insn& insn, const NativePlan& plan);

/// With the fast plan, as long as there is no stack fault and no unmasked exception; else as execute_x87().
void execute_fast_x87(Interp& interp, const Insn& insn, const NativePlan& plan);

}  // namespace vireo::interp
