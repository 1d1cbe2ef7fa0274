// Guest time. Devices and engines see this contract only; which clock runs is the machine's choice.
#pragma once

#include <cstdint>

#include "core/types.h"

namespace vireo {

/// Guest time since power-on. Never goes backwards.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual VirtualNs now() const = 0;
};

/// A clock that stands still until it is told to move; for device tests.
class FakeClock final : public Clock {
 public:
  VirtualNs now() const override { return now_; }
  void advance(VirtualNs delta) { now_ += delta; }
  void set(VirtualNs now) { now_ = now; }

 private:
  VirtualNs now_ = 0;
};

/// value * numerator / denominator without overflow in between; for turning ns into ticks and back.
constexpr uint64_t muldiv64(uint64_t value, uint64_t numerator, uint64_t denominator) {
  return static_cast<uint64_t>(static_cast<unsigned __int128>(value) * numerator / denominator);
}

/// The same for nanoseconds into ticks of a clock below 18 GHz; divides by a constant.
constexpr uint64_t ns_to_ticks(uint64_t ns, uint64_t hz) {
  constexpr uint64_t kNs = 1'000'000'000;
  return ns / kNs * hz + ns % kNs * hz / kNs;
}

}  // namespace vireo
