#include "frontend-headless/bench_machine.h"

#include <fmt/format.h>
#include <poll.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

namespace vireo {

namespace {

using SteadyClock = std::chrono::steady_clock;

class MemoryDisk final : public BlockBackend {
 public:
  explicit MemoryDisk(std::span<const uint8_t> contents) : bytes_(contents.begin(), contents.end()) {}
  uint64_t size() const override { return bytes_.size(); }
  bool read_only() const override { return false; }
  bool read(uint64_t offset, std::span<uint8_t> out) override {
    std::copy_n(bytes_.begin() + static_cast<ptrdiff_t>(offset), out.size(), out.begin());
    return true;
  }
  bool write(uint64_t offset, std::span<const uint8_t> bytes) override {
    std::copy(bytes.begin(), bytes.end(), bytes_.begin() + static_cast<ptrdiff_t>(offset));
    return true;
  }
  bool flush() override { return true; }

 private:
  std::vector<uint8_t> bytes_;
};

class LineReader final : public CharBackend {
 public:
  explicit LineReader(std::function<void(std::string_view)> on_line) : on_line_(std::move(on_line)) {}
  void write(std::span<const uint8_t> bytes) override {
    for (const uint8_t byte : bytes) {
      if (byte == '\n') {
        on_line_(line_);
        line_.clear();
      } else if (byte != '\r') {
        line_ += static_cast<char>(byte);
      }
    }
  }
  bool read(uint8_t&) override { return false; }

 private:
  std::string line_;
  std::function<void(std::string_view)> on_line_;
};

}  // namespace

Result<void> run_bench_machine(const MachineConfig& config, MachineIo io, double silence_s,
                               const GuestLine& on_line) {
  Machine* running = nullptr;
  auto last_line = SteadyClock::now();
  const auto counters = [&] {
    CounterValues values;
    if (running != nullptr)
      running->visit_stats([&](std::string_view name, uint64_t n) { values[std::string(name)] = n; });
    return values;
  };
  io.serial[0] = std::make_unique<LineReader>([&](std::string_view line) {
    last_line = SteadyClock::now();
    on_line(line, counters);
  });
  auto machine = Machine::create(config, std::move(io));
  if (!machine) return machine.error();
  running = machine.value().get();
  bool silent = false;
  const auto poll = [&] {
    silent = std::chrono::duration<double>(SteadyClock::now() - last_line).count() > silence_s;
    return !silent;
  };
  const auto wait = [](VirtualNs at_most, const sigset_t& mask) {
    const timespec time{static_cast<time_t>(at_most / kNsPerSecond),
                        static_cast<long>(at_most % kNsPerSecond)};
    ppoll(nullptr, 0, &time, &mask);
  };
  const MachineStop stop = running->run(poll, wait);
  if (silent)
    return Error{fmt::format("the guest has printed nothing for {} s", silence_s), ExitStatus::kTimeout};
  switch (stop) {
    case MachineStop::kGuestDied:
      return Error{"the guest died", ExitStatus::kGuestDied};
    case MachineStop::kHaltedForever:
      return Error{"the guest halted for ever", ExitStatus::kGuestDied};
    case MachineStop::kEngineBroken:
      return Error{running->engine_failure(), ExitStatus::kHostCannot};
    default:
      return {};
  }
}

std::unique_ptr<BlockBackend> make_memory_disk(std::span<const uint8_t> contents) {
  return std::make_unique<MemoryDisk>(contents);
}

std::map<std::string, double> explain(const CounterValues& before, const CounterValues& after,
                                      double operations) {
  constexpr size_t kMost = 8;
  constexpr double kLeast = 0.01;
  std::vector<std::pair<double, std::string>> changed;
  for (const auto& [name, value] : after) {
    // Host times are the samples' own affair, and what is in use now is no count of anything.
    if (name.rfind("host time", 0) == 0 || name.find("bytes") != std::string::npos) continue;
    const auto old = before.find(name);
    const uint64_t was = old == before.end() ? 0 : old->second;
    const double each = value > was ? static_cast<double>(value - was) / operations : 0;
    if (each >= kLeast) changed.emplace_back(each, name);
  }
  std::sort(changed.rbegin(), changed.rend());
  std::map<std::string, double> most;
  for (size_t i = 0; i < std::min(kMost, changed.size()); ++i) most[changed[i].second] = changed[i].first;
  return most;
}

}  // namespace vireo
