// Reading segment registers. Loading them is the interpreter's: descriptors, and the mode may change.
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

namespace {

x86::Mem selector_of(const x86::Gp& cpu, unsigned number) {
  return x86::word_ptr(cpu, static_cast<int32_t>(offsetof(CpuState, seg) + number * sizeof(Segment) +
                                                 offsetof(Segment, selector)));
}

}  // namespace

bool Emitter::emit_Segment(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  if (!environment_.options.system) return false;
  switch (x.row->mnemonic) {
    case Mnemonic::MOV_SREG: {
      const unsigned number = (insn.modrm >> 3) & 7;
      if (insn.opcode != 0x8c || insn.is_memory() || number > static_cast<unsigned>(SegReg::kGs))
        return false;
      a.mov(x86::r10, VIREO_FRAME(cpu));
      a.movzx(x86::r10d, selector_of(x86::r10, number));
      if (insn.operand_size == 2) {
        a.mov(host::guest(insn.rm(), 2), x86::r10w);
      } else {
        a.mov(host::guest32(insn.rm()), x86::r10d);
      }
      return true;
    }
    case Mnemonic::PUSH_SREG: {
      if (!environment_.options.inline_memory) return false;
      const unsigned number = (insn.opcode >> 3) & 7;  // 06 0E 16 1E, 0F A0, 0F A8: ES to GS
      a.mov(x86::r10, VIREO_FRAME(cpu));
      a.movzx(x86::r12d, selector_of(x86::r10, number));
      // A 32-bit push writes two bytes and leaves the upper two as they are.
      Mem place = probe_push(insn.operand_size);
      place.setSize(2);
      a.mov(place, x86::r12w);
      commit_push(insn.operand_size);
      return true;
    }
    default:
      return false;
  }
}

bool Emitter::emit_System(const ScannedInsn& x) {
  switch (x.row->mnemonic) {
    case Mnemonic::CLI:
      return emit_cli();
    case Mnemonic::STI:
      return emit_sti();
    default:
      return false;
  }
}

}  // namespace vireo::translator
