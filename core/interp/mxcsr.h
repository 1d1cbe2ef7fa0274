// Which MXCSR bits the guest's CPU has (SDM 1, 10.2.3).
#pragma once

#include "core/interp/interp.h"
#include "core/isa/cpuid.h"

namespace vireo::interp {

/// MXCSR_MASK; setting any other bit is #GP. DAZ came with SSE2.
inline uint32_t mxcsr_mask(const Interp& interp) {
  return interp.context.model.has(isa::Feature::kSse2) ? 0xffff : 0xffbf;
}

}  // namespace vireo::interp
