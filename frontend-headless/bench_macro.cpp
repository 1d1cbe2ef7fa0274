// The macro suite: programs of bench/guest as the only process of a Linux guest, and natively.
#include <fmt/format.h>

#include <filesystem>
#include <span>
#include <sstream>

#include "frontend-headless/bench_machine.h"
#include "frontend-headless/bench_process.h"
#include "frontend-headless/bench_suites.h"
#include "frontend-headless/boot_file.h"

namespace vireo {

namespace {

constexpr double kSilenceS = 120;
constexpr unsigned kMemoryMib = 256;

/// A "newc" archive (Linux: Documentation/driver-api/early-userspace/buffer-format.rst).
class Archive {
 public:
  void add(std::string_view name, uint32_t mode, std::string_view content, uint32_t major = 0,
           uint32_t minor = 0) {
    bytes_ +=
        fmt::format("070701{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}{:08x}",
                    ++inode_, mode, 0, 0, 1, 0, content.size(), 0, 0, major, minor, name.size() + 1, 0);
    bytes_ += name;
    bytes_ += '\0';
    pad();
    bytes_ += content;
    pad();
  }
  std::string finish() {
    add("TRAILER!!!", 0, "");
    return bytes_;
  }

 private:
  void pad() { bytes_.resize((bytes_.size() + 3) & ~size_t{3}, '\0'); }
  std::string bytes_;
  uint32_t inode_ = 0;
};

std::string make_initrd(std::span<const uint8_t> program) {
  constexpr uint32_t kFolder = 0040755, kConsole = 0020600, kProgram = 0100755;
  Archive archive;
  archive.add("dev", kFolder, "");
  archive.add("dev/console", kConsole, "", 5, 1);
  archive.add("init", kProgram, {reinterpret_cast<const char*>(program.data()), program.size()});
  return archive.finish();
}

/// Where the build puts it, seen from this program.
std::string guest_program(const BenchOptions& options) {
  if (!options.guest.empty()) return options.guest;
  std::error_code none;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", none);
  return (self.parent_path().parent_path() / "bench/vireo-bench-guest").string();
}

class MacroReader {
 public:
  explicit MacroReader(std::string engine) : engine_(std::move(engine)) {}

  void read(std::string_view line, const std::function<CounterValues()>& counters) {
    std::istringstream words{std::string(line)};
    std::string word, name;
    double ns = 0;
    words >> word >> name >> ns;
    if (word == "ROW") {
      rows.push_back({.suite = "macro",
                      .name = name,
                      .engine = engine_,
                      .unit = "ms",
                      .samples = {},
                      .counters = {},
                      .skipped = {}});
      if (counters) before_ = counters();
    } else if (word == "BENCH" && !rows.empty() && rows.back().name == name) {
      rows.back().samples.push_back(ns / 1e6);
      if (counters)
        rows.back().counters = explain(before_, counters(), static_cast<double>(rows.back().samples.size()));
    } else if (word == "FAIL" || line.find("Kernel panic") != std::string_view::npos) {
      failure = line;
    } else if (line == "DONE") {
      ended = true;
    }
  }

  std::vector<BenchRow> rows;
  std::string failure;
  bool ended = false;

 private:
  const std::string engine_;
  CounterValues before_;
};

Result<void> run_natively(const std::string& program, const std::vector<std::string>& arguments,
                          MacroReader& reader) {
  const auto run = [&](const std::string& path) {
    std::vector<std::string> command{path};
    command.insert(command.end(), arguments.begin(), arguments.end());
    return run_program(command, kSilenceS, [&](std::string_view line) { reader.read(line, {}); });
  };
  auto status = run(program);
  // Where the host's kernel runs no 32-bit programs (bench/README.md).
  if (!status) status = run((std::filesystem::path(program).parent_path() / "vireo-bench-native64").string());
  if (!status) return status.error();
  return {};
}

}  // namespace

Result<std::vector<BenchRow>> run_macro_suite(const std::string& engine, const BenchOptions& options,
                                              const BenchHost&) {
  const std::string path = guest_program(options);
  auto program = read_boot_file(path, "guest program");
  if (!program) return Error{program.error().message + "; build vireo-bench-guest, or say --guest"};
  std::vector<std::string> arguments{"run", "-n", std::to_string(options.samples)};
  if (!options.only.empty()) arguments.push_back(options.only);
  MacroReader reader(engine);
  if (engine == "native") {
    if (auto ran = run_natively(path, arguments, reader); !ran) return ran.error();
  } else {
    auto kernel = read_boot_file(options.kernel, "kernel");
    if (!kernel) return kernel.error();
    const std::string initrd = make_initrd(program.value());
    std::string append = "console=ttyS0 panic=-1 quiet cryptomgr.notests --";
    for (const std::string& argument : arguments) append += " " + argument;
    Result<void> ran;
    if (engine.rfind("qemu-", 0) == 0) {
      auto file = TemporaryFile::create(initrd);
      if (!file) return file.error();
      std::vector<std::string> command = qemu_command(engine.substr(5), kMemoryMib);
      command.insert(command.end(),
                     {"-kernel", options.kernel, "-initrd", file.value().path(), "-append", append});
      auto status = run_program(command, kSilenceS, [&](std::string_view line) { reader.read(line, {}); });
      if (!status) return status.error();
    } else {
      MachineConfig config;
      config.engine = engine;
      config.memory_mib = kMemoryMib;
      MachineIo io;
      io.direct_boot = DirectBootFiles{.kernel = kernel.take(),
                                       .initrd = {initrd.begin(), initrd.end()},
                                       .command_line = append,
                                       .kernel_name = options.kernel};
      ran = run_bench_machine(
          config, std::move(io), kSilenceS,
          [&](std::string_view line, const auto& counters) { reader.read(line, counters); });
    }
    if (!ran) return ran.error();
  }
  if (!reader.failure.empty()) return Error{reader.failure, ExitStatus::kGuestDied};
  if (!reader.ended) return Error{"the benchmark program did not get to its end", ExitStatus::kGuestDied};
  return std::move(reader.rows);
}

}  // namespace vireo
