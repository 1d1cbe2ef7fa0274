#include "frontend-headless/run_options.h"

#include <fmt/format.h>

#include <cstring>

#include "core/isa/cpuid.h"
#include "core/log.h"
#include "core/machine/engine_factory.h"
#include "devices/backends/image.h"
#include "frontend-headless/boot_file.h"
#include "frontend-headless/text_watch.h"

namespace vireo {

namespace {

Result<int64_t> parse_rtc(const std::string& text) {
  struct tm broken_down {};
  const char* end = strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &broken_down);
  if (end == nullptr || *end != '\0') {
    return Error{fmt::format("--rtc '{}': give the date and time as YYYY-MM-DDThh:mm:ss", text)};
  }
  return static_cast<int64_t>(timegm(&broken_down));
}

}  // namespace

void add_run_options(CLI::App& app, RunOptions& o) {
  const std::string machine = "Machine";
  app.add_option("--engine", o.machine.engine,
                 fmt::format("What executes guest code: auto, {}", engine_names()))
      ->type_name("E")
      ->group(machine);
  app.add_option(
         "--translator", o.machine.translator,
         "Changes to engine bt, comma-separated: hot=N (executions before translation; 0: at first "
         "sight), cache=SIZE (host code kept), block=N (guest instructions in a block); no-chain, "
         "no-lookup, no-pairs, no-groups, no-side-exits, no-adapt, no-self-check, "
         "no-inline-memory, no-fpu, no-strings, no-system, no-late-poll, no-tables, no-defer-esp, no-unroll, "
         "no-descriptors, "
         "no-windows, no-trust, "
         "all-off; chain and so on turn one back on; window-after=N: instructions after which is judged "
         "whether guest "
         "memory is reached through a window of host memory, or without windows by probes that leave "
         "checks to the host (0: always); window-mappings=N: how many of the host's mappings all windows may "
         "take; keep-spaces=N: loads of CR3 after which "
         "an address space's translations outlive the next (0: never); signal-cost=N: ns that the host takes "
         "for a "
         "signal (and for mappings what a bare CPU does), instead of what is measured")
      ->type_name("WORDS")
      ->group(machine);
  app.add_flag_callback(
         "--no-windows",
         [&o] { o.machine.translator += o.machine.translator.empty() ? "no-windows" : ",no-windows"; },
         "Reach guest memory without windows: the same as --translator no-windows")
      ->group(machine);
  app.add_option_function<std::string>(
         "--hw", [&o](const std::string& words) { o.machine.hw_failures = words; },
         "For tests of engine hw, comma-separated: calls of KVM that are to fail, as KVM_RUN@100 (the "
         "100th), "
         "KVM_RUN@100+ (that one and all behind it), KVM_RUN@100! (that one does not come back), "
         "KVM_RUN@100~20 (from that one on, each 20th comes back with an instruction that KVM cannot "
         "emulate) or KVM_RUN@100=500 (from that one on, 500 us longer)")
      ->type_name("WORDS")
      ->group(machine);
  app.add_option("--switch-every", o.machine.switch_every,
                 "For tests: another engine (bt, interp and, where it can be had, hw) each time that one has "
                 "come back N "
                 "times")
      ->check(CLI::Range(uint64_t{1}, uint64_t{1} << 40))
      ->type_name("N")
      ->group(machine);
  app.add_option("--clock", o.clock,
                 "realtime: guest time follows the host; virtual: guest time is the count of "
                 "executed instructions, idle time is skipped, runs repeat exactly")
      ->check(CLI::IsMember({"realtime", "virtual"}))
      ->type_name("CLOCK")
      ->group(machine);
  app.add_option("--virtual-mips", o.machine.virtual_mips,
                 "With --clock virtual: instructions per microsecond of guest time (default 100)")
      ->check(CLI::Range(1, 10000))
      ->type_name("N")
      ->group(machine);
  app.add_option("-m,--memory", o.machine.memory_mib, "Guest memory in MiB (default 256)")
      ->check(CLI::Range(kMinMemoryMib, kMaxMemoryMib))
      ->type_name("MIB")
      ->group(machine);
  app.add_option("--cpu", o.machine.cpu_model, "CPU model: 486, pentium, pentium3, core2duo-32 (default)")
      ->type_name("MODEL")
      ->group(machine);
  app.add_option("--rtc", o.rtc,
                 "Date and time at power-on: YYYY-MM-DDThh:mm:ss (default: the host's; with --clock "
                 "virtual 2026-01-01T00:00:00)")
      ->type_name("TIME")
      ->group(machine);

  const std::string drives = "Drives (raw images)";
  app.add_option("--hda", o.hda, "First hard disk")->type_name("FILE")->group(drives);
  app.add_option("--hdb", o.hdb, "Second hard disk")->type_name("FILE")->group(drives);
  app.add_option("--fda", o.fda, "Floppy in drive A:")->type_name("FILE")->group(drives);
  app.add_option("--fdb", o.fdb, "Floppy in drive B:")->type_name("FILE")->group(drives);
  app.add_option("--cdrom", o.cdrom, "CD or DVD image")->type_name("FILE")->group(drives);
  app.add_flag("--snapshot", o.snapshot, "Keep all changes out of the image files; they are gone at the end")
      ->group(drives);

  const std::string boot = "Starting";
  app.add_option("--boot", o.machine.boot, "Boot order: c disk, d CD, a floppy, n network; e.g. dc")
      ->type_name("ORDER")
      ->group(boot);
  app.add_option("--kernel", o.kernel, "Linux bzImage or Multiboot kernel to start directly")
      ->type_name("FILE")
      ->group(boot);
  app.add_option("--initrd", o.initrd, "Initial RAM disk (Multiboot: the module)")
      ->type_name("FILE")
      ->group(boot);
  app.add_option("--append", o.append, "Kernel command line")->type_name("TEXT")->group(boot);

  const std::string lines = "Input and output";
  const char* char_specs = "stdio, none, file:FILE, tcp:HOST:PORT[,server] or pty";
  app.add_option("--serial", o.serial, fmt::format("First serial line: {}", char_specs))
      ->type_name("WHERE")
      ->group(lines);
  app.add_option("--serial2", o.serial2, "Second serial line, likewise")->type_name("WHERE")->group(lines);
  app.add_option("--debug-console", o.debug_console, "Firmware messages (port 0x402), likewise")
      ->type_name("WHERE")
      ->group(lines);
  app.add_option("--display", o.display, "none: no window (use --screen-text)")
      ->type_name("DISPLAY")
      ->group(lines);
  app.add_option(
         "--send-text", o.send_text,
         "Type this on the guest's keyboard; \\n is Enter, \\t Tab, \\b Backspace, \\e Esc. May repeat")
      ->type_name("TEXT")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->group(lines);
  app.add_option(
         "--send-when", o.send_when,
         "Hold back the --send-text of the same rank until this matches the screen or the serial output")
      ->type_name("REGEX")
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll)
      ->allow_extra_args(false)
      ->group(lines);

  const std::string ending = "Ending and reporting";
  app.add_option(
         "--until-text", o.until_text,
         "End with status 0 once this matches the serial output or the text screen (status 4 if the guest "
         "ends first)")
      ->type_name("REGEX")
      ->group(ending);
  app.add_option("--timeout", o.timeout_s, "End with status 5 after so many seconds of host time")
      ->check(CLI::PositiveNumber)
      ->type_name("S")
      ->group(ending);
  app.add_flag("--no-reboot", o.no_reboot, "A guest that resets itself ends the run with status 0")
      ->group(ending);
  app.add_flag("--debug-exit", o.machine.debug_exit,
               "A guest that writes V to port 0xf4 ends the run with status (V << 1) | 1")
      ->group(ending);
  app.add_option("--screen-text", o.screen_text, "Write the text screen here at the end; - is stdout")
      ->type_name("FILE")
      ->group(ending);
  app.add_option("--final-state", o.final_state,
                 "Write engine, instruction count, time and a hash of all state as JSON")
      ->type_name("FILE")
      ->group(ending);
  app.add_flag("--stats", o.stats, "Print counters at the end; --stats=json:FILE writes them as JSON")
      ->group(ending);
  app.add_flag("--perf-map", o.machine.perf_map, "Name translated code for perf, in /tmp/perf-PID.map")
      ->group(ending);
  app.add_option("--trace", o.trace,
                 fmt::format("Trace on stderr, comma-separated: {}", fmt::join(kLogCategoryNames, ", ")))
      ->type_name("WHAT")
      ->group(ending);
}

