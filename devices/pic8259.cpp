#include "devices/pic8259.h"

#include <bit>

namespace vireo {

namespace {

constexpr unsigned kCascadeInput = 2;
// Inputs that the PIIX lets software switch to level triggering: not 0, 1, 2, 8 and 13.
constexpr uint8_t kMasterElcrMask = 0xf8;
constexpr uint8_t kSlaveElcrMask = 0xde;

constexpr uint8_t bit(unsigned n) {
  return static_cast<uint8_t>(1u << n);
}

}  // namespace

void Pic8259::set_irq(unsigned n, bool level) {
  const uint8_t mask = bit(n);
  if (level) {
    if (!(lines_ & mask)) edges_ |= mask;
    lines_ |= mask;
  } else {
    lines_ &= static_cast<uint8_t>(~mask);
    edges_ &= static_cast<uint8_t>(~mask);
  }
  update();
}

std::optional<unsigned> Pic8259::highest_ranked(uint8_t bits) const {
  if (bits == 0) return std::nullopt;
  const unsigned first = (lowest_ + 1) & 7;
  const unsigned distance = static_cast<unsigned>(std::countr_zero(std::rotr(bits, static_cast<int>(first))));
  return (first + distance) & 7;
}

std::optional<unsigned> Pic8259::best_request() const {
  const auto request = highest_ranked(irr() & static_cast<uint8_t>(~imr_));
  if (!request) return std::nullopt;
  uint8_t blocking = isr_;
  // A masked level in service does not hold off lower ones in special mask mode.
  if (special_mask_) blocking &= static_cast<uint8_t>(~imr_);
  // In special fully nested mode a slave may interrupt again while an interrupt of its own is in service.
  if (special_fully_nested_) blocking &= static_cast<uint8_t>(~(slave_inputs_ & bit(*request)));
  const auto in_service = highest_ranked(blocking);
  if (in_service && rank(*in_service) <= rank(*request)) return std::nullopt;
  return request;
}

void Pic8259::serve(unsigned n) {
  edges_ &= static_cast<uint8_t>(~bit(n));
  if (auto_eoi_) {
    if (rotate_on_auto_eoi_) lowest_ = static_cast<uint8_t>(n);
  } else {
    isr_ |= bit(n);
  }
}

std::optional<unsigned> Pic8259::acknowledge() {
  const auto request = best_request();
  if (request) serve(*request);
  // INT falls during the acknowledge cycle even if another request is waiting; a master needs that edge.
  intr_.lower();
  update();
  return request;
}

uint8_t Pic8259::read(uint32_t offset) {
  if (poll_) {
    poll_ = false;
    const auto request = acknowledge();
    return request ? static_cast<uint8_t>(0x80 | *request) : 0x07;
  }
  if (offset & 1) return imr_;
  return read_isr_ ? isr_ : irr();
}

void Pic8259::write(uint32_t offset, uint8_t value) {
  if (!(offset & 1)) {
    if (value & 0x10) {
      start_initialisation(value);
    } else if (value & 0x08) {
      write_ocw3(value);
    } else {
      write_ocw2(value);
    }
  } else {
    switch (next_icw_) {
      case 2:
        vector_base_ = value & 0xf8;
        next_icw_ = icw3_follows_ ? 3 : icw4_follows_ ? 4 : 0;
        break;
      case 3:
        // How the chips are wired is fixed in a PC.
        next_icw_ = icw4_follows_ ? 4 : 0;
        break;
      case 4:
        auto_eoi_ = value & 0x02;
        special_fully_nested_ = value & 0x10;
        next_icw_ = 0;
        break;
      default:
        imr_ = value;
        break;
    }
  }
  update();
}

void Pic8259::start_initialisation(uint8_t icw1) {
  edges_ = 0;
  isr_ = 0;
  imr_ = 0;
  lowest_ = 7;
  special_mask_ = false;
  poll_ = false;
  read_isr_ = false;
  auto_eoi_ = false;
  rotate_on_auto_eoi_ = false;
  special_fully_nested_ = false;
  icw3_follows_ = !(icw1 & 0x02);
  icw4_follows_ = icw1 & 0x01;
  next_icw_ = 2;
}

void Pic8259::write_ocw2(uint8_t value) {
  const bool rotate = value & 0x80;
  const bool specific = value & 0x40;
  const bool eoi = value & 0x20;
  const uint8_t level = value & 7;
  if (eoi) {
    std::optional<unsigned> ended = level;
    if (!specific) {
      // A masked level in service is passed over in special mask mode, as it is not what software is ending.
      ended = highest_ranked(special_mask_ ? isr_ & static_cast<uint8_t>(~imr_) : isr_);
    }
    if (!ended) return;
    isr_ &= static_cast<uint8_t>(~bit(*ended));
    if (rotate) lowest_ = static_cast<uint8_t>(*ended);
  } else if (specific) {
    if (rotate) lowest_ = level;  // set priority; without `rotate` it is a no-operation
  } else {
    rotate_on_auto_eoi_ = rotate;
  }
}

void Pic8259::write_ocw3(uint8_t value) {
  if (value & 0x40) special_mask_ = value & 0x20;
  if (value & 0x04) {
    poll_ = true;
  } else if (value & 0x02) {
    read_isr_ = value & 0x01;
  }
}

void Pic8259::set_level_triggered(uint8_t mask) {
  level_triggered_ = mask;
  update();
}

void Pic8259::reset() {
  start_initialisation(0);
  next_icw_ = 0;
  vector_base_ = 0;
  level_triggered_ = 0;
  update();
}

void Pic8259::state(StateArchive& ar) {
  ar.field("intr", intr_);
  ar.field("lines", lines_);
  ar.field("edges", edges_);
  ar.field("level_triggered", level_triggered_);
  ar.field("isr", isr_);
  ar.field("imr", imr_);
  ar.field("vector_base", vector_base_);
  ar.field("lowest", lowest_);
  ar.field("next_icw", next_icw_);
  ar.field("icw3_follows", icw3_follows_);
  ar.field("icw4_follows", icw4_follows_);
  ar.field("auto_eoi", auto_eoi_);
  ar.field("rotate_on_auto_eoi", rotate_on_auto_eoi_);
  ar.field("special_fully_nested", special_fully_nested_);
  ar.field("special_mask", special_mask_);
  ar.field("poll", poll_);
  ar.field("read_isr", read_isr_);
}

Pic8259Pair::Pic8259Pair(IrqLine& intr)
    : cascade_([this](bool level) { master_.set_irq(kCascadeInput, level); }),
      master_(intr, bit(kCascadeInput)),
      slave_(cascade_, 0) {}

void Pic8259Pair::set_irq(unsigned n, bool level) {
  if (n == kCascadeInput) return;
  if (n < 8) {
    master_.set_irq(n, level);
  } else {
    slave_.set_irq(n - 8, level);
  }
}

uint8_t Pic8259Pair::acknowledge() {
  const auto input = master_.acknowledge();
  if (!input) return master_.vector(7);
  if (*input != kCascadeInput) return master_.vector(*input);
  return slave_.vector(slave_.acknowledge().value_or(7));
}

uint8_t Pic8259Pair::read_elcr(uint32_t offset) {
  return offset == 0 ? master_.level_triggered() : slave_.level_triggered();
}

void Pic8259Pair::write_elcr(uint32_t offset, uint8_t value) {
  if (offset == 0) {
    master_.set_level_triggered(value & kMasterElcrMask);
  } else {
    slave_.set_level_triggered(value & kSlaveElcrMask);
  }
}

void Pic8259Pair::reset() {
  slave_.reset();
  master_.reset();
}

void Pic8259Pair::state(StateArchive& ar) {
  ar.field("cascade", cascade_);
  ar.field("master", master_);
  ar.field("slave", slave_);
}

}  // namespace vireo
