// The oracle proper: every case as it is, in compatibility mode inside this 64-bit process, with the LDT's
// segments (arena.h).
//
// Loading FS in 32-bit code destroys the thread's FS base (its TLS), so the handler's entry stub restores it
// before any C++ code runs.
#pragma once

#include <memory>

#include "tests/differential/native_cpu.h"

namespace vireo::diff {

class CompatCpu final : public NativeCpu {
 public:
  /// Fails where the host cannot run 16- and 32-bit code in a 64-bit process.
  static Result<std::unique_ptr<CompatCpu>> create();

  std::string_view name() const override { return "compat"; }
  CaseKind case_kind() const override { return CaseKind::kAny; }
  NativeCode code_for(const isa::InsnRow& row, const Case& c) const override;

  /// Runs code from before.eip until something raises an exception, INT3 included; the outcome is always that
  /// exception as its handler finds it, or kHung. The caller vouches that the code makes no system call.
  Outcome run_program(const CpuImage& before) { return run_to_exception(before); }

 private:
  CompatCpu() : NativeCpu(true) {}
};

}  // namespace vireo::diff
