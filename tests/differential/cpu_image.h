// The registers of a test case, and what one instruction made of them.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "core/cpu_state.h"

namespace vireo::diff {

/// All that user-mode code of a 32-bit CPU can see. Upper halves of 64-bit registers are not part of it.
struct CpuImage {
  std::array<uint32_t, 8> gpr{};
  uint32_t eip = 0;
  uint32_t eflags = 0;
  std::array<uint16_t, 6> selector{};  ///< in SegReg's order
  FxState fx{};

  uint32_t& reg(Gpr r) { return gpr[static_cast<unsigned>(r)]; }
  uint32_t reg(Gpr r) const { return gpr[static_cast<unsigned>(r)]; }
  uint16_t& segment(SegReg s) { return selector[static_cast<unsigned>(s)]; }
  uint16_t segment(SegReg s) const { return selector[static_cast<unsigned>(s)]; }
};

struct Outcome {
  enum class Kind : uint8_t {
    kCompleted,
    kException,  ///< `vector`; `after` as the exception's handler would find it
    kHung,       ///< did not end within about a second
    kAstray,     ///< an engine went where the code cannot have led it
  };
  Kind kind = Kind::kHung;
  uint8_t vector = 0;
  uint32_t error_code = 0;
  uint32_t cr2 = 0;  ///< #PF only
  /// after.fx.fip is the instruction's doing. AMD's CPUs keep it only while an exception is pending.
  bool fip_known = true;
  CpuImage after;
};

}  // namespace vireo::diff
