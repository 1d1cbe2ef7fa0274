// Whether /dev/kvm is good for anything: finds out by running guest code in every mode. That a CPU says it
// has VMX or SVM, or that the device is there, decides nothing.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vireo::hwassist {

struct KvmReport {
  bool usable = false;
  std::string problem;  ///< if it is not: "absent (no /dev/kvm)", "present, but fails at 64-bit code: ..."
  double turn_ns = 0;   ///< of a turn of the loop in probe_program(), with paging
  double exit_us = 0;   ///< for a write to a port and back
};

/// `failures`: make_kvm_calls(). Takes milliseconds where KVM is fast, and no longer than `at_most`: a KVM
/// that does not come back is tried in a process of its own.
KvmReport probe_kvm(std::string_view failures, std::chrono::milliseconds at_most = std::chrono::seconds(10));

/// 32-bit code (64-bit code, too) for address kProbeCode: a loop of `turns`, "GOOD" to kProbeResult, `outs`
/// writes to port 80h, HLT.
std::vector<uint8_t> probe_program(uint32_t turns, uint32_t outs);
inline constexpr uint64_t kProbeCode = 0x1000, kProbeResult = 0x2000;
inline constexpr uint32_t kProbeGood = 0x444f4f47;

}  // namespace vireo::hwassist
