// Integer instructions without side effects on the machine: re-encoded.
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

namespace {

/// Instructions that use EAX without naming it.
bool uses_eax_implicitly(Mnemonic m, const isa::Insn& insn) {
  switch (m) {
    case Mnemonic::MUL:
    case Mnemonic::DIV:
    case Mnemonic::IDIV:
    case Mnemonic::CMPXCHG:
    case Mnemonic::CMPXCHG8B:
    case Mnemonic::CBW:
    case Mnemonic::CWD:
    case Mnemonic::LAHF:
    case Mnemonic::SAHF:
      return true;
    case Mnemonic::IMUL:
      return insn.opcode == 0xf6 || insn.opcode == 0xf7;
    default:
      return false;
  }
}

bool writes_eax(Mnemonic m) {
  return m != Mnemonic::SAHF && m != Mnemonic::CMP && m != Mnemonic::TEST;
}

bool writes_all_flags(const isa::InsnRow& row) {
  // What the manual calls undefined, silicon may leave unchanged; AF of the logic instructions is known to be
  // cleared.
  const uint32_t undefined = row.flags.undefined & rflags::kArithmetic;
  return (row.flags.modified & rflags::kArithmetic) == rflags::kArithmetic &&
         (row.flags.tested & rflags::kArithmetic) == 0 && !row.has(isa::attribute::kFlagsIfCount) &&
         (undefined == 0 || (undefined == rflags::kAf && row.family == isa::Family::Alu));
}

}  // namespace

bool Emitter::sets_all_flags(const ScannedInsn& x) const {
  if (writes_all_flags(*x.row)) return true;
  switch (x.row->mnemonic) {
    case Mnemonic::SHL:
    case Mnemonic::SHR:
    case Mnemonic::SAR:
      if (x.row->operands[1].kind == isa::OperandKind::kI && (x.insn.imm & 31) == 0) return false;
      return environment_.host_flags.shifts && x.row->operands[1].kind != isa::OperandKind::kGpr;
    case Mnemonic::IMUL:
      return environment_.host_flags.multiplies && x.row->operand_count >= 2;
    default:
      return false;
  }
}

/// Before an instruction: the flags into EFLAGS if it needs them or leaves some of them alone; or if it needs
/// rax.
FlagState Emitter::prepare_flags(const ScannedInsn& x, bool free_rax) {
  const isa::InsnRow& row = *x.row;
  const uint32_t modified = row.flags.modified & rflags::kArithmetic;
  const uint32_t tested = row.flags.tested & rflags::kArithmetic;
  if (tested == 0 && modified == 0) {
    if (free_rax) restore_flags();
    return flags_;
  }
  const FlagState before = flags_;
  if (sets_all_flags(x) || (tested == 0 && flags_ == FlagState::kSaved && flags_die())) {
    forget_flags();
    return before;
  }
  restore_flags();
  return flags_;
}

bool Emitter::stays(size_t insn) const {
  const ScannedInsn& x = insns_[insn];
  const OperandUse use = operand_use(x.insn, *x.row);
  if (x.row->insn_class != isa::InsnClass::Passthrough || use.memory || x.insn.lock() || x.live_immediate ||
      (use.uses_high_byte && use.names_esp) || (block_->always_interpret >> insn & 1) != 0) {
    return false;
  }
  switch (x.row->mnemonic) {
    case Mnemonic::MOV:
    case Mnemonic::MOVZX:
    case Mnemonic::MOVSX:
    case Mnemonic::LEA:
    case Mnemonic::ADD:
    case Mnemonic::SUB:
    case Mnemonic::AND:
    case Mnemonic::OR:
    case Mnemonic::XOR:
    case Mnemonic::CMP:
    case Mnemonic::TEST:
    case Mnemonic::NEG:
    case Mnemonic::NOT:
    case Mnemonic::INC:
    case Mnemonic::DEC:
    case Mnemonic::SHL:
    case Mnemonic::SHR:
    case Mnemonic::SAR:
    case Mnemonic::ROL:
    case Mnemonic::ROR:
    case Mnemonic::IMUL:
      return true;
    default:
      return false;
  }
}

