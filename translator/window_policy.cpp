#include "translator/window_policy.h"

#include <sys/auxv.h>

#include <algorithm>

namespace vireo::translator {

namespace {

constexpr unsigned long kHwcap2Fsgsbase = 1u << 1;  // AT_HWCAP2

// What things cost, in ns; architecture.md has the measurements.
constexpr uint64_t kMapCost = 9'000;  // with the signal
constexpr uint64_t kUnmapCost = 4'000;
constexpr uint64_t kClearCost = 10'000;
/// A window saves so many ns per 1000 instructions.
constexpr uint64_t kSavedPer1000 = 300;
constexpr uint64_t kLongestWait = uint64_t{1} << 32;

uint64_t cost_of(const Window& window) {
  const Window::Counters& c = window.counters();
  return c.maps * kMapCost + c.unmaps * kUnmapCost + c.clears * kClearCost;
}

}  // namespace

Result<std::unique_ptr<WindowPolicy>> WindowPolicy::create(GuestMemory& memory, Mmu& mmu, uint64_t after) {
  if ((getauxval(AT_HWCAP2) & kHwcap2Fsgsbase) == 0) {
    return Error{"the host does not let programs set gs.base (FSGSBASE)", ExitStatus::kHostCannot};
  }
  std::unique_ptr<WindowPolicy> policy(new WindowPolicy(after));
  for (const Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
    State& s = policy->state(privilege);
    auto window = Window::create(memory, mmu.tables(privilege), mmu.mirror(privilege));
    if (!window) return window.error();
    s.window = window.take();
    s.threshold = after;
    s.on = after == 0;
  }
  return policy;
}

bool WindowPolicy::look(Privilege privilege, uint64_t instructions) {
  if (after_ == 0) return false;
  State& s = state(privilege);
  s.executed += instructions;
  if (s.executed < s.threshold) return false;
  const uint64_t saved = s.executed / 1000 * kSavedPer1000;
  const uint64_t cost_before = s.cost;
  s.cost = cost_of(*s.window);
  const uint64_t paid = s.on ? s.cost - cost_before : s.fills * kMapCost;
  s.executed = 0;
  s.fills = 0;
  if (s.on == (paid < saved)) {
    if (s.on) s.threshold = after_;
    return false;
  }
  s.on = !s.on;
  if (s.on) {
    ++promotions_;
    return true;
  }
  // It has looked better than it was: longer without, next time.
  s.threshold = std::min(s.threshold * 2, kLongestWait);
  s.window->clear();
  ++demotions_;
  return true;
}

void WindowPolicy::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  Window::Counters sum;
  for (const State& s : states_) {
    const Window::Counters& c = s.window->counters();
    sum.maps += c.maps;
    sum.pages += c.pages;
    sum.unmaps += c.unmaps;
    sum.clears += c.clears;
  }
  visit("windows/promotions", promotions_);
  visit("windows/demotions", demotions_);
  visit("windows/fills", sum.maps);
  visit("windows/pages mapped", sum.pages);
  visit("windows/unmappings", sum.unmaps);
  visit("windows/clears", sum.clears);
}

}  // namespace vireo::translator
