#include "devices/rtc_mc146818.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "core/check.h"

namespace vireo {

namespace {

enum Register : uint8_t {
  kSeconds,
  kSecondsAlarm,
  kMinutes,
  kMinutesAlarm,
  kHours,
  kHoursAlarm,
  kDayOfWeek,
  kDayOfMonth,
  kMonth,
  kYear,
  kA,
  kB,
  kC,
  kD,
  kFirstRam,
};

// Where PC BIOSes keep the century, in the clock's own number format. Some systems look for it at 0x37.
constexpr uint8_t kCentury = 0x32;
constexpr uint8_t kCenturyPs2 = 0x37;

constexpr uint8_t kAUpdateInProgress = 1 << 7;
constexpr uint8_t kADividerMask = 7 << 4;
constexpr uint8_t kADividerRuns = 2 << 4;  // 32768 Hz crystal
constexpr uint8_t kARateMask = 0xf;

constexpr uint8_t kBSet = 1 << 7;
constexpr uint8_t kBPeriodic = 1 << 6;
constexpr uint8_t kBAlarm = 1 << 5;
constexpr uint8_t kBUpdate = 1 << 4;
constexpr uint8_t kBSquareWave = 1 << 3;
constexpr uint8_t kBBinary = 1 << 2;
constexpr uint8_t kB24Hours = 1 << 1;

// Register C's flags stand where register B has their enables.
constexpr uint8_t kCInterrupt = 1 << 7;
constexpr uint8_t kCFlags = kBPeriodic | kBAlarm | kBUpdate;

constexpr uint8_t kDValid = 1 << 7;
constexpr uint8_t kHoursPm = 1 << 7;
constexpr uint8_t kAlarmDontCare = 0xc0;

constexpr uint64_t kCrystalHz = 32768;
// UIP rises 244 us before the update and stays for its 1984 us.
constexpr VirtualNs kUpdateNs = 2'228'000;

}  // namespace

RtcMc146818::RtcMc146818(Scheduler& scheduler, IrqLine& irq8, int64_t start_time,
                         std::function<void(bool)> nmi_enable)
    : scheduler_(scheduler),
      irq8_(irq8),
      nmi_enable_(std::move(nmi_enable)),
      next_update_(kNsPerSecond),
      timer_(scheduler, [this] {
        catch_up();
        arm();
      }) {
  ram_[kA] = kADividerRuns | 6;
  ram_[kB] = kB24Hours;
  ram_[kD] = kDValid;
  time_to_registers(start_time);
}

void RtcMc146818::set_cmos(uint8_t index, uint8_t value) {
  CHECK(index >= kFirstRam && index < ram_.size());
  ram_[index] = value;
}

uint8_t RtcMc146818::cmos(uint8_t index) const {
  CHECK(index < ram_.size());
  return ram_[index];
}

void RtcMc146818::update_checksum() {
  unsigned sum = 0;
  for (unsigned i = 0x10; i <= 0x2d; ++i) sum += ram_[i];
  ram_[0x2e] = static_cast<uint8_t>(sum >> 8);
  ram_[0x2f] = static_cast<uint8_t>(sum);
}

// --- ports ---------------------------------------------------------------------------------------

uint8_t RtcMc146818::read_port(uint32_t offset) {
  if (offset == 0) return 0xff;  // the index is write only
  catch_up();
  return read_register(index_);
}

void RtcMc146818::write_port(uint32_t offset, uint8_t value) {
  if (offset == 0) {
    index_ = value & 0x7f;
    if (nmi_enable_) nmi_enable_(!(value & 0x80));
    return;
  }
  catch_up();
  write_register(index_, value);
  arm();
}

uint8_t RtcMc146818::read_register(uint8_t index) {
  switch (index) {
    case kA:
      return static_cast<uint8_t>(ram_[kA] | (update_in_progress() ? kAUpdateInProgress : 0));
    case kC: {
      const uint8_t value = ram_[kC];
      ram_[kC] = 0;
      update_irq();
      return value;
    }
    case kCenturyPs2:
      return ram_[kCentury];
    default:
      return ram_[index];
  }
}

void RtcMc146818::write_register(uint8_t index, uint8_t value) {
  switch (index) {
    case kA:
      write_register_a(value);
      break;
    case kB:
      write_register_b(value);
      break;
    case kC:
    case kD:
      break;  // read only
    case kCenturyPs2:
      ram_[kCentury] = value;
      break;
    default:
      ram_[index] = value;
      break;
  }
}

void RtcMc146818::write_register_a(uint8_t value) {
  const bool ran = divider_runs();
  ram_[kA] = value & 0x7f;
  if (!ran && divider_runs()) {
    // The first update comes half a second after the divider is released.
    divider_start_ = scheduler_.now() - kNsPerSecond / 2;
    next_update_ = scheduler_.now() + kNsPerSecond / 2;
  }
  periods_seen_ = periods_elapsed();
}

void RtcMc146818::write_register_b(uint8_t value) {
  ram_[kB] = value;
  if (value & kBSet) ram_[kB] &= static_cast<uint8_t>(~kBUpdate);
  set_flags(0);
}

// --- time passing --------------------------------------------------------------------------------

bool RtcMc146818::divider_runs() const {
  return (ram_[kA] & kADividerMask) == kADividerRuns;
}

bool RtcMc146818::update_in_progress() const {
  return divider_runs() && !(ram_[kB] & kBSet) && scheduler_.now() >= next_update_ - kUpdateNs;
}

uint32_t RtcMc146818::period_clocks() const {
  const unsigned rate = ram_[kA] & kARateMask;
  if (rate == 0 || !divider_runs()) return 0;
  // The two fastest settings of the 32768 Hz crystal repeat rates 8 and 9.
  return 1u << ((rate <= 2 ? rate + 7 : rate) - 1);
}

uint64_t RtcMc146818::periods_elapsed() const {
  const uint32_t clocks = period_clocks();
  if (clocks == 0) return 0;
  return muldiv64(static_cast<uint64_t>(scheduler_.now() - divider_start_), kCrystalHz,
                  kNsPerSecond * uint64_t{clocks});
}

/// Brings registers and flags to the present.
void RtcMc146818::catch_up() {
  const uint64_t periods = periods_elapsed();
  if (periods > periods_seen_) set_flags(kBPeriodic);
  periods_seen_ = periods;
  if (!divider_runs()) return;
  while (next_update_ <= scheduler_.now()) {
    next_update_ += kNsPerSecond;
    if (!(ram_[kB] & kBSet)) update_second();
  }
}

void RtcMc146818::update_second() {
  time_to_registers(time_from_registers() + 1);
  set_flags(static_cast<uint8_t>(kBUpdate | (alarm_matches() ? kBAlarm : 0)));
}

bool RtcMc146818::alarm_matches() const {
  const auto matches = [this](uint8_t alarm, uint8_t time) {
    return (ram_[alarm] & kAlarmDontCare) == kAlarmDontCare || ram_[alarm] == ram_[time];
  };
  return matches(kSecondsAlarm, kSeconds) && matches(kMinutesAlarm, kMinutes) && matches(kHoursAlarm, kHours);
}

void RtcMc146818::set_flags(uint8_t flags) {
  ram_[kC] |= flags;
  update_irq();
}

void RtcMc146818::update_irq() {
  const bool interrupt = ram_[kC] & ram_[kB] & kCFlags;
  ram_[kC] = static_cast<uint8_t>((ram_[kC] & kCFlags) | (interrupt ? kCInterrupt : 0));
  irq8_.set(interrupt);
}

/// Flags without an enabled interrupt are worked out when somebody looks; only interrupts need the timer.
void RtcMc146818::arm() {
  timer_.disarm();
  if (!divider_runs()) return;
  VirtualNs next = 0;
  const uint32_t clocks = period_clocks();
  if ((ram_[kB] & kBPeriodic) && clocks != 0) {
    // Rounded up: the first moment at which periods_elapsed() has changed.
    const auto ns = static_cast<unsigned __int128>(periods_seen_ + 1) * clocks * kNsPerSecond;
    next = divider_start_ + static_cast<VirtualNs>((ns + kCrystalHz - 1) / kCrystalHz);
  }
  if ((ram_[kB] & (kBAlarm | kBUpdate)) && !(ram_[kB] & kBSet)) {
    next = next != 0 ? std::min(next, next_update_) : next_update_;
  }
  if (next != 0) timer_.arm_at(next);
}

// --- number formats ------------------------------------------------------------------------------

uint8_t RtcMc146818::encode(unsigned value) const {
  if (ram_[kB] & kBBinary) return static_cast<uint8_t>(value);
  return static_cast<uint8_t>(value / 10 << 4 | value % 10);
}

unsigned RtcMc146818::decode(uint8_t value) const {
  if (ram_[kB] & kBBinary) return value;
  return (value >> 4) * 10u + (value & 0xf);
}

uint8_t RtcMc146818::encode_hours(unsigned hours) const {
  if (ram_[kB] & kB24Hours) return encode(hours);
  const unsigned of_twelve = hours % 12 == 0 ? 12 : hours % 12;
  return static_cast<uint8_t>(encode(of_twelve) | (hours >= 12 ? kHoursPm : 0));
}

unsigned RtcMc146818::decode_hours(uint8_t value) const {
  if (ram_[kB] & kB24Hours) return decode(value);
  return decode(value & 0x7f) % 12 + (value & kHoursPm ? 12 : 0);
}

int64_t RtcMc146818::time_from_registers() const {
  using namespace std::chrono;
  const auto calendar = year(static_cast<int>(decode(ram_[kCentury]) * 100 + decode(ram_[kYear]))) /
                        month(std::clamp(decode(ram_[kMonth]), 1u, 12u)) / day(1);
  // Adding days and the rest as durations carries values that are out of range.
  return sys_days(calendar).time_since_epoch() / seconds(1) +
         (int64_t{decode(ram_[kDayOfMonth])} - 1) * 86400 + decode_hours(ram_[kHours]) * 3600 +
         decode(ram_[kMinutes]) * 60 + decode(ram_[kSeconds]);
}

void RtcMc146818::time_to_registers(int64_t unix_seconds) {
  using namespace std::chrono;
  const sys_seconds time{seconds(unix_seconds)};
  const sys_days today = floor<days>(time);
  const year_month_day date(today);
  const hh_mm_ss time_of_day(time - today);
  const auto full_year = static_cast<unsigned>(static_cast<int>(date.year()));
  ram_[kSeconds] = encode(static_cast<unsigned>(time_of_day.seconds().count()));
  ram_[kMinutes] = encode(static_cast<unsigned>(time_of_day.minutes().count()));
  ram_[kHours] = encode_hours(static_cast<unsigned>(time_of_day.hours().count()));
  ram_[kDayOfWeek] = encode(weekday(today).c_encoding() + 1);
  ram_[kDayOfMonth] = encode(static_cast<unsigned>(date.day()));
  ram_[kMonth] = encode(static_cast<unsigned>(date.month()));
  ram_[kYear] = encode(full_year % 100);
  ram_[kCentury] = encode(full_year / 100 % 100);
}

// --- device --------------------------------------------------------------------------------------

void RtcMc146818::reset() {
  catch_up();
  ram_[kB] &= static_cast<uint8_t>(~(kBPeriodic | kBAlarm | kBUpdate | kBSquareWave));
  ram_[kC] = 0;
  index_ = 0;
  if (nmi_enable_) nmi_enable_(true);
  update_irq();
  arm();
}

void RtcMc146818::state(StateArchive& ar) {
  ar.field("index", index_);
  ar.field("ram", ram_);
  ar.field("divider_start", divider_start_);
  ar.field("next_update", next_update_);
  ar.field("periods_seen", periods_seen_);
  ar.field("timer", timer_);
  ar.field("irq8", irq8_);
}

}  // namespace vireo
