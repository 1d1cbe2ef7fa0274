#include "core/machine/machine.h"

#include <fmt/format.h>
#include <sha2.h>

#include <algorithm>
#include <atomic>

#include "core/isa/cpuid.h"
#include "core/log.h"
#include "core/machine/clocks.h"
#include "core/machine/cpu_archive.h"
#include "core/machine/engine_factory.h"
#include "core/machine/pc_board.h"
#include "core/scheduler.h"
#include "softmmu/soft_mmu.h"

namespace vireo {

namespace {

/// `alarm` is for the realtime clock.
std::unique_ptr<MachineClock> make_clock(const MachineConfig& config, const CpuState& cpu,
                                         std::unique_ptr<HostAlarm> alarm) {
  if (config.clock == ClockKind::kVirtual) return std::make_unique<VirtualClock>(cpu, config.virtual_mips);
  return std::make_unique<RealtimeClock>(cpu, std::move(alarm));
}

}  // namespace

class Machine::Impl {
 public:
  Impl(const MachineConfig& config, const CpuModel& model, EngineChoice choice,
       std::unique_ptr<GuestMemory> memory, std::unique_ptr<Attention> attention,
       std::unique_ptr<HostAlarm> alarm)
      : model_(model),
        choice_(std::move(choice)),
        memory_(std::move(memory)),
        attention_(std::move(attention)),
        clock_(make_clock(config, cpu_, std::move(alarm))),
        scheduler_(*clock_),
        mmu_(cpu_, *memory_, model_.physical_bits) {
    if (config.measure_time) time_ = std::make_unique<TimeLedger>();
    ports_.set_time_ledger(time_.get());
    memory_->set_time_ledger(time_.get());
    scheduler_.set_earlier_deadline_hook([this] { attention_->request(Attention::kExit); });
  }

  Result<void> build(const MachineConfig& config, MachineIo& io, Firmware firmware) {
    BoardEvents events;
    events.interrupt_changed = [this] { attention_->request(Attention::kInterrupt); };
    events.nmi = [this] {
      cpu_.nmi_pending = true;
      attention_->request(Attention::kNmi);
    };
    events.init = [this] {
      init_asked_ = true;
      attention_->request(Attention::kExit);
    };
    events.reset = [this] { ask(MachineStop::kResetAsked); };
    events.power_off = [this] { ask(MachineStop::kPoweredOff); };
    events.debug_exit = [this](uint32_t value) {
      debug_exit_value_ = static_cast<uint8_t>(value);
      ask(MachineStop::kDebugExit);
    };
    auto board = PcBoard::create(config, model_, io, std::move(firmware), *memory_, ports_, scheduler_,
                                 std::move(events));
    if (!board) return board.error();
    board_ = board.take();
    context_ = std::make_unique<CpuContext>(CpuContext{
        .cpu = cpu_,
        .memory = *memory_,
        .mmu = mmu_,
        .ports = ports_,
        .interrupts = board_->interrupts(),
        .clock = *clock_,
        .attention = *attention_,
        .model = model_,
        .ferr = [this](bool level) { board_->set_ferr(level); },
        .apic_base_changed = [this](uint64_t value) { board_->set_apic_base(value); },
        .time = time_.get(),
    });
    auto engine = choice_.make(*context_, config);
    if (!engine) return engine.error();
    engine_ = engine.take();
    reset();
    return {};
  }

