// Segment registers: reading, and loading all but CS and SS through a helper.
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

/// Loading CS is a far jump's, loading SS brings a shadow.
bool is_plain_data(unsigned number) {
  return number != static_cast<unsigned>(SegReg::kCs) && number != static_cast<unsigned>(SegReg::kSs);
}

}  // namespace

bool Emitter::emit_Segment(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  if (!environment_.options.system) return false;
  switch (x.row->mnemonic) {
    case Mnemonic::MOV_SREG: {
      const unsigned number = (insn.modrm >> 3) & 7;
      if (number > static_cast<unsigned>(SegReg::kGs)) return false;
      if (insn.opcode == 0x8e) {
        if (!is_plain_data(number) || !emit_selector_operand(x)) return false;
        emit_load_segment(number);
        return true;
      }
      if (insn.is_memory()) return false;
      a.mov(x86::r10, VIREO_FRAME(cpu));
      a.movzx(x86::r10d, selector_of(x86::r10, number));
      if (insn.operand_size == 2) {
        a.mov(host::guest(insn.rm(), 2), x86::r10w);
      } else {
        a.mov(host::guest32(insn.rm()), x86::r10d);
      }
      return true;
    }
    case Mnemonic::VERR:
    case Mnemonic::VERW:
      if (!mode_.mode.has(Mode::kProtected) || mode_.mode.has(Mode::kV86)) return false;
      if (!emit_selector_operand(x)) return false;
      save_flags();
      a.or_(x86::r10d, DescriptorCache::kVerify | descriptor_key() |
                           (x.row->mnemonic == Mnemonic::VERW ? DescriptorCache::kVerifyWrite : 0));
      call_to(may_know_descriptors() ? environment_.trampolines.verify_known_segment
                                     : environment_.trampolines.verify_segment);
      a.test(x86::r11d, x86::r11d);
      a.jz(step_label());
      return true;
    case Mnemonic::PUSH_SREG: {
      if (!environment_.options.inline_memory) return false;
      const unsigned number = (insn.opcode >> 3) & 7;  // 06 0E 16 1E, 0F A0, 0F A8: ES to GS
      const Gp value = pushed_value();
      a.mov(x86::r10, VIREO_FRAME(cpu));
      a.movzx(value, selector_of(x86::r10, number));
      // A 32-bit push writes two bytes and leaves the upper two as they are.
      Mem place = probe_push(insn.operand_size);
      place.setSize(2);
      note_access(place, true);
      a.mov(place, value.r16());
      commit_push(insn.operand_size);
      return true;
    }
    case Mnemonic::POP_SREG: {
      if (!environment_.options.inline_memory) return false;
      const unsigned number = (insn.opcode >> 3) & 7;
      if (!is_plain_data(number)) return false;
      Mem place = probe_pop(insn.operand_size);
      place.setSize(2);
      note_access(place, false);
      a.movzx(x86::r10d, place);
      emit_load_segment(number);
      commit_pop(insn.operand_size);
      return true;
    }
    default:
      return false;
  }
}

/// The 16-bit operand by ModRM.rm into r10d.
bool Emitter::emit_selector_operand(const ScannedInsn& x) {
  if (!x.insn.is_memory()) {
    a.movzx(x86::r10d, host::guest(x.insn.rm(), 2));
    return true;
  }
  if (!environment_.options.inline_memory) return false;
  const Mem place = emit_operand(x.insn, 2, false);
  note_access(place, false);
  a.movzx(x86::r10d, place);
  return true;
}

bool Emitter::may_know_descriptors() const {
  return environment_.options.descriptors && mode_.mode.has(Mode::kProtected) &&
         !mode_.mode.has(Mode::kV86) && (mode_.mode.has(Mode::kCpl0) || mode_.mode.has(Mode::kUser));
}

uint32_t Emitter::descriptor_key() const {
  return mode_.mode.has(Mode::kUser) ? DescriptorCache::kCpl3 : 0;
}

/// The selector is in r10d.
void Emitter::emit_load_segment(unsigned number) {
  save_flags();
  const auto which = static_cast<SegReg>(number);
  const bool is_flat = (which == SegReg::kEs || which == SegReg::kDs) && flat(which);
  a.or_(x86::r10d, number << DescriptorCache::kRegisterShift | descriptor_key() |
                       (is_flat ? DescriptorCache::kFlat : 0));
  call_to(may_know_descriptors() ? environment_.trampolines.load_known_segment[number]
                                 : environment_.trampolines.load_segment);
  a.test(x86::r11d, x86::r11d);
  a.jz(step_label());
}

/// The TSC may follow the count of retired instructions: the helper is told how many the countdown has
/// counted too early.
bool Emitter::emit_rdtsc() {
  if (!environment_.options.system) return false;
  save_flags();
  a.mov(x86::r10d, 0);
  remaining_operands_.push_back({offset() - 4, insn_});
  call_to(environment_.trampolines.read_tsc);
  a.test(x86::r11d, x86::r11d);
  a.jz(step_label());
  return true;
}

bool Emitter::emit_System(const ScannedInsn& x) {
  switch (x.row->mnemonic) {
    case Mnemonic::CLI:
      return emit_cli();
    case Mnemonic::STI:
      return emit_sti();
    case Mnemonic::RDTSC:
      return emit_rdtsc();
    default:
      return false;
  }
}

}  // namespace vireo::translator
