// MMX and SSE instructions.
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

bool Emitter::emit_Mmx(const ScannedInsn& x) {
  return x.row->support == isa::Support::kNative && emit_native(x);
}

bool Emitter::emit_Sse(const ScannedInsn& x) {
  switch (x.row->mnemonic) {
    case Mnemonic::LDMXCSR:
      return emit_ldmxcsr(x);
    case Mnemonic::STMXCSR:
      return emit_native(x);
    default:
      return x.row->support == isa::Support::kNative && emit_native(x);
  }
}

/// What raises #GP is the interpreter's, and so are unmasked exceptions, which would be the host's.
bool Emitter::emit_ldmxcsr(const ScannedInsn& x) {
  if (!environment_.options.fpu || !environment_.options.inline_memory) return false;
  require_fpu(fpu_unit::kSse);
  const Mem place = emit_operand(x.insn, 4, false);
  save_flags();
  use_delta();
  note_access(place, false);
  a.mov(x86::r11d, place);
  a.mov(VIREO_FRAME(fpu_scratch), x86::r11d);
  a.and_(x86::r11d, ~environment_.mxcsr_mask | kMxcsrMasks);
  a.cmp(x86::r11d, kMxcsrMasks);
  a.jne(step_label());
  a.ldmxcsr(VIREO_FRAME(fpu_scratch));
  return true;
}

}  // namespace vireo::translator
