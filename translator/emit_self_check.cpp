// Blocks in mixed pages: they find out at their entries whether they are out of date.
#include <cstring>

#include "core/isa/mnemonic.h"
#include "translator/emitter.h"

namespace vireo::translator {

using namespace asmjit;
using isa::InsnClass;
using isa::Mnemonic;

bool may_write_memory(const ScannedInsn& x) {
  const OperandUse use = operand_use(x.insn, *x.row);
  const bool implicit = x.row->has(isa::attribute::kImplicitMemory);
  switch (x.row->insn_class) {
    case InsnClass::Passthrough:
      return use.writes_memory || implicit;
    case InsnClass::Fpu:
    case InsnClass::Mmx:
    case InsnClass::Sse:
      // What has no size (FXSAVE, FNSTENV) counts as written.
      return use.memory ? use.writes_memory : implicit || x.insn.is_memory();
    case InsnClass::Stack:
      switch (x.row->mnemonic) {
        case Mnemonic::POP:
          return !use.opcode_is_gpr && !use.rm_is_gpr;
        case Mnemonic::POPF:
        case Mnemonic::LEAVE:
          return false;
        default:
          return true;
      }
    case InsnClass::String:
      return x.row->mnemonic != Mnemonic::LODS && x.row->mnemonic != Mnemonic::SCAS &&
             x.row->mnemonic != Mnemonic::CMPS;
    case InsnClass::Control:
      return x.row->mnemonic != Mnemonic::JCC;
    case InsnClass::System:
      return x.row->mnemonic != Mnemonic::CLI && x.row->mnemonic != Mnemonic::STI;
    default:
      return true;
  }
}

bool may_have_live_immediate(const ScannedInsn& x) {
  switch (x.row->mnemonic) {
    case Mnemonic::MOV:
    case Mnemonic::ADD:
    case Mnemonic::OR:
    case Mnemonic::ADC:
    case Mnemonic::SBB:
    case Mnemonic::AND:
    case Mnemonic::SUB:
    case Mnemonic::XOR:
    case Mnemonic::CMP:
      return x.insn.imm_size == 4 && x.insn.operand_size == 4 && !operand_use(x.insn, *x.row).memory;
    default:
      return false;
  }
}

bool Emitter::emit_live_immediate(const ScannedInsn& x) {
  const OperandUse use = operand_use(x.insn, *x.row);
  const Gp target = host::guest32(use.rm_is_gpr ? x.insn.rm() : use.opcode_is_gpr ? x.insn.opcode_reg() : 0);
  prepare_flags(x, false);
  const uint8_t* place = block_->guest_code[0] + (x.next_rip - block_->rip) - x.insn.imm_size;
  a.mov(x86::r10, reinterpret_cast<uint64_t>(place));
  const Mem immediate = x86::dword_ptr(x86::r10);
  switch (x.row->mnemonic) {
    case Mnemonic::MOV:
      a.mov(target, immediate);
      break;
    case Mnemonic::ADD:
      a.add(target, immediate);
      break;
    case Mnemonic::OR:
      a.or_(target, immediate);
      break;
    case Mnemonic::ADC:
      a.adc(target, immediate);
      break;
    case Mnemonic::SBB:
      a.sbb(target, immediate);
      break;
    case Mnemonic::AND:
      a.and_(target, immediate);
      break;
    case Mnemonic::SUB:
      a.sub(target, immediate);
      break;
    case Mnemonic::XOR:
      a.xor_(target, immediate);
      break;
    default:
      a.cmp(target, immediate);
      break;
  }
  note_flags_after(*x.row);
  return true;
}

void Emitter::emit_self_check() {
  code_changed_ = a.newLabel();
  const std::span<const uint8_t> bytes(block_->made_of);
  const size_t in_first = std::min<size_t>(
      bytes.size(), kPageSize - (reinterpret_cast<uint64_t>(block_->guest_code[0]) & kPageMask));
  size_t start = 0;
  for (const ScannedInsn& x : insns_) {
    if (!x.live_immediate) continue;
    const size_t end = x.next_rip - block_->rip;
    compare_code(block_->guest_code[0] + start, bytes.subspan(start, end - x.insn.imm_size - start));
    start = end;
  }
  compare_code(block_->guest_code[0] + start, bytes.subspan(start, in_first - start));
  if (in_first < bytes.size()) compare_code(block_->guest_code[1], bytes.subspan(in_first));
}

void Emitter::compare_code(const uint8_t* host, std::span<const uint8_t> bytes) {
  const auto number = [&](size_t at, size_t size) {
    uint64_t value = 0;
    std::memcpy(&value, bytes.data() + at, size);
    return value;
  };
  const auto compare = [&](size_t at, size_t size) {
    const x86::Mem place(x86::r10, static_cast<int32_t>(at), static_cast<uint32_t>(size));
    a.mov(x86::r11, number(at, size));
    a.cmp(size == 8   ? x86::Gp(x86::r11)
          : size == 4 ? x86::Gp(x86::r11d)
          : size == 2 ? x86::Gp(x86::r11w)
                      : x86::Gp(x86::r11b),
          place);
    a.jne(code_changed_);
  };
  const size_t size = bytes.size();
  if (size == 0) return;
  a.mov(x86::r10, reinterpret_cast<uint64_t>(host));
  size_t at = 0;
  for (; at + 8 <= size; at += 8) compare(at, 8);
  if (at == size) return;
  if (size > 8) {
    compare(size - 8, 8);
    return;
  }
  for (size_t part : {4, 2, 1}) {
    if (at + part > size) continue;
    compare(at, part);
    at += part;
  }
}

void Emitter::emit_own_page_check() {
  if (!block_->self_checking) return;
  for (const uint8_t* code : block_->guest_code) {
    if (code == nullptr) continue;
    const uint64_t page = reinterpret_cast<uint64_t>(code) & ~kPageMask;
    a.mov(x86::r10, 0 - page);
    a.add(x86::r10, x86::rdi);
    a.add(x86::r10, host::kDelta);
    a.cmp(x86::r10, static_cast<int32_t>(kPageSize));
    a.jb(step_label());
  }
}

}  // namespace vireo::translator
