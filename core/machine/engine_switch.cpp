#include "core/machine/engine_switch.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/log.h"

namespace vireo {

namespace {

/// Another engine has executed: page tables and code may be others, and the registers are.
void forget_caches(CpuContext& context) {
  context.mmu.control_registers_changed();
  context.mmu.flush();
  context.memory.contents_replaced();
}

}  // namespace

AssistedEngine::AssistedEngine(CpuContext& context, std::unique_ptr<ExecutionEngine> hardware,
                               std::unique_ptr<ExecutionEngine> software, bool keep_going)
    : context_(context),
      hardware_(std::move(hardware)),
      software_(std::move(software)),
      keep_going_(keep_going) {}

ExitReason AssistedEngine::run_software(const RunLimits& limits) {
  if (std::exchange(hardware_ran_, false)) forget_caches(context_);
  if (!hardware_usable_) return software_->run(limits);
  const ExitReason reason = software_->run({std::min(limits.retired, software_until_)});
  if (context_.cpu.retired >= software_until_) in_software_ = false;
  return reason == ExitReason::kRetiredLimit ? ExitReason::kAttention : reason;
}

ExitReason AssistedEngine::run(const RunLimits& limits) {
  if (in_software_) return run_software(limits);
  hardware_ran_ = true;
  const ExitReason reason = hardware_->run({});
  if (reason == ExitReason::kBroken) {
    if (!keep_going_ || hardware_->state_lost()) return reason;
    notice(fmt::format("hardware assist has failed ({}); the machine goes on under {}", hardware_->broken(),
                       software_->name()));
    hardware_usable_ = false;
    in_software_ = true;
    return ExitReason::kAttention;
  }
  if (reason != ExitReason::kCannotRun) {
    if (++good_runs_ == kGoodRuns) burst_ = kFirstBurst;
    return reason;
  }
  ++to_software_;
  burst_ = good_runs_ < kGoodRuns ? std::min(burst_ * 2, kLongestBurst) : kFirstBurst;
  good_runs_ = 0;
  software_until_ = context_.cpu.retired + burst_;
  in_software_ = true;
  return run_software(limits);
}

void AssistedEngine::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("hardware assist/turns of software", to_software_);
  hardware_->visit_stats(visit);
  software_->visit_stats(visit);
}

RotatingEngine::RotatingEngine(CpuContext& context, std::vector<std::unique_ptr<ExecutionEngine>> engines,
                               uint64_t runs)
    : context_(context), engines_(std::move(engines)), runs_(runs) {
  for (const auto& engine : engines_) name_ += fmt::format("{}{}", name_.empty() ? "" : ", ", engine->name());
}

ExitReason RotatingEngine::run(const RunLimits& limits) {
  const ExitReason reason = engines_[current_]->run(limits);
  if (++done_ < runs_ || reason == ExitReason::kBroken) return reason;
  done_ = 0;
  // Software engines share the MMU, and are told of each other's writes to code.
  const bool untold = !engines_[current_]->counts_instructions();
  current_ = (current_ + 1) % engines_.size();
  ++switches_;
  if (untold) forget_caches(context_);
  return reason;
}

bool RotatingEngine::counts_instructions() const {
  return std::all_of(engines_.begin(), engines_.end(),
                     [](const auto& e) { return e->counts_instructions(); });
}

void RotatingEngine::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("machine/switches of engines", switches_);
  for (const auto& engine : engines_) engine->visit_stats(visit);
}

}  // namespace vireo
