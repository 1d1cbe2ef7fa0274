#include "core/interp/native_x87.h"

#include <emmintrin.h>

#include <bit>
#include <optional>
#include <utility>

#include "core/interp/ferr.h"
#include "core/interp/fx_state.h"
#include "core/interp/native_operand.h"
#include "core/isa/mnemonic.h"

namespace vireo::interp {

namespace {

constexpr uint16_t kHostFcw = 0x37f;

/// Leaves the host's x87 unit as the ABI wants it: empty, control word 0x37f, nothing pending.
void clean_host_x87(const FxState& guest) {
  if (guest.fsw & fsw::kEs) {
    asm volatile("fninit");
  } else {
    asm volatile("emms");
    if (guest.fcw != kHostFcw) asm volatile("fldcw %0" : : "m"(kHostFcw));
  }
}

/// An unmasked response of FST, FSTP, FIST, FISTP, FISTTP or FBSTP does not store, except for inexact results
/// (SDM 1, 8.5).
bool suppresses_store(const FxState& fx, const NativePlan& plan) {
  return !plan.keeps_pointers && fx.fsw & ~fx.fcw & (fsw::kIe | fsw::kOe | fsw::kUe);
}

/// Runs the instruction on the whole image, its memory operand already read.
void run_on_image(Interp& interp, const Insn& insn, const NativePlan& plan, uint64_t offset,
                  NativeMemory& memory) {
  CpuState& cpu = interp.cpu;
  FxState& fx = cpu.fx;
  // Whether there is a store to fault is known only after the instruction.
  std::optional<FxState> before;
  if (plan.stores) before = fx;
  const X87Pointers pointers = X87Pointers::of(fx);
  const uint32_t mxcsr_mask = fx.mxcsr_mask;
  const uint16_t old_status = fx.fsw;
  // With CR0.NE = 0 and IGNNE# active an instruction executes although an error is pending; here it would
  // trap.
  const bool ignored_error = plan.waits && (old_status & fsw::kEs);
  if (ignored_error) fx.fsw = static_cast<uint16_t>(old_status & ~(fsw::kExceptions | fsw::kEs | fsw::kB));

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
    if (!plan.keeps_pointers) record_x87_instruction(cpu, insn, plan.memory_bytes != 0, offset);
  }
  const bool suppressed = suppresses_store(fx, plan);
  if (ignored_error) {
    set_x87_control(fx, fx.fcw, static_cast<uint16_t>(fx.fsw | (old_status & fsw::kExceptions)));
  }
  if (plan.stores && !suppressed) {
    try {
      store_operand(interp, insn, offset, plan.memory_bytes, memory);
    } catch (const Fault&) {
      fx = *before;
      throw;
    }
  }
  if (plan.flags_out) set_arithmetic_flags(cpu, exchange.flags);
  release_ferr(interp, old_status);
}

uint64_t operand_offset(Interp& interp, const Insn& insn, const NativePlan& plan, NativeMemory& memory) {
  if (plan.memory_bytes == 0) return 0;
  const uint64_t offset = interp.effective_address(insn);
  if (plan.loads) load_operand(interp, insn, offset, plan.memory_bytes, memory);
  return offset;
}

using Register = __m128i;

Register* registers(FxState& fx) {
  return reinterpret_cast<Register*>(fx.st.data());
}

/// The image is in stack order, so moving TOP moves every register.
void push_register(FxState& fx, Register value) {
  Register* st = registers(fx);
  for (unsigned i = 7; i > 0; --i) st[i] = st[i - 1];
  st[0] = value;
  const unsigned top = (x87_top(fx) - 1) & 7;
  fx.fsw = static_cast<uint16_t>((fx.fsw & ~fsw::kTop) | top << fsw::kTopShift);
  fx.ftw = static_cast<uint8_t>(fx.ftw | 1u << top);
}

void pop_register(FxState& fx) {
  Register* st = registers(fx);
  const Register popped = st[0];
  for (unsigned i = 0; i < 7; ++i) st[i] = st[i + 1];
  st[7] = popped;
  const unsigned top = x87_top(fx);
  fx.ftw = static_cast<uint8_t>(fx.ftw & ~(1u << top));
  fx.fsw = static_cast<uint16_t>((fx.fsw & ~fsw::kTop) | ((top + 1) & 7) << fsw::kTopShift);
}

/// Runs `core` with exceptions masked; the host's status word afterwards. Exception flags that it shows
/// without being the guest's before are new.
uint16_t run_fast_core(const FastX87Plan& fast, FxState& fx, NativeMemory& memory, NativeExchange& exchange) {
  constexpr uint16_t kRoundingAndPrecision = 0x0f00;
  uint16_t host_status;
  asm volatile("fnstsw %0" : "=a"(host_status));
  if (host_status & fsw::kExceptions & ~fx.fsw) asm volatile("fnclex");
  const bool same_control = ((fx.fcw ^ kHostFcw) & kRoundingAndPrecision) == 0;
  if (!same_control) {
    const uint16_t masked = fx.fcw | fsw::kExceptions;
    asm volatile("fldcw %0" : : "m"(masked));
  }
  fast.core(fx, memory.bytes, exchange);
  if (!same_control) asm volatile("fldcw %0" : : "m"(kHostFcw));
  return exchange.fsw;
}

}  // namespace

