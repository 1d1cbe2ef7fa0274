// Where the host's time goes: an account for each component, in ticks of the host's TSC. Exists only when
// someone asked for it (--stats); everybody else holds a null pointer.
#pragma once

#include <x86intrin.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

namespace vireo {

/// Of one machine, by its thread alone.
class TimeLedger {
 public:
  enum class Component : uint8_t {
    kOutside,  ///< of Machine::run(); not reported
    kTranslatedCode,
    kTlb,  ///< page walks for translated code
    kTranslating,
    kDispatch,  ///< what the translator and the machine's run loop do besides
    kInterpreter,
    kDevices,   ///< port and MMIO accesses, timers that are due
    kFrontEnd,  ///< its poll function
    kHardware,  ///< guest code under hardware assist, and the host's kernel on its behalf
    kIdle,      ///< the guest halted
    kCount,
  };

  /// Charges time from now on to `component`; returns who had to pay until now.
  Component switch_to(Component component) {
    const uint64_t now = __rdtsc();
    ticks_[static_cast<size_t>(paying_)] += now - since_;
    since_ = now;
    return std::exchange(paying_, component);
  }

  /// Microseconds of each component that has any.
  void visit(const std::function<void(std::string_view name, uint64_t us)>& visit) const {
    constexpr std::array<std::string_view, static_cast<size_t>(Component::kCount)> kNames = {
        "outside",     "translated code", "TLB fills", "translating",     "dispatch",
        "interpreter", "devices",         "front end", "hardware assist", "idle"};
    const std::chrono::duration<double, std::micro> elapsed = std::chrono::steady_clock::now() - started_;
    const uint64_t now = __rdtsc();
    const double us_per_tick = elapsed.count() / static_cast<double>(now - first_);
    for (size_t i = 1; i < ticks_.size(); ++i) {
      const uint64_t ticks = ticks_[i] + (i == static_cast<size_t>(paying_) ? now - since_ : 0);
      if (ticks != 0) visit(kNames[i], static_cast<uint64_t>(static_cast<double>(ticks) * us_per_tick));
    }
  }

 private:
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  uint64_t first_ = __rdtsc();
  uint64_t since_ = first_;
  Component paying_ = Component::kOutside;
  std::array<uint64_t, static_cast<size_t>(Component::kCount)> ticks_{};
};

/// Charges its lifetime to a component.
class TimeScope {
 public:
  TimeScope(TimeLedger* ledger, TimeLedger::Component component) : ledger_(ledger) {
    if (ledger_ != nullptr) before_ = ledger_->switch_to(component);
  }
  ~TimeScope() {
    if (ledger_ != nullptr) ledger_->switch_to(before_);
  }
  TimeScope(const TimeScope&) = delete;
  TimeScope& operator=(const TimeScope&) = delete;

 private:
  TimeLedger* ledger_;
  TimeLedger::Component before_{};
};

}  // namespace vireo
