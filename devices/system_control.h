// Small single-purpose ports of the chipset and of the emulator's firmware interface.
// Source: 82371FB/SB (PIIX3) data sheet (ports 0x92 and 0xf0); SeaBIOS's debug port; QEMU's
// isa-debug-exit.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <utility>

#include "core/device.h"
#include "core/host_io.h"
#include "core/irq_line.h"

namespace vireo {

/// Port 0x92: fast A20 and fast CPU reset.
class SystemPortA final : public Device {
 public:
  /// `set_a20` hears every write (see I8042). `reset_cpu` is called when bit 0 goes from 0 to 1.
  SystemPortA(std::function<void(bool open)> set_a20, std::function<void()> reset_cpu)
      : set_a20_(std::move(set_a20)), reset_cpu_(std::move(reset_cpu)) {}

  IoRegion& port() { return port_; }  ///< 1 port at 0x92

  std::string_view name() const override { return "system_port_a"; }
  void reset() override { value_ = kA20; }
  void state(StateArchive& ar) override { ar.field("value", value_); }

 private:
  static constexpr uint8_t kFastReset = 1 << 0;
  static constexpr uint8_t kA20 = 1 << 1;

  uint8_t read_port(uint32_t) { return value_; }
  void write_port(uint32_t, uint8_t value);

  std::function<void(bool)> set_a20_;
  std::function<void()> reset_cpu_;
  uint8_t value_ = kA20;
  ByteRegion<SystemPortA, &SystemPortA::read_port, &SystemPortA::write_port> port_{*this};
};

/// Coprocessor errors in the PC's way: FERR# raises IRQ 13; a write to port 0xf0 takes it back. IGNNE#, which
/// the write also drives on a PC, is not wired: engines go on after an error that no interrupt reports.
class FpuErrorLatch final : public Device {
 public:
  explicit FpuErrorLatch(IrqLine& irq13) : irq13_(irq13) {}

  IoRegion& ports() { return ports_; }  ///< 2 ports at 0xf0

  /// The CPU's FERR# output (CR0.NE = 0).
  void set_ferr(bool asserted);

  std::string_view name() const override { return "fpu_error_latch"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint8_t read_port(uint32_t) { return 0; }
  void write_port(uint32_t offset, uint8_t value);

  IrqLine& irq13_;
  bool ferr_ = false;
  ByteRegion<FpuErrorLatch, &FpuErrorLatch::read_port, &FpuErrorLatch::write_port> ports_{*this};
};

/// Port 0x402: firmware messages. Reads give 0xe9, by which firmware knows that it is there.
class DebugConsole final : public IoRegion {
 public:
  explicit DebugConsole(CharBackend& backend) : backend_(backend) {}

  uint64_t read(uint32_t offset, unsigned size) override;
  void write(uint32_t offset, unsigned size, uint64_t value) override;

 private:
  CharBackend& backend_;
};

/// Port 0xf4 (4 ports): a write ends the run; the callback gets the value written.
class DebugExit final : public IoRegion {
 public:
  explicit DebugExit(std::function<void(uint32_t value)> ended) : ended_(std::move(ended)) {}

  uint64_t read(uint32_t, unsigned) override { return 0; }
  void write(uint32_t, unsigned, uint64_t value) override { ended_(static_cast<uint32_t>(value)); }

 private:
  std::function<void(uint32_t)> ended_;
};

}  // namespace vireo
