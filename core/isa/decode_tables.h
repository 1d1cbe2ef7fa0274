// The decoder's look-up tables, built from the rows.
//
// An opcode of a map leads to an OpcodeEntry, and from there by mandatory prefix, W, VEX.L, REX.B and ModRM
// (as far as its rows differ in them) to a cell that holds the row.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/isa/insn_row.h"

namespace vireo::isa {

/// How ModRM selects among an opcode's rows.
enum class ModrmSelect : uint8_t {
  kNone,     ///< it does not
  kRegMod,   ///< by reg and by mod being 3: 16 cells
  kRegByte,  ///< memory forms by reg, register forms by all of it: 72 cells
};

enum class ImmKind : uint8_t {
  kNone,
  kIb,
  kIbs,  ///< also Jb
  kIw,
  kIz,  ///< also Jz; sign-extended from 4 bytes or 2
  kIv,
  kAp,
  kO,
  kIwIb,
  kIbIb,
};

struct OpcodeEntry {
  uint32_t base = 0;  ///< first cell; 0: the opcode has no rows, but the length that the other members tell
  uint16_t prefix_stride = 0, w_stride = 0, l_stride = 0, b_stride = 0;
  ModrmSelect modrm_select = ModrmSelect::kNone;
  bool has_modrm = false;
  /// Of an instruction without a row: CPUs find its length before they find that it is undefined.
  ImmKind undefined_imm = ImmKind::kNone;
};

/// What the decoder needs of a row beyond its look-up.
struct DecodeRow {
  Mnemonic mnemonic{};
  uint16_t checks = 0;
  ImmKind imm = ImmKind::kNone;
  uint8_t size_rule = 0;  ///< index of kOperandSize
};

/// DecodeRow::checks: what is rare, so that most rows have none.
namespace decode_check {
inline constexpr uint16_t kLock = 1 << 0;  ///< LOCK is allowed
inline constexpr uint16_t kModIgnored = 1 << 1;
inline constexpr uint16_t kSreg = 1 << 2;         ///< ModRM.reg is a segment register
inline constexpr uint16_t kSregWritten = 1 << 3;  ///< ... and not CS
inline constexpr uint16_t kCreg = 1 << 4;
inline constexpr uint16_t kDreg = 1 << 5;
inline constexpr uint16_t kNoRexR = 1 << 6;  ///< ModRM.reg takes no fourth bit: MMX
inline constexpr uint16_t kNoRexB = 1 << 7;  ///< ModRM.rm, if a register, takes no fourth bit: MMX
inline constexpr uint16_t kVsib = 1 << 8;
inline constexpr uint16_t kVvvvUsed = 1 << 9;
}  // namespace decode_check

/// Operand size by rule, then by code size, REX.W and the 66 prefix: index code_size * 4 + w * 2 + prefix.
namespace size_rule {
inline constexpr uint8_t kNormal = 0;
inline constexpr uint8_t kDefault64 = 1;
inline constexpr uint8_t kForce64 = 2;
inline constexpr uint8_t kMandatory66 = 3;  ///< the 66 prefix belongs to the opcode
}  // namespace size_rule
inline constexpr uint8_t kOperandSize[4][12] = {
    {2, 4, 2, 4, 4, 2, 4, 2, 4, 2, 8, 8},
    {2, 4, 2, 4, 4, 2, 4, 2, 8, 2, 8, 8},
    {2, 4, 2, 4, 4, 2, 4, 2, 8, 8, 8, 8},
    {2, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 8},
};

struct DecodeTables {
  /// By mode (0: 16- and 32-bit code, 1: 64-bit code), map, opcode.
  std::array<std::array<std::array<OpcodeEntry, 256>, kOpcodeMaps>, 2> opcodes;
  std::vector<uint16_t> cells;  ///< row + 1, or 0: undefined. cells[0] is 0.
  std::vector<DecodeRow> rows;
  std::string conflict;  ///< find_table_conflict()
};

DecodeTables build_decode_tables();

}  // namespace vireo::isa
