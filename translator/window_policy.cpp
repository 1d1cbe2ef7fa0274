#include "translator/window_policy.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "core/log.h"

namespace vireo::translator {

namespace {

constexpr int64_t kLeavingCost = 5'000;  // in instructions
/// So many unmappings cost as much as to clear a window, beside the one that it is.
constexpr uint64_t kUnmapsPerClear = 3;
/// In instructions: what a window may cost before it has earned anything, beside what filling it has been
/// seen to cost.
constexpr int64_t kCredit = 16'000'000;
constexpr int64_t kMostDebt = 100'000'000;
/// On for so many times its threshold, a window was worth it.
constexpr int64_t kLongEnough = 16;
constexpr int64_t kLongestWait = int64_t{1} << 32;
/// So many looks in a row that find the kernel's code in pages that are not global say that there is another
/// kernel.
constexpr unsigned kLooksNotGlobal = 16;

/// Mappings that the host permits to a process.
uint64_t max_map_count() {
  uint64_t count = 65'530;  // where nobody has changed it
  std::ifstream("/proc/sys/vm/max_map_count") >> count;
  return count;
}

}  // namespace

std::atomic<uint64_t> WindowPolicy::policies_ = 0;

uint64_t WindowPolicy::permitted_mappings() {
  static const uint64_t permitted = max_map_count() / 2;
  return permitted;
}

Result<std::unique_ptr<WindowPolicy>> WindowPolicy::create(GuestMemory& memory, Mmu& mmu, uint64_t after,
                                                           const HostCosts& costs, uint64_t most_mappings) {
  std::unique_ptr<WindowPolicy> policy(new WindowPolicy(memory, mmu, after, costs, most_mappings));
  // Whether the host has room for a window is known only when one has been made.
  for (const Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
    State& s = policy->states_[mmu.space()][static_cast<unsigned>(privilege)];
    if (auto made = policy->make_window(s, privilege); !made) return made.error();
  }
  return policy;
}

void WindowPolicy::begin(State& s, Privilege privilege) {
  if (s.window && s.on) s.window->clear();
  State fresh(after_);
  fresh.serial = mmu_.space_serial();
  fresh.window = std::move(s.window);
  s = std::move(fresh);
  if (after_ == 0) promote(s, privilege);
}

Result<void> WindowPolicy::make_window(State& s, Privilege privilege) {
  auto window = &s == &shared_
                    ? Window::create(memory_, mmu_.global_tables(privilege), mmu_.global_mirror(privilege))
                    : Window::create(memory_, mmu_.tables(privilege), mmu_.mirror(privilege));
  if (!window) return window.error();
  s.window = window.take();
  return {};
}

void WindowPolicy::trace_change(const State& s, Privilege privilege, std::string_view what) const {
  const bool supervisor = privilege == Privilege::kSupervisor;
  const char* who = &s == &shared_ ? "every supervisor" : supervisor ? "the supervisor" : "the user";
  trace(LogCategory::kMmu, "{} of address space {} {} its window", who, s.serial, what);
}

bool WindowPolicy::promote(State& s, Privilege privilege) {
  if (!s.window) {
    if (auto made = make_window(s, privilege); !made) {
      if (!std::exchange(told_of_limit_, true))
        notice(fmt::format("{}: some of the guest's memory is reached without windows, which is slower",
                           made.error().message));
      s.threshold = kLongestWait;
      s.balance = -s.threshold;
      return false;
    }
  }
  s.cost = cost_of(*s.window);
  s.on = true;
  s.balance = s.credit = std::min(s.credit, kMostDebt) + kCredit;
  s.executed = s.fills = s.refused = s.earning = 0;
  ++promotions_;
  trace_change(s, privilege, "gets");
  if (&s == &shared_) {
    not_global_ = 0;
    for (auto& both : states_) {
      State& own = both[static_cast<unsigned>(Privilege::kSupervisor)];
      if (own.on) demote(own, Privilege::kSupervisor);
    }
  }
  return true;
}

void WindowPolicy::demote(State& s, Privilege privilege) {
  trace_change(s, privilege, "loses");
  s.on = false;
  s.executed = s.fills = s.credit = 0;
  // If it has looked better than it was: longer without, next time.
  const bool was_good = s.earning >= s.threshold * kLongEnough;
  s.threshold = was_good ? static_cast<int64_t>(after_) : std::min(s.threshold * 2, kLongestWait);
  s.balance = -s.threshold;
  s.window->clear();
  ++demotions_;
}

int64_t WindowPolicy::cost_of(const Window& window) const {
  const Window::Counters& c = window.counters();
  return static_cast<int64_t>(c.maps) * map_cost() +
         HostCosts::instructions((c.unmaps + c.clears * kUnmapsPerClear) * costs_.unmap);
}

void WindowPolicy::make_room() {
  // The last quarter is for policies that have little. If one had to give that up, too, because machines that
  // do not run have so much, it could not map what a single instruction needs.
  const uint64_t little = most_mappings_ / 4 / policies_.load(std::memory_order_relaxed);
  if (mappings() < little) return;
  while (Window::mappings_of_process() > most_mappings_ / 2 && mappings() > little / 2) {
    State& s = *least_recent();
    trace(LogCategory::kMmu, "{} mappings of address space {} make room", s.window->mappings(), s.serial);
    s.window->clear();
    ++evictions_;
  }
}

template <class F>
void WindowPolicy::for_each_window(F f) const {
  for (const auto& both : states_) {
    for (const State& s : both) {
      if (s.window) f(*s.window);
    }
  }
  if (shared_.window) f(*shared_.window);
}

uint64_t WindowPolicy::mappings() const {
  uint64_t sum = 0;
  for_each_window([&](const Window& window) { sum += window.mappings(); });
  return sum;
}

WindowPolicy::State* WindowPolicy::least_recent() {
  State* found = nullptr;
  const auto look_at = [&](State& s) {
    if (!s.window || s.window->mappings() == 0) return;
    // What is running would fill its window at once again.
    if (found == nullptr || found == running_ || (&s != running_ && s.entered < found->entered)) found = &s;
  };
  for (auto& both : states_) {
    for (State& s : both) look_at(s);
  }
  look_at(shared_);
  return found;
}

std::optional<PageFault> WindowPolicy::fill(uint64_t linear, Access access, Privilege privilege) {
  ++running_->fills;
  if (!supervisor_ || shared_.on) return mmu_.fill({linear}, access, privilege);
  const bool known = mmu_.is_global({linear}, privilege);
  const std::optional<PageFault> fault = mmu_.fill({linear}, access, privilege);
  if (!known && mmu_.is_global({linear}, privilege)) ++shared_.fills;
  return fault;
}

bool WindowPolicy::look(uint64_t rip, uint64_t retired) {
  if (after_ == 0) return false;
  charge(retired);
  if (!supervisor_) return judge(*running_, Privilege::kUser);
  // A program that mostly has the kernel work for it hardly ever runs when somebody looks.
  State& program = states_[mmu_.space()][static_cast<unsigned>(Privilege::kUser)];
  if (program.on && program.serial == mmu_.space_serial()) judge(program, Privilege::kUser);
  const bool global = mmu_.is_global({rip}, Privilege::kSupervisor);
  if (!shared_.on) return judge(global ? shared_ : *running_, Privilege::kSupervisor);
  not_global_ = global ? 0 : not_global_ + 1;
  if (not_global_ < kLooksNotGlobal) return judge(shared_, Privilege::kSupervisor);
  demote(shared_, Privilege::kSupervisor);
  return true;
}

bool WindowPolicy::judge(State& s, Privilege privilege) {
  const int64_t executed = std::exchange(s.executed, 0);
  if (!s.on) {
    const int64_t cost = std::exchange(s.fills, 0) * map_cost();
    s.credit += cost;
    s.balance = std::max(s.balance + executed - cost, -s.threshold - kMostDebt);
    return s.balance >= 0 && promote(s, privilege);
  }
  const int64_t before = std::exchange(s.cost, cost_of(*s.window));
  const int64_t refused_cost = HostCosts::instructions(costs_.signal) + kLeavingCost;
  const int64_t paid = s.cost - before + std::exchange(s.refused, 0) * refused_cost;
  s.earning += executed;
  s.balance += executed - paid;
  // What it was given for filling it has been earned. From now on it may lose as much as to fill it anew.
  if (s.earning >= s.credit)
    s.credit = std::min(s.credit, kCredit + static_cast<int64_t>(s.window->fills()) * map_cost());
  s.balance = std::min(s.balance, s.credit);
  if (s.balance >= 0) return false;
  demote(s, privilege);
  return true;
}

void WindowPolicy::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  Window::Counters sum;
  uint64_t windows = 0;
  for_each_window([&](const Window& window) {
    const Window::Counters& c = window.counters();
    sum.maps += c.maps;
    sum.pages += c.pages;
    sum.unmaps += c.unmaps;
    sum.clears += c.clears;
    ++windows;
  });
  visit("windows/windows", windows);
  visit("windows/shared by all address spaces now", shared_.on);
  visit("windows/mappings of the host", mappings());
  visit("windows/evictions", evictions_);
  visit("windows/promotions", promotions_);
  visit("windows/demotions", demotions_);
  visit("windows/fills", sum.maps);
  visit("windows/pages mapped", sum.pages);
  visit("windows/unmappings", sum.unmaps);
  visit("windows/clears", sum.clears);
}

}  // namespace vireo::translator
