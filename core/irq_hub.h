// Interrupt wires that several devices share: each wire's level is the OR of its sources'.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/irq_line.h"
#include "core/state_archive.h"

namespace vireo {

class IrqHub {
 public:
  /// `sink` hears changes of a wire's level. Wires are numbered from 0.
  using Sink = std::function<void(unsigned wire, bool level)>;
  IrqHub(unsigned wires, Sink sink) : sink_(std::move(sink)), high_sources_(wires, 0) {}
  IrqHub(const IrqHub&) = delete;
  IrqHub& operator=(const IrqHub&) = delete;

  unsigned wires() const { return static_cast<unsigned>(high_sources_.size()); }

  /// A new source of `wire`; the hub must outlive it.
  IrqLine line(unsigned wire) {
    return IrqLine([this, wire](bool level) { source_changed(wire, level); });
  }

  bool level(unsigned wire) const { return high_sources_[wire] != 0; }

  /// Counts sources that are high; each source's own level is saved by the device that drives it.
  void state(StateArchive& ar) { ar.field("high_sources", high_sources_); }

 private:
  void source_changed(unsigned wire, bool level) {
    uint8_t& count = high_sources_[wire];
    const bool was = count != 0;
    count = static_cast<uint8_t>(level ? count + 1 : count - 1);
    if (was != (count != 0)) sink_(wire, count != 0);
  }

  Sink sink_;
  std::vector<uint8_t> high_sources_;
};

}  // namespace vireo