bool Emitter::flags_die() const {
  for (size_t i = insn_ + 1u; i < insns_.size(); ++i) {
    // Whatever may leave, or may be the interpreter's, shows the flags.
    if (!stays(i) || (insns_[i].row->flags.tested & rflags::kArithmetic) != 0) return false;
    if (sets_all_flags(insns_[i])) return true;
  }
  return false;
}

void Emitter::note_flags_after(const isa::InsnRow& row) {
  if (row.flags.modified & rflags::kArithmetic) flags_ = FlagState::kEflags;
}

bool Emitter::emit_Passthrough(const ScannedInsn& x) {
  const isa::InsnRow& row = *x.row;
  const OperandUse use = operand_use(x.insn, row);
  if (x.live_immediate) return emit_live_immediate(x);
  switch (row.mnemonic) {
    case Mnemonic::NOP:
    case Mnemonic::PREFETCH:
      return true;
    case Mnemonic::PAUSE:
      a.pause();
      return true;
    case Mnemonic::LEA:
      return emit_lea(x);
    case Mnemonic::CLD:
    case Mnemonic::STD: {
      a.mov(x86::r10, x86::ptr(host::kFrame, static_cast<int32_t>(offsetof(Frame, cpu)) - kFrameBias));
      const bool was_saved = flags_ == FlagState::kSaved;
      if (!was_saved) save_flags();
      const x86::Mem byte = x86::byte_ptr(x86::r10, static_cast<int32_t>(offsetof(CpuState, rflags) + 1));
      if (row.mnemonic == Mnemonic::CLD) {
        a.and_(byte, static_cast<uint8_t>(~(rflags::kDf >> 8)));
      } else {
        a.or_(byte, static_cast<uint8_t>(rflags::kDf >> 8));
      }
      return true;
    }
    case Mnemonic::BT:
    case Mnemonic::BTS:
    case Mnemonic::BTR:
    case Mnemonic::BTC:
      if (row.has(isa::attribute::kBitString) && use.memory) return emit_bit_string(x, use);
      break;
    // Not in 64-bit code, or not worth an emitter.
    case Mnemonic::DAA:
    case Mnemonic::DAS:
    case Mnemonic::AAA:
    case Mnemonic::AAS:
    case Mnemonic::AAM:
    case Mnemonic::AAD:
    case Mnemonic::SALC:
    case Mnemonic::XLAT:
      return false;
    default:
      break;
  }
  return emit_reencoded(x, use, uses_eax_implicitly(row.mnemonic, x.insn));
}

bool Emitter::emit_reencoded(const ScannedInsn& x, const OperandUse& use, bool implicit_eax) {
  const isa::InsnRow& row = *x.row;
  if (use.memory && !environment_.options.inline_memory) return false;
  const bool needs_rax = implicit_eax || (use.uses_high_byte && (use.names_al || use.uses_ah));
  // A REX prefix makes AH to BH unreachable.
  const bool exchange = use.uses_high_byte && use.memory;
  if (use.uses_high_byte && use.names_esp) return false;
  // Its accumulator is AL, and AH the source.
  if (exchange && row.mnemonic == Mnemonic::CMPXCHG && x.insn.reg() == 4) return false;
  const bool divides = row.mnemonic == Mnemonic::DIV || row.mnemonic == Mnemonic::IDIV;
  // Without memory, a byte operand DIV r8b and the like are reachable; AH is only as rax's.
  HostForm form;
  form.eax_in_rax = needs_rax;
  form.high_bytes_exchanged = exchange;
  Mem place;
  bool traps = false;
  if (use.memory && exchange && (windowed() || trusting())) {
    // The halves are exchanged when the access is made: it must not fault.
    const Gp linear = emit_segment(x.insn.segment, emit_offset(x.insn), use.memory_bytes, use.writes_memory);
    emit_probe(linear, use.memory_bytes, use.writes_memory);
    place = x86::ptr(linear.r64(), host::kDelta);
  } else if (use.memory) {
    place = emit_operand(x.insn, use.memory_bytes, use.writes_memory);
    traps = may_trap(place);
  }
  if (exchange && place.baseId() + 4u == x.insn.reg()) {
    a.mov(x86::r10d, x86::gpd(place.baseId()));
    place.setBase(x86::r10);
  }
  form.set_memory(place);
  if (divides && must_check()) emit_divisor_check(x, use, place);
  // It may fault, with rax in use.
  if (divides || (traps && needs_rax)) restore_flags();
  const FlagState flags_at_access = divides ? flags_ : prepare_flags(x, needs_rax);
  if (needs_rax) a.mov(x86::eax, x86::r8d);
  const auto exchange_halves = [&] {
    if (!exchange) return;
    // The byte register stands in ModRM.reg: the other operand is memory.
    switch (x.insn.reg()) {
      case 4:
        a.xchg(x86::al, x86::ah);
        break;
      case 5:
        a.xchg(x86::cl, x86::ch);
        break;
      case 6:
        a.xchg(x86::dl, x86::dh);
        break;
      default:
        a.xchg(x86::bl, x86::bh);
        break;
    }
  };
  exchange_halves();
  if (traps) {
    note_access(place, use.writes_memory, flags_at_access);
  } else if (divides) {
    add_site(Site::Kind::kFaultEflags, insn_);
  }
  embed(reencode(x.insn, row, x.bytes, form));
  exchange_halves();
  if (needs_rax && writes_eax(row.mnemonic)) a.mov(x86::r8d, x86::eax);
  note_flags_after(row);
  return true;
}

