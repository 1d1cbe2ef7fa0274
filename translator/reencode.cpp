#include "translator/reencode.h"

#include "translator/abi.h"

namespace vireo::translator {

namespace {

using isa::Insn;
using isa::InsnRow;
using isa::OpcodeMap;
using isa::OperandKind;
using isa::OperandType;

/// The encodings of 16- and 32-bit code that name the accumulator or that 64-bit mode has not, as the same
/// instruction with a ModRM byte.
struct Generic {
  uint8_t opcode;
  bool has_modrm;
  uint8_t reg;  ///< ModRM.reg: opcode extension or guest register
  bool reg_is_gpr;
  uint8_t rm;  ///< guest register, if rm_is_gpr
  bool rm_is_gpr;
  bool memory;
};

Generic generic_form(const Insn& insn, const InsnRow& row, const OperandUse& use) {
  Generic g{insn.opcode,
            row.encoding.has_modrm,
            insn.reg(),
            use.reg_is_gpr,
            insn.rm(),
            use.rm_is_gpr,
            row.encoding.has_modrm && insn.is_memory()};
  if (row.encoding.map != OpcodeMap::k1) return g;
  const uint8_t op = insn.opcode;
  if (op < 0x40 && (op & 7) >= 4 && (op & 7) <= 5) {  // ALU AL/eAX, imm
    return {
        static_cast<uint8_t>(0x80 | (op & 1)), true, static_cast<uint8_t>(op >> 3), false, 0, true, false};
  }
  if (op >= 0x40 && op < 0x50) {  // INC, DEC: REX in 64-bit mode
    return {0xff, true, static_cast<uint8_t>((op >> 3) & 1), false, static_cast<uint8_t>(op & 7),
            true, false};
  }
  if (op == 0x82) {
    g.opcode = 0x80;
    return g;
  }
  if (op > 0x90 && op < 0x98)
    return {0x87, true, 0, true, static_cast<uint8_t>(op & 7), true, false};  // XCHG
  if (op >= 0xa0 && op <= 0xa3) {  // MOV with moffs: 8A, 8B, 88, 89
    constexpr uint8_t kOpcodes[] = {0x8a, 0x8b, 0x88, 0x89};
    return {kOpcodes[op - 0xa0], true, 0, true, 0, false, true};
  }
  if (op == 0xa8 || op == 0xa9)
    return {static_cast<uint8_t>(op + 0x4e), true, 0, false, 0, true, false};  // TEST
  return g;
}

}  // namespace

OperandUse operand_use(const Insn& insn, const InsnRow& row) {
  OperandUse use;
  const bool modrm_memory = row.encoding.has_modrm && insn.is_memory();
  const auto name_gpr = [&](unsigned number, bool byte) {
    if (byte) {
      use.uses_high_byte |= number >= 4;
      use.uses_ah |= number == 4;
      use.names_al |= number == 0;
    } else {
      use.names_esp |= number == 4;
      use.names_al |= number == 0;
    }
  };
  for (unsigned i = 0; i < row.operand_count; ++i) {
    const isa::Operand& op = row.operands[i];
    const bool byte = op.type == OperandType::kB;
    switch (op.kind) {
      case OperandKind::kG:
        use.reg_is_gpr = true;
        use.reg_is_byte = byte;
        name_gpr(insn.reg(), byte);
        break;
      case OperandKind::kZ:
        use.opcode_is_gpr = true;
        use.opcode_is_byte = byte;
        name_gpr(insn.opcode_reg(), byte);
        break;
      case OperandKind::kGpr:
        if (op.number == 0) use.accumulator = true;
        break;
      case OperandKind::kE:
      case OperandKind::kR:
        if (!modrm_memory || op.kind == OperandKind::kR) {
          use.rm_is_gpr = true;
          use.rm_is_byte = byte;
          name_gpr(insn.rm(), byte);
          break;
        }
        [[fallthrough]];
      case OperandKind::kM:
      case OperandKind::kQ:
      case OperandKind::kW:
      case OperandKind::kO: {
        if (op.kind != OperandKind::kO && !modrm_memory) break;
        const unsigned bytes = isa::operand_bytes(op, insn);
        if (bytes == 0) break;
        use.memory = true;
        use.memory_bytes = static_cast<uint8_t>(bytes);
        const bool first_read_only = row.has(isa::attribute::kFirstRead);
        const bool first_write_only = row.has(isa::attribute::kFirstWritten);
        if (i == 0) {
          use.reads_memory |= !first_write_only;
          use.writes_memory |= !first_read_only;
        } else {
          use.reads_memory = true;
          if (i == 1 && row.has(isa::attribute::kSecondWritten)) use.writes_memory = true;
        }
        break;
      }
      default:
        break;
    }
  }
  return use;
}

uint8_t named_gprs_written(const isa::Insn& insn, const isa::InsnRow& row) {
  uint8_t written = 0;
  for (unsigned i = 0; i < row.operand_count && i < 2; ++i) {
    if (i == 0 ? row.has(isa::attribute::kFirstRead) : !row.has(isa::attribute::kSecondWritten)) continue;
    const isa::Operand& op = row.operands[i];
    unsigned gpr = 0;
    switch (op.kind) {
      case isa::OperandKind::kG:
        gpr = insn.reg();
        break;
      case isa::OperandKind::kE:
      case isa::OperandKind::kR:
        if (op.kind == isa::OperandKind::kE && insn.is_memory()) continue;
        gpr = insn.rm();
        break;
      case isa::OperandKind::kZ:
        gpr = insn.opcode_reg();
        break;
      case isa::OperandKind::kGpr:
        gpr = op.number;
        break;
      default:
        continue;
    }
    written |= static_cast<uint8_t>(1u << (op.type == isa::OperandType::kB ? gpr & 3 : gpr));
  }
  return written;
}

bool must_be_aligned(const isa::InsnRow& row, const OperandUse& use) {
  const bool vectors = row.insn_class == isa::InsnClass::Sse || row.insn_class == isa::InsnClass::Mmx;
  return vectors && use.memory && use.memory_bytes == 16 && !row.has(isa::attribute::kUnaligned);
}

HostInsn reencode(const Insn& insn, const InsnRow& row, std::span<const uint8_t> guest,
                  const HostForm& form) {
  const OperandUse use = operand_use(insn, row);
  const Generic g = generic_form(insn, row, use);
  const auto gpr = [&](unsigned number, bool byte) -> uint8_t {
    if (byte && number >= 4) {
      if (form.high_bytes_exchanged) {
        number -= 4;
      } else {
        return static_cast<uint8_t>(number);  // AH to BH, without REX
      }
    }
    if (number == 0 && form.eax_in_rax) return 0;
    return host::kGprOfGuest[number];
  };
  const bool moffs = g.memory && !(row.encoding.has_modrm && insn.is_memory());

  uint8_t reg = g.reg, rm = g.rm, low = 0;
  if (g.reg_is_gpr) reg = gpr(g.reg, use.reg_is_byte || (moffs && (insn.opcode & 1) == 0));
  if (form.reg_instead != 0xff) reg = form.reg_instead;
  if (g.rm_is_gpr) rm = gpr(g.rm, use.rm_is_byte || (use.opcode_is_byte && g.opcode != insn.opcode));
  uint8_t opcode = g.opcode;
  if (use.opcode_is_gpr && !g.has_modrm) {
    low = gpr(insn.opcode_reg(), use.opcode_is_byte);
    opcode = static_cast<uint8_t>((opcode & ~7) | (low & 7));
  }

  HostInsn out;
  const uint8_t mandatory = row.encoding.mandatory;
  const bool integer = row.insn_class == isa::InsnClass::Passthrough;
  constexpr uint8_t kMayHave66 = 2;  // of Encoding::prefixes
  const bool narrow =
      integer && insn.operand_size == 2 && (mandatory != 0 || row.encoding.prefixes & kMayHave66);
  if (mandatory == 0x66 || narrow) out.put(0x66);
  if (mandatory == 0xf2 || mandatory == 0xf3) out.put(mandatory);
  if (insn.lock()) out.put(0xf0);

  uint8_t rex = 0;
  if (reg & 8) rex |= 4;
  if (g.memory) {
    if (form.memory_base != HostForm::kNoBase && (form.memory_base & 8)) rex |= 1;
    if (form.memory_index & 8) rex |= 2;
  } else if ((rm & 8) && g.has_modrm) {
    rex |= 1;
  }
  if (low & 8) rex |= 1;
  if (rex != 0) out.put(0x40 | rex);

  switch (row.encoding.map) {
    case OpcodeMap::k0F:
    case OpcodeMap::k3dnow:
      out.put(0x0f);
      break;
    case OpcodeMap::k0F38:
      out.put(0x0f);
      out.put(0x38);
      break;
    case OpcodeMap::k0F3A:
      out.put(0x0f);
      out.put(0x3a);
      break;
    default:
      break;
  }
  out.put(opcode);
  if (g.has_modrm) {
    const auto field = static_cast<uint8_t>((reg & 7) << 3);
    if (!g.memory) {
      out.put(static_cast<uint8_t>(0xc0 | field | (rm & 7)));
    } else {
      // rbp and r13 as a base need a displacement; without a base, mod is 0 and base 5.
      const bool no_base = form.memory_base == HostForm::kNoBase;
      const uint8_t base = no_base ? 5 : form.memory_base & 7;
      const bool needs_disp = form.memory_disp != 0 || base == 5;
      const bool disp8 = !no_base && form.memory_disp >= -128 && form.memory_disp < 128;
      // rsp and r12 as a base, no base, and an index need a SIB byte.
      const bool sib = no_base || form.memory_index != HostForm::kNoIndex || base == 4;
      const unsigned mod = !needs_disp || no_base ? 0x00 : disp8 ? 0x40 : 0x80;
      out.put(static_cast<uint8_t>(mod | field | (sib ? 4 : base)));
      if (sib) out.put(static_cast<uint8_t>(form.memory_scale << 6 | (form.memory_index & 7) << 3 | base));
      for (unsigned i = 0; i < (!needs_disp ? 0u : disp8 ? 1u : 4u); ++i) {
        out.put(static_cast<uint8_t>(static_cast<uint32_t>(form.memory_disp) >> (8 * i)));
      }
    }
  }
  for (unsigned i = 0; i < insn.imm_size; ++i) out.put(guest[insn.length - insn.imm_size + i]);
  return out;
}

}  // namespace vireo::translator