Result<void> complete(RunOptions& o) {
  if (o.display != "none") {
    return Error{
        fmt::format("--display {}: this build has no such display; use --display none, with --serial stdio "
                    "or --screen-text to see the guest",
                    o.display)};
  }
  if (o.kernel.empty() && (!o.initrd.empty() || !o.append.empty())) {
    return Error{"--initrd and --append belong to a kernel; give --kernel FILE too"};
  }
  for (char letter : o.machine.boot) {
    if (std::strchr("acdn", letter) == nullptr) {
      return Error{fmt::format("--boot {}: '{}' is none of a (floppy), c (disk), d (CD), n (network)",
                               o.machine.boot, letter)};
    }
  }
  o.machine.measure_time = !o.stats.empty();
  o.machine.clock = o.clock == "virtual" ? ClockKind::kVirtual : ClockKind::kRealtime;
  if (!o.rtc.empty()) {
    Result<int64_t> start = parse_rtc(o.rtc);
    if (!start) return start.error();
    o.machine.rtc_start = start.value();
  }
  if (auto model = find_cpu_model(o.machine.cpu_model); !model) return model.error();
  if (auto engine = choose_engine(o.machine); !engine) return engine.error();
  if (!o.stats.empty() && o.stats != "true" && o.stats_file().empty()) {
    return Error{fmt::format("--stats={}: the only form with a value is --stats=json:FILE", o.stats)};
  }
  if (o.send_when.size() > o.send_text.size()) {
    return Error{
        "each --send-when delays the --send-text of the same rank; there are more --send-when than "
        "--send-text"};
  }
  for (const std::string& pattern : o.send_when) {
    if (auto regex = compile_regex("--send-when", pattern); !regex) return regex.error();
  }
  if (auto regex = compile_regex("--until-text", o.until_text); !regex) return regex.error();
  if (!o.trace.empty()) {
    if (auto enabled = enable_log_categories(o.trace); !enabled) return enabled.error();
  }
  return {};
}

