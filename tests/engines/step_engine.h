// The interpreter, one step_one() at a time: no runs of cached instructions, nothing carried from one
// instruction to the next but the CpuState. It takes no interrupts.
#pragma once

#include "core/interp/interp.h"

namespace vireo::testing {

class StepEngine final : public ExecutionEngine {
 public:
  explicit StepEngine(CpuContext& context) : context_(context), interp_(context) {}

  std::string_view name() const override { return "step"; }
  ExitReason run(const RunLimits& limits) override;
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override {
    interp_.visit_stats(visit);
  }

 private:
  CpuContext& context_;
  interp::Interp interp_;
};

}  // namespace vireo::testing
