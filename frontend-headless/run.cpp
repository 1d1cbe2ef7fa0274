#include "frontend-headless/run.h"

#include <fmt/format.h>
#include <poll.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <memory>
#include <vector>

#include "core/attention.h"
#include "core/log.h"
#include "core/machine/machine.h"
#include "core/machine/typist.h"
#include "frontend-headless/input_watch.h"
#include "frontend-headless/report.h"
#include "frontend-headless/text_watch.h"

namespace vireo {

namespace {

using SteadyClock = std::chrono::steady_clock;

volatile std::sig_atomic_t stop_signal = 0;
/// Whom a stop signal tells.
std::atomic<Machine*> running_machine = nullptr;

void on_stop_signal(int signal_number) {
  stop_signal = signal_number;
  if (Machine* machine = running_machine) machine->request_poll();
}

void catch_stop_signals() {
  struct sigaction action {};
  action.sa_handler = on_stop_signal;
  // A second signal ends a run that does not heed the first. Translated code's stack is no place for a
  // handler.
  action.sa_flags = SA_RESETHAND | SA_ONSTACK;
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, Attention::signal_number());
  for (int signal_number : {SIGINT, SIGTERM, SIGHUP}) sigaction(signal_number, &action, nullptr);
}

/// Lends a HostCharBackend that the run keeps to the machine, which wants to own its ends.
class BorrowedLine final : public CharBackend {
 public:
  explicit BorrowedLine(CharBackend& inner) : inner_(inner) {
    inner_.set_input_hook([this] { input_arrived(); });
  }
  void write(std::span<const uint8_t> bytes) override { inner_.write(bytes); }
  bool read(uint8_t& byte) override { return inner_.read(byte); }

 private:
  CharBackend& inner_;
};

/// Everything that one run of a machine holds besides the machine.
class Run {
 public:
  explicit Run(RunOptions& options) : options_(options) {}

  int execute();

 private:
  Result<void> prepare();
  TextWatch make_text_watch();
  bool poll(TextWatch& watch, Typist& typist);
  void wait(VirtualNs at_most, const sigset_t& mask);
  void serve_lines();
  /// What serve_lines() may have to be called for.
  std::vector<int> descriptors() const;
  int status_of(MachineStop stop);

