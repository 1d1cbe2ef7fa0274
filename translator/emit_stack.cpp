// PUSH, POP, LEAVE, and the stack accesses of CALL and RET.
#include <algorithm>
#include <cstdlib>
#include <optional>
#include <utility>

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
  const int32_t below = deferred_esp_ - static_cast<int32_t>(bytes);
  if (stack_in_window()) return in_window(x86::r9, below, bytes);
  a.lea(x86::r10d, x86::ptr(x86::r9, below));
  if (!mode_.mode.has(Mode::kStack32)) a.movzx(x86::r10d, x86::r10w);
  return emit_linear(emit_segment(SegReg::kSs, x86::r10d, bytes, true), bytes, true);
}

x86::Mem Emitter::probe_pop(unsigned bytes) {
  if (has_group(groups_.stack[insn_])) return grouped(groups_.stack[insn_], bytes);
  if (stack_in_window()) return in_window(x86::r9, deferred_esp_, bytes);
  Gp offset = x86::r9d;
  if (!mode_.mode.has(Mode::kStack32)) {
    a.movzx(x86::r10d, x86::r9w);
    offset = x86::r10d;
  } else if (deferred_esp_ != 0) {
    a.lea(x86::r10d, x86::ptr(x86::r9, deferred_esp_));
    offset = x86::r10d;
  }
  return emit_linear(emit_segment(SegReg::kSs, offset, bytes, false), bytes, false);
}

bool Emitter::push_needs_address() const {
  return !has_group(groups_.stack[insn_]) && !stack_in_window();
}

Emitter::Gp Emitter::pushed_value() {
  return push_needs_address() ? use_value().r32() : Gp(x86::r10d);
}

void Emitter::commit_push(unsigned bytes) {
  move_esp(-static_cast<int32_t>(bytes), x86::r10);
}

void Emitter::commit_pop(unsigned bytes, unsigned extra) {
  move_esp(static_cast<int32_t>(bytes + extra), x86::r11);
}

void Emitter::move_esp(int32_t step, const Gp& scratch) {
  if (may_defer_esp_) {
    deferred_esp_ += step;
  } else if (mode_.mode.has(Mode::kStack32)) {
    add_to_esp(step);
  } else {
    a.lea(scratch.r32(), x86::ptr(x86::r9, step));
    a.mov(x86::r9w, scratch.r16());
  }
}

void Emitter::add_to_esp(int32_t bytes) {
  if (bytes != 0) a.lea(x86::r9d, x86::ptr(x86::r9, bytes));
}

void Emitter::settle_esp() {
  add_to_esp(std::exchange(deferred_esp_, 0));
}

namespace {

constexpr int32_t kMostDeferred = 100;  ///< so that Site::esp holds what one instruction adds, too

/// MOV of ESP to another register.
bool copies_esp(const ScannedInsn& x) {
  if (x.row->mnemonic != Mnemonic::MOV || x.insn.operand_size != 4) return false;
  if (x.insn.opcode == 0x89) return !x.insn.is_memory() && x.insn.reg() == kEsp && x.insn.rm() != kEsp;
  return x.insn.opcode == 0x8b && !x.insn.is_memory() && x.insn.rm() == kEsp && x.insn.reg() != kEsp;
}

/// What ADD or SUB adds to ESP.
std::optional<int32_t> added_to_esp(const ScannedInsn& x) {
  const bool subtracts = x.row->mnemonic == Mnemonic::SUB;
  if ((!subtracts && x.row->mnemonic != Mnemonic::ADD) || x.insn.operand_size != 4 ||
      (x.insn.opcode != 0x81 && x.insn.opcode != 0x83) || x.insn.is_memory() || x.insn.rm() != kEsp) {
    return std::nullopt;
  }
  const auto imm = static_cast<int64_t>(static_cast<int32_t>(x.insn.imm));
  if (std::abs(imm) > kMostDeferred) return std::nullopt;
  return static_cast<int32_t>(subtracts ? -imm : imm);
}

}  // namespace

