#include "core/interp/native_code.h"

#include <cstddef>
#include <string_view>

#include "core/check.h"
#include "core/interp/fx_state.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

using isa::InsnRow;
using isa::Mnemonic;
using isa::Operand;
using isa::OperandKind;

// Registers in a core: RDI = FxState, RSI = memory operand, R8 = NativeExchange. The guest's general register
// operand is in ECX. PCMPxSTRx also uses EAX and EDX, and ECX for its result.
constexpr uint8_t kGprInCore = 1;

bool is_memory_or_register(OperandKind kind) {
  return kind == OperandKind::kE || kind == OperandKind::kQ || kind == OperandKind::kW ||
         kind == OperandKind::kM;
}

/// The operand's register number and whether it is a general, MMX or XMM register in this instruction.
struct RegisterUse {
  enum class File : uint8_t { kNone, kGpr, kMmx, kXmm };
  File file = File::kNone;
  uint8_t number = 0;
  bool in_rm = false;
};

RegisterUse register_use(const Operand& operand, const Insn& insn) {
  using File = RegisterUse::File;
  if (is_memory_or_register(operand.kind) && insn.is_memory()) return {};
  switch (operand.kind) {
    case OperandKind::kE:
    case OperandKind::kR:
      return {File::kGpr, insn.rm(), true};
    case OperandKind::kG:
      return {File::kGpr, insn.reg(), false};
    case OperandKind::kQ:
    case OperandKind::kN:
      return {File::kMmx, static_cast<uint8_t>(insn.modrm & 7), true};
    case OperandKind::kP:
      return {File::kMmx, static_cast<uint8_t>((insn.modrm >> 3) & 7), false};
    case OperandKind::kW:
    case OperandKind::kU:
      return {File::kXmm, insn.rm(), true};
    case OperandKind::kV:
      return {File::kXmm, insn.reg(), false};
    case OperandKind::kXmm:
      return {File::kXmm, operand.number, false};
    default:
      return {};
  }
}

bool is_vector(OperandKind kind) {
  return kind == OperandKind::kV || kind == OperandKind::kW || kind == OperandKind::kU ||
         kind == OperandKind::kXmm;
}

bool is_string_compare(Mnemonic mnemonic) {
  return mnemonic == Mnemonic::PCMPESTRI || mnemonic == Mnemonic::PCMPESTRM ||
         mnemonic == Mnemonic::PCMPISTRI || mnemonic == Mnemonic::PCMPISTRM;
}

/// Everything that computes on floating-point numbers does; what only moves, shuffles or works on integers
/// does not.
bool reads_mxcsr(std::string_view name) {
  for (const std::string_view start : {"P", "MOV", "AND", "OR", "XOR", "SHUF", "UNPCK", "BLEND", "EXTRACT",
                                       "INSERT", "LDDQU", "AES", "SHA"}) {
    if (name.starts_with(start)) return false;
  }
  return true;
}

/// The instruction itself, with memory at [RSI] and the general register operand renamed to ECX.
void put_instruction(NativeCode& code, const Insn& insn) {
  const InsnRow& row = isa::row(insn);
  uint8_t rex = insn.rex;
  uint8_t modrm = insn.modrm;
  if (row.encoding.has_modrm) {
    for (const Operand& operand : row.operands) {
      const RegisterUse use = register_use(operand, insn);
      if (use.file != RegisterUse::File::kGpr) continue;
      if (use.in_rm) {
        modrm = static_cast<uint8_t>((modrm & ~7) | kGprInCore);
        rex &= ~1;
      } else {
        modrm = static_cast<uint8_t>((modrm & ~0x38) | kGprInCore << 3);
        rex &= ~4;
      }
    }
    if (insn.is_memory()) {
      constexpr uint8_t kAtRsi = 6;  // mod 0
      modrm = static_cast<uint8_t>((modrm & 0x38) | kAtRsi);
      rex &= ~3;
    }
  }
  if (row.encoding.mandatory != 0) code.put({row.encoding.mandatory});
  if (rex & 15) code.put({static_cast<uint8_t>(0x40 | (rex & 15))});
  switch (row.encoding.map) {
    case isa::OpcodeMap::k1:
      break;
    case isa::OpcodeMap::k0F:
      code.put({0x0f});
      break;
    case isa::OpcodeMap::k0F38:
      code.put({0x0f, 0x38});
      break;
    case isa::OpcodeMap::k0F3A:
      code.put({0x0f, 0x3a});
      break;
    default:
      CHECK(!"no native row is in this opcode map");
  }
  code.put({insn.opcode});
  if (row.encoding.has_modrm) code.put({modrm});
  if (insn.imm_size != 0) code.put({static_cast<uint8_t>(insn.imm)});
}