  RunOptions& options_;
  OpenedFiles files_;
  std::unique_ptr<WatchedLine> watched_[2];
  std::unique_ptr<Machine> machine_;
  /// Only with the realtime clock: with the virtual one, input comes at times that depend on the guest alone.
  std::unique_ptr<InputWatch> input_watch_;
  SteadyClock::time_point started_;
  bool text_found_ = false;
  bool timed_out_ = false;
  bool quit_ = false;
};

Result<void> Run::prepare() {
  if (auto r = complete(options_); !r) return r.error();
  if (auto r = check_report_files(options_); !r) return r.error();
  auto files = open_files(options_);
  if (!files) return files.error();
  files_ = files.take();
  for (int i = 0; i < 2; ++i) {
    watched_[i] = std::make_unique<WatchedLine>(files_.serial[i].get());
    files_.io.serial[i] = std::make_unique<BorrowedLine>(*watched_[i]);
  }
  if (files_.debug_console != nullptr) {
    files_.io.debug_console = std::make_unique<BorrowedLine>(*files_.debug_console);
  }
  auto machine = Machine::create(options_.machine, std::move(files_.io));
  if (!machine) return machine.error();
  machine_ = machine.take();
  if (options_.machine.engine == "auto") {
    notice(fmt::format("engine {}: {}", machine_->engine_name(), machine_->engine_reason()));
  }
  for (auto* line : {files_.serial[0].get(), files_.serial[1].get(), files_.debug_console.get()}) {
    if (line == nullptr) continue;
    if (auto started = line->start(); !started) return started.error();
  }
  if (options_.machine.clock == ClockKind::kRealtime) {
    auto watch = InputWatch::create([machine = machine_.get()] { machine->request_poll(); });
    if (!watch) return watch.error();
    input_watch_ = watch.take();
  }
  return {};
}

TextWatch Run::make_text_watch() {
  std::optional<std::regex> until;
  if (!options_.until_text.empty()) until = compile_regex("--until-text", options_.until_text).take();
  std::vector<TextWatch::Sending> sendings;
  for (size_t i = 0; i < options_.send_text.size(); ++i) {
    TextWatch::Sending sending{std::nullopt, unescape(options_.send_text[i])};
    if (i < options_.send_when.size())
      sending.when = compile_regex("--send-when", options_.send_when[i]).take();
    sendings.push_back(std::move(sending));
  }
  return {std::move(until), std::move(sendings), {watched_[0].get(), watched_[1].get()}};
}

void Run::serve_lines() {
  for (auto* line : {files_.serial[0].get(), files_.serial[1].get(), files_.debug_console.get()}) {
    if (line == nullptr) continue;
    line->service();
    if (line->quit_requested()) quit_ = true;
  }
}

std::vector<int> Run::descriptors() const {
  std::vector<int> all;
  for (auto* line : {files_.serial[0].get(), files_.serial[1].get(), files_.debug_console.get()}) {
    if (line != nullptr && line->poll_fd() >= 0) all.push_back(line->poll_fd());
  }
  return all;
}

bool Run::poll(TextWatch& watch, Typist& typist) {
  serve_lines();
  if (input_watch_ != nullptr) input_watch_->wait_for(descriptors());
  text_found_ = watch.poll(machine_->video(), typist, machine_->now());
  if (options_.timeout_s > 0) {
    timed_out_ = std::chrono::duration<double>(SteadyClock::now() - started_).count() > options_.timeout_s;
  }
  return !text_found_ && !timed_out_ && !quit_ && stop_signal == 0;
}

void Run::wait(VirtualNs at_most, const sigset_t& mask) {
  std::vector<pollfd> awaited;
  for (int descriptor : descriptors()) awaited.push_back({descriptor, POLLIN, 0});
  const timespec time{static_cast<time_t>(at_most / kNsPerSecond), static_cast<long>(at_most % kNsPerSecond)};
  if (ppoll(awaited.data(), awaited.size(), &time, &mask) > 0) serve_lines();
}

int Run::status_of(MachineStop stop) {
  const auto status = [](ExitStatus s) { return static_cast<int>(s); };
  if (text_found_) return status(ExitStatus::kOk);
  if (timed_out_) {
    notice(fmt::format("the guest did not finish within {} s (--timeout)", options_.timeout_s));
    return status(ExitStatus::kTimeout);
  }
  if (stop_signal != 0) return 128 + stop_signal;
  if (quit_) return status(ExitStatus::kOk);
  switch (stop) {
    case MachineStop::kDebugExit:
      return (machine_->debug_exit_value() << 1 | 1) & 0xff;
    case MachineStop::kGuestDied:
      notice(fmt::format("the guest died: triple fault at CS:RIP {:04x}:{:08x} after {} instructions",
                         machine_->cpu().segment(SegReg::kCs).selector, machine_->cpu().rip,
                         machine_->cpu().retired));
      return status(ExitStatus::kGuestDied);
    case MachineStop::kEngineBroken:
      notice(fmt::format(
          "hardware assist has failed: {}; use --engine auto, which goes on without it, or --engine bt",
          machine_->engine_failure()));
      return status(ExitStatus::kHostCannot);
    case MachineStop::kHaltedForever:
      notice("the guest halted with interrupts off; nothing can wake it");
      return status(ExitStatus::kGuestDied);
    case MachineStop::kPoweredOff:
    case MachineStop::kResetAsked:
    case MachineStop::kAsked:
      break;
  }
  if (!options_.until_text.empty()) {
    notice(fmt::format("the guest ended before --until-text '{}' matched", options_.until_text));
    return status(ExitStatus::kGuestDied);
  }
  return status(ExitStatus::kOk);
}

int Run::execute() {
  if (auto prepared = prepare(); !prepared) {
    notice(prepared.error().message);
    return static_cast<int>(prepared.error().status);
  }
  catch_stop_signals();
  started_ = SteadyClock::now();
  TextWatch watch = make_text_watch();
  Typist typist(machine_->keyboard());

  MachineStop stop;
  running_machine = machine_.get();
  do {
    stop = machine_->run([&] { return poll(watch, typist); },
                         [this](VirtualNs at_most, const sigset_t& mask) { wait(at_most, mask); });
  } while (stop == MachineStop::kResetAsked && !options_.no_reboot);
  running_machine = nullptr;
  if (stop != MachineStop::kAsked) poll(watch, typist);  // what the guest printed last

  const auto elapsed = SteadyClock::now() - started_;
  int status = status_of(stop);
  if (!machine_->flush_drives()) {
    notice(
        "the last writes to a drive image failed; check the free space and the health of the disk that holds "
        "it");
    status = static_cast<int>(ExitStatus::kHostCannot);
  }
  if (auto written = write_reports(options_, *machine_, elapsed); !written) {
    notice(written.error().message);
    if (status == 0) status = static_cast<int>(written.error().status);
  }
  return status;
}

}  // namespace

int run_command(RunOptions& options, bool stdout_is_closed) {
  bool needs_stdout =
      options.serial == "stdio" || options.serial2 == "stdio" || options.debug_console == "stdio";
  for (const std::string& report : {options.screen_text, options.final_state, options.stats_file()}) {
    needs_stdout = needs_stdout || report == "-";
  }
  if (stdout_is_closed && needs_stdout) {
    notice("standard output is closed, but a serial line or a report goes there; redirect it to a file");
    return static_cast<int>(ExitStatus::kUsage);
  }
  return Run(options).execute();
}

}  // namespace vireo
