// Interrupt controllers: one 8259A, and the PC's pair of them with the edge/level registers of the PIIX.
// Source: Intel 8259A data sheet (231468); 82371FB/SB (PIIX3) data sheet for ELCR and for LTIM being ignored.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "core/device.h"
#include "core/irq_line.h"

namespace vireo {

/// One 8259A in 8086 mode.
///
/// As the data sheet says, an input must stay high until it is acknowledged: a request whose line falls
/// before is withdrawn. Drivers of edge inputs must therefore hold their line (IrqLine::set), not pulse it
/// low-high-low.
class Pic8259 {
 public:
  /// `slave_inputs`: bit n set where a slave hangs on input n (special fully nested mode exempts them).
  Pic8259(IrqLine& intr, uint8_t slave_inputs) : intr_(intr), slave_inputs_(slave_inputs) {}

  void set_irq(unsigned n, bool level);
  bool interrupt_pending() const { return best_request().has_value(); }
  /// INTA: the input that is now being served; nothing if the request has gone (the CPU then gets input 7's
  /// vector, with no bit set in the in-service register).
  std::optional<unsigned> acknowledge();
  /// What the chip drives onto the bus for input `n`.
  uint8_t vector(unsigned n) const { return static_cast<uint8_t>(vector_base_ | n); }

  /// A0 is `offset` bit 0.
  uint8_t read(uint32_t offset);
  void write(uint32_t offset, uint8_t value);

  uint8_t level_triggered() const { return level_triggered_; }
  void set_level_triggered(uint8_t mask);

  uint8_t irr() const { return static_cast<uint8_t>(edges_ | (lines_ & level_triggered_)); }
  uint8_t isr() const { return isr_; }
  uint8_t imr() const { return imr_; }

  void reset();
  void state(StateArchive& ar);

 private:
  void start_initialisation(uint8_t icw1);
  void write_ocw2(uint8_t value);
  void write_ocw3(uint8_t value);
  void serve(unsigned n);
  std::optional<unsigned> best_request() const;
  unsigned rank(unsigned n) const { return (n - lowest_ - 1) & 7; }
  std::optional<unsigned> highest_ranked(uint8_t bits) const;
  void update() { intr_.set(interrupt_pending()); }

  IrqLine& intr_;
  const uint8_t slave_inputs_;

  uint8_t lines_ = 0;  ///< levels at the inputs
  uint8_t edges_ = 0;  ///< latched edges of edge-triggered inputs
  uint8_t level_triggered_ = 0;
  uint8_t isr_ = 0;
  uint8_t imr_ = 0;
  uint8_t vector_base_ = 0;
  uint8_t lowest_ = 7;    ///< the input that has the lowest priority
  uint8_t next_icw_ = 0;  ///< 2 to 4 while initialising
  bool icw3_follows_ = false;
  bool icw4_follows_ = false;
  bool auto_eoi_ = false;
  bool rotate_on_auto_eoi_ = false;
  bool special_fully_nested_ = false;
  bool special_mask_ = false;
  bool poll_ = false;
  bool read_isr_ = false;
};

/// Master and slave (on the master's input 2), and the ELCR.
class Pic8259Pair final : public Device {
 public:
  /// `intr`: to the CPU (or to the local APIC's LINT0).
  explicit Pic8259Pair(IrqLine& intr);

  /// ISA interrupt `n`, 0 to 15; 2 is the cascade and does nothing.
  void set_irq(unsigned n, bool level);
  bool interrupt_pending() const { return master_.interrupt_pending(); }
  /// The CPU's interrupt acknowledge cycle: the vector. A request that has gone gives a spurious IRQ 7 or 15.
  uint8_t acknowledge();

  IoRegion& master_ports() { return master_ports_; }  ///< 2 ports at 0x20
  IoRegion& slave_ports() { return slave_ports_; }    ///< 2 ports at 0xa0
  IoRegion& elcr_ports() { return elcr_ports_; }      ///< 2 ports at 0x4d0

  std::string_view name() const override { return "pic8259"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  uint8_t read_master(uint32_t offset) { return master_.read(offset); }
  void write_master(uint32_t offset, uint8_t value) { master_.write(offset, value); }
  uint8_t read_slave(uint32_t offset) { return slave_.read(offset); }
  void write_slave(uint32_t offset, uint8_t value) { slave_.write(offset, value); }
  uint8_t read_elcr(uint32_t offset);
  void write_elcr(uint32_t offset, uint8_t value);

  IrqLine cascade_;
  Pic8259 master_;
  Pic8259 slave_;
  ByteRegion<Pic8259Pair, &Pic8259Pair::read_master, &Pic8259Pair::write_master> master_ports_{*this};
  ByteRegion<Pic8259Pair, &Pic8259Pair::read_slave, &Pic8259Pair::write_slave> slave_ports_{*this};
  ByteRegion<Pic8259Pair, &Pic8259Pair::read_elcr, &Pic8259Pair::write_elcr> elcr_ports_{*this};
};

}  // namespace vireo
