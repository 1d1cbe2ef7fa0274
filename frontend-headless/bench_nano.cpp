// The nano suite: what the bare-metal guest prints, as rows.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "bios/roms.h"
#include "core/check.h"
#include "frontend-headless/bench_machine.h"
#include "frontend-headless/bench_process.h"
#include "frontend-headless/bench_suites.h"

namespace vireo {

namespace {

constexpr double kSilenceS = 60;
constexpr unsigned kMemoryMib = 32;

/// The guest's image, told how long to measure: bios/README.md has the settings.
std::vector<uint8_t> image_for(const BenchOptions& options) {
  constexpr std::string_view kSignature = "VIREONAN";
  const std::span<const uint8_t> image = nano_guest();
  std::vector<uint8_t> bytes(image.begin(), image.end());
  const auto found = std::search(bytes.begin(), bytes.end(), kSignature.begin(), kSignature.end());
  CHECK(bytes.end() - found > static_cast<ptrdiff_t>(kSignature.size() + 8));
  const uint32_t settings[] = {options.sample_us, options.samples};
  std::memcpy(&*found + kSignature.size(), settings, sizeof settings);
  return bytes;
}

/// Takes the guest's lines; `counters` may be empty.
class NanoReader {
 public:
  NanoReader(std::string engine, const BenchOptions& options, const BenchHost& host)
      : engine_(std::move(engine)), options_(options), host_(host) {}

  void read(std::string_view line, const std::function<CounterValues()>& counters) {
    std::istringstream words{std::string(line)};
    std::string word, name;
    words >> word;
    if (word == "TSC") {
      words >> name >> guest_hz_;
    } else if (word == "ROW" || word == "SKIP") {
      BenchRow row{.suite = "nano",
                   .name = {},
                   .engine = engine_,
                   .unit = "cycles",
                   .samples = {},
                   .counters = {},
                   .skipped = {}};
      words >> row.name;
      double iterations = 0, operations = 0;
      if (word == "SKIP") {
        std::getline(words >> std::ws, row.skipped);
      } else {
        words >> iterations;
        for (double cycles; words >> cycles; operations += iterations)
          row.samples.push_back(cycles / iterations / guest_hz_ * host_.tsc_hz);
      }
      const CounterValues now = counters ? counters() : CounterValues{};
      // The search for a number of iterations and the empty loop are in there, too: about as much again.
      if (operations > 0) row.counters = explain(before_, now, operations);
      before_ = now;
      if (is_wanted(options_, row.name)) rows.push_back(std::move(row));
    } else if (word == "FAIL") {
      failure = line;
    } else if (line == "NANO end") {
      ended = true;
    } else if (counters) {
      before_ = counters();
    }
  }

  std::vector<BenchRow> rows;
  std::string failure;
  bool ended = false;

 private:
  const std::string engine_;
  const BenchOptions& options_;
  const BenchHost& host_;
  double guest_hz_ = 1;
  CounterValues before_;
};

Result<void> run_in_qemu(const std::string& accelerator, const BenchOptions& options, NanoReader& reader) {
  const std::vector<uint8_t> image = image_for(options);
  auto file = TemporaryFile::create({reinterpret_cast<const char*>(image.data()), image.size()});
  if (!file) return file.error();
  std::vector<std::string> command = qemu_command(accelerator, kMemoryMib);
  command.insert(command.end(), {"-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-drive",
                                 "if=ide,format=raw,snapshot=on,file=" + file.value().path()});
  auto status = run_program(command, kSilenceS, [&](std::string_view line) { reader.read(line, {}); });
  if (!status) return status.error();
  return {};
}

}  // namespace

Result<std::vector<BenchRow>> run_nano_suite(const std::string& engine, const BenchOptions& options,
                                             const BenchHost& host) {
  if (engine == "native") return run_native_operations(options, host);
  NanoReader reader(engine, options, host);
  Result<void> ran;
  if (engine.rfind("qemu-", 0) == 0) {
    ran = run_in_qemu(engine.substr(5), options, reader);
  } else {
    MachineConfig config;
    config.engine = engine;
    config.memory_mib = kMemoryMib;
    config.debug_exit = true;
    MachineIo io;
    io.hd[0] = make_memory_disk(image_for(options));
    ran =
        run_bench_machine(config, std::move(io), kSilenceS,
                          [&](std::string_view line, const auto& counters) { reader.read(line, counters); });
  }
  if (!ran) return ran.error();
  if (!reader.failure.empty()) return Error{reader.failure, ExitStatus::kGuestDied};
  if (!reader.ended) return Error{"the benchmark guest did not get to its end", ExitStatus::kGuestDied};
  return std::move(reader.rows);
}

}  // namespace vireo
