#include "translator/trust_policy.h"

#include <asmjit/x86.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

namespace vireo::translator {

namespace {

constexpr uint64_t kSavedPer1000 = 100;  // ns
constexpr uint64_t kLongestWait = uint64_t{1} << 32;

}  // namespace

bool TrustPolicy::reserved_ = false;

// For the process and for ever: nothing else wants to be there. The host may keep the first pages from
// everybody (vm.mmap_min_addr, 64 KiB mostly), which does as well.
bool TrustPolicy::reserve_low_addresses() {
  constexpr uint64_t kMostKept = uint64_t{1} << 20;
  // An access at the last address goes on behind it.
  constexpr uint64_t kEnd = kReservedBytes + kPageSize;
  for (uint64_t start = 0; start <= kMostKept; start = std::max(start * 2, kPageSize)) {
    void* const wanted = reinterpret_cast<void*>(start);
    void* const got = mmap(wanted, kEnd - start, PROT_NONE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (got == MAP_FAILED && errno == EEXIST) return false;  // something is there
    if (got == MAP_FAILED) continue;
    if (got == wanted) return true;
    munmap(got, kEnd - start);  // a host before Linux 4.17 takes the address for a wish
    return false;
  }
  return false;
}

Result<void> TrustPolicy::possible() {
  if (!asmjit::CpuInfo::host().features().x86().hasBMI2())
    return Error{"probes that trust: the host's CPU has no BMI2", ExitStatus::kHostCannot};
  if (!reserved_) reserved_ = reserve_low_addresses();
  if (!reserved_)
    return Error{"probes that trust: the lowest 4 GiB of addresses are not free", ExitStatus::kHostCannot};
  return {};
}

Result<std::unique_ptr<TrustPolicy>> TrustPolicy::create(Mmu& mmu, uint64_t after, const HostCosts& costs) {
  if (auto can = possible(); !can) return can.error();
  return std::unique_ptr<TrustPolicy>(new TrustPolicy(mmu, after, costs));
}

bool TrustPolicy::look(uint64_t retired) {
  if (after_ == 0) return false;
  charge(retired);
  const bool kernel = judge(kernel_), user = judge(state(Privilege::kUser));
  return kernel || user;
}

bool TrustPolicy::judge(State& s) {
  const uint64_t cost = s.signals * signal_cost_;
  // A program that only touches new pages executes little itself.
  const bool too_dear = s.on && cost > after_ / 1000 * kSavedPer1000;
  if (s.executed < s.threshold && !too_dear) return false;
  const bool pays = cost < s.executed / 1000 * kSavedPer1000;
  s.executed = 0;
  s.signals = 0;
  if (s.on == pays) {
    if (s.on) s.threshold = after_;
    return false;
  }
  s.on = pays;
  ++(pays ? begun_ : ended_);
  // It has looked better than it was: longer without, next time.
  if (!pays) s.threshold = std::min(s.threshold * 2, kLongestWait);
  return true;
}

void TrustPolicy::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("probes that trust/begun", begun_);
  visit("probes that trust/ended", ended_);
}

}  // namespace vireo::translator
