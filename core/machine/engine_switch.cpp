#include "core/machine/engine_switch.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/interp/interp.h"
#include "core/log.h"

namespace vireo {

AssistedEngine::AssistedEngine(CpuContext& context, std::unique_ptr<ExecutionEngine> hardware,
                               std::unique_ptr<ExecutionEngine> software, bool keep_going)
    : context_(context),
      code_(context.memory),
      hardware_(std::move(hardware)),
      software_(std::move(software)),
      keep_going_(keep_going) {}

void AssistedEngine::end_turn() {
  if (!std::exchange(hardware_ran_, false)) return;
  context_.mmu.control_registers_changed();
  context_.mmu.flush();
  code_.tell_of_changes();
}

ExitReason AssistedEngine::run_software(const RunLimits& limits) {
  end_turn();
  if (!hardware_usable_) return software_->run(limits);
  const ExitReason reason = software_->run({std::min(limits.retired, software_until_)});
  if (context_.cpu.retired >= software_until_) in_software_ = false;
  return reason == ExitReason::kRetiredLimit ? ExitReason::kAttention : reason;
}

/// Of the hardware, which broke in the middle of it: no interrupt and no exit comes before its end. A REP
/// instruction goes on until its accesses have been made, at least.
void AssistedEngine::finish_instruction() {
  end_turn();
  std::vector<DeviceAccess> made = hardware_->open_accesses();
  if (made.empty()) return;
  AccessReplay replay(std::move(made));
  context_.ports.set_replay(&replay);
  context_.memory.set_replay(&replay);
  interp::Interp interp(context_);
  size_t before;
  do {
    before = replay.left();
  } while (interp.step_one() == interp::Interp::StepResult::kIncomplete && replay.left() != 0 &&
           replay.left() < before);
  context_.ports.set_replay(nullptr);
  context_.memory.set_replay(nullptr);
}

ExitReason AssistedEngine::run(const RunLimits& limits) {
  if (in_software_) return run_software(limits);
  if (!std::exchange(hardware_ran_, true)) code_.take();
  const ExitReason reason = hardware_->run({});
  if (reason == ExitReason::kBroken) {
    if (!keep_going_ || hardware_->state_lost()) return reason;
    notice(fmt::format("hardware assist has failed ({}); the machine goes on under {}", hardware_->broken(),
                       software_->name()));
    hardware_usable_ = false;
    in_software_ = true;
    finish_instruction();
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
  visit("hardware assist/pages with code compared", code_.pages());
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
  engines_[current_]->end_turn();
  current_ = (current_ + 1) % engines_.size();
  ++switches_;
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
