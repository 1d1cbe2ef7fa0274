// The other side: the same code in an engine, on a bare CPU in paged protected mode at CPL 3. Its page
// tables, GDT and LDT give user-mode code exactly the arena that NativeCpu has. Exceptions are delivered
// through an IDT whose handlers, a HLT each, tell the vector by where they stand.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "core/engine.h"
#include "core/isa/feature.h"
#include "core/result.h"
#include "tests/differential/cpu_image.h"

namespace vireo::diff {

class EngineCpu {
 public:
  /// `engine`: a name of tests/engines/engines.h. `cpu_number_limit`: see native_cpu.h. `features`: what the
  /// host CPU has.
  static Result<std::unique_ptr<EngineCpu>> create(std::string_view engine, uint32_t cpu_number_limit,
                                                   const isa::FeatureSet& features);
  ~EngineCpu();

  std::string_view engine() const;
  /// Guest RAM behind the arena; kMemoryBytes.
  std::span<uint8_t> memory();
  /// The case has hit upon the pages of the tables and handlers, which the host does not have.
  static bool faulted_in_system(const Outcome& outcome);
  /// All guest RAM.
  std::span<const uint8_t> ram() const;
  /// Writes to the code pages, so that the engine notices.
  void write_code(uint32_t linear, std::span<const uint8_t> bytes);

  /// One instruction.
  Outcome run(const CpuImage& before);

  // Programs: start(), then run_to() with rising limits, then outcome().
  void start(const CpuImage& before);
  /// Page tables, descriptor tables and the handlers' stack as they were in the beginning; an empty TLB.
  void reset_system();
  ExitReason run_to(uint64_t retired);
  /// The state now; that of the user code if an exception's handler has been entered.
  Outcome outcome() const;
  const CpuState& state() const;

 private:
  EngineCpu() = default;
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo::diff
