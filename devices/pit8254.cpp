#include "devices/pit8254.h"

#include <algorithm>
#include <utility>

namespace vireo {

namespace {

constexpr unsigned kControlPort = 3;

uint64_t ticks_at(VirtualNs time) {
  return muldiv64(static_cast<uint64_t>(time), Pit8254::kFrequencyHz, kNsPerSecond);
}

/// The first moment at which ticks_at() gives `tick`.
VirtualNs time_of_tick(uint64_t tick) {
  const auto ns = static_cast<unsigned __int128>(tick) * kNsPerSecond;
  return static_cast<VirtualNs>((ns + Pit8254::kFrequencyHz - 1) / Pit8254::kFrequencyHz);
}

uint16_t to_bcd(uint32_t value) {
  return static_cast<uint16_t>(value % 10 | value / 10 % 10 << 4 | value / 100 % 10 << 8 |
                               value / 1000 % 10 << 12);
}

uint32_t from_bcd(uint16_t value) {
  return (value & 0xf) + (value >> 4 & 0xf) * 10 + (value >> 8 & 0xf) * 100 + (value >> 12) * 1000u;
}

}  // namespace

uint64_t Pit8254Counter::elapsed(uint64_t tick) const {
  return running_ ? tick - origin_ : stopped_elapsed_;
}

void Pit8254Counter::load_at(uint64_t tick) {
  // A count that follows a high half of mode 3 begins with its low half.
  const bool low_half = mode_ == 3 && loaded_ && running_ && tick != origin_ &&
                        (tick - origin_) % loaded_count_ == high_clocks() && loaded_count_ > 1;
  loaded_count_ = initial_count_;
  origin_ = low_half ? tick - high_clocks() : tick;
  null_count_ = false;
  loaded_ = true;
  running_ = gate_ || started_by_gate();
  stopped_elapsed_ = 0;
  stopped_output_ = false;
  load_tick_ = kNever;
}

void Pit8254Counter::stop(uint64_t tick) {
  if (!running_) return;
  stopped_elapsed_ = tick - origin_;
  running_ = false;
}

void Pit8254Counter::advance(uint64_t tick) {
  if (load_tick_ <= tick) {
    const uint64_t at = load_tick_;
    rose_ |= rose_between(advanced_to_, at);
    load_at(at);
    advanced_to_ = at;
  }
  rose_ |= rose_between(advanced_to_, tick);
  advanced_to_ = tick;
}

/// Did the output rise at a tick t with after < t <= until, with the count that is loaded now?
bool Pit8254Counter::rose_between(uint64_t after, uint64_t until) const {
  if (!running_ || until <= origin_) return false;
  after = std::max(after, origin_);
  if (periodic()) {
    if (loaded_count_ == 1) return false;
    return (until - origin_) / loaded_count_ > (after - origin_) / loaded_count_;
  }
  const uint64_t rise = origin_ + loaded_count_ + (mode_ >= 4 ? 1 : 0);
  return after < rise && rise <= until;
}

bool Pit8254Counter::output_after(uint64_t t) const {
  switch (mode_) {
    case 0:
    case 1:
      return t >= loaded_count_;
    case 2:
      return loaded_count_ == 1 || t % loaded_count_ != loaded_count_ - 1;
    case 3:
      return t % loaded_count_ < high_clocks();
    default:
      return t != loaded_count_;
  }
}

bool Pit8254Counter::output(uint64_t tick) {
  advance(tick);
  if (!loaded_) return mode_ != 0;
  if (periodic() && !gate_) return true;
  if (mode_ == 0 && stopped_output_) return false;
  return output_after(elapsed(tick));
}

bool Pit8254Counter::take_rising_edge(uint64_t tick) {
  advance(tick);
  return std::exchange(rose_, false);
}

uint64_t Pit8254Counter::next_event(uint64_t tick) {
  advance(tick);
  uint64_t next = load_tick_;
  if (!running_) return next;
  if (!periodic()) {
    const uint64_t rise = origin_ + loaded_count_ + (mode_ >= 4 ? 1 : 0);
    return rise > tick ? std::min(next, rise) : next;
  }
  if (loaded_count_ == 1) return next;
  const uint64_t cycle_start = origin_ + (tick - origin_) / loaded_count_ * loaded_count_;
  const uint64_t fall = cycle_start + high_clocks();
  const uint64_t rise = cycle_start + loaded_count_;
  return std::min(next, mode_ == 3 && fall > tick ? fall : rise);
}

uint16_t Pit8254Counter::current_value(uint64_t tick) const {
  const uint64_t t = elapsed(tick);
  uint64_t value;
  if (mode_ == 2) {
    value = loaded_count_ - t % loaded_count_;
  } else if (mode_ == 3) {
    // Counts down by two from the even part of the count, once in each half.
    const uint64_t in_cycle = t % loaded_count_;
    const uint64_t in_half = in_cycle < high_clocks() ? in_cycle : in_cycle - high_clocks();
    value = (loaded_count_ & ~1u) - 2 * in_half;
  } else {
    value = loaded_count_ + modulus() - t % modulus();
  }
  value %= modulus();
  return bcd_ ? to_bcd(static_cast<uint32_t>(value)) : static_cast<uint16_t>(value);
}

void Pit8254Counter::write_control(uint8_t control, uint64_t tick) {
  advance(tick);
  stop(tick);
  access_ = static_cast<Access>(control >> 4 & 3);
  mode_ = control >> 1 & 7;
  if (mode_ > 5) mode_ -= 4;
  bcd_ = control & 1;
  null_count_ = true;
  count_written_ = false;
  loaded_ = false;
  stopped_output_ = false;
  load_tick_ = kNever;
  rose_ = false;
  write_high_next_ = false;
  read_high_next_ = false;
  count_latched_ = false;
  status_latched_ = false;
}

void Pit8254Counter::write_count(uint8_t value, uint64_t tick) {
  advance(tick);
  uint16_t count = 0;
  switch (access_) {
    case Access::kLow:
      count = value;
      break;
    case Access::kHigh:
      count = static_cast<uint16_t>(value << 8);
      break;
    case Access::kBoth:
      if (!write_high_next_) {
        write_low_ = value;
        write_high_next_ = true;
        // The first byte of two stops a mode 0 count and takes its output low.
        if (mode_ == 0) {
          stop(tick);
          stopped_output_ = true;
          load_tick_ = kNever;
        }
        return;
      }
      write_high_next_ = false;
      count = static_cast<uint16_t>(write_low_ | value << 8);
      break;
  }
  const uint32_t clocks = bcd_ ? from_bcd(count) : count;
  initial_count_ = clocks != 0 ? clocks : modulus();
  schedule_load(tick);
}

void Pit8254Counter::schedule_load(uint64_t tick) {
  null_count_ = true;
  count_written_ = true;
  if (started_by_gate()) return;
  if (!periodic()) {
    // Mode 0: the output is low from the write on, not only from the load.
    if (mode_ == 0) {
      stop(tick);
      stopped_output_ = true;
    }
    load_tick_ = tick + 1;
    return;
  }
  if (!loaded_) {
    load_tick_ = tick + 1;
    return;
  }
  // The running cycle (mode 2) or half cycle (mode 3) is finished first.
  if (!running_) return;
  const uint64_t cycle_start = origin_ + (tick - origin_) / loaded_count_ * loaded_count_;
  load_tick_ = mode_ == 3 && tick < cycle_start + high_clocks() ? cycle_start + high_clocks()
                                                                : cycle_start + loaded_count_;
}

void Pit8254Counter::set_gate(bool gate, uint64_t tick) {
  advance(tick);
  if (gate == gate_) return;
  const bool output_before = output(tick);
  gate_ = gate;
  if (started_by_gate()) {
    if (gate && count_written_) load_tick_ = tick + 1;
    return;
  }
  if (!gate) {
    if (periodic()) {
      load_tick_ = kNever;
      rose_ |= loaded_ && !output_before;
    }
    stop(tick);
    return;
  }
  if (periodic()) {
    if (count_written_) load_tick_ = tick + 1;
  } else if (loaded_ && !stopped_output_) {
    origin_ = tick - stopped_elapsed_;
    running_ = true;
  }
}

void Pit8254Counter::latch_count(uint64_t tick) {
  advance(tick);
  if (count_latched_) return;
  count_latch_ = current_value(tick);
  count_latched_ = true;
}

void Pit8254Counter::latch_status(uint64_t tick) {
  if (status_latched_) return;
  status_latch_ = static_cast<uint8_t>((output(tick) ? 0x80 : 0) | (null_count_ ? 0x40 : 0) |
                                       static_cast<unsigned>(access_) << 4 | mode_ << 1 | (bcd_ ? 1 : 0));
  status_latched_ = true;
}

uint8_t Pit8254Counter::read_count(uint64_t tick) {
  advance(tick);
  if (status_latched_) {
    status_latched_ = false;
    return status_latch_;
  }
  const uint16_t value = count_latched_ ? count_latch_ : current_value(tick);
  bool high = access_ == Access::kHigh;
  if (access_ == Access::kBoth) {
    high = read_high_next_;
    read_high_next_ = !read_high_next_;
  }
  if (access_ != Access::kBoth || high) count_latched_ = false;
  return static_cast<uint8_t>(high ? value >> 8 : value);
}

void Pit8254Counter::reset(bool gate, uint64_t tick) {
  *this = Pit8254Counter{};
  gate_ = gate;
  advanced_to_ = tick;
}

void Pit8254Counter::state(StateArchive& ar) {
  ar.field("mode", mode_);
  ar.field("access", access_);
  ar.field("bcd", bcd_);
  ar.field("gate", gate_);
  ar.field("initial_count", initial_count_);
  ar.field("null_count", null_count_);
  ar.field("count_written", count_written_);
  ar.field("loaded_count", loaded_count_);
  ar.field("loaded", loaded_);
  ar.field("running", running_);
  ar.field("stopped_output", stopped_output_);
  ar.field("origin", origin_);
  ar.field("stopped_elapsed", stopped_elapsed_);
  ar.field("load_tick", load_tick_);
  ar.field("advanced_to", advanced_to_);
  ar.field("rose", rose_);
  ar.field("write_high_next", write_high_next_);
  ar.field("write_low", write_low_);
  ar.field("read_high_next", read_high_next_);
  ar.field("count_latched", count_latched_);
  ar.field("count_latch", count_latch_);
  ar.field("status_latched", status_latched_);
  ar.field("status_latch", status_latch_);
}

Pit8254::Pit8254(Scheduler& scheduler, IrqLine& irq0)
    : scheduler_(scheduler), irq0_(irq0), timer_(scheduler, [this] { update_irq0(); }) {
  reset();
}

uint64_t Pit8254::now_ticks() const {
  return ticks_at(scheduler_.now());
}

void Pit8254::set_gate2(bool gate) {
  counters_[2].set_gate(gate, now_ticks());
  counter_changed(2);
}

uint8_t Pit8254::read_port(uint32_t offset) {
  if (offset == kControlPort) return 0xff;  // write only
  return counters_[offset].read_count(now_ticks());
}

void Pit8254::write_port(uint32_t offset, uint8_t value) {
  const uint64_t tick = now_ticks();
  // An edge from before the write is the CPU's even if the timer has not fired yet.
  update_irq0();
  if (offset != kControlPort) {
    counters_[offset].write_count(value, tick);
    counter_changed(offset);
    return;
  }
  const unsigned select = value >> 6;
  if (select == 3) {
    for (unsigned n = 0; n < 3; ++n) {
      if (!(value & 2u << n)) continue;
      if (!(value & 0x20)) counters_[n].latch_count(tick);
      if (!(value & 0x10)) counters_[n].latch_status(tick);
    }
    return;
  }
  if ((value & 0x30) == 0) {
    counters_[select].latch_count(tick);
    return;
  }
  counters_[select].write_control(value, tick);
  counter_changed(select);
}

void Pit8254::counter_changed(unsigned n) {
  if (n == 0) update_irq0();
  if (n == 2 && counter2_hook_) counter2_hook_();
}

void Pit8254::update_irq0() {
  const uint64_t tick = now_ticks();
  Pit8254Counter& counter = counters_[0];
  if (counter.take_rising_edge(tick)) {
    // When the host is late the output may have fallen again; the interrupt controller must see the edge all
    // the same.
    irq0_.lower();
    irq0_.raise();
  } else {
    irq0_.set(counter.output(tick));
  }
  const uint64_t next = counter.next_event(tick);
  if (next == Pit8254Counter::kNever) {
    timer_.disarm();
  } else {
    timer_.arm_at(time_of_tick(next));
  }
}

void Pit8254::reset() {
  for (unsigned n = 0; n < 3; ++n) counters_[n].reset(n != 2, now_ticks());
  timer_.disarm();
  irq0_.lower();
}

void Pit8254::state(StateArchive& ar) {
  ar.fields("counter", counters_);
  ar.field("timer", timer_);
  ar.field("irq0", irq0_);
}

}  // namespace vireo
