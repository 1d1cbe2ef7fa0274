#include "core/machine/engine_probe.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <map>

#include "core/isa/cpuid.h"
#include "hwassist/kvm_probe.h"
#include "softmmu/soft_mmu.h"
#include "translator/translator.h"

namespace vireo {

namespace {

class NoInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return false; }
  uint8_t acknowledge() override { return 0; }
};

class StoppedClock final : public Clock {
 public:
  VirtualNs now() const override { return 0; }
};

struct Speed {
  double turn_ns = 0, exit_us = 0;
};

/// Of hwassist::probe_program() under the translator.
std::optional<Speed> measure_translation() {
  auto memory = GuestMemory::create(1 << 20);
  auto model = find_cpu_model(kDefaultCpuModel);
  if (!memory || !model) return std::nullopt;
  memory.value()->map_ram({0}, 1 << 20, 0, "RAM");
  CpuState cpu;
  SoftMmu mmu(cpu, *memory.value(), model.value().physical_bits);
  IoBus ports;
  NoInterrupts interrupts;
  const StoppedClock clock;
  Attention attention;
  CpuContext context{.cpu = cpu,
                     .memory = *memory.value(),
                     .mmu = mmu,
                     .ports = ports,
                     .interrupts = interrupts,
                     .clock = clock,
                     .attention = attention,
                     .model = model.value(),
                     .ferr = {},
                     .apic_base_changed = {}};
  translator::Options options;
  options.windows = options.trust = false;  // which take time to begin
  auto engine = translator::Translator::create(context, options);
  if (!engine) return std::nullopt;
  using SteadyClock = std::chrono::steady_clock;
  const auto run = [&](uint32_t turns, uint32_t outs) {
    const std::vector<uint8_t> code = hwassist::probe_program(turns, outs);
    std::memcpy(memory.value()->ram().data() + hwassist::kProbeCode, code.data(), code.size());
    memory.value()->contents_replaced();
    reset_cpu(cpu, 0);
    cpu.cr0 = cr0::kPe | cr0::kEt;
    cpu.rip = hwassist::kProbeCode;
    for (Segment& s : cpu.seg) s = {.base = 0, .limit = 0xffffffff, .selector = 0x10, .access = 0xc093};
    cpu.segment(SegReg::kCs) = {.base = 0, .limit = 0xffffffff, .selector = 8, .access = 0xc09b};
    mmu.control_registers_changed();
    const auto start = SteadyClock::now();
    ExitReason reason;
    do {
      reason = engine.value()->run({});
    } while (reason == ExitReason::kAttention || reason == ExitReason::kRetiredLimit);
    return std::chrono::duration<double, std::nano>(SteadyClock::now() - start).count();
  };
  // The first ones translate; of the others the fastest has met the least of what else the host does.
  constexpr uint32_t kTurns = 1'000'000, kOuts = 2'000, kFew = 10'000;
  double few = 0, loop = 0, outs = 0;
  for (unsigned i = 0; i < 4; ++i) {
    const double now[] = {run(kFew, 1), run(kTurns, 1), run(kFew, kOuts)};
    if (i == 0) continue;
    few = i == 1 ? now[0] : std::min(few, now[0]);
    loop = i == 1 ? now[1] : std::min(loop, now[1]);
    outs = i == 1 ? now[2] : std::min(outs, now[2]);
  }
  if (loop <= few || outs <= few) return std::nullopt;
  return Speed{(loop - few) / (kTurns - kFew), (outs - few) / kOuts / 1000};
}

/// Guests go out a thousand times a second or more: timers, disks, the screen.
double ms_of_work(const Speed& speed, double turns) {
  return speed.turn_ns * turns / 1e6 + speed.exit_us / 1e3;
}

AssistVerdict judge(std::string_view failures) {
  const hwassist::KvmReport kvm = hwassist::probe_kvm(failures);
  if (!kvm.usable) return {false, false, kvm.problem};
  const std::optional<Speed> translation = measure_translation();
  if (!translation) return {true, true, "good (16-, 32- and 64-bit code runs)"};
  // A loop shows nothing of what translation costs elsewhere: README.md's mean, without windows.
  constexpr double kElsewhere = 1.4;
  const double turns = 1e6 / translation->turn_ns;
  const double ratio = ms_of_work({kvm.turn_ns, kvm.exit_us}, turns) / ms_of_work(*translation, turns);
  const std::string figures = fmt::format(
      "a turn of a loop takes {:.2f} ns, under translation {:.2f}; an exit {:.1f} us, under translation "
      "{:.1f}",
      kvm.turn_ns, translation->turn_ns, kvm.exit_us, translation->exit_us);
  if (ratio <= kElsewhere)
    return {true, true, fmt::format("good (16-, 32- and 64-bit code runs; {})", figures)};
  return {true, false,
          fmt::format("present, but {:.{}f} times slower than translation ({})", ratio, ratio < 10 ? 1 : 0,
                      figures)};
}

}  // namespace

const AssistVerdict& judge_hardware_assist(std::string_view failures) {
  static std::map<std::string, AssistVerdict, std::less<>> verdicts;
  auto known = verdicts.find(failures);
  if (known == verdicts.end()) known = verdicts.emplace(failures, judge(failures)).first;
  return known->second;
}

}  // namespace vireo
