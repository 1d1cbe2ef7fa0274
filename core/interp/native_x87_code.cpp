// Fast plans and cores of x87 instructions.
#include <cstddef>

#include "core/interp/fx_state.h"
#include "core/interp/native_code.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

using isa::Mnemonic;
using isa::OperandKind;
using Operation = FastX87Plan::Operation;

constexpr uint8_t bit(unsigned i) {
  return static_cast<uint8_t>(1u << i);
}

/// Whether the register form's destination is ST(i), not ST(0).
bool writes_sti(const Insn& insn) {
  return isa::row(insn).operands[0].kind == OperandKind::kSti;
}

FastX87Plan on_st0() {
  return {.needs = bit(0), .result = 0, .conditions = fsw::kC1};
}

FastX87Plan arithmetic(const Insn& insn, uint8_t pops) {
  FastX87Plan plan = on_st0();
  plan.pops = pops;
  if (insn.is_memory()) return plan;
  plan.sti = insn.modrm & 7;
  plan.needs = static_cast<uint8_t>(plan.needs | bit(plan.sti));
  if (writes_sti(insn)) plan.result = plan.sti;
  return plan;
}

FastX87Plan compare(const Insn& insn, uint8_t pops, uint16_t conditions) {
  FastX87Plan plan = {.needs = bit(0), .pops = pops, .conditions = conditions};
  if (insn.is_memory()) return plan;
  plan.sti = insn.modrm & 7;
  plan.needs = static_cast<uint8_t>(plan.needs | bit(plan.sti));
  return plan;
}

FastX87Plan push() {
  return {.pushes = true, .conditions = fsw::kC1};
}

FastX87Plan register_move(Operation operation, const Insn& insn) {
  const uint8_t sti = insn.modrm & 7;
  FastX87Plan plan = {.operation = operation, .sti = sti, .needs = bit(0), .conditions = fsw::kC1};
  if (operation == Operation::kLoadRegister) plan.needs = bit(sti);
  if (operation == Operation::kExchange) plan.needs = static_cast<uint8_t>(bit(0) | bit(sti));
  plan.pushes = operation == Operation::kLoadRegister;
  return plan;
}

FastX87Plan store(const Insn& insn, uint8_t pops) {
  if (insn.is_memory()) return {.needs = bit(0), .pops = pops, .conditions = fsw::kC1};
  FastX87Plan plan = register_move(Operation::kStoreRegister, insn);
  plan.pops = pops;
  return plan;
}

void put_load(NativeCode& code, unsigned sti) {
  code.put({0xdb, 0xaf});  // FLD tbyte [RDI + disp32]
  code.put_value(static_cast<uint32_t>(offsetof(FxState, st) + 16 * sti));
}

void put_drop(NativeCode& code, int registers) {
  for (int i = 0; i < registers; ++i) code.put({0xdd, 0xd8});  // FSTP ST0
}

}  // namespace

bool make_fast_x87_plan(const Insn& insn, FastX87Plan& plan) {
  switch (insn.mnemonic) {
    case Mnemonic::FADD:
    case Mnemonic::FMUL:
    case Mnemonic::FSUB:
    case Mnemonic::FSUBR:
    case Mnemonic::FDIV:
    case Mnemonic::FDIVR:
    case Mnemonic::FIADD:
    case Mnemonic::FIMUL:
    case Mnemonic::FISUB:
    case Mnemonic::FISUBR:
    case Mnemonic::FIDIV:
    case Mnemonic::FIDIVR:
      plan = arithmetic(insn, 0);
      return true;
    case Mnemonic::FADDP:
    case Mnemonic::FMULP:
    case Mnemonic::FSUBP:
    case Mnemonic::FSUBRP:
    case Mnemonic::FDIVP:
    case Mnemonic::FDIVRP:
      plan = arithmetic(insn, 1);
      return plan.sti != 0;
    case Mnemonic::FCOM:
    case Mnemonic::FUCOM:
    case Mnemonic::FICOM:
      plan = compare(insn, 0, fsw::kConditions);
      return true;
    case Mnemonic::FCOMP:
    case Mnemonic::FUCOMP:
    case Mnemonic::FICOMP:
      plan = compare(insn, 1, fsw::kConditions);
      return true;
    case Mnemonic::FCOMPP:
    case Mnemonic::FUCOMPP:
      plan = compare(insn, 2, fsw::kConditions);
      return true;
    case Mnemonic::FCOMI:
    case Mnemonic::FUCOMI:
      plan = compare(insn, 0, 0);
      return true;
    case Mnemonic::FCOMIP:
    case Mnemonic::FUCOMIP:
      plan = compare(insn, 1, 0);
      return true;
    case Mnemonic::FTST:
    case Mnemonic::FXAM:
      plan = {.needs = bit(0), .conditions = fsw::kConditions};
      return true;
    case Mnemonic::FCHS:
    case Mnemonic::FABS:
    case Mnemonic::FSQRT:
    case Mnemonic::FRNDINT:
      plan = on_st0();
      return true;
    case Mnemonic::FLD:
      plan = insn.is_memory() ? push() : register_move(Operation::kLoadRegister, insn);
      return true;
    case Mnemonic::FILD:
    case Mnemonic::FLD1:
    case Mnemonic::FLDL2T:
    case Mnemonic::FLDL2E:
    case Mnemonic::FLDPI:
    case Mnemonic::FLDLG2:
    case Mnemonic::FLDLN2:
    case Mnemonic::FLDZ:
      plan = push();
      return true;
    case Mnemonic::FST:
    case Mnemonic::FIST:
      plan = store(insn, 0);
      return true;
    case Mnemonic::FSTP:
    case Mnemonic::FISTP:
    case Mnemonic::FISTTP:
      plan = store(insn, 1);
      return true;
    case Mnemonic::FXCH:
      plan = register_move(Operation::kExchange, insn);
      return true;
    default:
      return false;
  }
}

NativeCode fast_x87_core(const Insn& insn, const NativePlan& plan) {
  const FastX87Plan& fast = plan.fast_x87;
  NativeCode code;
  int depth = 0;
  if (fast.sti != FastX87Plan::kNone) {
    put_load(code, fast.sti);
    ++depth;
  }
  if (fast.needs & bit(0)) {
    put_load(code, 0);
    ++depth;
  }
  uint8_t modrm = insn.modrm;
  if (insn.is_memory()) {
    modrm = static_cast<uint8_t>((modrm & 0x38) | 6);  // [RSI]
  } else if (fast.sti != FastX87Plan::kNone) {
    modrm = static_cast<uint8_t>((modrm & ~7) | 1);
  }
  code.put({insn.opcode, modrm});
  depth += (fast.pushes ? 1 : 0) - fast.pops;
  if (plan.flags_out)
    code.put({0x9c, 0x8f, 0x42, offsetof(NativeExchange, flags)});  // PUSHFQ; POP [RDX + ..]
  code.put({0xdf, 0xe0});                                           // FNSTSW AX
  code.put({0x66, 0x89, 0x42, offsetof(NativeExchange, fsw)});      // MOV [RDX + ..], AX
  if (fast.result != FastX87Plan::kNone || fast.pushes) {
    // Beneath the old ST(0), if that is still there.
    if (!insn.is_memory() && fast.sti != FastX87Plan::kNone && writes_sti(insn) && fast.pops == 0) {
      put_drop(code, 1);
      --depth;
    }
    code.put({0xdb, 0x7a, offsetof(NativeExchange, st)});  // FSTP tbyte [RDX + ..]
    --depth;
  }
  put_drop(code, depth);
  code.put({0xc3});
  return code;
}

}  // namespace vireo::interp
