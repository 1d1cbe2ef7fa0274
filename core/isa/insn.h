// A decoded instruction. See insn_table.inc for the rows and decode.h for the decoder.
#pragma once

#include <cstdint>

#include "core/cpu_state.h"

namespace vireo::isa {

/// Default operand/address size of a code segment.
enum class CodeSize : uint8_t { k16, k32, k64 };

enum class Mnemonic : uint16_t;  // generated from insn_table.inc in isa/mnemonic.h

/// Prefix bits seen on an instruction.
namespace prefix {
inline constexpr uint8_t kLock = 1;
inline constexpr uint8_t kRep = 2;    ///< F3
inline constexpr uint8_t kRepne = 4;  ///< F2
inline constexpr uint8_t kOperandSize = 8;
inline constexpr uint8_t kAddressSize = 16;
inline constexpr uint8_t kSegment = 32;  ///< an override that applies
inline constexpr uint8_t kRex = 64;
inline constexpr uint8_t kVex = 128;
}  // namespace prefix

/// Register numbers in Insn::base and Insn::index.
inline constexpr uint8_t kNoRegister = 16;  ///< reads as 0
inline constexpr uint8_t kRipRegister = 17;

struct Insn {
  uint16_t row = 0;  ///< index into the rows of insn_table.inc
  Mnemonic mnemonic{};
  uint8_t length = 0;    ///< bytes, 1 to 15
  uint8_t opcode = 0;    ///< last opcode byte; its low bits hold +r and the condition code
  uint8_t modrm = 0;     ///< 0 if the row has none
  uint8_t prefixes = 0;  ///< prefix::*; mandatory prefixes are included
  uint8_t rex = 0;       ///< REX or the equivalent VEX bits: W R X B in bits 3 to 0
  uint8_t vex_vvvv = 0;  ///< VEX.vvvv as a register number
  uint8_t vex_l = 0;
  uint8_t operand_size = 0;      ///< effective size of "v" operands in bytes: 2, 4, 8
  uint8_t address_size = 0;      ///< 2, 4, 8
  SegReg segment = SegReg::kDs;  ///< of the memory operand (and of DS:rSI): override, else DS or SS by base
  uint8_t base = kNoRegister;
  uint8_t index = kNoRegister;
  uint8_t scale = 0;       ///< log2
  uint8_t disp_size = 0;   ///< bytes of displacement (or moffs) in the encoding: 0, 1, 2, 4, 8
  uint8_t imm_size = 0;    ///< bytes of the first immediate in the encoding
  uint8_t reg_number = 0;  ///< see reg()
  uint8_t rm_number = 0;
  uint8_t opcode_reg_number = 0;
  uint8_t imm2 = 0;  ///< ENTER's level, EXTRQ's second byte
  int64_t disp = 0;  ///< sign-extended; moffs unsigned
  /// Sign-extended where the operand says so. A (far pointer): offset in bits 0-31, selector in bits 32-47.
  /// J: the signed relative offset.
  uint64_t imm = 0;

  bool is_memory() const { return (modrm >> 6) != 3; }  ///< only for rows with a ModRM byte
  uint8_t mod() const { return modrm >> 6; }
  // Register numbers of ModRM.reg, ModRM.rm and +r with their REX bits.
  uint8_t reg() const { return reg_number; }
  uint8_t rm() const { return rm_number; }
  uint8_t opcode_reg() const { return opcode_reg_number; }
  /// Call when opcode, modrm and rex are set. The numbers are kept, because interpreted handlers ask every
  /// time.
  void set_register_numbers() {
    reg_number = static_cast<uint8_t>(((modrm >> 3) & 7) | ((rex & 4) << 1));
    rm_number = static_cast<uint8_t>((modrm & 7) | ((rex & 1) << 3));
    opcode_reg_number = static_cast<uint8_t>((opcode & 7) | ((rex & 1) << 3));
  }
  uint8_t condition() const { return opcode & 15; }
  bool lock() const { return prefixes & prefix::kLock; }
  bool rep() const { return prefixes & (prefix::kRep | prefix::kRepne); }
};

}  // namespace vireo::isa