constexpr uint8_t kGprOffset = offsetof(NativeExchange, gpr);
constexpr uint8_t kFlagsOffset = offsetof(NativeExchange, flags);
constexpr uint8_t kRaxOffset = offsetof(NativeExchange, rax);
constexpr uint8_t kRdxOffset = offsetof(NativeExchange, rdx);
constexpr uint8_t kHostMxcsrOffset = offsetof(NativeExchange, host_mxcsr);
constexpr uint8_t kMxcsrOffset = offsetof(FxState, mxcsr);

void put_xmm_move(NativeCode& code, unsigned number, bool store) {
  if (number >= 8) code.put({0x44});
  const uint8_t opcode = store ? 0x29 : 0x28;  // MOVAPS [RDI + disp32]
  code.put({0x0f, opcode, static_cast<uint8_t>(0x87 | (number & 7) << 3)});
  code.put_value(static_cast<uint32_t>(offsetof(FxState, xmm) + 16 * number));
}

void put_mmx_move(NativeCode& code, unsigned number, bool store) {
  const uint8_t opcode = store ? 0x7f : 0x6f;  // MOVQ [RDI + disp32]
  code.put({0x0f, opcode, static_cast<uint8_t>(0x87 | number << 3)});
  code.put_value(static_cast<uint32_t>(offsetof(FxState, st) + 16 * number));
}

void put_register_moves(NativeCode& code, const Insn& insn, bool store) {
  uint32_t xmm_done = 0, mmx_done = 0;
  const auto move = [&](const RegisterUse& use) {
    uint32_t& done = use.file == RegisterUse::File::kXmm ? xmm_done : mmx_done;
    if (done & (1u << use.number)) return;
    done |= 1u << use.number;
    if (use.file == RegisterUse::File::kXmm) put_xmm_move(code, use.number, store);
    if (use.file == RegisterUse::File::kMmx) put_mmx_move(code, use.number, store);
  };
  for (const Operand& operand : isa::row(insn).operands) {
    const RegisterUse use = register_use(operand, insn);
    if (use.file == RegisterUse::File::kXmm || use.file == RegisterUse::File::kMmx) move(use);
  }
  if (is_string_compare(insn.mnemonic)) move({RegisterUse::File::kXmm, 0, false});  // result of the M forms
}

void put_flags_in(NativeCode& code) {
  code.put({0x41, 0xff, 0x70, kFlagsOffset, 0x9d});  // PUSH [R8 + ..]; POPFQ
}
void put_flags_out(NativeCode& code) {
  code.put({0x9c, 0x41, 0x8f, 0x40, kFlagsOffset});  // PUSHFQ; POP [R8 + ..]
}
// Giving MXCSR another value costs some 300 cycles in front of arithmetic (measured on a Sapphire Rapids
// Xeon), reading it next to nothing. So the guest's is loaded only if it differs, and its exception flags,
// which mean nothing to the host, are left behind; control bits are not.
void put_guest_mxcsr(NativeCode& code) {
  code.put({0x41, 0x0f, 0xae, 0x58, kHostMxcsrOffset});  // STMXCSR [R8 + ..]
  code.put({0x41, 0x8b, 0x40, kHostMxcsrOffset});        // MOV EAX, [R8 + ..]
  code.put({0x3b, 0x47, kMxcsrOffset});                  // CMP EAX, [RDI + ..]
  code.put({0x74, 0x04});                                // JE over
  code.put({0x0f, 0xae, 0x57, kMxcsrOffset});            // LDMXCSR [RDI + ..]
}
void put_host_mxcsr(NativeCode& code) {
  constexpr uint32_t kControlBits = 0xffc0;
  code.put({0x0f, 0xae, 0x5f, kMxcsrOffset});      // STMXCSR [RDI + ..]
  code.put({0x8b, 0x47, kMxcsrOffset});            // MOV EAX, [RDI + ..]
  code.put({0x41, 0x33, 0x40, kHostMxcsrOffset});  // XOR EAX, [R8 + ..]
  code.put({0xa9});                                // TEST EAX, imm32
  code.put_value(kControlBits);
  code.put({0x74, 0x05});                                // JZ over
  code.put({0x41, 0x0f, 0xae, 0x50, kHostMxcsrOffset});  // LDMXCSR [R8 + ..]
}
void put_return_0(NativeCode& code) {
  code.put({0x31, 0xc0, 0xc3});
}

}  // namespace

NativePlan make_plan(const Insn& insn) {
  const InsnRow& row = isa::row(insn);
  NativePlan plan;
  const bool memory = row.encoding.has_modrm && insn.is_memory();
  for (unsigned i = 0; i < row.operand_count; ++i) {
    const Operand& operand = row.operands[i];
    const bool first = i == 0;
    const bool written =
        first ? !row.has(isa::attribute::kFirstRead) : i == 1 && row.has(isa::attribute::kSecondWritten);
    const bool read = !first || !row.has(isa::attribute::kFirstWritten);
    const RegisterUse use = register_use(operand, insn);
    plan.check_sse |= is_vector(operand.kind);
    if (memory && is_memory_or_register(operand.kind)) {
      plan.memory_bytes = static_cast<uint8_t>(isa::operand_bytes(operand, insn));
      plan.loads = read;
      plan.stores = written;
    }
    switch (use.file) {
      case RegisterUse::File::kNone:
      case RegisterUse::File::kXmm:
        break;
      case RegisterUse::File::kMmx:
        plan.mmx = true;
        if (written) plan.mmx_written = use.number;
        break;
      case RegisterUse::File::kGpr:
        plan.gpr = use.number;
        plan.gpr_in = read;
        if (written) plan.gpr_out_bytes = insn.rex & 8 ? 8 : 4;
        break;
    }
  }
  plan.aligned = plan.check_sse && plan.memory_bytes == 16 && !row.has(isa::attribute::kUnaligned);
  plan.uses_mxcsr = plan.check_sse && reads_mxcsr(row.name());
  plan.flags_out = row.flags.modified != 0;
  // An unmasked exception keeps a compare from setting flags, so it starts with the guest's.
  plan.flags_in = row.flags.tested != 0 || plan.flags_out;
  plan.waits = !row.has(isa::attribute::kNoWait);
  plan.keeps_pointers = keeps_x87_pointers(insn.mnemonic);
  if (insn.mnemonic == Mnemonic::EMMS) plan.mmx = true;
  plan.string_compare = is_string_compare(insn.mnemonic);
  if (insn.mnemonic == Mnemonic::PCMPESTRI || insn.mnemonic == Mnemonic::PCMPISTRI) {
    plan.gpr = static_cast<uint8_t>(Gpr::kRcx);
    plan.gpr_out_bytes = 4;
  }
  return plan;
}

NativeCode x87_core(const Insn& insn, const NativePlan& plan) {
  NativeCode code;
  code.put({0x49, 0x89, 0xd0});  // MOV R8, RDX
  code.put({0x0f, 0xae, 0x0f});  // FXRSTOR [RDI]
  if (plan.flags_in) put_flags_in(code);
  put_instruction(code, insn);
  if (plan.flags_out) put_flags_out(code);
  code.put({0x0f, 0xae, 0x07});  // FXSAVE [RDI]
  put_return_0(code);
  return code;
}

NativeCode simd_core(const Insn& insn, const NativePlan& plan) {
  NativeCode code;
  code.put({0x49, 0x89, 0xd0});  // MOV R8, RDX
  put_register_moves(code, insn, false);
  if (plan.gpr_in) code.put({0x49, 0x8b, 0x48, kGprOffset});  // MOV RCX, [R8 + ..]
  if (plan.string_compare) {
    code.put({0x49, 0x8b, 0x40, kRaxOffset});  // MOV RAX, [R8 + ..]
    code.put({0x49, 0x8b, 0x50, kRdxOffset});  // MOV RDX, [R8 + ..]
  }
  if (plan.uses_mxcsr) put_guest_mxcsr(code);
  put_instruction(code, insn);
  if (plan.flags_out) put_flags_out(code);
  if (plan.gpr_out_bytes != 0) code.put({0x49, 0x89, 0x48, kGprOffset});  // MOV [R8 + ..], RCX
  put_register_moves(code, insn, true);
  if (plan.uses_mxcsr) put_host_mxcsr(code);
  if (plan.mmx) code.put({0x0f, 0x77});  // EMMS
  put_return_0(code);
  return code;
}

NativeCode entry_code(const NativePlan* plan, NativeExecutor executor) {
  NativeCode code;
  code.put({0x48, 0xba});  // MOV RDX, imm64
  code.put_value(reinterpret_cast<uint64_t>(plan));
  code.put({0x48, 0xb8});  // MOV RAX, imm64
  code.put_value(reinterpret_cast<uint64_t>(executor));
  code.put({0xff, 0xe0});  // JMP RAX
  return code;
}

}  // namespace vireo::interp
