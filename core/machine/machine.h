// A PC: the facade that front ends use. Everything but request_poll() belongs to one thread, the one that
// calls run().
#pragma once

#include <signal.h>

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/engine.h"
#include "core/host_io.h"
#include "core/options.h"
#include "core/result.h"

namespace vireo {

/// Why Machine::run() came back.
enum class MachineStop : uint8_t {
  kPoweredOff,     ///< the guest asked the chipset for S5
  kResetAsked,     ///< the guest asked for a reset of the board; run() again carries it out
  kDebugExit,      ///< the guest wrote to port 0xf4 (Machine::debug_exit_value)
  kGuestDied,      ///< triple fault
  kEngineBroken,   ///< the host's hardware assist has failed: engine_failure()
  kHaltedForever,  ///< HLT with interrupts off: only an NMI or a reset could go on
  kAsked,          ///< the poll function returned false
};

class Machine {
 public:
  /// Builds the board and puts it into its state after power-on.
  static Result<std::unique_ptr<Machine>> create(const MachineConfig& config, MachineIo io);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  /// How often run() calls its poll function: guest time with the virtual clock, host time with the realtime
  /// clock.
  static constexpr VirtualNs kPollInterval = 10'000'000;

  /// Runs until something ends it. `poll` is called every kPollInterval and may use this object; false stops.
  /// `wait` lets the front end sleep on its file descriptors when the guest is idle under the realtime clock:
  /// for at most the given time, in ppoll() or the like with the given signal mask, which lets whatever wants
  /// the guest's attention end it with EINTR.
  using WaitFunction = std::function<void(VirtualNs, const sigset_t&)>;
  MachineStop run(const std::function<bool()>& poll, const WaitFunction& wait);

  /// Has run() call `poll` within microseconds, whatever the guest does, or right after it is called. From
  /// any thread and from handlers of signals that have Attention::signal_number() in their sa_mask.
  void request_poll();

  VideoSource& video();
  KeyboardSink& keyboard();
  MouseSink& mouse();

  const CpuState& cpu() const;
  VirtualNs now() const;
  std::string_view engine_name() const;
  uint8_t debug_exit_value() const;
  /// After MachineStop::kEngineBroken: one sentence.
  std::string engine_failure() const;
  /// Why this engine runs: "as asked for", "KVM is good (...)", and what has become of hardware assist since.
  std::string engine_reason() const;
  /// Names are GROUP/COUNTER; those of a group come together.
  void visit_stats(const std::function<void(std::string_view name, uint64_t value)>& visit) const;

  /// Hex SHA-256 over CpuState, guest RAM and device state.
  std::string state_hash();
  /// The saved machine without RAM.
  std::vector<uint8_t> save_state();
  /// Puts a machine of the same configuration into a saved state; RAM is the caller's business, before or
  /// after: nothing that was cached of it outlives this. Throws StateError.
  void load_state(std::span<const uint8_t> bytes);

  /// Writes back what drives hold (fdatasync); false if a host file failed.
  bool flush_drives();

 private:
  class Impl;
  explicit Machine(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo
