// Which privileges of which address spaces are reached through a Window, and which by probes. A window
// pays when much is executed between the events that change what it shows: while a privilege uses probes,
// their TLB fills tell what a window would have cost. It starts with credit for filling it, and loses its
// window when it has used up that and what it has saved since.
//
// A kernel whose pages are global has one window in all address spaces, the shared one. It shows what is
// global and outlives loads of CR3, and it needs the kernel's code translated once. What else the kernel
// accesses, the memory of programs, few instructions do; they keep their probes.
#pragma once

#include <array>
#include <atomic>
#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "translator/host_costs.h"
#include "translator/retired_meter.h"
#include "translator/window.h"

namespace vireo::translator {

class WindowPolicy {
 public:
  /// Of the host's mappings, for the windows of all machines in the process: half of what it permits.
  static uint64_t permitted_mappings();
  /// `after`: instructions before a privilege gets its window; 0: at once, and for ever. `most_mappings`:
  /// of the process; where they become many, each policy clears windows of its own. Fails if the host has not
  /// got what it takes.
  static Result<std::unique_ptr<WindowPolicy>> create(GuestMemory& memory, Mmu& mmu, uint64_t after,
                                                      const HostCosts& costs,
                                                      uint64_t most_mappings = permitted_mappings());
  ~WindowPolicy() { policies_.fetch_sub(1, std::memory_order_relaxed); }
  WindowPolicy(const WindowPolicy&) = delete;
  WindowPolicy& operator=(const WindowPolicy&) = delete;

  /// The CPU goes on with this privilege in the current address space. `retired`: instructions so far.
  /// Returns the window's base; 0: there is no window, use probes.
  uint64_t enter(Privilege privilege, uint64_t retired) {
    charge(retired);
    supervisor_ = privilege == Privilege::kSupervisor;
    running_ = supervisor_ && shared_.on ? &shared_ : &state(privilege);
    running_->entered = retired;
    settle();
    return running_->on ? running_->window->base() : 0;
  }

  // Of what is running:
  /// Window::is_near().
  bool is_near(uint64_t host) const { return running_->on && running_->window->is_near(host); }
  /// Whether the host address is in its window.
  bool contains(uint64_t host) const { return running_->on && running_->window->contains(host); }
  /// Whether its window is the one of all address spaces.
  bool shared() const { return running_ == &shared_; }
  /// Window::map(); before that, windows that have not been entered for long may be cleared to make room.
  bool map(uint64_t linear, bool write) {
    if (Window::mappings_of_process() >= most_mappings_ - most_mappings_ / 4) [[unlikely]]
      make_room();
    return running_->window->map(linear, write);
  }
  /// A fault in the window was not the window's: the access must be made in another way.
  void refused() { ++running_->refused; }
  /// Of mapping a page, with the signal, in instructions: as many must be executed behind it in a window to
  /// earn it.
  int64_t map_cost() const { return HostCosts::instructions(uint64_t{costs_.signal} + costs_.map); }
  /// Mmu::fill(); on behalf of a probe, or before map().
  std::optional<PageFault> fill(uint64_t linear, Access access, Privilege privilege);
  /// To be called now and then; `rip` is linear. True if enter() has another answer now.
  bool look(uint64_t rip, uint64_t retired);

  /// Of what is running. Others have time until they are entered: a process that ends loses page after page,
  /// and never runs again.
  void settle() {
    if (running_->on) running_->window->settle();
  }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  struct State {
    explicit State(uint64_t after = 0)
        : threshold(static_cast<int64_t>(after)), balance(-static_cast<int64_t>(after)) {}

    uint64_t serial = 0;             ///< Mmu::space_serial()
    std::unique_ptr<Window> window;  ///< made when it is first needed
    bool on = false;
    uint64_t entered = 0;  ///< `retired` at the latest enter() of it
    // Since it was judged last:
    int64_t executed = 0;  ///< instructions
    int64_t fills = 0;     ///< by probes, of what the window would have had to map
    int64_t refused = 0;   ///< accesses through the window that it could not be made to show
    int64_t cost = 0;      ///< of the window in all, then

    int64_t threshold;   ///< instructions without fills that earn a window
    int64_t balance;     ///< in instructions; below 0: no window
    int64_t credit = 0;  ///< what all the fills would have cost; while it is on: the most that balance may be
    int64_t earning = 0;  ///< instructions since it is on
  };

  WindowPolicy(GuestMemory& memory, Mmu& mmu, uint64_t after, const HostCosts& costs, uint64_t most_mappings)
      : memory_(memory),
        mmu_(mmu),
        after_(after),
        costs_(costs),
        most_mappings_(most_mappings),
        shared_(after) {
    policies_.fetch_add(1, std::memory_order_relaxed);
  }
  State& state(Privilege privilege) {
    State& s = states_[mmu_.space()][static_cast<unsigned>(privilege)];
    if (s.serial != mmu_.space_serial()) [[unlikely]]
      begin(s, privilege);
    return s;
  }
  /// The space has another address space now.
  void begin(State& state, Privilege privilege);
  void charge(uint64_t retired) {
    const auto executed = static_cast<int64_t>(meter_.since_last(retired));
    running_->executed += executed;
    if (supervisor_ && running_ != &shared_) shared_.executed += executed;
  }
  /// True if it has been promoted or demoted.
  bool judge(State& state, Privilege privilege);
  /// For the current space or, if it is shared_, for all.
  Result<void> make_window(State& state, Privilege privilege);
  bool promote(State& state, Privilege privilege);
  void demote(State& state, Privilege privilege);
  void trace_change(const State& state, Privilege privilege, std::string_view what) const;
  int64_t cost_of(const Window& window) const;  ///< so far, in instructions
  void make_room();
  uint64_t mappings() const;
  /// The first to be cleared; null: no window shows anything.
  State* least_recent();
  template <class F>
  void for_each_window(F f) const;

  static std::atomic<uint64_t> policies_;  ///< in the process

  GuestMemory& memory_;
  Mmu& mmu_;
  const uint64_t after_;
  const HostCosts costs_;
  const uint64_t most_mappings_;
  std::array<std::array<State, 2>, Mmu::kSpaces> states_;
  State shared_;  ///< all that supervisors execute counts for this one, too
  State nobody_;  ///< before the first enter()
  State* running_ = &nobody_;
  bool supervisor_ = false;  ///< is running
  RetiredMeter meter_;
  unsigned not_global_ = 0;  ///< looks in a row, while there is a shared window, that found code not global
  uint64_t evictions_ = 0;   ///< windows that have been cleared to make room
  uint64_t promotions_ = 0, demotions_ = 0;
  bool told_of_limit_ = false;  ///< the user, that the host has no room for another window
};

}  // namespace vireo::translator
