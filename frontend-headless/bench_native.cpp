// Operations that a program can do without an operating system's help, as the limit for those of the nano
// suite.
#include <sys/mman.h>
#include <unistd.h>
#include <x86intrin.h>

#include <cstring>
#include <functional>

#include "frontend-headless/bench_suites.h"

namespace vireo {

namespace {

using Operation = std::function<void(uint64_t iterations)>;

/// Cycles for each operation, as often as wanted.
std::vector<double> measure(const BenchOptions& options, double tsc_per_us, const Operation& operation) {
  uint64_t iterations = 1000;
  const auto cycles = [&](uint64_t count) {
    const uint64_t start = __rdtsc();
    operation(count);
    return static_cast<double>(__rdtsc() - start);
  };
  while (cycles(iterations) < options.sample_us * tsc_per_us) iterations *= 2;
  std::vector<double> samples;
  for (unsigned i = 0; i < options.samples; ++i)
    samples.push_back(cycles(iterations) / static_cast<double>(iterations));
  return samples;
}

void call_and_return(uint64_t iterations) {
  asm volatile(
      "lea 1f(%%rip), %%rax\n"
      "jmp 2f\n"
      "1: ret\n"
      "2: sub $128, %%rsp\n"
      "3: call *%%rax\n"
      "dec %0\n"
      "jnz 3b\n"
      "add $128, %%rsp"
      : "+r"(iterations)
      :
      : "rax", "cc", "memory");
}

void cpuid_operation(uint64_t iterations) {
  while (iterations-- > 0) {
    uint32_t a = 0, b, c = 0, d;
    asm volatile("cpuid" : "+a"(a), "=b"(b), "+c"(c), "=d"(d));
  }
}

void rdtsc_operation(uint64_t iterations) {
  while (iterations-- > 0) {
    uint32_t a, d;
    asm volatile("rdtsc" : "=a"(a), "=d"(d));
  }
}

/// A function whose immediate changes before each call, in one memory that is mapped twice: nothing is
/// writable and executable.
class ChangingFunction {
 public:
  ChangingFunction() {
    const int fd = memfd_create("vireo-bench", MFD_CLOEXEC);
    constexpr size_t kBytes = 4096;
    constexpr uint8_t kCode[] = {0xb8, 0, 0, 0, 0, 0xc3};  // mov eax, immediate; ret
    if (fd < 0 || ftruncate(fd, kBytes) != 0) return;
    void* writable = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    void* executable = mmap(nullptr, kBytes, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0);
    close(fd);
    if (writable == MAP_FAILED || executable == MAP_FAILED) return;
    std::memcpy(writable, kCode, sizeof kCode);
    immediate_ = static_cast<uint8_t*>(writable) + 1;
    function_ = reinterpret_cast<uint32_t (*)()>(reinterpret_cast<uintptr_t>(executable));
  }
  bool possible() const { return function_ != nullptr; }
  void run(uint64_t iterations) const {
    uint32_t sum = 0;
    while (iterations-- > 0) {
      const auto value = static_cast<uint32_t>(iterations);
      std::memcpy(immediate_, &value, sizeof value);
      asm volatile("" ::: "memory");
      sum += function_();
    }
    asm volatile("" ::"r"(sum));
  }

 private:
  uint8_t* immediate_ = nullptr;
  uint32_t (*function_)() = nullptr;
};

}  // namespace

std::vector<BenchRow> run_native_operations(const BenchOptions& options, const BenchHost& host) {
  std::vector<BenchRow> rows;
  const double tsc_per_us = host.tsc_hz / 1e6;
  const auto add = [&](const char* name, const Operation& operation) {
    if (!is_wanted(options, name)) return;
    BenchRow row{.suite = "nano",
                 .name = name,
                 .engine = "native",
                 .unit = "cycles",
                 .samples = {},
                 .counters = {},
                 .skipped = {}};
    row.samples = measure(options, tsc_per_us, operation);
    rows.push_back(std::move(row));
  };
  static const ChangingFunction changing;
  add("callret", call_and_return);
  add("cpuid", cpuid_operation);
  add("rdtsc", rdtsc_operation);
  if (changing.possible()) add("smc", [](uint64_t iterations) { changing.run(iterations); });
  return rows;
}

}  // namespace vireo
