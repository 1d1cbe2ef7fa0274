// The oracle of hosts without compatibility mode: flat 32-bit code, rewritten for 64-bit code and run there.
// It leaves out what does not mean the same there, and what would be the host kernel's answer.
#pragma once

#include <memory>

#include "tests/differential/native_cpu.h"

namespace vireo::diff {

class LongModeCpu final : public NativeCpu {
 public:
  static Result<std::unique_ptr<LongModeCpu>> create();

  std::string_view name() const override { return "long"; }
  CaseKind case_kind() const override { return CaseKind::kFlat32; }
  NativeCode code_for(const isa::InsnRow& row, const Case& c) const override;

 private:
  LongModeCpu() : NativeCpu(false) {}
  /// Paravirtual kernels may lose it.
  bool enters_with_nt();

  bool keeps_nt_ = true;
};

}  // namespace vireo::diff
