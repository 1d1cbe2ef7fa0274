// A CPU with an engine on a bench for fuzzing: RAM with canaries around it, ROM, a device in memory and at
// ports, interrupts on request.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "core/result.h"
#include "tests/fuzz/fuzz_case.h"

namespace vireo::fuzz {

class FuzzMachine {
 public:
  static Result<std::unique_ptr<FuzzMachine>> create(std::string_view engine);
  ~FuzzMachine();

  std::string_view engine() const;
  /// Puts all state to the start of a case.
  void load(const FuzzCase& c, std::span<const uint8_t> initial_ram);
  /// Makes the event happen; the CPU sees it in the next run().
  void raise(const FuzzCase::Event& event);
  ExitReason run(uint64_t retired_limit);

  const CpuState& cpu() const;
  /// RAM that the guest has.
  std::span<const uint8_t> ram() const;
  /// Depends on every write to the device and every access to its ports.
  uint64_t device_state() const;
  /// RAM that the guest does not have, and ROM, hold what they held in the beginning.
  bool canaries_intact() const;

 private:
  FuzzMachine() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo::fuzz
