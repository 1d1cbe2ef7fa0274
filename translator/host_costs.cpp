#include "translator/host_costs.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <vector>

#include "core/types.h"
#include "translator/host_fault.h"

namespace vireo::translator {

namespace {

constexpr unsigned kTimes = 9;
/// Beyond these something else was measured.
constexpr uint32_t kLeast = 200, kMost = 200'000;

/// Of `work`, which gets the numbers below kTimes: the median, as the host may be elsewhere meanwhile.
template <class F>
uint32_t measure(F work) {
  using Clock = std::chrono::steady_clock;
  std::array<int64_t, kTimes> ns;
  for (unsigned i = 0; i < kTimes; ++i) {
    const Clock::time_point start = Clock::now();
    work(i);
    ns[i] = std::chrono::duration_cast<std::chrono::nanoseconds>(Clock::now() - start).count();
  }
  std::nth_element(ns.begin(), ns.begin() + kTimes / 2, ns.end());
  return static_cast<uint32_t>(std::clamp<int64_t>(ns[kTimes / 2], kLeast, kMost));
}

/// As translated code does it behind a probe that trusts: r11 (kDelta) is part of the address.
[[gnu::naked]] void read_byte(const uint8_t*) {
  asm("movq %rdi, %r11\n\tmovb (%r11), %al\n\tret");
}
constexpr size_t kMostBytesOfCode = 32;

/// `page` cannot be accessed.
uint32_t measure_signal(const uint8_t* page) {
  static constexpr uint8_t kReadable = 0;
  FaultRange range;
  range.start = reinterpret_cast<uint64_t>(&read_byte);
  range.end = range.start + kMostBytesOfCode;
  range.try_again = [](void*, AccessFault& fault) {
    fault.delta = reinterpret_cast<uint64_t>(&kReadable);
    return true;
  };
  const FaultScope scope(range);
  return measure([&](unsigned) { read_byte(page); });
}

/// As Window does, of pages that adjoin no other.
void measure_mappings(uint8_t* window, HostCosts& costs) {
  const int memfd = memfd_create("vireo-costs", MFD_CLOEXEC);
  if (memfd < 0) return;
  const std::vector<uint8_t> content(kTimes * kPageSize);
  if (write(memfd, content.data(), content.size()) == static_cast<ssize_t>(content.size())) {
    const auto place = [&](unsigned i) { return window + (2 * i + 1) * kPageSize; };
    bool done = true;
    const auto show = [&](unsigned i) {
      done &= mmap(place(i), kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, memfd,
                   static_cast<off_t>(i * kPageSize)) != MAP_FAILED;
    };
    const auto hide = [&](unsigned i) {
      done &= mmap(place(i), kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
                   -1, 0) != MAP_FAILED;
    };
    const uint32_t map = measure(show), unmap = measure(hide);
    if (done) {
      costs.map = map;
      costs.unmap = unmap;
    }
  }
  close(memfd);
}

HostCosts measure_all() {
  HostCosts costs;
  constexpr size_t kBytes = (2 * kTimes + 1) * kPageSize;
  void* const pages = mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return costs;
  costs.signal = measure_signal(static_cast<const uint8_t*>(pages));
  measure_mappings(static_cast<uint8_t*>(pages), costs);
  munmap(pages, kBytes);
  return costs;
}

}  // namespace

HostCosts measure_host_costs() {
  static const HostCosts measured = measure_all();
  return measured;
}

}  // namespace vireo::translator
