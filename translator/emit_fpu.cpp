// x87 instructions.
#include "core/interp/fx_state.h"
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

bool Emitter::emit_Fpu(const ScannedInsn& x) {
  const isa::InsnRow& row = *x.row;
  switch (row.mnemonic) {
    case Mnemonic::FLDCW:
      return emit_fldcw(x);
    case Mnemonic::FNSTSW:
      return x.insn.is_memory() ? emit_native(x) : emit_fnstsw_ax();
    case Mnemonic::FWAIT:
      if (!environment_.options.fpu) return false;
      require_fpu(fpu_unit::kX87);
      return true;
    // It clears FIP, FCS, FOP, FDP and FDS, which store_fpu() takes as they were.
    case Mnemonic::FNINIT:
      return false;
    default:
      return row.support == isa::Support::kNative && emit_native(x);
  }
}

/// An exception that the new control word unmasks would be the host's.
bool Emitter::emit_fldcw(const ScannedInsn& x) {
  if (!environment_.options.fpu || !environment_.options.inline_memory) return false;
  require_fpu(fpu_unit::kX87);
  const Mem place = emit_operand(x.insn, 2, false);
  // What is checked is what is loaded, whatever devices write meanwhile.
  use_delta();
  note_access(place, false);
  a.movzx(x86::r11d, place);
  save_flags();
  a.mov(VIREO_FRAME(fpu_scratch), x86::r11d);
  a.not_(x86::r11d);
  a.test(x86::r11d, interp::fsw::kExceptions);
  a.jnz(step_label());
  a.fldcw(frame_field(offsetof(Frame, fpu_scratch), 2));
  return true;
}

bool Emitter::emit_fnstsw_ax() {
  if (!environment_.options.fpu) return false;
  require_fpu(fpu_unit::kX87);
  if (flags_ == FlagState::kSaved) a.mov(x86::r10d, x86::eax);
  a.fnstsw(x86::ax);
  a.mov(x86::r8w, x86::ax);
  if (flags_ == FlagState::kSaved) a.mov(x86::eax, x86::r10d);
  return true;
}

}  // namespace vireo::translator