void execute_x87(Interp& interp, const Insn& insn, const NativePlan& plan) {
  if (plan.mmx) {
    interp.check_mmx();
  } else {
    interp.check_x87(plan.waits);
  }
  NativeMemory memory;
  const uint64_t offset = operand_offset(interp, insn, plan, memory);
  run_on_image(interp, insn, plan, offset, memory);
}

void execute_fast_x87(Interp& interp, const Insn& insn, const NativePlan& plan) {
  interp.check_x87(true);
  NativeMemory memory;
  const uint64_t offset = operand_offset(interp, insn, plan, memory);

  const FastX87Plan& fast = plan.fast_x87;
  CpuState& cpu = interp.cpu;
  FxState& fx = cpu.fx;
  const uint8_t full = std::rotr(fx.ftw, static_cast<int>(x87_top(fx)));  // bit i: ST(i) is not empty
  const bool stack_fault = (full & fast.needs) != fast.needs || (fast.pushes && (full & 0x80));
  // Unmasked, underflow is raised for exact results too, which the masked response of a core does not show.
  if (stack_fault || (fx.fsw & fsw::kEs) || !(fx.fcw & fsw::kUe)) [[unlikely]] {
    return run_on_image(interp, insn, plan, offset, memory);
  }

  uint16_t status = 0;
  Register* st = registers(fx);
  switch (fast.operation) {
    case FastX87Plan::Operation::kCore: {
      NativeExchange exchange;
      status = run_fast_core(fast, fx, memory, exchange);
      if (status & fsw::kExceptions & ~fx.fcw) [[unlikely]] {
        return run_on_image(interp, insn, plan, offset, memory);
      }
      if (plan.stores) store_operand(interp, insn, offset, plan.memory_bytes, memory);
      if (plan.flags_out) set_arithmetic_flags(cpu, exchange.flags);
      if (fast.result != FastX87Plan::kNone || fast.pushes) {
        uint64_t significand;
        uint16_t exponent;
        std::memcpy(&significand, exchange.st, sizeof significand);
        std::memcpy(&exponent, exchange.st + 8, sizeof exponent);
        const Register value = _mm_set_epi64x(exponent, static_cast<int64_t>(significand));
        if (fast.pushes) {
          push_register(fx, value);
        } else {
          st[fast.result] = value;
        }
      }
      break;
    }
    case FastX87Plan::Operation::kLoadRegister:
      push_register(fx, st[fast.sti]);
      break;
    case FastX87Plan::Operation::kStoreRegister:
      st[fast.sti] = st[0];
      fx.ftw = static_cast<uint8_t>(fx.ftw | 1u << ((x87_top(fx) + fast.sti) & 7));
      break;
    case FastX87Plan::Operation::kExchange:
      std::swap(st[0], st[fast.sti]);
      break;
  }
  for (unsigned i = 0; i < fast.pops; ++i) pop_register(fx);
  fx.fsw =
      static_cast<uint16_t>((fx.fsw & ~fast.conditions) | (status & (fast.conditions | fsw::kExceptions)));
  fx.fip = static_cast<uint32_t>(cpu.rip);
  fx.fcs = cpu.segment(SegReg::kCs).selector;
}

}  // namespace vireo::interp