void Emitter::emit_divisor_check(const ScannedInsn& x, const OperandUse& use, const Mem& place) {
  save_flags();
  if (use.memory) {
    a.cmp(place, 0);
  } else if (use.uses_high_byte) {
    a.test(host::guest32(x.insn.rm() - 4u), 0xff00);
  } else {
    const Gp divisor = host::guest(x.insn.rm(), use.rm_is_byte ? 1 : x.insn.operand_size);
    a.test(divisor, divisor);
  }
  a.jz(step_label());
}

bool Emitter::emit_lea(const ScannedInsn& x) {
  if (x.insn.operand_size == 4 && x.insn.address_size == 4) {
    emit_offset_to(x.insn, host::guest32(x.insn.reg()));
    return true;
  }
  const Gp address = emit_offset(x.insn);
  if (x.insn.operand_size == 2) {
    a.mov(host::guest(x.insn.reg(), 2), address.r16());
  } else if (host::guest32(x.insn.reg()) != address) {
    a.mov(host::guest32(x.insn.reg()), address);
  }
  return true;
}

// SDM 2A 3.1.1.9, "Bit(BitBase, BitOffset)": the offset is signed and reaches beyond the operand.
bool Emitter::emit_bit_string(const ScannedInsn& x, const OperandUse& use) {
  if (x.insn.address_size != 4 || !environment_.options.inline_memory) return false;
  const bool wide = x.insn.operand_size == 4;
  const Gp offset = emit_offset(x.insn);
  save_flags();
  const Gp bit = use_value();
  if (wide) {
    a.mov(bit.r32(), host::guest32(x.insn.reg()));
  } else {
    a.movsx(bit.r32(), host::guest(x.insn.reg(), 2));
  }
  a.sar(bit.r32(), wide ? 5 : 4);
  a.movsxd(bit, bit.r32());
  a.lea(x86::r10d, x86::ptr(offset.r64(), bit, wide ? 2 : 1));
  const Gp linear = emit_segment(x.insn.segment, x86::r10d, use.memory_bytes, use.writes_memory);
  emit_probe(linear, use.memory_bytes, use.writes_memory);
  a.mov(bit.r32(), host::guest32(x.insn.reg()));
  a.and_(bit.r32(), wide ? 31 : 15);
  restore_flags();
  HostForm form;
  form.memory_base = static_cast<uint8_t>(linear.id());
  form.memory_index = static_cast<uint8_t>(host::kDelta.id());
  form.reg_instead = static_cast<uint8_t>(bit.id());
  embed(reencode(x.insn, *x.row, x.bytes, form));
  return true;
}

}  // namespace vireo::translator
