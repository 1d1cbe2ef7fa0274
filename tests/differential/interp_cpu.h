// The other side: the same instruction in the interpreter, on a bare CPU in paged protected mode at CPL 3.
// Its page tables, GDT and LDT give user-mode code exactly the arena that NativeCpu has.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "core/isa/feature.h"
#include "core/result.h"
#include "tests/differential/cpu_image.h"

namespace vireo::diff {

class InterpCpu {
 public:
  /// `cpu_number_limit`: see NativeCpu. `features`: what the host CPU has.
  static Result<std::unique_ptr<InterpCpu>> create(uint32_t cpu_number_limit,
                                                   const isa::FeatureSet& features);
  ~InterpCpu();

  /// Guest RAM behind the arena; kMemoryBytes.
  std::span<uint8_t> memory();
  /// Writes to the code pages, so that the interpreter notices.
  void write_code(uint32_t linear, std::span<const uint8_t> bytes);

  Outcome run(const CpuImage& before);

 private:
  InterpCpu() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo::diff
