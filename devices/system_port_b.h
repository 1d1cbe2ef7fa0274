// System control port B (0x61): speaker, gate of PIT counter 2, refresh toggle, NMI sources.
// Source: 82371FB/SB (PIIX3) data sheet, NSC register.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "core/device.h"
#include "core/irq_line.h"
#include "core/scheduler.h"
#include "devices/pit8254.h"

namespace vireo {

class SystemPortB final : public Device {
 public:
  /// `nmi`: to the CPU; an edge is one NMI. Gated by set_nmi_enabled (bit 7 of port 0x70, in the RTC).
  SystemPortB(Scheduler& scheduler, Pit8254& pit, IrqLine& nmi);

  IoRegion& port() { return port_; }  ///< 1 port at 0x61

  /// Sources of NMI: an ISA card's IOCHK#, PCI SERR#. Latched until the guest clears them with bits 3 and 2.
  void assert_iochk();
  void assert_serr();
  void set_nmi_enabled(bool enabled);

  /// Data bit of the speaker; sound is this AND the output of PIT counter 2.
  bool speaker_data() const { return control_ & kSpeakerData; }
  void set_speaker_hook(std::function<void()> hook) { speaker_hook_ = std::move(hook); }

  std::string_view name() const override { return "system_port_b"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  static constexpr uint8_t kGate2 = 1 << 0;
  static constexpr uint8_t kSpeakerData = 1 << 1;
  static constexpr uint8_t kSerrDisable = 1 << 2;
  static constexpr uint8_t kIochkDisable = 1 << 3;

  uint8_t read_port(uint32_t offset);
  void write_port(uint32_t offset, uint8_t value);
  void update_nmi();

  Scheduler& scheduler_;
  Pit8254& pit_;
  IrqLine& nmi_;
  uint8_t control_ = 0;
  bool iochk_ = false;
  bool serr_ = false;
  bool nmi_enabled_ = true;
  std::function<void()> speaker_hook_;
  ByteRegion<SystemPortB, &SystemPortB::read_port, &SystemPortB::write_port> port_{*this};
};

}  // namespace vireo