  MachineStop run(const std::function<bool()>& poll, const WaitFunction& wait) {
    if (stop_ == MachineStop::kResetAsked) reset();
    stop_.reset();
    const TimeScope run_scope(time_.get(), TimeLedger::Component::kDispatch);
    for (;;) {
      {
        const TimeScope scope(time_.get(), TimeLedger::Component::kDevices);
        scheduler_.run_due();
      }
      const bool poll_due = clock_->now() >= next_poll_;
      if (poll_due) next_poll_ = clock_->now() + kPollInterval;
      if (poll_requested_.exchange(false) || poll_due) {
        const TimeScope scope(time_.get(), TimeLedger::Component::kFrontEnd);
        if (!poll()) return MachineStop::kAsked;
      }
      if (stop_) return *stop_;
      const uint64_t retired_before = cpu_.retired;
      const ExitReason exit = run_engine();
      if (init_asked_) {
        init();
        continue;
      }
      // A guest that only faults, or one endless REP, stops the virtual clock; the user is still there.
      const bool no_progress = exit == ExitReason::kAttention && cpu_.retired == retired_before;
      idle_runs_ = no_progress && engine_->counts_instructions() ? idle_runs_ + 1 : 0;
      if (idle_runs_ >= kRunsWithoutProgress) next_poll_ = clock_->now();
      switch (exit) {
        case ExitReason::kRetiredLimit:
        case ExitReason::kAttention:
          break;
        case ExitReason::kHalt:
          if (stop_) return *stop_;
          if ((cpu_.rflags & rflags::kIf) == 0) return MachineStop::kHaltedForever;
          idle(wait);
          break;
        case ExitReason::kShutdown:
          return MachineStop::kGuestDied;
        case ExitReason::kCannotRun:  // whoever has hardware assist has software for that (engine_switch.h)
        case ExitReason::kBroken:
          return MachineStop::kEngineBroken;
      }
    }
  }

  void request_poll() {
    poll_requested_.store(true);
    attention_->request_in_handler(Attention::kExit);
  }

  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
    visit("machine/engine runs", engine_runs_);
    visit("machine/halts", halts_);
    engine_->visit_stats(visit);
    if (time_ == nullptr) return;
    time_->visit(
        [&](std::string_view name, uint64_t us) { visit(fmt::format("host time, us/{}", name), us); });
  }

  std::vector<uint8_t> save_state() {
    StateArchive ar;
    state(ar);
    return ar.bytes();
  }

  void load_state(std::span<const uint8_t> bytes) {
    StateArchive ar(bytes);
    state(ar);
    mmu_.control_registers_changed();
    memory_->contents_replaced();  // the MMU flushes, engines drop their code
    attention_->request(Attention::kInterrupt);
  }

  std::string state_hash() {
    const std::vector<uint8_t> state = save_state();
    SHA2_CTX context;
    SHA256Init(&context);
    SHA256Update(&context, state.data(), state.size());
    const std::span<uint8_t> ram = memory_->ram();
    SHA256Update(&context, ram.data(), ram.size());
    uint8_t digest[SHA256_DIGEST_LENGTH];
    SHA256Final(digest, &context);
    std::string hex;
    for (uint8_t byte : digest) hex += fmt::format("{:02x}", byte);
    return hex;
  }

  const CpuState& cpu() const { return cpu_; }
  const MachineClock& clock() const { return *clock_; }
  PcBoard& board() { return *board_; }
  const EngineChoice& choice() const { return choice_; }
  uint8_t debug_exit_value() const { return debug_exit_value_; }
  const ExecutionEngine& engine() const { return *engine_; }

 private:
  void state(StateArchive& ar) {
    ar.section("cpu", 3, [this](StateArchive& inner) { cpu_state(inner, cpu_); });
    ar.section("clock", 1, [this](StateArchive& inner) { clock_->state(inner); });
    board_->state(ar);
  }

  /// The first event decides; the engine leaves after the current instruction.
  void ask(MachineStop stop) {
    if (!stop_) stop_ = stop;
    attention_->request(Attention::kExit);
  }

  void reset() {
    init_asked_ = false;
    const uint64_t retired = cpu_.retired;
    const uint64_t tsc_offset = cpu_.tsc_offset;
    board_->reset();
    reset_cpu(cpu_, model_.signature);
    cpu_.retired = retired;
    cpu_.tsc_offset = tsc_offset;
    if (model_.has(isa::Feature::kApic)) {
      cpu_.msr.apic_base =
          LocalApic::kDefaultBase | LocalApic::kBootstrapProcessor | LocalApic::kGlobalEnable;
      board_->set_apic_base(cpu_.msr.apic_base);
    } else {
      board_->set_apic_base(0);
    }
    mmu_.control_registers_changed();
    mmu_.flush();
  }

  /// The CPU alone; board and memory go on.
  void init() {
    init_asked_ = false;
    init_cpu(cpu_, model_.signature);
    board_->init_cpu();
    mmu_.control_registers_changed();
    mmu_.flush();
    attention_->request(Attention::kInterrupt);
  }