bool Emitter::defers_esp(const ScannedInsn& x) const {
  return environment_.options.defer_esp && mode_.mode.has(Mode::kStack32) &&
         environment_.options.inline_memory && !x.live_immediate &&
         (block_->always_interpret >> insn_ & 1) == 0;
}

bool Emitter::is_deferred_addition(const ScannedInsn& x) const {
  return defers_esp(x) && added_to_esp(x) && stays(insn_) && flags_die();
}

bool Emitter::permits_deferred_esp(const ScannedInsn& x) const {
  if (!defers_esp(x)) return false;
  if (copies_esp(x) || is_deferred_addition(x)) return true;
  const OperandUse use = operand_use(x.insn, *x.row);
  if (use.names_esp || x.insn.address_size != 4) return false;
  switch (x.row->insn_class) {
    case isa::InsnClass::Passthrough:
      return true;
    case isa::InsnClass::Stack:
      return x.row->mnemonic == Mnemonic::PUSH ||
             (x.row->mnemonic == Mnemonic::POP && (use.opcode_is_gpr || use.rm_is_gpr));
    case isa::InsnClass::Control:
      return x.row->mnemonic == Mnemonic::CALL || x.row->mnemonic == Mnemonic::RET;
    default:
      return false;
  }
}

void Emitter::prepare_esp(const ScannedInsn& x) {
  may_defer_esp_ = permits_deferred_esp(x);
  if (deferred_esp_ == 0) return;
  const bool polls = polls_late_ && insn_ == block_->poll_at;
  const bool probes = std::any_of(groups_.groups.begin(), groups_.groups.end(),
                                  [&](const PageGroup& group) { return group.first == insn_; });
  // The host executes a comparison and the branch behind it as one.
  const bool before_branch = insn_ + 1u < insns_.size() &&
                             insns_[insn_ + 1u].row->mnemonic == Mnemonic::JCC &&
                             (x.row->flags.modified & rflags::kArithmetic) != 0;
  if (!may_defer_esp_ || polls || probes || before_branch || std::abs(deferred_esp_) > kMostDeferred)
    settle_esp();
}

bool Emitter::emit_of_esp(const ScannedInsn& x) {
  if (!may_defer_esp_) return false;
  if (is_deferred_addition(x)) {
    deferred_esp_ += *added_to_esp(x);
    return true;
  }
  if (!copies_esp(x)) return false;
  const unsigned to = x.insn.opcode == 0x89 ? x.insn.rm() : x.insn.reg();
  if (deferred_esp_ == 0) {
    mov_guest(to, x86::r9d);
  } else {
    a.lea(host::guest32(to), x86::ptr(x86::r9, deferred_esp_));
  }
  return true;
}

ScannedInsn Emitter::with_deferred_esp(const ScannedInsn& x) const {
  ScannedInsn shifted = x;
  if (x.insn.base == kEsp) shifted.insn.disp = static_cast<int32_t>(x.insn.disp + deferred_esp_);
  return shifted;
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
        const Gp value = pushed_value();
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
        const Gp value = bytes == 4 ? Gp(use_value().r32()) : Gp(use_value().r16());
        a.mov(value, stack);
        const Mem place = emit_operand(insn, bytes, true);
        note_access(place, true);
        a.mov(place, value);
        commit_pop(bytes);
        return true;
      }
      const unsigned number = use.opcode_is_gpr ? insn.opcode_reg() : insn.rm();
      const Mem place = probe_pop(bytes);
      note_access(place, false);
      if (number == kEsp) {
        const Gp value = bytes == 4 ? Gp(x86::r10d) : Gp(x86::r10w);
        a.mov(value, place);
        commit_pop(bytes);
        a.mov(host::guest(kEsp, bytes), value);
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
      a.mov(x86::r10d, place);
      a.lea(x86::r9d, x86::ptr(x86::rbp, 4));
      a.mov(x86::ebp, x86::r10d);
      return true;
    }
    default:
      return false;
  }
}

}  // namespace vireo::translator
