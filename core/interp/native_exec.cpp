#include "core/interp/native_exec.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "core/interp/fx_state.h"
#include "core/interp/interp_inline.h"
#include "core/interp/native_code.h"
#include "core/interp/native_operand.h"
#include "core/interp/native_x87.h"
#include "core/interp/thunk_arena.h"
#include "core/interp/thunk_fpe.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

void execute_simd(Interp& interp, const Insn& insn, const NativePlan& plan) {
  if (plan.check_sse) interp.check_sse();
  if (plan.mmx) interp.check_mmx();
  NativeMemory memory;
  uint64_t offset = 0;
  if (plan.memory_bytes != 0) {
    offset = interp.effective_address(insn);
    if (plan.aligned && (interp.cpu.segment(insn.segment).base + offset) % 16 != 0) throw_gp();
    if (plan.loads) load_operand(interp, insn, offset, plan.memory_bytes, memory);
  }
  CpuState& cpu = interp.cpu;
  NativeExchange exchange;
  if (plan.gpr_in) exchange.gpr = cpu.gpr[plan.gpr];
  if (plan.string_compare) {
    exchange.rax = cpu.reg(Gpr::kRax);
    exchange.rdx = cpu.reg(Gpr::kRdx);
  }
  // A store that faults has TOP at 0 already, but the tags still as they were.
  if (plan.mmx) set_x87_top(cpu.fx, 0);
  if (plan.mmx && !plan.stores) cpu.fx.ftw = 0xff;
  if (plan.core(cpu.fx, memory.bytes, exchange) != 0) [[unlikely]] {
    asm volatile("stmxcsr %0\n\tldmxcsr %1" : "=m"(cpu.fx.mxcsr) : "m"(exchange.host_mxcsr));
    if (plan.mmx) asm volatile("emms");
    if (!(cpu.cr4 & cr4::kOsxmmexcpt)) throw_ud();
    throw_xm();
  }
  if (plan.stores) {
    store_operand(interp, insn, offset, plan.memory_bytes, memory);
    if (plan.mmx) cpu.fx.ftw = 0xff;
  }
  if (plan.mmx_written < 8) std::memset(&cpu.fx.st[plan.mmx_written][8], 0xff, 2);
  if (plan.gpr_out_bytes == 4) {
    cpu.gpr[plan.gpr] = static_cast<uint32_t>(exchange.gpr);
  } else if (plan.gpr_out_bytes == 8) {
    cpu.gpr[plan.gpr] = exchange.gpr;
  }
  if (plan.flags_out) set_arithmetic_flags(cpu, exchange.flags);
}

/// Plans and thunks by encoding; one for all interpreters of the process.
class NativeThunks {
 public:
  NativeThunks() { catch_thunk_fpe(arena_.executable_base(), ThunkArena::kBytes); }

  Handler get(const Insn& insn) {
    const std::lock_guard lock(mutex_);
    const Key key{insn.row,
                  insn.opcode,
                  normalised_modrm(insn),
                  static_cast<uint8_t>(insn.rex),
                  static_cast<uint8_t>(insn.imm),
                  insn.operand_size};
    Handler& handler = handlers_[key.packed()];
    if (handler == nullptr) handler = make(insn);
    return handler;
  }

 private:
  struct Key {
    uint16_t row;
    uint8_t opcode, modrm, rex, imm, operand_size;
    uint64_t packed() const {
      return uint64_t{row} | uint64_t{opcode} << 16 | uint64_t{modrm} << 24 | uint64_t{rex} << 32 |
             uint64_t{imm} << 40 | uint64_t{operand_size} << 48;
    }
  };

  /// Where a memory operand is does not matter to the thunk.
  static uint8_t normalised_modrm(const Insn& insn) {
    return insn.is_memory() ? insn.modrm & 0x38 : insn.modrm;
  }

  Handler make(const Insn& insn) {
    plans_.push_back(std::make_unique<NativePlan>(make_plan(insn)));
    NativePlan& plan = *plans_.back();
    const bool x87 = isa::row(insn).insn_class == isa::InsnClass::Fpu || insn.mnemonic == isa::Mnemonic::EMMS;
    plan.core = add<NativeCore>(x87 ? x87_core(insn, plan) : simd_core(insn, plan));
    NativeExecutor executor = x87 ? execute_x87 : execute_simd;
    if (x87 && make_fast_x87_plan(insn, plan.fast_x87)) {
      executor = execute_fast_x87;
      if (plan.fast_x87.operation == FastX87Plan::Operation::kCore) {
        plan.fast_x87.core = add<NativeCore>(fast_x87_core(insn, plan));
      }
    }
    return add<Handler>(entry_code(&plan, executor));
  }

  template <class Function>
  Function add(const NativeCode& code) {
    return reinterpret_cast<Function>(reinterpret_cast<uint64_t>(arena_.add(code.bytes())));
  }

  std::mutex mutex_;
  ThunkArena arena_;
  std::vector<std::unique_ptr<NativePlan>> plans_;
  std::unordered_map<uint64_t, Handler> handlers_;
};

}  // namespace

Handler bind_native(const Insn& insn) {
  static NativeThunks thunks;
  return thunks.get(insn);
}

}  // namespace vireo::interp
