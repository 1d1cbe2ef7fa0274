#include "devices/piix4_pm.h"

#include <utility>

#include "core/clock.h"
#include "core/log.h"

namespace vireo {

namespace {

constexpr uint64_t kPmTimerHz = 3'579'545;
constexpr unsigned kPmTimerBits = 24;

// Configuration space.
constexpr uint8_t kPmBase = 0x40;
constexpr uint8_t kDeviceActivityB = 0x58;
constexpr uint8_t kDeviceResourceA = 0x5c;
constexpr uint8_t kDeviceResourceC = 0x64;
constexpr uint8_t kPmRegMisc = 0x80;
constexpr uint8_t kSmbusBase = 0x90;
constexpr uint8_t kSmbusConfig = 0xd2;
constexpr uint32_t kApmcEnable = 1u << 25;
constexpr uint32_t kLpt1Present = 1u << 31;
constexpr uint32_t kCom1Present = 1u << 27;
constexpr uint32_t kCom2Present = 1u << 31;

// PM block.
constexpr uint32_t kPm1Status = 0;
constexpr uint32_t kPm1Enable = 2;
constexpr uint32_t kPm1Control = 4;
constexpr uint32_t kPmTimer = 8;
constexpr uint16_t kTimerEvent = 1u << 0;
constexpr uint16_t kGlobalEvent = 1u << 5;
constexpr uint16_t kPowerButtonEvent = 1u << 8;
constexpr uint16_t kRtcEvent = 1u << 10;
constexpr uint16_t kSciEvents = kTimerEvent | kGlobalEvent | kPowerButtonEvent | kRtcEvent;
constexpr uint16_t kSciEnable = 1u << 0;
constexpr uint16_t kSleepEnable = 1u << 13;
constexpr unsigned kSleepTypeShift = 10;
constexpr unsigned kSleepTypeSoftOff = 0;  // \_S5 in the firmware's DSDT

constexpr uint8_t kApmAcpiEnable = 0xf1;
constexpr uint8_t kApmAcpiDisable = 0xf0;

// SMBus host.
constexpr uint32_t kSmbusControl = 2;
constexpr uint8_t kSmbusStart = 1u << 6;
constexpr uint8_t kSmbusDeviceError = 1u << 2;

constexpr PciIdentity kIdentity = {.vendor = 0x8086,
                                   .device = 0x7113,
                                   .revision = 3,
                                   .class_code = 0x068000,
                                   .subsystem_vendor = 0x1af4,
                                   .subsystem = 0x1100,
                                   .interrupt_pin = 1};

/// Replaces byte `index` (0 or 1) of `word`.
void set_byte(uint16_t& word, unsigned index, uint8_t value) {
  word = static_cast<uint16_t>(index == 0 ? (word & 0xff00) | value : (word & 0x00ff) | value << 8);
}

}  // namespace

Piix4Pm::Piix4Pm(Scheduler& scheduler, IoBus& ports, IrqLine sci, std::function<void()> power_off,
                 IsaPorts isa_ports)
    : PciFunction(kIdentity),
      scheduler_(scheduler),
      ports_(ports),
      sci_(std::move(sci)),
      power_off_(std::move(power_off)),
      overflow_timer_(scheduler, [this] { update_sci(); }) {
  define_register(0x06, 2, 0x0280, 0);
  define_register(kPmBase, 4, 1, 0xffc0);
  // Set from the start: tells firmware that system management mode is taken care of, so that it does not try.
  define_register(kDeviceActivityB, 4, kApmcEnable, 0xffffffff);
  define_register(kDeviceResourceA, 4, isa_ports.lpt1 ? kLpt1Present : 0, 0xffffffff);
  define_register(kDeviceResourceC, 4,
                  (isa_ports.com1 ? kCom1Present : 0) | (isa_ports.com2 ? kCom2Present : 0), 0xffffffff);
  define_register(kPmRegMisc, 1, 0, 0x01);
  define_register(kSmbusBase, 4, 1, 0xfff0);
  define_register(kSmbusConfig, 1, 0, 0x0f);
}

void Piix4Pm::reset() {
  reset_config();
  pm1_status_ = 0;
  pm1_enable_ = 0;
  pm1_control_ = 0;
  overflow_seen_ = pm_timer() >> (kPmTimerBits - 1);
  apm_control_ = 0;
  apm_status_ = 0;
  gpe_status_ = 0;
  gpe_enable_ = 0;
  pm_scratch_ = {};
  smbus_status_ = 0;
  smbus_ = {};
  update_io_mappings();
  update_sci();
}

void Piix4Pm::state(StateArchive& ar) {
  config_state(ar);
  ar.field("pm1_status", pm1_status_);
  ar.field("pm1_enable", pm1_enable_);
  ar.field("pm1_control", pm1_control_);
  ar.field("overflow_seen", overflow_seen_);
  ar.field("apm_control", apm_control_);
  ar.field("apm_status", apm_status_);
  ar.field("gpe_status", gpe_status_);
  ar.field("gpe_enable", gpe_enable_);
  ar.field("pm_scratch", pm_scratch_);
  ar.field("smbus_status", smbus_status_);
  ar.field("smbus", smbus_);
  ar.field("overflow_timer", overflow_timer_);
  ar.field("sci", sci_);
  if (ar.loading()) update_io_mappings();
}

void Piix4Pm::config_write(uint8_t offset, unsigned size, uint32_t value) {
  PciFunction::config_write(offset, size, value);
  update_io_mappings();
}

void Piix4Pm::update_io_mappings() {
  const auto base = [this](uint8_t offset) {
    return static_cast<uint16_t>((config()[offset] & 0xf0) | config()[offset + 1] << 8);
  };
  place(pm_window_, (config()[kPmRegMisc] & 1) != 0, base(kPmBase), pm_region_, "piix4 power management");
  place(smbus_window_, (config()[kSmbusConfig] & 1) != 0, base(kSmbusBase), smbus_region_, "piix4 smbus");
}

void Piix4Pm::place(Window& window, bool enabled, uint16_t base, IoRegion& region, const char* name) {
  const bool wanted = enabled && base != 0;
  if (window.mapped && (!wanted || base != window.mapped_at)) {
    ports_.unmap(window.mapped_at);
    window.mapped = false;
  }
  if (window.mapped || !wanted) return;
  if (!ports_.is_free(base, window.size)) {
    guest_error(LogCategory::kAcpi, "{} placed at port {:#x}, where something else is", name, base);
    return;
  }
  ports_.map(base, window.size, region, name);
  window.mapped = true;
  window.mapped_at = base;
}

// --- PM1 and the timer ---------------------------------------------------------------------------

uint64_t Piix4Pm::pm_timer() const {
  return muldiv64(static_cast<uint64_t>(scheduler_.now()), kPmTimerHz, kNsPerSecond);
}

void Piix4Pm::latch_timer_overflow() {
  // TMR_STS reports every change of the counter's top bit.
  const uint64_t half_periods = pm_timer() >> (kPmTimerBits - 1);
  if (half_periods != overflow_seen_) pm1_status_ |= kTimerEvent;
  overflow_seen_ = half_periods;
}

void Piix4Pm::update_sci() {
  latch_timer_overflow();
  const bool acpi_mode = (pm1_control_ & kSciEnable) != 0;
  const bool event = (pm1_status_ & pm1_enable_ & kSciEvents) != 0 || (gpe_status_ & gpe_enable_) != 0;
  sci_.set(acpi_mode && event);

  if (acpi_mode && (pm1_enable_ & kTimerEvent) != 0 && (pm1_status_ & kTimerEvent) == 0) {
    const uint64_t next_tick = (overflow_seen_ + 1) << (kPmTimerBits - 1);
    overflow_timer_.arm_at(static_cast<VirtualNs>(muldiv64(next_tick, kNsPerSecond, kPmTimerHz) + 1));
  } else {
    overflow_timer_.disarm();
  }
}

void Piix4Pm::write_pm1_control(uint16_t value) {
  pm1_control_ = static_cast<uint16_t>(value & ~kSleepEnable);
  update_sci();
  if ((value & kSleepEnable) == 0) return;
  const unsigned type = value >> kSleepTypeShift & 7;
  if (type != kSleepTypeSoftOff) {
    guest_error(LogCategory::kAcpi,
                "the guest asked for sleep type {}, which the firmware's tables do not offer", type);
    return;
  }
  trace(LogCategory::kAcpi, "power off (sleep type {})", type);
  power_off_();
}

uint64_t Piix4Pm::read_pm(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  const uint32_t timer = static_cast<uint32_t>(pm_timer()) & ((1u << kPmTimerBits) - 1);
  latch_timer_overflow();
  for (unsigned i = 0; i < size; ++i) {
    const uint32_t at = offset + i;
    const uint8_t byte = at >= kPmTimer && at < kPmTimer + 4
                             ? static_cast<uint8_t>(timer >> (8 * (at - kPmTimer)))
                             : read_pm_byte(at);
    value |= uint64_t{byte} << (8 * i);
  }
  return value;
}

uint8_t Piix4Pm::read_pm_byte(uint32_t offset) {
  const unsigned shift = 8 * (offset & 1);
  switch (offset & ~1u) {
    case kPm1Status:
      return static_cast<uint8_t>(pm1_status_ >> shift);
    case kPm1Enable:
      return static_cast<uint8_t>(pm1_enable_ >> shift);
    case kPm1Control:
      return static_cast<uint8_t>(pm1_control_ >> shift);
    default:
      return pm_scratch_[offset];
  }
}

void Piix4Pm::write_pm(uint32_t offset, unsigned size, uint64_t value) {
  latch_timer_overflow();
  // Ascending, so that a sleep type in the same write is there when the high byte's SLP_EN takes effect.
  for (unsigned i = 0; i < size; ++i) write_pm_byte(offset + i, static_cast<uint8_t>(value >> (8 * i)));
  update_sci();
}

void Piix4Pm::write_pm_byte(uint32_t offset, uint8_t value) {
  const unsigned shift = 8 * (offset & 1);
  switch (offset & ~1u) {
    case kPm1Status:
      pm1_status_ = static_cast<uint16_t>(pm1_status_ & ~(value << shift));
      break;
    case kPm1Enable:
      set_byte(pm1_enable_, offset & 1, value);
      break;
    case kPm1Control: {
      uint16_t control = pm1_control_;
      set_byte(control, offset & 1, value);
      write_pm1_control(control);
      break;
    }
    default:
      if (offset < kPmTimer || offset >= kPmTimer + 4) pm_scratch_[offset] = value;
  }
}

// --- APM, GPE0, hot-plug, SMBus ------------------------------------------------------------------

uint64_t Piix4Pm::read_apm(uint32_t offset, unsigned size) {
  const uint64_t both = apm_control_ | apm_status_ << 8;
  return offset == 0 ? (size == 1 ? apm_control_ : both) : apm_status_;
}

void Piix4Pm::write_apm(uint32_t offset, unsigned size, uint64_t value) {
  if (offset == 1 || size > 1) apm_status_ = static_cast<uint8_t>(offset == 1 ? value : value >> 8);
  if (offset != 0) return;
  apm_control_ = static_cast<uint8_t>(value);
  if (apm_control_ == kApmAcpiEnable) pm1_control_ |= kSciEnable;
  if (apm_control_ == kApmAcpiDisable) pm1_control_ = static_cast<uint16_t>(pm1_control_ & ~kSciEnable);
  update_sci();
}

uint64_t Piix4Pm::read_gpe(uint32_t offset, unsigned) {
  const uint32_t block = gpe_status_ | static_cast<uint32_t>(gpe_enable_) << 16;
  return block >> (8 * offset);
}

void Piix4Pm::write_gpe(uint32_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint8_t byte = static_cast<uint8_t>(value >> (8 * i));
    const uint32_t at = offset + i;
    if (at < 2) {
      gpe_status_ = static_cast<uint16_t>(gpe_status_ & ~(byte << (8 * at)));
    } else {
      set_byte(gpe_enable_, at & 1, byte);
    }
  }
  update_sci();
}

uint64_t Piix4Pm::read_hotplug(uint32_t, unsigned) {
  return 0;
}

void Piix4Pm::write_hotplug(uint32_t, unsigned, uint64_t) {}

uint64_t Piix4Pm::read_smbus(uint32_t offset, unsigned size) {
  uint64_t value = 0;
  for (unsigned i = 0; i < size; ++i) {
    value |= uint64_t{offset + i == 0 ? smbus_status_ : smbus_[offset + i]} << (8 * i);
  }
  return value;
}

void Piix4Pm::write_smbus(uint32_t offset, unsigned size, uint64_t value) {
  for (unsigned i = 0; i < size; ++i) {
    const uint8_t byte = static_cast<uint8_t>(value >> (8 * i));
    const uint32_t at = offset + i;
    if (at == 0) {
      smbus_status_ = static_cast<uint8_t>(smbus_status_ & ~byte);
      continue;
    }
    smbus_[at] = byte;
    if (at == kSmbusControl && (byte & kSmbusStart) != 0) {
      smbus_[at] = static_cast<uint8_t>(byte & ~kSmbusStart);
      smbus_status_ |= kSmbusDeviceError;  // no device on this bus ever answers
    }
  }
}

}  // namespace vireo
