#include "devices/local_apic.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "core/clock.h"
#include "core/log.h"

namespace vireo {

namespace {

/// Register offsets divided by 16.
enum Register : unsigned {
  kRegId = 0x02,
  kRegVersion = 0x03,
  kRegTaskPriority = 0x08,
  kRegArbitrationPriority = 0x09,
  kRegProcessorPriority = 0x0a,
  kRegEndOfInterrupt = 0x0b,
  kRegLogicalDestination = 0x0d,
  kRegDestinationFormat = 0x0e,
  kRegSpurious = 0x0f,
  kRegInService = 0x10,
  kRegTriggerMode = 0x18,
  kRegRequest = 0x20,
  kRegErrorStatus = 0x28,
  kRegIcrLow = 0x30,
  kRegIcrHigh = 0x31,
  kRegLvtFirst = 0x32,
  kRegLvtLast = 0x37,
  kRegTimerInitial = 0x38,
  kRegTimerCurrent = 0x39,
  kRegTimerDivide = 0x3e,
};

/// Integrated APIC, six LVT entries.
constexpr uint32_t kVersion = 0x0005'0014;

constexpr uint32_t kSoftwareEnable = 1u << 8;

// LVT entries and the ICR.
constexpr uint32_t kLvtMasked = 1u << 16;
constexpr uint32_t kLvtPeriodic = 1u << 17;
constexpr uint32_t kLevelTriggered = 1u << 15;
constexpr uint32_t kLevelAssert = 1u << 14;
constexpr uint32_t kLogical = 1u << 11;

constexpr uint32_t kErrorSendIllegalVector = 1u << 5;
constexpr uint32_t kErrorReceivedIllegalVector = 1u << 6;
constexpr uint32_t kErrorIllegalRegister = 1u << 7;
constexpr unsigned kFirstLegalVector = 16;

/// Shorter periods would only keep the emulator busy; no guest can serve interrupts that fast.
constexpr VirtualNs kShortestPeriod = 1000;

ApicMessage::Delivery delivery_of(uint32_t value) {
  return static_cast<ApicMessage::Delivery>(value >> 8 & 7);
}

bool contains(const std::array<uint32_t, 8>& set, unsigned vector) {
  return (set[vector / 32] >> vector % 32 & 1) != 0;
}
void insert(std::array<uint32_t, 8>& set, unsigned vector) {
  set[vector / 32] |= 1u << vector % 32;
}
void erase(std::array<uint32_t, 8>& set, unsigned vector) {
  set[vector / 32] &= ~(1u << vector % 32);
}

/// -1: empty.
int highest(const std::array<uint32_t, 8>& set) {
  for (int word = 7; word >= 0; --word) {
    if (set[static_cast<size_t>(word)] != 0)
      return 32 * word + std::bit_width(set[static_cast<size_t>(word)]) - 1;
  }
  return -1;
}

}  // namespace

LocalApic::LocalApic(Scheduler& scheduler, Wires wires)
    : scheduler_(scheduler), wires_(std::move(wires)), timer_(scheduler, [this] { timer_fired(); }) {
  reset();
}

void LocalApic::reset() {
  base_msr_ = kDefaultBase | kGlobalEnable | kBootstrapProcessor;
  reset_registers();
}

void LocalApic::init() {
  const uint32_t id = id_;
  reset_registers();
  id_ = id;
}

void LocalApic::reset_registers() {
  id_ = 0;
  tpr_ = 0;
  logical_destination_ = 0;
  destination_format_ = ~0u;
  spurious_ = 0xff;
  isr_ = tmr_ = irr_ = {};
  error_status_ = error_pending_ = 0;
  icr_low_ = icr_high_ = 0;
  lvt_.fill(kLvtMasked);
  // Virtual wire mode from the start, as firmware sets it up: firmware that knows no APIC then sees the 8259
  // pair.
  lvt_[kLint0] = static_cast<uint32_t>(ApicMessage::Delivery::kExtInt) << 8;
  timer_initial_ = 0;
  timer_divide_ = 0;
  timer_start_ = 0;
  timer_.disarm();
  extint_message_ = false;
  update();
}

void LocalApic::state(StateArchive& ar) {
  ar.field("base_msr", base_msr_);
  ar.field("id", id_);
  ar.field("tpr", tpr_);
  ar.field("logical_destination", logical_destination_);
  ar.field("destination_format", destination_format_);
  ar.field("spurious", spurious_);
  ar.field("isr", isr_);
  ar.field("tmr", tmr_);
  ar.field("irr", irr_);
  ar.field("error_status", error_status_);
  ar.field("error_pending", error_pending_);
  ar.field("icr_low", icr_low_);
  ar.field("icr_high", icr_high_);
  ar.field("lvt", lvt_);
  ar.field("timer_initial", timer_initial_);
  ar.field("timer_divide", timer_divide_);
  ar.field("timer_start", timer_start_);
  ar.field("timer", timer_);
  ar.field("lint0", lint0_);
  ar.field("lint1", lint1_);
  ar.field("extint_message", extint_message_);
  if (ar.loading()) update();
}

// --- the CPU's side ------------------------------------------------------------------------------

void LocalApic::set_base(uint64_t value) {
  const bool was_enabled = enabled();
  base_msr_ = (value & ~uint64_t{0xfff}) | (value & kGlobalEnable) | kBootstrapProcessor;
  if (was_enabled && !enabled()) reset_registers();
  update();
}

bool LocalApic::software_enabled() const {
  return (spurious_ & kSoftwareEnable) != 0;
}

bool LocalApic::extint_pending() const {
  if (!enabled()) return lint0_;
  const uint32_t entry = lvt_[kLint0];
  const bool through_lint0 =
      lint0_ && (entry & kLvtMasked) == 0 && delivery_of(entry) == ApicMessage::Delivery::kExtInt;
  return through_lint0 || extint_message_;
}

uint8_t LocalApic::processor_priority() const {
  const int in_service = std::max(highest(isr_), 0);
  return static_cast<uint8_t>((tpr_ & 0xf0) >= (in_service & 0xf0) ? tpr_ : in_service & 0xf0);
}

bool LocalApic::fixed_pending() const {
  return enabled() && software_enabled() && (highest(irr_) & ~0xf) > (processor_priority() & 0xf0);
}

void LocalApic::update() {
  pending_ = fixed_pending() || extint_pending();
  if (pending_) wires_.interrupt_changed();
}

uint8_t LocalApic::acknowledge() {
  if (fixed_pending()) {
    const unsigned vector = static_cast<unsigned>(highest(irr_));
    erase(irr_, vector);
    insert(isr_, vector);
    update();
    return static_cast<uint8_t>(vector);
  }
  if (extint_pending()) {
    extint_message_ = false;
    const uint8_t vector = wires_.acknowledge_pic();
    update();
    return vector;
  }
  return static_cast<uint8_t>(spurious_);
}

// --- interrupts coming in ------------------------------------------------------------------------

void LocalApic::set_lint0(bool level) {
  if (level != lint0_) lint_changed(kLint0, lint0_ = level);
  update();
}

void LocalApic::set_lint1(bool level) {
  if (level == lint1_) return;
  lint1_ = level;
  if (enabled()) {
    lint_changed(kLint1, level);
  } else if (level) {
    wires_.nmi();
  }
}

void LocalApic::lint_changed(Lvt entry, bool level) {
  const uint32_t lvt = lvt_[entry];
  if (!level || !enabled() || (lvt & kLvtMasked) != 0) return;
  switch (delivery_of(lvt)) {
    case ApicMessage::Delivery::kFixed:
      accept_fixed(static_cast<uint8_t>(lvt), (lvt & kLevelTriggered) != 0);
      break;
    case ApicMessage::Delivery::kNmi:
      wires_.nmi();
      break;
    default:
      break;  // ExtINT is a level that update() looks at
  }
}

bool LocalApic::addressed_by(const ApicMessage& message) const {
  if (message.destination == 0xff) return true;
  if (!message.logical) return message.destination == id_ >> 24;
  const unsigned mine = logical_destination_ >> 24;
  const bool flat = destination_format_ >> 28 == 0xf;
  if (flat) return (message.destination & mine) != 0;
  return message.destination >> 4 == mine >> 4 && (message.destination & mine & 0xf) != 0;
}

bool LocalApic::receive(const ApicMessage& message) {
  if (!enabled() || !addressed_by(message)) return false;
  switch (message.delivery) {
    case ApicMessage::Delivery::kFixed:
    case ApicMessage::Delivery::kLowestPriority:
      if (!software_enabled()) return false;
      accept_fixed(message.vector, message.level_triggered);
      return true;
    case ApicMessage::Delivery::kNmi:
      wires_.nmi();
      return true;
    case ApicMessage::Delivery::kInit:
      wires_.init();
      return true;
    case ApicMessage::Delivery::kExtInt:
      extint_message_ = true;
      update();
      return true;
    default:
      // A start-up IPI means nothing to a CPU that is not waiting for one; SMM is not offered.
      return true;
  }
}

void LocalApic::accept_fixed(uint8_t vector, bool level_triggered) {
  if (vector < kFirstLegalVector) {
    report_error(kErrorReceivedIllegalVector);
    return;
  }
  if (level_triggered) {
    insert(tmr_, vector);
  } else {
    erase(tmr_, vector);
  }
  insert(irr_, vector);
  update();
}

void LocalApic::end_interrupt() {
  const int vector = highest(isr_);
  if (vector < 0) return;
  erase(isr_, static_cast<unsigned>(vector));
  if (contains(tmr_, static_cast<unsigned>(vector))) {
    wires_.end_of_interrupt(static_cast<uint8_t>(vector));
    if (lint0_ && static_cast<uint8_t>(lvt_[kLint0]) == vector) lint_changed(kLint0, true);
  }
  update();
}

void LocalApic::report_error(uint32_t bit) {
  const bool is_new = (error_pending_ & bit) == 0;
  error_pending_ |= bit;
  const uint32_t lvt = lvt_[kError];
  // An illegal vector in the error entry itself must not report itself again.
  if (is_new && (lvt & kLvtMasked) == 0 && (lvt & 0xff) >= kFirstLegalVector) {
    accept_fixed(static_cast<uint8_t>(lvt), false);
  }
}

// --- registers -----------------------------------------------------------------------------------

uint64_t LocalApic::read(uint32_t offset, unsigned) {
  // Registers are the first dword of each 16 bytes.
  const unsigned byte = offset & 15;
  if (byte >= 4) return 0;
  return read_register(offset >> 4) >> (8 * byte);
}

void LocalApic::write(uint32_t offset, unsigned size, uint64_t value) {
  if ((offset & 15) != 0 || size < 4) {
    guest_error(LogCategory::kIrq, "local APIC: write of {} bytes at {:#x}", size, offset);
    return;
  }
  write_register(offset >> 4, static_cast<uint32_t>(value));
}

uint32_t LocalApic::read_register(unsigned index) {
  switch (index) {
    case kRegId:
      return id_;
    case kRegVersion:
      return kVersion;
    case kRegTaskPriority:
      return tpr_;
    case kRegArbitrationPriority:
    case kRegEndOfInterrupt:
      return 0;
    case kRegProcessorPriority:
      return processor_priority();
    case kRegLogicalDestination:
      return logical_destination_;
    case kRegDestinationFormat:
      return destination_format_;
    case kRegSpurious:
      return spurious_;
    case kRegErrorStatus:
      return error_status_;
    case kRegIcrLow:
      return icr_low_;
    case kRegIcrHigh:
      return icr_high_;
    case kRegTimerInitial:
      return timer_initial_;
    case kRegTimerCurrent:
      return timer_current_count(scheduler_.now());
    case kRegTimerDivide:
      return timer_divide_;
    default:
      break;
  }
  if (index >= kRegInService && index < kRegInService + 8) return isr_[index - kRegInService];
  if (index >= kRegTriggerMode && index < kRegTriggerMode + 8) return tmr_[index - kRegTriggerMode];
  if (index >= kRegRequest && index < kRegRequest + 8) return irr_[index - kRegRequest];
  if (index >= kRegLvtFirst && index <= kRegLvtLast) return lvt_[index - kRegLvtFirst];
  report_error(kErrorIllegalRegister);
  return 0;
}

void LocalApic::write_register(unsigned index, uint32_t value) {
  switch (index) {
    case kRegId:
      id_ = value & 0xff000000;
      return;
    case kRegTaskPriority:
      tpr_ = static_cast<uint8_t>(value);
      update();
      return;
    case kRegEndOfInterrupt:
      end_interrupt();
      return;
    case kRegLogicalDestination:
      logical_destination_ = value & 0xff000000;
      return;
    case kRegDestinationFormat:
      destination_format_ = value | 0x0fffffff;
      return;
    case kRegSpurious:
      spurious_ = value & 0x3ff;
      if (!software_enabled()) {
        const VirtualNs now = scheduler_.now();
        timer_.fire_if_due(now);
        for (uint32_t& entry : lvt_) entry |= kLvtMasked;
        start_timer(now);
      }
      update();
      return;
    case kRegErrorStatus:
      error_status_ = std::exchange(error_pending_, 0);
      return;
    case kRegIcrLow:
      write_icr(value);
      return;
    case kRegIcrHigh:
      icr_high_ = value & 0xff000000;
      return;
    case kRegTimerInitial:
      timer_start_ = scheduler_.now();
      timer_.fire_if_due(timer_start_);
      timer_initial_ = value;
      start_timer(timer_start_);
      return;
    case kRegTimerDivide: {
      const VirtualNs now = scheduler_.now();
      timer_.fire_if_due(now);
      const uint32_t remaining = timer_current_count(now);
      timer_divide_ = value & 0xb;
      timer_start_ = now - timer_duration(timer_initial_ - remaining);
      start_timer(now);
      return;
    }
    default:
      break;
  }
  if (index >= kRegLvtFirst && index <= kRegLvtLast) {
    write_lvt(static_cast<Lvt>(index - kRegLvtFirst), value);
    return;
  }
  const bool read_only = (index >= kRegInService && index < kRegErrorStatus) || index == kRegVersion ||
                         index == kRegProcessorPriority || index == kRegTimerCurrent ||
                         index == kRegArbitrationPriority;
  if (!read_only) report_error(kErrorIllegalRegister);
}

void LocalApic::write_lvt(Lvt entry, uint32_t value) {
  static constexpr std::array<uint32_t, kLvtCount> kWritable = {
      0x300ff,                             // timer: vector, mask, periodic
      0x107ff, 0x107ff, 0x1a7ff, 0x1a7ff,  // LINT0, LINT1: also polarity and trigger mode
      0x100ff,
  };
  const VirtualNs now = scheduler_.now();
  if (entry == kTimer) timer_.fire_if_due(now);
  lvt_[entry] = (value & kWritable[entry]) | (software_enabled() ? 0 : kLvtMasked);
  if (entry == kTimer) start_timer(now);
  update();
}

void LocalApic::write_icr(uint32_t low) {
  icr_low_ = low & 0xccfff;
  enum Shorthand : unsigned { kNone, kSelf, kAll, kOthers };
  const unsigned shorthand = low >> 18 & 3;
  const ApicMessage message = {
      .vector = static_cast<uint8_t>(low),
      .delivery = delivery_of(low),
      .logical = (low & kLogical) != 0,
      .destination = shorthand == kNone ? static_cast<uint8_t>(icr_high_ >> 24) : uint8_t{0xff},
      .level_triggered = false,  // IPIs are edges whatever the trigger mode bit says
  };
  const bool fixed = message.delivery == ApicMessage::Delivery::kFixed ||
                     message.delivery == ApicMessage::Delivery::kLowestPriority;
  if (fixed && message.vector < kFirstLegalVector) {
    report_error(kErrorSendIllegalVector);
    return;
  }
  // The INIT level de-assert only synchronises arbitration IDs.
  if (message.delivery == ApicMessage::Delivery::kInit && (low & kLevelTriggered) != 0 &&
      (low & kLevelAssert) == 0) {
    return;
  }
  if (shorthand == kOthers) return;  // there are none
  if (shorthand == kSelf && !fixed) return;
  receive(message);
}

// --- timer ---------------------------------------------------------------------------------------

unsigned LocalApic::timer_divider() const {
  const unsigned code = (timer_divide_ & 3) | (timer_divide_ >> 1 & 4);
  return code == 7 ? 1 : 2u << code;
}

VirtualNs LocalApic::timer_duration(uint32_t count) const {
  return static_cast<VirtualNs>(muldiv64(uint64_t{count} * timer_divider(), kNsPerSecond, kBusHz));
}

uint32_t LocalApic::timer_current_count(VirtualNs now) const {
  if (timer_initial_ == 0) return 0;
  const uint64_t elapsed_ns = static_cast<uint64_t>(now - timer_start_);
  const uint64_t elapsed = muldiv64(elapsed_ns, kBusHz, kNsPerSecond) / timer_divider();
  if ((lvt_[kTimer] & kLvtPeriodic) != 0)
    return timer_initial_ - static_cast<uint32_t>(elapsed % timer_initial_);
  return elapsed >= timer_initial_ ? 0 : timer_initial_ - static_cast<uint32_t>(elapsed);
}

void LocalApic::start_timer(VirtualNs now) {
  // A masked timer needs no alarm: its count is computed when read.
  timer_.disarm();
  if (timer_initial_ == 0 || (lvt_[kTimer] & kLvtMasked) != 0) return;
  const VirtualNs period = timer_duration(timer_initial_);
  if ((lvt_[kTimer] & kLvtPeriodic) == 0) {
    if (now < timer_start_ + period || now == timer_start_) timer_.arm_at(timer_start_ + period);
    return;
  }
  // Periods that went by unserved are one interrupt: the IRR holds no more.
  const VirtualNs step = std::max(period, kShortestPeriod);
  timer_.arm_at(timer_start_ + ((now - timer_start_) / step + 1) * step);
}

void LocalApic::timer_fired() {
  const uint32_t lvt = lvt_[kTimer];
  if ((lvt & kLvtPeriodic) != 0) start_timer(scheduler_.now());
  accept_fixed(static_cast<uint8_t>(lvt), false);
}

}  // namespace vireo
