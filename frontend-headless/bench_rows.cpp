#include "frontend-headless/bench_rows.h"

#include <x86intrin.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "frontend-headless/host_facts.h"

namespace vireo {

namespace {

/// By linear interpolation between the samples next to it.
double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::sort(values.begin(), values.end());
  const double place = q * static_cast<double>(values.size() - 1);
  const auto low = static_cast<size_t>(place);
  const size_t high = std::min(low + 1, values.size() - 1);
  return values[low] + (place - static_cast<double>(low)) * (values[high] - values[low]);
}

std::string first_line(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// Those that cost something: "Mitigation: ..." of what the kernel lists.
std::string active_mitigations() {
  std::string all;
  std::error_code none;
  for (const auto& entry :
       std::filesystem::directory_iterator("/sys/devices/system/cpu/vulnerabilities", none)) {
    const std::string state = first_line(entry.path());
    if (state.rfind("Mitigation", 0) != 0) continue;
    all += (all.empty() ? "" : ", ") + entry.path().filename().string();
  }
  return all.empty() ? "none" : all;
}

double measure_tsc_hz() {
  using Clock = std::chrono::steady_clock;
  const auto start = Clock::now();
  const uint64_t ticks = __rdtsc();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  const uint64_t passed = __rdtsc() - ticks;
  return static_cast<double>(passed) / std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace

double BenchRow::median() const {
  return quantile(samples, 0.5);
}

double BenchRow::spread() const {
  const double middle = median();
  return middle > 0 ? (quantile(samples, 0.75) - quantile(samples, 0.25)) / 2 / middle : 0;
}

BenchHost BenchHost::here() {
  std::string module = "none";
  for (const char* name : {"kvm_intel", "kvm_amd"}) {
    if (std::filesystem::exists(std::string("/sys/module/") + name)) module = name;
  }
  return {host_cpu_model(), host_kernel(), active_mitigations(), module, measure_tsc_hz()};
}

}  // namespace vireo
