#include "tests/differential/long_mode_cpu.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "core/check.h"
#include "core/isa/decode.h"
#include "tests/differential/arena.h"
#include "tests/differential/long_mode_rewrite.h"
#include "translator/trust_policy.h"

namespace vireo::diff {
namespace {

using isa::Insn;
using isa::InsnRow;
using isa::OperandKind;
namespace attribute = isa::attribute;

/// Operands that run over 4 GiB go on there, not at 0. Nothing is there either, and CR2 is compared in 32
/// bits.
bool nothing_behind_4_gib() {
  void* const wanted = reinterpret_cast<void*>(uint64_t{1} << 32);
  void* const got = mmap(wanted, kPage, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (got == wanted) return true;
  return got == MAP_FAILED && errno == EEXIST && translator::TrustPolicy::reserved();
}

bool in_code(uint32_t linear) {
  constexpr uint32_t kLargestOperand = 512;
  return linear - (kCodeBegin - kLargestOperand) < kCodeEnd - (kCodeBegin - kLargestOperand);
}

uint32_t bit_string_offset(const InsnRow& row, const Insn& insn, const CpuImage& cpu) {
  if (!row.has(attribute::kBitString)) return 0;
  const uint32_t bits = cpu.gpr[insn.reg()];
  return static_cast<uint32_t>(
      (insn.operand_size == 2 ? static_cast<int16_t>(bits) : static_cast<int32_t>(bits)) >> 3);
}

/// Whether its data may be in the code's pages: the bytes there are others than the guest's.
bool may_read_code(const InsnRow& row, const Insn& insn, const CpuImage& cpu) {
  const auto disp = static_cast<uint32_t>(insn.disp);
  if (has_modrm_memory(row, insn)) {
    const uint32_t base = insn.base < 8 ? cpu.gpr[insn.base] : 0;
    const uint32_t index = insn.index < 8 ? cpu.gpr[insn.index] << insn.scale : 0;
    if (in_code(base + index + disp + bit_string_offset(row, insn, cpu))) return true;
  }
  if (row.insn_class == isa::InsnClass::Stack && (in_code(cpu.reg(Gpr::kRsp)) || in_code(cpu.reg(Gpr::kRbp))))
    return true;
  const bool xlat = row.mnemonic == isa::Mnemonic::XLAT;
  if (xlat && in_code(cpu.reg(Gpr::kRbx) + (cpu.reg(Gpr::kRax) & 0xff))) return true;
  if (row.has(attribute::kImplicitMemory) && !xlat) return in_code(cpu.reg(Gpr::kRdi));
  for (unsigned i = 0; i < row.operand_count; i++) {
    const OperandKind kind = row.operands[i].kind;
    if ((kind == OperandKind::kO && in_code(disp)) ||
        (kind == OperandKind::kX && in_code(cpu.reg(Gpr::kRsi))) ||
        (kind == OperandKind::kY && in_code(cpu.reg(Gpr::kRdi)))) {
      return true;
    }
  }
  return false;
}

/// The branch, if it is one, leads out of the 4 GiB that 32-bit code would wrap around in.
bool branch_wraps(const InsnRow& row, const Insn& insn, const Case& c) {
  if (row.operands[0].kind != OperandKind::kJ) return false;
  const int64_t target = int64_t{c.before.eip} + insn.length + static_cast<int64_t>(insn.imm);
  return target != static_cast<uint32_t>(target);
}

LeftOut why_not_here(const InsnRow& row, const Insn& insn, const Case& c) {
  constexpr uint32_t kMostPushed = 0x1000;
  if (row.insn_class == isa::InsnClass::Stack &&
      (c.before.reg(Gpr::kRsp) < kMostPushed || c.before.reg(Gpr::kRbp) < kMostPushed)) {
    return LeftOut::kStackWraps;
  }
  const bool loops_while = row.mnemonic == isa::Mnemonic::LOOPE || row.mnemonic == isa::Mnemonic::LOOPNE;
  if (loops_while && insn.rep()) return LeftOut::kRepLoop;
  if (branch_wraps(row, insn, c)) return LeftOut::kBranchWraps;
  return may_read_code(row, insn, c.before) ? LeftOut::kReadsCode : LeftOut::kNot;
}

/// For what the decoder refuses: it is refused in 64-bit code as well, as it is.
LeftOut why_undefined_is_not_run(const InsnRow& row, const Case& c) {
  // A moffs has 8 bytes there.
  if (row.has(attribute::kNo64) || row.operands[0].kind == OperandKind::kO ||
      row.operands[1].kind == OperandKind::kO) {
    return LeftOut::kNoSuchInsn;
  }
  // A 16-bit address may be the one byte too many.
  if (row.encoding.has_modrm && std::ranges::find(c.code.bytes, kAddressSizePrefix) != c.code.bytes.end())
    return LeftOut::k16BitAddress;
  return c.code_linear + isa::kMaxInsnLength > kCodeEnd ? LeftOut::kUndefinedAtEnd : LeftOut::kNot;
}

}  // namespace

Result<std::unique_ptr<LongModeCpu>> LongModeCpu::create() {
  if (!nothing_behind_4_gib()) return host_cannot("mmap at 4 GiB");
  std::unique_ptr<LongModeCpu> cpu(new LongModeCpu);
  if (auto begun = cpu->begin(); !begun) return begun.error();
  cpu->keeps_nt_ = cpu->enters_with_nt();
  return cpu;
}

bool LongModeCpu::enters_with_nt() {
  Case c;
  c.code.bytes = {0x90};
  c.code_linear = kCodeBegin;
  c.before.eip = kCodeBegin;
  c.before.eflags = rflags::kFixed1 | rflags::kIf | rflags::kNt;
  c.before.fx.fcw = 0x37f;
  c.before.fx.mxcsr = 0x1f80;
  memory()[kCodeBegin - kArena + 1] = kTrapByte;
  return run(c, NativeCode::for_case(c, c.code.bytes)).after.eflags & rflags::kNt;
}

NativeCode LongModeCpu::code_for(const InsnRow& row, const Case& c) const {
  NativeCode code = NativeCode::for_case(c, c.code.bytes);
  if ((c.before.eflags & rflags::kNt) && !keeps_nt_) {
    code.left_out = LeftOut::kNtLost;
    return code;
  }
  if (!c.code.decoded) {
    code.left_out = why_undefined_is_not_run(row, c);
    return code;
  }
  // Once more: its operands have got their values since.
  Insn insn;
  std::array<uint8_t, 32> window{};
  std::copy(c.code.bytes.begin(), c.code.bytes.end(), window.begin());
  CHECK(isa::decode(window, isa::CodeSize::k32, insn) == isa::DecodeStatus::kOk);
  Rewritten rewritten = rewrite_for_long_mode(row, insn, c.code.bytes);
  code = NativeCode::for_case(c, std::move(rewritten.bytes));
  code.left_out = rewritten.left_out;
  if (code.left_out == LeftOut::kNot) code.left_out = why_not_here(row, insn, c);
  return code;
}

}  // namespace vireo::diff
