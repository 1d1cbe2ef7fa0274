// Executes NATIVE rows (x87, MMX, SSE): the instruction is re-encoded with its memory operand at a fixed host
// address and run by the host on the guest's register images, so that results, rounding and exception flags
// are silicon's.
//
// Each distinct encoding gets a thunk, generated once per process: it loads the registers that the
// instruction touches (x87: the whole FXSAVE image), executes it, and stores them back. The thunk is itself
// the Handler; it passes a plan to one of the executors in native_exec.cpp, which make the guest's checks and
// memory accesses around the core of it.
#pragma once

#include <cstdint>

#include "core/interp/handlers.h"

namespace vireo::interp {

/// What a thunk exchanges with its executor beside the register images. The thunk knows the offsets.
struct NativeExchange {
  uint64_t gpr = 0;    ///< general register operand, in and out
  uint64_t flags = 0;  ///< RFLAGS, in (FCMOVcc) and out (compares)
  uint64_t rax = 0;    ///< implicit inputs of PCMPESTRI and PCMPESTRM
  uint64_t rdx = 0;
  uint32_t host_mxcsr = 0;  ///< the thunk saves it here while the guest's is loaded
  // Fast x87 cores:
  uint16_t fsw;    ///< the host's status word after the instruction
  uint8_t st[16];  ///< the register that it gave, 10 bytes
};

/// Returns 0, or 1 when the instruction raised an unmasked SIMD exception; then no register image has
/// changed, and MXCSR is still the guest's.
using NativeCore = uint32_t (*)(FxState& fx, void* memory, NativeExchange& exchange);

/// How to run a common x87 instruction without loading and storing the whole FXSAVE image, which costs ten
/// times as much. Registers are numbered relative to ST(0) before the instruction.
struct FastX87Plan {
  enum class Operation : uint8_t {
    kCore,           ///< `core` computes on copies of the operands
    kLoadRegister,   ///< FLD ST(i)
    kStoreRegister,  ///< FST ST(i), FSTP ST(i)
    kExchange,       ///< FXCH
  };
  static constexpr uint8_t kNone = 8;

  Operation operation = Operation::kCore;
  NativeCore core = nullptr;
  uint8_t sti = kNone;     ///< the register operand ST(i)
  uint8_t needs = 0;       ///< bit i: ST(i) must not be empty
  uint8_t result = kNone;  ///< register that gets NativeExchange::st
  uint8_t pops = 0;
  bool pushes = false;      ///< the result becomes the new ST(0)
  uint16_t conditions = 0;  ///< bits C0 to C3 of the status word that it sets or clears
};

struct NativePlan {
  NativeCore core = nullptr;
  uint8_t memory_bytes = 0;  ///< 0: no memory operand
  bool loads = false;        ///< the memory operand is read
  bool stores = false;       ///< it is written
  bool aligned = false;      ///< #GP unless it is 16-byte aligned
  bool check_sse = false;    ///< touches XMM registers
  bool mmx = false;          ///< touches MMX registers: TOP becomes 0, all tags valid
  uint8_t mmx_written = 8;   ///< number of the MMX register that is written; 8: none
  bool uses_mxcsr = false;
  uint8_t gpr = 16;  ///< guest register of NativeExchange::gpr; 16: none
  bool gpr_in = false;
  uint8_t gpr_out_bytes = 0;  ///< 0: not written; 4 zero-extends
  bool flags_in = false, flags_out = false;
  bool string_compare = false;  ///< PCMPxSTRx: EAX and EDX are inputs
  bool waits = true;            ///< x87: a pending exception is raised first
  FastX87Plan fast_x87;
  bool keeps_pointers = false;  ///< x87 control instruction: FIP, FDP and FOP stay (FNINIT clears them)
};

using NativeExecutor = void (*)(Interp&, const Insn&, const NativePlan&);

/// The handler for a NATIVE row.
Handler bind_native(const Insn& insn);

}  // namespace vireo::interp
