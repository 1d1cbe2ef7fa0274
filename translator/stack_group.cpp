#include "translator/stack_group.h"

#include <algorithm>

#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/reencode.h"

namespace vireo::translator {

namespace {

using isa::Mnemonic;

constexpr unsigned kEsp = 4;
constexpr int32_t kMaxSpan = 1024;

/// What an instruction does to the stack, if that is known.
struct StackUse {
  bool known = false;
  bool access = false, write = false;
  int32_t offset = 0;  ///< of the access from ESP before the instruction
  int32_t bytes = 0;
  int32_t change = 0;  ///< of ESP
  bool last = false;
};

StackUse use_of(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  const OperandUse use = operand_use(insn, *x.row);
  StackUse s;
  switch (x.row->mnemonic) {
    case Mnemonic::PUSH:
      // A memory operand is probed by itself.
      if (insn.operand_size != 4) return s;
      return {true, true, true, -4, 4, -4, false};
    case Mnemonic::POP:
      if (insn.operand_size != 4 || !(use.opcode_is_gpr || use.rm_is_gpr) || use.names_esp) return s;
      return {true, true, false, 0, 4, 4, false};
    case Mnemonic::CALL:
      if (insn.operand_size != 4) return s;
      return {true, true, true, -4, 4, -4, true};
    case Mnemonic::RET:
      if (insn.operand_size != 4) return s;
      return {true, true, false, 0, 4, 4, true};
    case Mnemonic::JCC:
    case Mnemonic::JMP:
      s.known = x.row->mnemonic == Mnemonic::JCC || insn.opcode != 0xff;
      return s;
    case Mnemonic::ADD:
    case Mnemonic::SUB:
      if (use.rm_is_gpr && insn.rm() == kEsp && !use.reg_is_gpr) {
        if (insn.operand_size != 4) return s;
        const auto value = static_cast<int32_t>(insn.imm);
        s.known = value > -kMaxSpan && value < kMaxSpan;
        s.change = x.row->mnemonic == Mnemonic::ADD ? value : -value;
        return s;
      }
      break;
    case Mnemonic::LEA:
      if (insn.reg() == kEsp) {
        s.known = insn.operand_size == 4 && insn.address_size == 4 && insn.base == kEsp &&
                  insn.index == isa::kNoRegister && insn.disp > -kMaxSpan && insn.disp < kMaxSpan;
        s.change = static_cast<int32_t>(insn.disp);
        return s;
      }
      s.known = true;
      return s;
    default:
      break;
  }
  const bool fpu = x.row->support == isa::Support::kNative &&
                   (x.row->insn_class == isa::InsnClass::Fpu || x.row->insn_class == isa::InsnClass::Mmx ||
                    x.row->insn_class == isa::InsnClass::Sse);
  if (x.row->insn_class != isa::InsnClass::Passthrough && !fpu) return s;
  // Such an operand may have to be aligned, which its own probe looks at.
  if (fpu && use.memory_bytes >= 16 && is_stack_operand(insn, use)) return s;
  if (x.row->has(isa::attribute::kBitString) && use.memory)
    return s;  // uses the register that holds the delta
  // ESP as a register operand: fine where it is only read.
  const bool esp_written =
      use.names_esp && !(x.row->mnemonic == Mnemonic::MOV && use.reg_is_gpr &&
                         (insn.opcode == 0x89 ? insn.rm() != kEsp || use.memory : insn.reg() != kEsp));
  if (esp_written) return s;
  s.known = true;
  if (is_stack_operand(insn, use)) {
    s.known = insn.disp > -kMaxSpan && insn.disp < kMaxSpan;
    s.access = true;
    s.write = use.writes_memory;
    s.offset = static_cast<int32_t>(insn.disp);
    s.bytes = use.memory_bytes;
  }
  return s;
}

}  // namespace

bool is_stack_operand(const isa::Insn& insn, const OperandUse& use) {
  return use.memory && insn.base == kEsp && insn.index == isa::kNoRegister && insn.segment == SegReg::kSs;
}

StackGroup find_stack_group(std::span<const ScannedInsn> insns) {
  StackGroup group;
  unsigned accesses = 0;
  int32_t esp = 0;
  for (uint16_t i = 0; i < insns.size(); ++i) {
    const StackUse use = use_of(insns[i]);
    const int32_t low = std::min(group.low, esp + use.offset);
    const int32_t high = std::max(group.high, esp + use.offset + use.bytes);
    if (!use.known || (use.access && accesses > 0 && high - low > kMaxSpan)) {
      if (accesses >= 2) return group;
      accesses = 0;  // try again behind it
      continue;
    }
    if (use.access) {
      if (accesses++ == 0) {
        group = StackGroup{i, i, use.offset, use.offset + use.bytes, use.write};
        esp = 0;
      } else {
        group.low = low;
        group.high = high;
        group.writes |= use.write;
      }
      group.end = static_cast<uint16_t>(i + 1);
    }
    esp += use.change;
    if (use.last) break;
  }
  return accesses >= 2 ? group : StackGroup{};
}

}  // namespace vireo::translator
