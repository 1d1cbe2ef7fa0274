// CPU models: what CPUID says, which features the decoder accepts, how wide physical addresses are, how fast
// the TSC runs. A model is one real CPU; features that Vireo does not offer are left out of its leaves.
// Source: SDM 2A CPUID; Intel AN-485 (leaf 2 descriptors, signatures).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "core/cpu_state.h"
#include "core/isa/feature.h"
#include "core/result.h"

namespace vireo {

struct CpuidRegisters {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
  bool operator==(const CpuidRegisters&) const = default;
};

struct CpuModel {
  std::string_view name;    ///< of --cpu
  std::string_view vendor;  ///< 12 characters
  std::string_view brand;   ///< of leaves 80000002h to 80000004h; empty: no extended leaves
  uint32_t signature = 0;   ///< CPUID.1:EAX, also EDX at reset
  isa::FeatureSet features;
  uint32_t max_leaf = 0;                        ///< highest basic leaf
  uint8_t brand_index = 0;                      ///< CPUID.1:EBX[7:0]
  uint8_t physical_bits = 32;                   ///< MAXPHYADDR
  std::array<uint32_t, 4> cache_descriptors{};  ///< leaf 2: EAX, EBX, ECX, EDX
  std::array<CpuidRegisters, 3> caches{};       ///< leaf 4 by sub-leaf; EAX 0: none
  uint64_t tsc_hz = 0;

  unsigned family() const { return (signature >> 8) & 15; }  ///< no model here needs the extended family
  unsigned model() const { return ((signature >> 4) & 15) | ((signature >> 12) & 0xf0); }
  bool has(isa::Feature feature) const { return features.has(feature); }

  /// The leaf as the CPU gives it after RESET. A leaf above the highest gives the highest basic one.
  CpuidRegisters cpuid(uint32_t leaf, uint32_t subleaf) const;
};

/// The CPUID instruction: as CpuModel::cpuid(), with what IA32_APIC_BASE and IA32_MISC_ENABLE switch off
/// hidden.
CpuidRegisters cpuid(const CpuModel& model, const CpuState& cpu, uint32_t leaf, uint32_t subleaf);

/// 486, pentium, pentium3, core2duo-32. The features are limited to those of the host CPU.
Result<CpuModel> find_cpu_model(std::string_view name);

/// What the host CPU offers to user-mode code, and what every x86-64 CPU has.
isa::FeatureSet host_features();

inline constexpr std::string_view kDefaultCpuModel = "core2duo-32";

}  // namespace vireo
