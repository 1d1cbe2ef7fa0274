#include "tests/engines/step_engine.h"

namespace vireo::testing {

ExitReason StepEngine::run(const RunLimits& limits) {
  CpuState& cpu = context_.cpu;
  constexpr unsigned kFaultsPerRun = 10'000;
  unsigned faults = 0;
  for (;;) {
    if (cpu.shutdown) return ExitReason::kShutdown;
    if (cpu.retired >= limits.retired) return ExitReason::kRetiredLimit;
    if (context_.attention.bits() & Attention::kExit) {
      context_.attention.clear(Attention::kExit);
      return ExitReason::kAttention;
    }
    if (cpu.halted) return ExitReason::kHalt;
    using StepResult = interp::Interp::StepResult;
    if (interp_.step_one() == StepResult::kFault && ++faults == kFaultsPerRun) return ExitReason::kAttention;
  }
}

}  // namespace vireo::testing
