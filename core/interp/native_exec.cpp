#include "core/interp/native_exec.h"

#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <unordered_map>
#include <vector>

#include "core/interp/fx_state.h"
#include "core/interp/interp_inline.h"
#include "core/interp/native_code.h"
#include "core/interp/thunk_arena.h"
#include "core/interp/thunk_fpe.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

struct alignas(16) MemoryOperand {
  uint8_t bytes[16];
};

/// The upper part of an 80-bit operand wraps at the address size like any other access.
uint64_t part_offset(const Insn& insn, uint64_t offset, unsigned at) {
  return (offset + at) & (~uint64_t{0} >> (64 - 8 * insn.address_size));
}

void load_operand(Interp& interp, const Insn& insn, uint64_t offset, unsigned bytes, MemoryOperand& out) {
  const auto load = [&]<class T>(T, unsigned at) {
    const T value = interp.read<T>(insn.segment, part_offset(insn, offset, at));
    std::memcpy(out.bytes + at, &value, sizeof value);
  };
  switch (bytes) {
    case 1:
      return load(uint8_t{}, 0);
    case 2:
      return load(uint16_t{}, 0);
    case 4:
      return load(uint32_t{}, 0);
    case 8:
      return load(uint64_t{}, 0);
    case 10:
      load(uint64_t{}, 0);
      return load(uint16_t{}, 8);
    default:
      return load(MemoryOperand{}, 0);
  }
}

void store_operand(Interp& interp, const Insn& insn, uint64_t offset, unsigned bytes,
                   const MemoryOperand& value) {
  const auto store = [&]<class T>(T typed, unsigned at) {
    std::memcpy(&typed, value.bytes + at, sizeof typed);
    interp.write<T>(insn.segment, part_offset(insn, offset, at), typed);
  };
  switch (bytes) {
    case 1:
      return store(uint8_t{}, 0);
    case 2:
      return store(uint16_t{}, 0);
    case 4:
      return store(uint32_t{}, 0);
    case 8:
      return store(uint64_t{}, 0);
    case 10:
      store(uint64_t{}, 0);
      return store(uint16_t{}, 8);
    default:
      return store(MemoryOperand{}, 0);
  }
}

void set_arithmetic_flags(CpuState& cpu, uint64_t flags) {
  cpu.rflags = (cpu.rflags & ~rflags::kArithmetic) | (flags & rflags::kArithmetic);
}

void execute_simd(Interp& interp, const Insn& insn, const NativePlan& plan) {
  if (plan.check_sse) interp.check_sse();
  if (plan.mmx) interp.check_mmx();
  MemoryOperand memory;
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

/// Leaves the host's x87 unit as the ABI wants it: empty, control word 0x37f, nothing pending.
void clean_host_x87(const FxState& guest) {
  if (guest.fsw & fsw::kEs) {
    asm volatile("fninit");
  } else {
    constexpr uint16_t kHostFcw = 0x37f;
    asm volatile("emms");
    if (guest.fcw != kHostFcw) asm volatile("fldcw %0" : : "m"(kHostFcw));
  }
}

/// An unmasked response of FST, FSTP, FIST, FISTP, FISTTP or FBSTP does not store, except for inexact results
/// (SDM 1, 8.5).
bool suppresses_store(const FxState& fx, const NativePlan& plan) {
  return !plan.keeps_pointers && fx.fsw & ~fx.fcw & (fsw::kIe | fsw::kOe | fsw::kUe);
}

void execute_x87(Interp& interp, const Insn& insn, const NativePlan& plan) {
  if (plan.mmx) {
    interp.check_mmx();
  } else {
    interp.check_x87(plan.waits);
  }
  MemoryOperand memory;
  uint64_t offset = 0;
  if (plan.memory_bytes != 0) {
    offset = interp.effective_address(insn);
    if (plan.loads) load_operand(interp, insn, offset, plan.memory_bytes, memory);
  }
  CpuState& cpu = interp.cpu;
  FxState& fx = cpu.fx;
  // Whether there is a store to fault is known only after the instruction.
  std::optional<FxState> before;
  if (plan.stores) before = fx;
  const X87Pointers pointers = X87Pointers::of(fx);
  const uint32_t mxcsr_mask = fx.mxcsr_mask;
  NativeExchange exchange;
  if (plan.flags_in) exchange.flags = (cpu.rflags & rflags::kArithmetic) | rflags::kFixed1 | rflags::kIf;
  uint32_t host_mxcsr;
  asm volatile("stmxcsr %0" : "=m"(host_mxcsr));
  plan.core(fx, memory.bytes, exchange);
  asm volatile("ldmxcsr %0" : : "m"(host_mxcsr));
  clean_host_x87(fx);
  fx.mxcsr_mask = mxcsr_mask;

  if (insn.mnemonic == isa::Mnemonic::FNINIT) {
    X87Pointers{}.store(fx);
  } else {
    pointers.store(fx);
    if (!plan.keeps_pointers) {
      record_x87_instruction(cpu, insn, plan.memory_bytes != 0, offset);
    }
  }
  if (plan.stores && !suppresses_store(fx, plan)) {
    try {
      store_operand(interp, insn, offset, plan.memory_bytes, memory);
    } catch (const Fault&) {
      fx = *before;
      throw;
    }
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
    const bool x87 = isa::row(insn).insn_class == isa::InsnClass::Fpu || insn.mnemonic == isa::Mnemonic::EMMS;
    plans_.push_back(std::make_unique<NativePlan>(make_plan(insn)));
    NativePlan& plan = *plans_.back();
    const NativeCode core = x87 ? x87_core(insn, plan) : simd_core(insn, plan);
    plan.core = reinterpret_cast<NativeCore>(reinterpret_cast<uint64_t>(arena_.add(core.bytes())));
    const NativeCode entry = entry_code(&plan, x87 ? execute_x87 : execute_simd);
    return reinterpret_cast<Handler>(reinterpret_cast<uint64_t>(arena_.add(entry.bytes())));
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