Result<OpenedFiles> open_files(const RunOptions& o) {
  OpenedFiles files;
  const auto open_drive = [&](const std::string& path, ImageKind kind,
                              std::unique_ptr<BlockBackend>& into) -> Result<void> {
    if (path.empty()) return {};
    auto image = open_image(path, kind, {.read_only = false, .snapshot = o.snapshot});
    if (!image) return image.error();
    into = image.take();
    return {};
  };
  if (auto r = open_drive(o.hda, ImageKind::kDisk, files.io.hd[0]); !r) return r.error();
  if (auto r = open_drive(o.hdb, ImageKind::kDisk, files.io.hd[1]); !r) return r.error();
  if (auto r = open_drive(o.fda, ImageKind::kFloppy, files.io.floppy[0]); !r) return r.error();
  if (auto r = open_drive(o.fdb, ImageKind::kFloppy, files.io.floppy[1]); !r) return r.error();
  if (auto r = open_drive(o.cdrom, ImageKind::kCdrom, files.io.cdrom); !r) return r.error();

  if (!o.kernel.empty()) {
    DirectBootFiles boot;
    auto kernel = read_boot_file(o.kernel, "kernel");
    if (!kernel) return kernel.error();
    boot.kernel = kernel.take();
    if (!o.initrd.empty()) {
      auto initrd = read_boot_file(o.initrd, "initrd");
      if (!initrd) return initrd.error();
      boot.initrd = initrd.take();
    }
    boot.command_line = o.append;
    boot.kernel_name = o.kernel;
    files.io.direct_boot = std::move(boot);
  }

  const auto open_line = [](const std::string& spec, std::unique_ptr<HostCharBackend>& into) -> Result<void> {
    if (spec.empty() || spec == "none") return {};
    auto backend = open_char_backend(spec);
    if (!backend) return backend.error();
    into = backend.take();
    return {};
  };
  const int on_stdio = (o.serial == "stdio") + (o.serial2 == "stdio") + (o.debug_console == "stdio");
  if (on_stdio > 1) return Error{"only one of --serial, --serial2 and --debug-console can be stdio"};
  if (auto r = open_line(o.serial, files.serial[0]); !r) return r.error();
  if (auto r = open_line(o.serial2, files.serial[1]); !r) return r.error();
  if (auto r = open_line(o.debug_console, files.debug_console); !r) return r.error();
  return files;
}

}  // namespace vireo