  ExitReason run_engine() {
    const VirtualNs due = std::min(scheduler_.next_deadline().value_or(next_poll_), next_poll_);
    const RunLimits limits = clock_->limits_until(due, engine_->counts_instructions());
    ++engine_runs_;
    return engine_->run(limits);
  }

  void idle(const WaitFunction& wait) {
    ++halts_;
    const VirtualNs until = std::min(scheduler_.next_deadline().value_or(next_poll_), next_poll_);
    if (clock_->skip_to(until)) return;
    const TimeScope scope(time_.get(), TimeLedger::Component::kIdle);
    const Attention::Sleeping sleeping(*attention_);
    const VirtualNs at_most = until - clock_->now();
    if (at_most > 0 && attention_->bits() == 0) wait(at_most, sleeping.mask());
  }

  const CpuModel model_;
  EngineChoice choice_;
  CpuState cpu_;
  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<Attention> attention_;
  std::unique_ptr<MachineClock> clock_;
  Scheduler scheduler_;
  std::unique_ptr<TimeLedger> time_;
  IoBus ports_;
  SoftMmu mmu_;
  std::unique_ptr<PcBoard> board_;
  std::unique_ptr<CpuContext> context_;
  std::unique_ptr<ExecutionEngine> engine_;

  /// After so many engine runs that retired nothing, the poll function is called whatever the clock says.
  static constexpr unsigned kRunsWithoutProgress = 16;

  std::optional<MachineStop> stop_;
  bool init_asked_ = false;
  unsigned idle_runs_ = 0;
  VirtualNs next_poll_ = 0;
  std::atomic<bool> poll_requested_ = false;
  uint8_t debug_exit_value_ = 0;
  uint64_t engine_runs_ = 0;
  uint64_t halts_ = 0;
};

Result<std::unique_ptr<Machine>> Machine::create(const MachineConfig& config, MachineIo io) {
  auto choice = choose_engine(config);
  if (!choice) return choice.error();
  auto model = find_cpu_model(config.cpu_model);
  if (!model) return model.error();
  auto firmware = Firmware::load();
  if (!firmware) return firmware.error();
  auto memory = GuestMemory::create(uint64_t{config.memory_mib} << 20);
  if (!memory) return memory.error();
  auto attention = std::make_unique<Attention>();
  std::unique_ptr<HostAlarm> alarm;
  if (config.clock == ClockKind::kRealtime) {
    auto created = HostAlarm::create(*attention);
    if (!created) return created.error();
    alarm = created.take();
  }
  auto impl = std::make_unique<Impl>(config, model.value(), choice.take(), memory.take(),
                                     std::move(attention), std::move(alarm));
  if (auto built = impl->build(config, io, firmware.take()); !built) return built.error();
  return std::unique_ptr<Machine>(new Machine(std::move(impl)));
}

Machine::Machine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Machine::~Machine() = default;

MachineStop Machine::run(const std::function<bool()>& poll, const WaitFunction& wait) {
  return impl_->run(poll, wait);
}

void Machine::request_poll() {
  impl_->request_poll();
}

VideoSource& Machine::video() {
  return impl_->board().video();
}
KeyboardSink& Machine::keyboard() {
  return impl_->board().keyboard();
}
MouseSink& Machine::mouse() {
  return impl_->board().mouse();
}
const CpuState& Machine::cpu() const {
  return impl_->cpu();
}
VirtualNs Machine::now() const {
  return impl_->clock().now();
}
std::string_view Machine::engine_name() const {
  return impl_->engine().name();
}
std::string Machine::engine_reason() const {
  const std::string sentence = impl_->engine().broken();
  return impl_->choice().reason + (sentence.empty() ? "" : "; hardware assist has failed: " + sentence);
}
std::string Machine::engine_failure() const {
  const std::string sentence = impl_->engine().broken();
  return sentence.empty() ? "hardware assist cannot run this guest" : sentence;
}
uint8_t Machine::debug_exit_value() const {
  return impl_->debug_exit_value();
}
void Machine::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  impl_->visit_stats(visit);
}
std::string Machine::state_hash() {
  return impl_->state_hash();
}
std::vector<uint8_t> Machine::save_state() {
  return impl_->save_state();
}
void Machine::load_state(std::span<const uint8_t> bytes) {
  impl_->load_state(bytes);
}
bool Machine::flush_drives() {
  return impl_->board().flush_drives();
}

}  // namespace vireo
