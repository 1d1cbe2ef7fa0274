// PUSH, POP, LEAVE, and the stack accesses of CALL and RET.
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

namespace {

constexpr unsigned kEsp = 4, kEbp = 5;

}  // namespace

x86::Mem Emitter::probe_push(unsigned bytes) {
  if (has_group(groups_.stack[insn_])) return grouped(groups_.stack[insn_], bytes);
  if (windowed() && mode_.mode.has(Mode::kStack32) && flat(SegReg::kSs)) {
    Mem place = x86::ptr(x86::r9d, -static_cast<int32_t>(bytes), bytes);
    place.setSegment(x86::gs);
    return place;
  }
  a.lea(x86::r10d, x86::ptr(x86::r9, -static_cast<int32_t>(bytes)));
  if (!mode_.mode.has(Mode::kStack32)) a.movzx(x86::r10d, x86::r10w);
  return emit_linear(emit_segment(SegReg::kSs, x86::r10d, bytes, true), bytes, true);
}

void Emitter::commit_push(unsigned bytes) {
  if (mode_.mode.has(Mode::kStack32)) {
    a.lea(x86::r9d, x86::ptr(x86::r9, -static_cast<int32_t>(bytes)));
  } else {
    a.lea(x86::r10d, x86::ptr(x86::r9, -static_cast<int32_t>(bytes)));
    a.mov(x86::r9w, x86::r10w);
  }
}

x86::Mem Emitter::probe_pop(unsigned bytes) {
  if (has_group(groups_.stack[insn_])) return grouped(groups_.stack[insn_], bytes);
  Gp offset = x86::r9d;
  if (!mode_.mode.has(Mode::kStack32)) {
    a.movzx(x86::r10d, x86::r9w);
    offset = x86::r10d;
  }
  return emit_linear(emit_segment(SegReg::kSs, offset, bytes, false), bytes, false);
}

void Emitter::commit_pop(unsigned bytes, unsigned extra) {
  const auto step = static_cast<int32_t>(bytes + extra);
  if (mode_.mode.has(Mode::kStack32)) {
    a.lea(x86::r9d, x86::ptr(x86::r9, step));
  } else {
    a.lea(x86::r11d, x86::ptr(x86::r9, step));
    a.mov(x86::r9w, x86::r11w);
  }
}

void Emitter::push_value(const Gp& value, unsigned bytes) {
  const Mem place = probe_push(bytes);
  note_access(place, true);
  a.mov(place, bytes == 4 ? Gp(value.r32()) : Gp(value.r16()));
  commit_push(bytes);
}

void Emitter::push_immediate(uint32_t value, unsigned bytes) {
  const Mem place = probe_push(bytes);
  note_access(place, true);
  if (bytes == 4) {
    a.mov(place, static_cast<int32_t>(value));
  } else {
    a.mov(place, static_cast<uint16_t>(value));
  }
  commit_push(bytes);
}

bool Emitter::emit_Stack(const ScannedInsn& x) {
  if (!environment_.options.inline_memory) return false;
  const isa::Insn& insn = x.insn;
  const unsigned bytes = insn.operand_size;
  const OperandUse use = operand_use(insn, *x.row);
  switch (x.row->mnemonic) {
    case Mnemonic::PUSH:
      if (use.opcode_is_gpr) {
        push_value(host::guest32(insn.opcode_reg()), bytes);
      } else if (use.rm_is_gpr) {
        push_value(host::guest32(insn.rm()), bytes);
      } else if (use.memory) {
        const Mem place = emit_operand(insn, bytes, false);
        // The push of a group needs no address, and r12 may be the group's.
        const Gp value = has_group(groups_.stack[insn_]) ? x86::r10d : x86::r12d;
        load_from(value, place, bytes);
        push_value(value, bytes);
      } else {
        push_immediate(static_cast<uint32_t>(insn.imm), bytes);
      }
      return true;
    case Mnemonic::POP: {
      if (!use.opcode_is_gpr && !use.rm_is_gpr) {
        // The address is computed with the stack pointer already popped: left to the interpreter.
        if (insn.base == kEsp) return false;
        const Mem stack = probe_pop(bytes);
        note_access(stack, false);
        a.mov(bytes == 4 ? Gp(x86::r12d) : Gp(x86::r12w), stack);
        const Mem place = emit_operand(insn, bytes, true);
        note_access(place, true);
        a.mov(place, bytes == 4 ? Gp(x86::r12d) : Gp(x86::r12w));
        commit_pop(bytes);
        return true;
      }
      const unsigned number = use.opcode_is_gpr ? insn.opcode_reg() : insn.rm();
      const Mem place = probe_pop(bytes);
      note_access(place, false);
      if (number == kEsp) {
        a.mov(bytes == 4 ? Gp(x86::r12d) : Gp(x86::r12w), place);
        commit_pop(bytes);
        a.mov(host::guest(kEsp, bytes), bytes == 4 ? Gp(x86::r12d) : Gp(x86::r12w));
      } else {
        a.mov(host::guest(number, bytes), place);
        commit_pop(bytes);
      }
      return true;
    }
    case Mnemonic::PUSHF:
      return emit_pushf(x);
    case Mnemonic::POPF:
      return emit_popf(x);
    case Mnemonic::LEAVE: {
      if (bytes != 4 || !mode_.mode.has(Mode::kStack32)) return false;
      const Mem place = emit_linear(emit_segment(SegReg::kSs, host::guest32(kEbp), 4, false), 4, false);
      note_access(place, false);
      a.mov(x86::r12d, place);
      a.lea(x86::r9d, x86::ptr(x86::rbp, 4));
      a.mov(x86::ebp, x86::r12d);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace vireo::translator
