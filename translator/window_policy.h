// Which privileges of which address spaces are reached through a Window, and which by probes. A window
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

  // All of the current address space.
  /// gs.base for this privilege; 0: none, use probes.
  uint64_t base(Privilege privilege) {
    const State& s = state(privilege);
    return s.on ? s.window->base() : 0;
  }
  /// Where base() is not 0.
  Window& window(Privilege privilege) { return *state(privilege).window; }
  /// Window::map() within the budget of mappings that all windows have.
  bool map(Privilege privilege, uint64_t linear, bool write);

  /// An access by a probe has filled the TLB.
  void count_fill(Privilege privilege) { ++state(privilege).fills; }
  /// To be called now and then with the instructions executed since the last time, nearly all by `privilege`
  /// of the current address space. True if base() has changed.
  bool look(Privilege privilege, uint64_t instructions);
  void settle() {
    for (const State& s : states_[mmu_.space()]) {
      if (s.window) s.window->settle();
    }
  }
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  struct State {
    uint64_t serial = 0;             ///< Mmu::space_serial()
    std::unique_ptr<Window> window;  ///< made when it is first needed
    bool on = false;
    // Since it was judged last:
    uint64_t executed = 0;   ///< instructions
    uint64_t fills = 0;      ///< of the TLB, by probes
    uint64_t cost = 0;       ///< of the window in all, in ns, then
    uint64_t threshold = 0;  ///< instructions until it is judged again
  };

  WindowPolicy(GuestMemory& memory, Mmu& mmu, uint64_t after) : memory_(memory), mmu_(mmu), after_(after) {}
  State& state(Privilege privilege) {
    State& s = states_[mmu_.space()][static_cast<unsigned>(privilege)];
    if (s.serial != mmu_.space_serial()) [[unlikely]]
      begin(s, privilege);
    return s;
  }
  /// The space has another address space now.
  void begin(State& state, Privilege privilege);
  /// For the current address space.
  Result<void> make_window(State& state, Privilege privilege);
  bool promote(State& state, Privilege privilege);
  /// All but one window, which may be null.
  void clear_all_but(const Window* window);
  template <class F>
  void for_each_window(F f) const;

  GuestMemory& memory_;
  Mmu& mmu_;
  const uint64_t after_;
  std::array<std::array<State, 2>, Mmu::kSpaces> states_;
  uint64_t evictions_ = 0;
  uint64_t promotions_ = 0, demotions_ = 0;
};

}  // namespace vireo::translator
