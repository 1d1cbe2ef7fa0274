// A wire from a device's output pin to whatever the board connects it to.
#pragma once

#include <functional>
#include <utility>

#include "core/state_archive.h"

namespace vireo {

/// An output level. The sink hears changes only. Not connected: nothing happens.
class IrqLine {
 public:
  IrqLine() = default;
  explicit IrqLine(std::function<void(bool level)> sink) : sink_(std::move(sink)) {}

  void set(bool level) {
    if (level == level_) return;
    level_ = level;
    if (sink_) sink_(level);
  }
  void raise() { set(true); }
  void lower() { set(false); }
  /// A low-high-low edge, whatever the level was. Not for lines into an 8259: it drops a request whose line
  /// falls before the acknowledge; hold the line until the guest has dealt with the device.
  void pulse() {
    lower();
    raise();
    lower();
  }
  bool level() const { return level_; }
  /// After loading state: sets the level without telling the sink (which loads its own state).
  void restore(bool level) { level_ = level; }
  /// Saves or restores the level, for the state() of the device that drives the line: ar.field("irq", irq_).
  void state(StateArchive& ar) { ar.field("level", level_); }

 private:
  std::function<void(bool)> sink_;
  bool level_ = false;
};

}  // namespace vireo
