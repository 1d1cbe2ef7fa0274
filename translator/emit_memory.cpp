// Memory operands: offset, segment, then a probe or the window. Nothing else knows how guest memory is
// reached.
#include <bit>
#include <utility>

#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"
#include "translator/window.h"

namespace vireo::translator {

using namespace asmjit;

x86::Gp Emitter::emit_offset(const isa::Insn& insn) {
  const bool has_base = insn.base < isa::kNoRegister;
  const bool has_index = insn.index < isa::kNoRegister;
  const auto disp = static_cast<int32_t>(insn.disp);
  if (insn.address_size == 2) {
    if (!has_base && !has_index) {
      a.mov(x86::r10d, static_cast<uint32_t>(disp) & 0xffff);
      return x86::r10d;
    }
    if (has_base && has_index) {
      a.lea(x86::r10d, x86::ptr(host::guest32(insn.base).r64(), host::guest32(insn.index).r64(), 0, disp));
    } else {
      a.lea(x86::r10d, x86::ptr(host::guest32(has_base ? insn.base : insn.index).r64(), disp));
    }
    a.movzx(x86::r10d, x86::r10w);
    return x86::r10d;
  }
  if (has_base && !has_index && disp == 0) return host::guest32(insn.base);
  emit_offset_to(insn, x86::r10d);
  return x86::r10d;
}

/// 32-bit addresses only.
void Emitter::emit_offset_to(const isa::Insn& insn, const Gp& out) {
  const bool has_base = insn.base < isa::kNoRegister;
  const bool has_index = insn.index < isa::kNoRegister;
  const auto disp = static_cast<int32_t>(insn.disp);
  if (!has_base && !has_index) {
    a.mov(out, static_cast<uint32_t>(disp));
  } else if (has_base && has_index) {
    a.lea(out, x86::ptr(host::guest32(insn.base).r64(), host::guest32(insn.index).r64(), insn.scale, disp));
  } else if (has_base) {
    if (disp != 0) {
      a.lea(out, x86::ptr(host::guest32(insn.base).r64(), disp));
    } else if (out != host::guest32(insn.base)) {
      a.mov(out, host::guest32(insn.base));
    }
  } else {
    x86::Mem m;
    m.setIndex(host::guest32(insn.index).r64(), insn.scale);
    m.setOffset(disp);
    a.lea(out, m);
  }
}

x86::Gp Emitter::emit_segment(SegReg segment, Gp offset, unsigned bytes, bool write) {
  if (flat(segment)) return offset;
  save_flags();
  const size_t view = offsetof(Frame, views) + static_cast<unsigned>(segment) * sizeof(Frame::views[0]);
  using View = interp::Interp::SegmentView;
  a.lea(x86::r11, x86::ptr(offset.r64(), static_cast<int32_t>(bytes)));
  a.cmp(x86::r11, frame_field(view + (write ? offsetof(View, write_end) : offsetof(View, read_end))));
  a.ja(step_label());
  if (offset != x86::r10d) a.mov(x86::r10d, offset);
  a.add(x86::r10d, frame_field(view + offsetof(View, base), 4));
  return x86::r10d;
}

void Emitter::emit_page_number(const Gp& out, const Gp& linear) {
  if (environment_.bmi2) {
    a.shrx(out.r32(), linear.r32(), host::kFrame.r32());
  } else {
    a.mov(out.r32(), linear.r32());
    a.shr(out.r32(), 12);
  }
}

Emitter::SlowProbe Emitter::slow_probe(const Gp& linear, unsigned bytes, bool write, bool aligned) {
  SlowProbe slow;
  slow.retry = a.newLabel();
  slow.step = step_label();
  slow.linear = linear;
  slow.insn = insn_;
  slow.bytes = static_cast<uint8_t>(bytes);
  slow.write = write;
  slow.aligned = aligned;
  return slow;
}

void Emitter::emit_probe(const Gp& linear32, unsigned bytes, bool write, bool aligned, bool find_miss) {
  save_flags();
  use_delta();
  const Gp linear = linear32.r32();
  SlowProbe slow = slow_probe(linear, bytes, write, aligned);
  if (find_miss) slow.miss = a.newLabel();
  if (bytes > 1 && !write && !aligned) slow.across = a.newLabel();
  a.bind(slow.retry);
  // MOVUPS and its like are hardly ever aligned; narrower operands mostly are.
  const bool expect_unaligned = bytes == 16 && !aligned;
  if (expect_unaligned) {
    a.lea(x86::r11d, x86::ptr(linear.r64(), 15));
    a.xor_(x86::r11d, linear);
    a.test(x86::r11d, ~static_cast<int32_t>(kPageMask));
    a.jnz(write ? slow.step : slow.across);
    slow.back = a.newLabel();
  }
  emit_page_number(host::kDelta, linear);
  a.mov(host::kDelta, tlb_word(delta_table(write), host::kDelta));
  if (find_miss) {
    a.test(host::kDelta, host::kDelta);
    a.jz(slow.miss);
  }
  if (bytes > 1 && !expect_unaligned && !aligned) {
    slow.unaligned = a.newLabel();
    slow.back = a.newLabel();
    const uint32_t mask = bytes == 2 ? 1 : bytes <= 4 ? 3 : bytes <= 8 ? 7 : 15;
    a.test(linear.r8(), mask);
    a.jnz(slow.unaligned);
  }
  if (slow.back.isValid()) a.bind(slow.back);
  slow_probes_.push_back(slow);
}

// A delta of 0 makes the access go to the host's lowest 4 GiB, where nothing is (TrustPolicy). The low bits
// of an unaligned address are rotated to where they make that of the TLB's word one that no table can have:
// beyond bit 54.
void Emitter::emit_trusting_probe(const Gp& linear32, unsigned bytes, bool write, bool aligned) {
  use_delta();
  const Gp linear = linear32.r64();
  if (bytes == 1 || aligned) {
    emit_page_number(host::kDelta, linear);
  } else {
    const auto low_bits = static_cast<unsigned>(std::countr_zero(bytes));
    const unsigned shift = 12 - low_bits;
    if (shift == kTlbBias) {
      a.rorx(host::kDelta, linear, low_bits);
      a.shrx(host::kDelta, host::kDelta, host::kTlb);
    } else {
      const Gp rotated = linear == host::kAddress ? host::kFlags : host::kAddress;
      a.rorx(rotated, linear, low_bits);
      a.mov(x86::r11d, shift);
      a.shrx(host::kDelta, rotated, host::kDelta);
    }
    add_site(Site::Kind::kUnaligned, insn_);
  }
  a.mov(host::kDelta, tlb_word(delta_table(write), host::kDelta));
}

void Emitter::emit_operand_probe(const Gp& linear, unsigned bytes, bool write, bool aligned) {
  const bool in_place =
      aligned || bytes == 1 || (flags_ == FlagState::kEflags && bytes <= 8 && std::has_single_bit(bytes));
  if (trusting() && in_place) {
    emit_trusting_probe(linear, bytes, write, aligned);
  } else {
    emit_probe(linear, bytes, write, aligned, !trusting());
  }
}

void Emitter::emit_constant_probe(uint32_t linear, unsigned bytes, bool write, bool aligned) {
  use_delta();
  a.mov(x86::r10d, linear);
  const Mem delta = tlb_word(delta_table(write), linear / kPageSize);
  const bool across = (linear & kPageMask) + bytes > kPageSize;
  if (trusting() && !across) {
    a.mov(host::kDelta, delta);
    return;
  }
  save_flags();
  if (across) {
    a.jmp(step_label());
    return;
  }
  SlowProbe slow = slow_probe(x86::r10d, bytes, write, aligned);
  slow.miss = a.newLabel();
  a.bind(slow.retry);
  a.mov(host::kDelta, delta);
  a.test(host::kDelta, host::kDelta);
  a.jz(slow.miss);
  slow_probes_.push_back(slow);
}

uint32_t Emitter::emit_table_offset(const isa::Insn& insn) {
  use_delta();
  emit_offset_to(insn, x86::r10d);
  const uint32_t first = static_cast<uint32_t>(insn.disp) & ~static_cast<uint32_t>(kPageMask);
  a.lea(x86::r11d, x86::ptr(x86::r10, static_cast<int32_t>(0 - first)));
  return first / static_cast<uint32_t>(kPageSize);
}

void Emitter::emit_table_probe(const isa::Insn& insn, unsigned bytes) {
  save_flags();
  const uint32_t first = emit_table_offset(insn);
  SlowProbe slow = slow_probe(x86::r10d, bytes, false, true);
  slow.other_page = a.newLabel();
  slow.back = a.newLabel();
  a.cmp(x86::r11d, static_cast<uint32_t>(kPageSize));
  a.jae(slow.other_page);
  a.mov(host::kDelta, tlb_word(delta_table(false), first));
  a.bind(slow.back);
  slow_probes_.push_back(slow);
}

// The page number of the element, counted from the table's first page, is the index of a word that only
// exists for 0 (the countdown's): no instruction that counts waits for that.
void Emitter::emit_guessing_probe(const isa::Insn& insn) {
  const uint32_t first = emit_table_offset(insn);
  emit_page_number(host::kDelta, x86::r11d);
  add_site(flags_ == FlagState::kSaved ? Site::Kind::kOtherPageSaved : Site::Kind::kOtherPageEflags, insn_);
  a.mov(host::kDelta, x86::ptr(host::kFrame, host::kDelta, 3, kPollOffset));
  a.mov(host::kDelta, tlb_word(delta_table(false), first));
}

void Emitter::note_access(const Mem& place, bool write, FlagState flags) {
  if (!may_trap(place)) return;
  const bool saved = flags == FlagState::kSaved;
  add_site(write ? (saved ? Site::Kind::kWriteSaved : Site::Kind::kWriteEflags)
                 : (saved ? Site::Kind::kReadSaved : Site::Kind::kReadEflags),
           insn_);
}

x86::Gp Emitter::window_base() {
  if (!window_lost_) return host::kWindow;
  a.mov(x86::r11, VIREO_FRAME(window));
  return x86::r11;
}

void Emitter::restore_window() {
  if (std::exchange(window_lost_, false)) a.mov(host::kWindow, VIREO_FRAME(window));
}

x86::Mem Emitter::in_window(const Gp& offset, int32_t disp, unsigned bytes, unsigned scale) {
  return x86::Mem(window_base(), offset.r64(), scale, disp, bytes);
}

// The host does not truncate the sum of a register and a constant to 32 bits; where that would matter, it is
// not in the window, and the access faults. Constants far below 0 are addresses in the upper half, mostly of
// tables, and their index is no pointer: that would be common.
bool Emitter::is_near_window(const isa::Insn& insn) {
  const bool has_base = insn.base < isa::kNoRegister, has_index = insn.index < isa::kNoRegister;
  const auto lowest = has_base || has_index ? -static_cast<int32_t>(Window::kBelow) : 0;
  return !(has_base && has_index) && static_cast<int32_t>(insn.disp) >= lowest;
}

x86::Mem Emitter::emit_windowed_operand(const isa::Insn& insn, unsigned bytes, bool write) {
  if (insn.address_size != 4 || !flat(insn.segment))
    return in_window(emit_segment(insn.segment, emit_offset(insn), bytes, write), 0, bytes);
  if (!is_near_window(insn)) {
    emit_offset_to(insn, x86::r10d);
    return in_window(x86::r10, 0, bytes);
  }
  const auto disp = static_cast<int32_t>(insn.disp);
  if (insn.base < isa::kNoRegister) return in_window(host::guest32(insn.base), disp, bytes);
  if (insn.index < isa::kNoRegister) return in_window(host::guest32(insn.index), disp, bytes, insn.scale);
  return x86::Mem(window_base(), disp, bytes);
}

x86::Mem Emitter::emit_linear(const Gp& linear, unsigned bytes, bool write) {
  if (windowed()) return in_window(linear, 0, bytes);
  emit_operand_probe(linear, bytes, write, false);
  return x86::Mem(linear.r64(), host::kDelta, 0, 0, bytes);
}

void Emitter::load_from(const Gp& out, const Mem& place, unsigned bytes) {
  note_access(place, false);
  if (bytes == 4) {
    a.mov(out.r32(), place);
  } else {
    a.movzx(out.r32(), place);
  }
}

namespace {

bool is_constant(const isa::Insn& insn) {
  return insn.base >= isa::kNoRegister && insn.index >= isa::kNoRegister;
}

}  // namespace

bool is_table(const isa::Insn& insn, unsigned bytes) {
  return insn.base >= isa::kNoRegister && insn.index < isa::kNoRegister && insn.address_size == 4 &&
         std::has_single_bit(bytes) && (1u << insn.scale) % bytes == 0 && insn.disp % bytes == 0;
}

/// What the current instruction reads is where the block's indirect branch goes.
bool Emitter::is_branch_target() const {
  const ScannedInsn& branch = insns_.back();
  const bool indirect = is_indirect_branch(branch);
  if (!indirect || insn_ + 1u == insns_.size()) return indirect;
  const ScannedInsn& x = insns_[insn_];
  return !branch.insn.is_memory() && x.row->mnemonic == isa::Mnemonic::MOV &&
         x.insn.reg() == branch.insn.rm();
}

bool Emitter::is_computed(unsigned gpr) const {
  for (unsigned i = insn_; i-- > 0;) {
    const ScannedInsn& x = insns_[i];
    if ((named_gprs_written(x.insn, *x.row) >> gpr & 1) == 0) continue;
    switch (x.row->mnemonic) {
      case isa::Mnemonic::ADD:
      case isa::Mnemonic::SUB:
      case isa::Mnemonic::INC:
      case isa::Mnemonic::DEC:
      case isa::Mnemonic::LEA:
        return false;
      default:
        return true;
    }
  }
  return false;
}

x86::Mem Emitter::emit_operand(const isa::Insn& insn, unsigned bytes, bool write, bool aligned) {
  if (windowed()) return emit_windowed_operand(insn, bytes, write);
  const GroupedAccess& access = groups_.operands[insn_];
  if (has_group(access)) return grouped(access, bytes);
  if (is_constant(insn) && flat(insn.segment)) {
    const auto offset = static_cast<uint32_t>(insn.disp);
    emit_constant_probe(insn.address_size == 2 ? offset & 0xffff : offset, bytes, write, aligned);
    return x86::Mem(x86::r10, host::kDelta, 0, 0, bytes);
  }
  const bool table = is_table(insn, bytes) && flat(insn.segment);
  if (table && !write && trusting() && is_branch_target()) {
    emit_table_probe(insn, bytes);
    return x86::Mem(x86::r10, host::kDelta, 0, 0, bytes);
  }
  if (table && !write && trusting() && is_computed(insn.index) && (block_->large_tables >> insn_ & 1) == 0) {
    emit_guessing_probe(insn);
    return x86::Mem(x86::r10, host::kDelta, 0, 0, bytes);
  }
  aligned |= table;
  const Gp linear = emit_segment(insn.segment, emit_offset(insn), bytes, write);
  emit_operand_probe(linear, bytes, write, aligned);
  return x86::Mem(linear.r64(), host::kDelta, 0, 0, bytes);
}

}  // namespace vireo::translator
