// CLI STI PUSHF POPF: on the flags that CpuState::rflags holds and the saved arithmetic ones.
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;

namespace {

x86::Mem rflags_byte1(const x86::Gp& cpu) {
  return x86::byte_ptr(cpu, static_cast<int32_t>(offsetof(CpuState, rflags) + 1));
}

constexpr uint32_t kIfInByte1 = rflags::kIf >> 8;

}  // namespace

/// CPL 0 outside V86 mode: IOPL does not matter, and there is no virtual interrupt flag.
bool Emitter::may_change_if() const {
  return environment_.options.system && mode_.mode.has(Mode::kCpl0) && !mode_.mode.has(Mode::kV86);
}

bool Emitter::emit_cli() {
  if (!may_change_if()) return false;
  save_flags();
  a.mov(x86::r10, VIREO_FRAME(cpu));
  a.and_(rflags_byte1(x86::r10), static_cast<int8_t>(~kIfInByte1));
  return true;
}

// The interrupt shadow shows only if an interrupt is waiting, which is left to the interpreter, or if
// execution stops behind STI: so it must not be a block's last instruction, and who leaves before the next
// one has to set the shadow. Else an interrupt that another thread asks for could come between STI and HLT:
// its handler has work for the code behind HLT, which then sleeps.
bool Emitter::emit_sti() {
  if (!may_change_if() || insn_ + 1u == insns_.size()) return false;
  block_->behind_sti |= uint64_t{1} << (insn_ + 1);
  const Label done = a.newLabel();
  save_flags();
  a.mov(x86::r10, VIREO_FRAME(cpu));
  a.test(rflags_byte1(x86::r10), kIfInByte1);
  a.jnz(done);
  a.mov(x86::r11, VIREO_FRAME(interrupt_waiting));
  a.cmp(x86::byte_ptr(x86::r11), 0);
  a.jne(step_label());
  a.or_(rflags_byte1(x86::r10), kIfInByte1);
  a.bind(done);
  return true;
}

bool Emitter::emit_pushf(const ScannedInsn& x) {
  if (!environment_.options.system || mode_.mode.has(Mode::kV86)) return false;
  save_flags();
  const Gp image = use_value().r32();
  a.mov(x86::r10, VIREO_FRAME(cpu));
  a.mov(image, x86::dword_ptr(x86::r10, static_cast<int32_t>(offsetof(CpuState, rflags))));
  a.and_(image, static_cast<uint32_t>(~(rflags::kArithmetic | rflags::kRf | rflags::kVm)));
  a.mov(x86::r11d, x86::eax);
  a.shr(x86::r11d, 8);
  a.and_(x86::r11d, static_cast<uint32_t>(rflags::kArithmetic & 0xff));
  a.or_(image, x86::r11d);
  a.movzx(x86::r11d, x86::al);
  a.shl(x86::r11d, 11);
  a.or_(image, x86::r11d);
  push_value(image, x.insn.operand_size);
  return true;
}

bool Emitter::emit_popf(const ScannedInsn& x) {
  if (!may_change_if() || x.insn.operand_size != 4) return false;
  const Mem place = probe_pop(4);
  save_flags();
  note_access(place, false);
  const Gp image = use_value().r32();
  a.mov(image, place);
  a.mov(x86::r10, VIREO_FRAME(cpu));
  a.mov(x86::r11d, x86::dword_ptr(x86::r10, static_cast<int32_t>(offsetof(CpuState, rflags))));
  a.xor_(x86::r11d, image);
  a.test(x86::r11d, static_cast<uint32_t>(rflags::kTf | rflags::kDf | rflags::kIopl | rflags::kNt |
                                          rflags::kAc | rflags::kId));
  a.jnz(step_label());
  const Label same = a.newLabel(), change = a.newLabel();
  a.test(x86::r11d, static_cast<uint32_t>(rflags::kIf));
  a.jz(same);
  a.test(image, static_cast<uint32_t>(rflags::kIf));
  a.jz(change);
  a.mov(x86::r11, VIREO_FRAME(interrupt_waiting));
  a.cmp(x86::byte_ptr(x86::r11), 0);
  a.jne(step_label());
  a.bind(change);
  a.xor_(rflags_byte1(x86::r10), kIfInByte1);
  a.bind(same);
  commit_pop(4);
  a.mov(x86::eax, image);
  a.shl(x86::eax, 8);
  a.bt(image, 11);
  a.setc(x86::al);
  flags_ = FlagState::kSaved;
  return true;
}

}  // namespace vireo::translator
