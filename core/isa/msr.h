// Model-specific registers as RDMSR and WRMSR see them (SDM volume 4; volume 3 for the MTRRs, PAT, MCA).
#pragma once

#include <cstdint>

#include "core/engine.h"

namespace vireo {

namespace apic_base {
inline constexpr uint64_t kBsp = 1u << 8;
inline constexpr uint64_t kEnable = 1u << 11;
inline constexpr uint64_t kDefaultAddress = 0xfee00000;
}  // namespace apic_base

namespace misc_enable {
inline constexpr uint64_t kFastStrings = 1u << 0;
inline constexpr uint64_t kBtsUnavailable = 1u << 11;
inline constexpr uint64_t kPebsUnavailable = 1u << 12;
inline constexpr uint64_t kLimitCpuid = 1u << 22;
inline constexpr uint64_t kXdDisable = uint64_t{1} << 34;
}  // namespace misc_enable

/// RDMSR/WRMSR by the model in `context`. False: no such MSR or a reserved bit; the instruction is #GP(0).
/// wrmsr tells the MMU about EFER.NXE and calls context.apic_base_changed.
bool rdmsr(CpuContext& context, uint32_t index, uint64_t& value);
bool wrmsr(CpuContext& context, uint32_t index, uint64_t value);

/// The model's MSRs after RESET; call after reset_cpu().
void reset_msrs(CpuState& cpu, const CpuModel& model);

}  // namespace vireo
