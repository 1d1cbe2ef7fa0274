// Engines that change while the machine runs. All state is in the CpuState when one comes back, so the next
// goes on from there. Software engines share the MMU, and are told of each other's stores to code; the
// hardware assist tells nobody of anything.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/code_snapshot.h"
#include "core/engine.h"

namespace vireo {

/// Hardware assist, and software for what that cannot run: as long as it takes, then back. What fails again
/// soon is left to software for ever longer, so that nothing goes back and forth all the time.
class AssistedEngine final : public ExecutionEngine {
 public:
  /// `keep_going`: when the hardware assist breaks, software goes on (after a notice). Else run() says
  /// kBroken.
  AssistedEngine(CpuContext& context, std::unique_ptr<ExecutionEngine> hardware,
                 std::unique_ptr<ExecutionEngine> software, bool keep_going);

  /// Whose the machine is: the hardware's, however much software helps, until it breaks.
  std::string_view name() const override { return hardware_usable_ ? hardware_->name() : software_->name(); }
  ExitReason run(const RunLimits& limits) override;
  bool counts_instructions() const override { return !hardware_usable_; }
  void end_turn() override;
  std::string broken() const override { return hardware_->broken(); }
  bool state_lost() const override { return hardware_->state_lost(); }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override;

 private:
  /// Instructions that software executes for each failure: at first, and at most.
  static constexpr uint64_t kFirstBurst = 1, kLongestBurst = 1 << 22;
  /// Runs of the hardware without a failure after which the next one is a first one again.
  static constexpr unsigned kGoodRuns = 16;

  ExitReason run_software(const RunLimits& limits);
  void finish_instruction();

  CpuContext& context_;
  CodeSnapshot code_;
  std::unique_ptr<ExecutionEngine> hardware_, software_;
  const bool keep_going_;
  bool hardware_usable_ = true;
  bool hardware_ran_ = false;  ///< since the latest end_turn()
  bool in_software_ = false;
  uint64_t software_until_ = 0;  ///< cpu.retired
  uint64_t burst_ = kFirstBurst;
  unsigned good_runs_ = 0;
  uint64_t to_software_ = 0;
};

/// --switch-every: takes turns, to show that it makes no difference which engine runs.
class RotatingEngine final : public ExecutionEngine {
 public:
  /// Each comes back from `runs` runs before the next has its turn.
  RotatingEngine(CpuContext& context, std::vector<std::unique_ptr<ExecutionEngine>> engines, uint64_t runs);

  /// "bt, interp, hw".
  std::string_view name() const override { return name_; }
  ExitReason run(const RunLimits& limits) override;
  bool counts_instructions() const override;
  std::string broken() const override { return engines_[current_]->broken(); }
  bool state_lost() const override { return engines_[current_]->state_lost(); }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override;

 private:
  CpuContext& context_;
  std::vector<std::unique_ptr<ExecutionEngine>> engines_;
  std::string name_;
  const uint64_t runs_;
  size_t current_ = 0;
  uint64_t done_ = 0;  ///< runs of the current one
  uint64_t switches_ = 0;
};

}  // namespace vireo
