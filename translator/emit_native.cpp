// x87, MMX and SSE instructions that the interpreter runs on the host CPU too: re-encoded, on the guest's
// registers in the host's units.
#include <algorithm>

#include "core/interp/fx_state.h"
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

namespace {

bool is_vector(isa::OperandKind kind) {
  using isa::OperandKind;
  return kind == OperandKind::kV || kind == OperandKind::kW || kind == OperandKind::kU ||
         kind == OperandKind::kXmm;
}

/// The units whose checks the instruction makes: those of the registers that it names.
uint8_t units_of(const isa::Insn& insn, const isa::InsnRow& row) {
  using isa::OperandKind;
  if (row.insn_class == isa::InsnClass::Fpu) return fpu_unit::kX87;
  uint8_t units = 0;
  for (unsigned i = 0; i < row.operand_count; ++i) {
    const OperandKind kind = row.operands[i].kind;
    if (is_vector(kind)) units |= fpu_unit::kSse;
    if (kind == OperandKind::kP || kind == OperandKind::kN ||
        (kind == OperandKind::kQ && !insn.is_memory())) {
      units |= fpu_unit::kMmx;
    }
  }
  return units != 0 ? units : row.insn_class == isa::InsnClass::Sse ? fpu_unit::kSse : fpu_unit::kMmx;
}

bool sets_fip(const ScannedInsn& x) {
  return x.row->insn_class == isa::InsnClass::Fpu && !interp::keeps_x87_pointers(x.row->mnemonic);
}

bool has_explicit_lengths(Mnemonic m) {
  return m == Mnemonic::PCMPESTRI || m == Mnemonic::PCMPESTRM;
}

}  // namespace

void Emitter::require_fpu(uint8_t units) {
  for (size_t i = first_step_with_fpu_; i < slow_steps_.size(); ++i) {
    slow_steps_[i].fpu_needed |= units & slow_steps_[i].fpu_after;
  }
  for (const uint8_t unit : {fpu_unit::kMmx, fpu_unit::kX87, fpu_unit::kSse}) {
    if ((units & unit & ~fpu_checked_) == 0) continue;
    save_flags();
    const SlowFpu slow{a.newLabel(), a.newLabel(), insn_, unit};
    a.test(VIREO_FRAME(fpu_ready), unit);
    a.jz(slow.start);
    a.bind(slow.back);
    use_delta();
    slow_fpu_.push_back(slow);
    fpu_checked_ |= unit;
    if (unit == fpu_unit::kX87) fpu_checked_ |= fpu_unit::kMmx;
  }
}

bool Emitter::is_last_x87() const {
  const std::span<const ScannedInsn> behind = insns_.subspan(insn_ + 1u);
  return std::none_of(behind.begin(), behind.end(), sets_fip);
}

void Emitter::keep_fip(uint32_t rip) {
  a.mov(VIREO_FRAME(fip), static_cast<int32_t>(rip));
}

bool Emitter::emit_native(const ScannedInsn& x) {
  const isa::InsnRow& row = *x.row;
  const OperandUse use = operand_use(x.insn, row);
  if (!environment_.options.fpu) return false;
  if (use.memory && !environment_.options.inline_memory) return false;
  // The interpreter's second part of an 80-bit operand wraps at 64 KiB.
  if (use.memory_bytes > 8 && use.memory_bytes < 16 && x.insn.address_size == 2) return false;
  const uint8_t units = units_of(x.insn, row);
  require_fpu(units);
  HostForm form;
  const bool aligned = must_be_aligned(row, use);
  Mem place;
  if (use.memory) place = emit_operand(x.insn, use.memory_bytes, use.writes_memory, aligned);
  form.set_memory(place);
  if ((aligned || may_trap(place)) && row.flags.modified != 0) restore_flags();  // it may fault
  prepare_flags(x, false);
  if (has_explicit_lengths(row.mnemonic)) a.mov(x86::eax, x86::r8d);  // the flags in rax are dead
  if (may_trap(place)) {
    note_access(place, use.writes_memory);
  } else if (aligned) {  // host pages are aligned as the guest's are, so what raises #GP here would there
    add_site(flags_ == FlagState::kSaved ? Site::Kind::kFaultSaved : Site::Kind::kFaultEflags, insn_);
  }
  embed(reencode(x.insn, row, x.bytes, form));
  if (sets_fip(x)) {
    block_->sets_fip |= uint64_t{1} << insn_;
    if (is_last_x87()) keep_fip(x.rip);
  }
  note_flags_after(row);
  return true;
}

}  // namespace vireo::translator
