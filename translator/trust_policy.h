// Without windows: which privileges of which address spaces have probes that trust. Such a probe neither
// tests that the TLB has the page nor that the address is aligned; the host notices. That saves two tests and
// the flags around them, but a TLB miss costs a signal, so it is for address spaces with few of them.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string_view>

#include "core/mmu.h"
#include "core/result.h"
#include "translator/host_costs.h"
#include "translator/retired_meter.h"

namespace vireo::translator {

class TrustPolicy {
 public:
  /// Whether the host has what such probes take: BMI2, and nothing mapped in the lowest 4 GiB, where accesses
  /// go that the TLB has nothing for. From then on they are reserved.
  static Result<void> possible();
  /// Where it is possible(). `after`: instructions before a privilege is judged; 0: both trust, always.
  static Result<std::unique_ptr<TrustPolicy>> create(Mmu& mmu, uint64_t after, const HostCosts& costs);

  /// The process's lowest 4 GiB belong to such accesses.
  static bool reserved() { return reserved_; }
  /// Where an access goes whose delta is 0.
  static bool trapped(uint64_t host_address) { return host_address < kReservedBytes; }

  /// The CPU goes on with this privilege in the current address space. `retired`: instructions so far.
  /// Returns whether its probes trust.
  bool enter(Privilege privilege, uint64_t retired) {
    charge(retired);
    running_ = &state(privilege);
    return running_->on;
  }
  /// A probe of what is running has filled the TLB: one that trusts would have cost a signal.
  void count_fill() {
    if (!running_->on) count_signal();
  }
  /// One that trusts has cost a signal.
  void count_signal() { ++running_->signals; }
  /// To be called now and then. True if enter() may have another answer now.
  bool look(uint64_t retired);

  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  static constexpr uint64_t kReservedBytes = uint64_t{1} << 32;

  struct State {
    uint64_t serial = 0;  ///< Mmu::space_serial()
    bool on = false;
    // Since it was judged last:
    uint64_t executed = 0;   ///< instructions
    uint64_t signals = 0;    ///< that its accesses have cost or would have
    uint64_t threshold = 0;  ///< instructions until it is judged again
  };

  TrustPolicy(Mmu& mmu, uint64_t after, const HostCosts& costs)
      : mmu_(mmu), after_(after), signal_cost_(costs.signal), kernel_{.on = after == 0, .threshold = after} {}
  static bool reserve_low_addresses();
  static bool reserved_;
  State& state(Privilege privilege) {
    if (privilege == Privilege::kSupervisor) return kernel_;
    State& s = states_[mmu_.space()];
    if (s.serial != mmu_.space_serial()) [[unlikely]]
      s = {.serial = mmu_.space_serial(), .on = after_ == 0, .threshold = after_};
    return s;
  }
  /// True if it trusts now and has not, or the other way round.
  bool judge(State& state);
  void charge(uint64_t retired) { running_->executed += meter_.since_last(retired); }

  Mmu& mmu_;
  const uint64_t after_;
  const uint64_t signal_cost_;  ///< in ns, beyond what a fill costs that a probe asks for
  std::array<State, Mmu::kSpaces> states_;
  State kernel_;  ///< in all of them: its code and most of its data are the same, and so are its blocks
  State nobody_;  ///< before the first enter()
  State* running_ = &nobody_;
  RetiredMeter meter_;
  uint64_t begun_ = 0, ended_ = 0;
};

}  // namespace vireo::translator
