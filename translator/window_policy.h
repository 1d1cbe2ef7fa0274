// Which privileges of the current address space are reached through a Window, and which by probes. A window
// pays when much is executed between the events that change what it shows: while a privilege uses probes,
// their TLB fills tell what a window would have cost.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string_view>

#include "translator/window.h"

namespace vireo::translator {

class WindowPolicy {
 public:
  /// `after`: instructions before a privilege gets its window; 0: at once, and for ever. Fails if the host
  /// has not got what it takes.
  static Result<std::unique_ptr<WindowPolicy>> create(GuestMemory& memory, Mmu& mmu, uint64_t after);

  /// gs.base for this privilege; 0: none, use probes.
  uint64_t base(Privilege privilege) const {
    const State& s = state(privilege);
    return s.on ? s.window->base() : 0;
  }
  Window& window(Privilege privilege) { return *state(privilege).window; }

  /// An access by a probe has filled the TLB.
  void count_fill(Privilege privilege) { ++state(privilege).fills; }
  /// To be called now and then with the instructions executed since the last time, nearly all by `privilege`.
  /// True if base() has changed.
  bool look(Privilege privilege, uint64_t instructions);
  void settle() {
    for (State& s : states_) s.window->settle();
  }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  struct State {
    std::unique_ptr<Window> window;
    bool on = false;
    // Since it was judged last:
    uint64_t executed = 0;   ///< instructions
    uint64_t fills = 0;      ///< of the TLB, by probes
    uint64_t cost = 0;       ///< of the window in all, in ns, then
    uint64_t threshold = 0;  ///< instructions until it is judged again
  };

  WindowPolicy(uint64_t after) : after_(after) {}
  State& state(Privilege p) { return states_[static_cast<unsigned>(p)]; }
  const State& state(Privilege p) const { return states_[static_cast<unsigned>(p)]; }

  const uint64_t after_;
  std::array<State, 2> states_;
  uint64_t promotions_ = 0, demotions_ = 0;
};

}  // namespace vireo::translator
