// Real-time clock with 128 bytes of battery-backed RAM ("CMOS"), and the NMI mask that shares its index port.
// Source: Motorola MC146818A data sheet; 82371FB/SB (PIIX3) data sheet for ports 0x70 and 0x71.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string_view>

#include "core/device.h"
#include "core/irq_line.h"
#include "core/scheduler.h"

namespace vireo {

class RtcMc146818 final : public Device {
 public:
  /// The clock shows `start_time` (seconds since 1970, in whatever zone the guest expects) at virtual time 0.
  /// `irq8` follows the chip's IRQ pin. `nmi_enable` hears bit 7 of port 0x70, inverted.
  RtcMc146818(Scheduler& scheduler, IrqLine& irq8, int64_t start_time, std::function<void(bool)> nmi_enable);

  IoRegion& ports() { return ports_; }  ///< 2 ports at 0x70

  /// CMOS RAM as the battery keeps it; `index` is 0x0e to 0x7f. For the board, before the guest runs, and for
  /// tests.
  void set_cmos(uint8_t index, uint8_t value);
  uint8_t cmos(uint8_t index) const;
  /// Puts the sum over 0x10 to 0x2d, which BIOSes check, into 0x2e and 0x2f.
  void update_checksum();

  std::string_view name() const override { return "rtc_mc146818"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint8_t read_port(uint32_t offset);
  void write_port(uint32_t offset, uint8_t value);
  uint8_t read_register(uint8_t index);
  void write_register(uint8_t index, uint8_t value);
  void write_register_a(uint8_t value);
  void write_register_b(uint8_t value);

  bool update_in_progress() const;
  bool divider_runs() const;
  /// Periodic ticks of the selected rate since the divider started, and the rate in 1/32768 s (0: off).
  uint64_t periods_elapsed() const;
  uint32_t period_clocks() const;
  void catch_up();
  void update_second();
  bool alarm_matches() const;
  void set_flags(uint8_t flags);
  void update_irq();
  void arm();

  int64_t time_from_registers() const;
  void time_to_registers(int64_t unix_seconds);
  uint8_t encode(unsigned value) const;
  unsigned decode(uint8_t value) const;
  uint8_t encode_hours(unsigned hours) const;
  unsigned decode_hours(uint8_t value) const;

  Scheduler& scheduler_;
  IrqLine& irq8_;
  std::function<void(bool)> nmi_enable_;
  uint8_t index_ = 0;
  std::array<uint8_t, 128> ram_{};
  VirtualNs divider_start_ = 0;  ///< when the divider chain was 0
  VirtualNs next_update_ = 0;    ///< when the time of day next advances
  uint64_t periods_seen_ = 0;
  Timer timer_;
  ByteRegion<RtcMc146818, &RtcMc146818::read_port, &RtcMc146818::write_port> ports_{*this};
};

}  // namespace vireo
