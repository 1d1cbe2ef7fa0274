// The constant data of a row of insn_table.inc: what is known about an instruction without its bytes.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "core/isa/feature.h"
#include "core/isa/insn.h"
#include "core/isa/mnemonic.h"

namespace vireo::isa {

/// The file that treats it in interpreter, translator and tests.
enum class Family : uint8_t {
  Alu,
  Shift,
  MulDiv,
  Bit,
  Move,
  Stack,
  String,
  Control,
  Segment,
  Io,
  System,
  Fpu,
  Mmx,
  Sse,
  Avx
};

/// How the translator has to treat it.
enum class InsnClass : uint8_t {
  Passthrough,  ///< integer code that runs unchanged but for its ModRM byte
  Stack,        ///< uses the stack pointer implicitly
  String,       ///< DS:rSI, ES:rDI, REP
  Control,      ///< changes the flow or may (INTO, BOUND)
  Segment,      ///< reads or writes segment registers or descriptors
  System,       ///< privileged, or sensitive without being privileged (SGDT, SMSW, CPUID ...)
  Io,
  Fpu,  ///< needs the x87 checks (CR0.EM, CR0.TS, pending #MF)
  Mmx,  ///< needs the MMX checks
  Sse,  ///< needs the SSE checks (CR4.OSFXSR)
  Avx,
};

/// Who executes it in the interpreter.
enum class Support : uint8_t { kHandler, kNative, kDecodeOnly };

namespace attribute {
inline constexpr uint32_t kLock = 1u << 0;             ///< LOCK is allowed with a memory destination
inline constexpr uint32_t kNo64 = 1u << 1;             ///< not in 64-bit mode
inline constexpr uint32_t kOnly64 = 1u << 2;           ///< only in 64-bit mode
inline constexpr uint32_t kDefault64 = 1u << 3;        ///< operand size in 64-bit mode is 8 or, with 66, 2
inline constexpr uint32_t kForce64 = 1u << 4;          ///< operand size in 64-bit mode is 8
inline constexpr uint32_t kRegOnly = 1u << 5;          ///< ModRM.mod must be 3
inline constexpr uint32_t kModIgnored = 1u << 6;       ///< ModRM.mod is taken as 3 whatever it is
inline constexpr uint32_t kRep = 1u << 7;              ///< F2 and F3 repeat it rCX times
inline constexpr uint32_t kRepWhile = 1u << 8;         ///< F3 repeats while ZF is 1, F2 while ZF is 0
inline constexpr uint32_t kUndocumented = 1u << 9;     ///< not in the SDM, or reserved there
inline constexpr uint32_t kImplicitMemory = 1u << 10;  ///< memory operand without ModRM: XLAT, MASKMOVQ ...
inline constexpr uint32_t kBitString = 1u << 11;  ///< a register bit offset reaches beyond the memory operand
inline constexpr uint32_t kFlagsIfCount = 1u << 12;  ///< flags are untouched when the masked count is 0
/// Without its Feature it executes as the row that the same bytes have without the mandatory prefix (TZCNT as
/// BSF).
inline constexpr uint32_t kElseUnprefixed = 1u << 13;
inline constexpr uint32_t kFirstRead = 1u << 14;      ///< first operand is only read
inline constexpr uint32_t kFirstWritten = 1u << 15;   ///< first operand is only written
inline constexpr uint32_t kSecondWritten = 1u << 16;  ///< second operand is read and written
inline constexpr uint32_t kVsib = 1u << 17;           ///< the index register is a vector register
inline constexpr uint32_t kNoWait = 1u << 18;         ///< x87: executes with an exception pending
inline constexpr uint32_t kUnaligned = 1u << 19;      ///< SSE: its 16-byte memory operand may be anywhere
}  // namespace attribute

/// Where an operand is. The letters are those of SDM 2D, A.2.1.
enum class OperandKind : uint8_t {
  kNone,
  kA,     ///< far pointer in the instruction
  kB,     ///< general register by VEX.vvvv
  kC,     ///< control register by ModRM.reg
  kD,     ///< debug register by ModRM.reg
  kE,     ///< general register or memory by ModRM.rm
  kG,     ///< general register by ModRM.reg
  kH,     ///< vector register by VEX.vvvv
  kI,     ///< immediate
  kJ,     ///< relative offset
  kL,     ///< vector register by the immediate's bits 7 to 4
  kM,     ///< memory by ModRM.rm
  kN,     ///< MMX register by ModRM.rm
  kO,     ///< memory at the offset in the instruction
  kP,     ///< MMX register by ModRM.reg
  kQ,     ///< MMX register or memory by ModRM.rm
  kR,     ///< general register by ModRM.rm
  kS,     ///< segment register by ModRM.reg
  kT,     ///< test register by ModRM.reg
  kU,     ///< vector register by ModRM.rm
  kV,     ///< vector register by ModRM.reg
  kW,     ///< vector register or memory by ModRM.rm
  kX,     ///< memory at DS:rSI
  kY,     ///< memory at ES:rDI
  kZ,     ///< general register by the opcode's low three bits
  kGpr,   ///< the general register Operand::number
  kSreg,  ///< the segment register Operand::number
  kXmm,   ///< the vector register Operand::number
  kSt,    ///< ST(Operand::number)
  kSti,   ///< ST(ModRM.rm)
  kOne,   ///< the constant 1
};

enum class OperandType : uint8_t {
  kNone,  ///< an address without an access (LEA, INVLPG)
  kB,
  kW,
  kD,
  kQ,
  kDq,
  kQq,
  kBs,   ///< byte, sign-extended to the operand size
  kT,    ///< 10 bytes
  kV,    ///< operand size
  kZ,    ///< 2 bytes at operand size 2, else 4
  kY,    ///< 8 bytes with REX.W in 64-bit mode, else 4
  kA,    ///< two kV (BOUND)
  kP,    ///< far pointer: kV and 2 bytes
  kS,    ///< 6 bytes, 10 in 64-bit mode (LGDT)
  kX,    ///< 16 bytes, with VEX.L 32; also ps and pd
  kEnv,  ///< 14 or 28 bytes
  kFst,  ///< 94 or 108 bytes
  kFx,   ///< 512 bytes
};

struct Operand {
  OperandKind kind = OperandKind::kNone;
  OperandType type = OperandType::kNone;
  uint8_t number = 0;  ///< of a fixed register
};

/// Masks of RFLAGS bits.
struct FlagEffects {
  uint32_t tested = 0;
  uint32_t modified = 0;  ///< all that are not untouched, so including the next three
  uint32_t undefined = 0;
  uint32_t cleared = 0;
  uint32_t set = 0;
};

enum class OpcodeMap : uint8_t { k1, k0F, k0F38, k0F3A, k3dnow, kVex0F, kVex0F38, kVex0F3A };
inline constexpr unsigned kOpcodeMaps = 8;

/// The encodings that a row stands for: a set in each of these dimensions.
struct Encoding {
  OpcodeMap map = OpcodeMap::k1;
  uint8_t opcode = 0;        ///< first
  uint8_t opcode_count = 1;  ///< 1, 8 (+r) or 16 (+cc)
  bool has_modrm = false;
  uint8_t prefixes = 15;        ///< allowed: bit 0 none, 1: 66, 2: F3, 3: F2
  uint8_t w = 3, l = 3, b = 3;  ///< allowed values of W, VEX.L, REX.B: bit 0 for 0, bit 1 for 1
  uint8_t modes = 3;            ///< bit 0: 16- and 32-bit code; bit 1: 64-bit code
  uint8_t mandatory = 0;        ///< the mandatory prefix byte, or 0
  std::array<uint64_t, 4> modrm = {~0ull, ~0ull, ~0ull, ~0ull};  ///< allowed ModRM bytes

  bool allows_modrm(uint8_t byte) const { return (modrm[byte >> 6] >> (byte & 63)) & 1; }
  bool vex() const { return map >= OpcodeMap::kVex0F; }
};

struct InsnRow {
  Mnemonic mnemonic{};
  Support support{};
  Family family{};
  InsnClass insn_class{};
  Feature feature{};
  uint8_t operand_count = 0;
  uint32_t attributes = 0;
  FlagEffects flags;
  std::array<Operand, 4> operands;
  Encoding encoding;
  std::string_view encoding_text, operand_text;  ///< as in insn_table.inc

  bool has(uint32_t attributes_) const { return attributes & attributes_; }
  std::string_view name() const { return mnemonic_name(mnemonic); }
};

/// All rows, in the order of insn_table.inc; Insn::row is an index.
std::span<const InsnRow> rows();
inline const InsnRow& row(uint16_t index) {
  return rows()[index];
}
inline const InsnRow& row(const Insn& insn) {
  return rows()[insn.row];
}

/// RFLAGS bits that condition code `cc` (0 to 15) tests.
uint32_t condition_flags(uint8_t cc);

/// Bytes of an operand of this instruction; 0 for an address without access.
unsigned operand_bytes(Operand operand, const Insn& insn);

}  // namespace vireo::isa
