// The engine contract: interpreter, translator and KVM all run the same machine through it.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/access_replay.h"
#include "core/attention.h"
#include "core/clock.h"
#include "core/cpu_state.h"
#include "core/guest_memory.h"
#include "core/io_bus.h"
#include "core/mmu.h"
#include "core/time_ledger.h"

namespace vireo {

struct CpuModel;  // core/isa/cpuid.h

/// The board's side of the INTR/INTA pins (local APIC in front of the 8259 pair).
class InterruptController {
 public:
  virtual ~InterruptController() = default;
  virtual bool interrupt_pending() const = 0;
  /// The INTA cycle: only after interrupt_pending() was true. Gives the vector (a spurious one if it went
  /// away).
  virtual uint8_t acknowledge() = 0;
};

/// Everything that a CPU's pins and buses reach. References live as long as the machine.
struct CpuContext {
  CpuState& cpu;
  GuestMemory& memory;
  Mmu& mmu;
  IoBus& ports;
  InterruptController& interrupts;
  const Clock& clock;
  Attention& attention;
  const CpuModel& model;
  /// Level of FERR# after an x87 error with CR0.NE = 0 (the board makes IRQ 13 of it).
  std::function<void(bool level)> ferr;
  /// IA32_APIC_BASE was written.
  std::function<void(uint64_t value)> apic_base_changed;
  /// Null when nobody asked for it.
  TimeLedger* time = nullptr;

  /// The guest's TSC now: TSC ticks of guest time plus cpu.tsc_offset.
  uint64_t tsc() const;
};

enum class ExitReason : uint8_t {
  kRetiredLimit,  ///< cpu.retired reached the limit
  kAttention,     ///< Attention::kExit was requested; the engine has cleared it
  kHalt,          ///< cpu.halted, and no interrupt can be taken now
  kShutdown,      ///< triple fault; cpu.shutdown is set
  kCannotRun,  ///< this engine cannot execute the instruction at CS:RIP (hardware assist only): another must
  kBroken,     ///< the host's hardware assist has failed, broken() says how; the CpuState is as it was then
};

struct RunLimits {
  /// run() ends before the instruction that would make cpu.retired exceed this, exactly.
  uint64_t retired = ~uint64_t{0};
};

class ExecutionEngine {
 public:
  virtual ~ExecutionEngine() = default;
  /// "interp", "bt", "hw".
  virtual std::string_view name() const = 0;
  /// Runs guest code until an Exit. Takes due interrupts first (also to leave HLT). All architectural state
  /// is in the CpuState on return, and may be changed by the caller between runs.
  virtual ExitReason run(const RunLimits& limits) = 0;
  /// cpu.retired counts instructions, and run() heeds the limit. Else it comes back for an Attention alone.
  virtual bool counts_instructions() const { return true; }
  /// Another engine runs next. What guest code has done and nobody has been told of, to code or to page
  /// tables, is told now, or what was made of them goes.
  virtual void end_turn() {}
  /// After ExitReason::kBroken: one sentence for the user; and whether the CpuState is an older one, because
  /// the rest could not be had any more.
  virtual std::string broken() const { return {}; }
  virtual bool state_lost() const { return false; }
  /// And the accesses to devices that the instruction at CS:RIP has made without being finished. The MMU must
  /// know of page tables what there is to know: end_turn().
  virtual std::vector<DeviceAccess> open_accesses() const { return {}; }
  /// Counters for --stats: one call of `visit` each. The name is GROUP/COUNTER; those of a group come
  /// together.
  virtual void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const = 0;
};

}  // namespace vireo
