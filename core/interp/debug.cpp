// Debug registers: instruction, data and I/O breakpoints (SDM 3B chapter 17).
#include "core/interp/interp_impl.h"

namespace vireo::interp {

namespace {

enum : unsigned { kExecute = 0, kWrite = 1, kIo = 2, kReadWrite = 3 };

unsigned kind_of(uint64_t dr7, unsigned n) {
  return (dr7 >> (16 + 4 * n)) & 3;
}

uint64_t length_of(uint64_t dr7, unsigned n) {
  constexpr uint64_t kLengths[] = {1, 2, 8, 4};
  return kLengths[(dr7 >> (18 + 4 * n)) & 3];
}

}  // namespace

void Interp::Impl::update_breakpoints() {
  breakpoints = {};
  const uint64_t dr7 = cpu.dr[7];
  always_careful = log_enabled(LogCategory::kCpu);
  if ((dr7 & 0xff) == 0) return;
  for (unsigned n = 0; n < 4; ++n) {
    if (((dr7 >> (2 * n)) & 3) == 0) continue;
    const auto bit = static_cast<uint8_t>(1u << n);
    switch (kind_of(dr7, n)) {
      case kExecute:
        breakpoints.execute |= bit;
        break;
      case kIo:
        if (cpu.cr4 & cr4::kDe) breakpoints.io |= bit;
        break;
      default:
        breakpoints.data |= bit;
    }
  }
  always_careful |= breakpoints.execute != 0;
}

uint64_t Interp::Impl::match_breakpoints(uint8_t kinds, uint64_t address, uint64_t size, bool write) const {
  uint64_t matched = 0;
  for (unsigned n = 0; n < 4; ++n) {
    if (!((kinds >> n) & 1)) continue;
    if (!write && kind_of(cpu.dr[7], n) == kWrite) continue;
    const uint64_t length = length_of(cpu.dr[7], n);
    const uint64_t start = cpu.dr[n] & ~(length - 1);
    if (address < start + length && start < address + size) matched |= uint64_t{1} << n;
  }
  return matched;
}

void Interp::Impl::note_data_access(uint64_t linear, unsigned size, bool write) {
  if (breakpoints.data == 0) [[likely]]
    return;
  const uint64_t matched = match_breakpoints(breakpoints.data, linear, size, write);
  if (matched == 0) return;
  cpu.pending_dr6 |= matched;
  in.end_block();
}

}  // namespace vireo::interp
