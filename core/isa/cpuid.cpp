#include "core/isa/cpuid.h"

#include <cpuid.h>
#include <fmt/format.h>

#include <cstring>

#include "core/isa/msr.h"

namespace vireo {
namespace {

using isa::Feature;
using isa::FeatureSet;

/// Where CPUID reports a feature.
struct FeatureBit {
  Feature feature;
  uint32_t leaf;
  enum Register : uint8_t { kEax, kEbx, kEcx, kEdx } reg;
  uint8_t bit;
};

constexpr FeatureBit kFeatureBits[] = {
    {Feature::kFpu, 1, FeatureBit::kEdx, 0},
    {Feature::kVme, 1, FeatureBit::kEdx, 1},
    {Feature::kDe, 1, FeatureBit::kEdx, 2},
    {Feature::kPse, 1, FeatureBit::kEdx, 3},
    {Feature::kTsc, 1, FeatureBit::kEdx, 4},
    {Feature::kMsr, 1, FeatureBit::kEdx, 5},
    {Feature::kPae, 1, FeatureBit::kEdx, 6},
    {Feature::kMce, 1, FeatureBit::kEdx, 7},
    {Feature::kCx8, 1, FeatureBit::kEdx, 8},
    {Feature::kApic, 1, FeatureBit::kEdx, 9},
    {Feature::kSep, 1, FeatureBit::kEdx, 11},
    {Feature::kMtrr, 1, FeatureBit::kEdx, 12},
    {Feature::kPge, 1, FeatureBit::kEdx, 13},
    {Feature::kMca, 1, FeatureBit::kEdx, 14},
    {Feature::kCmov, 1, FeatureBit::kEdx, 15},
    {Feature::kPat, 1, FeatureBit::kEdx, 16},
    {Feature::kPse36, 1, FeatureBit::kEdx, 17},
    {Feature::kClfsh, 1, FeatureBit::kEdx, 19},
    {Feature::kDs, 1, FeatureBit::kEdx, 21},
    {Feature::kAcpi, 1, FeatureBit::kEdx, 22},
    {Feature::kMmx, 1, FeatureBit::kEdx, 23},
    {Feature::kFxsr, 1, FeatureBit::kEdx, 24},
    {Feature::kSse, 1, FeatureBit::kEdx, 25},
    {Feature::kSse2, 1, FeatureBit::kEdx, 26},
    {Feature::kSs, 1, FeatureBit::kEdx, 27},
    {Feature::kHtt, 1, FeatureBit::kEdx, 28},
    {Feature::kTm, 1, FeatureBit::kEdx, 29},
    {Feature::kSse3, 1, FeatureBit::kEcx, 0},
    {Feature::kPclmulqdq, 1, FeatureBit::kEcx, 1},
    {Feature::kMonitor, 1, FeatureBit::kEcx, 3},
    {Feature::kSsse3, 1, FeatureBit::kEcx, 9},
    {Feature::kFma, 1, FeatureBit::kEcx, 12},
    {Feature::kCx16, 1, FeatureBit::kEcx, 13},
    {Feature::kSse41, 1, FeatureBit::kEcx, 19},
    {Feature::kSse42, 1, FeatureBit::kEcx, 20},
    {Feature::kMovbe, 1, FeatureBit::kEcx, 22},
    {Feature::kPopcnt, 1, FeatureBit::kEcx, 23},
    {Feature::kAes, 1, FeatureBit::kEcx, 25},
    {Feature::kXsave, 1, FeatureBit::kEcx, 26},
    {Feature::kAvx, 1, FeatureBit::kEcx, 28},
    {Feature::kF16c, 1, FeatureBit::kEcx, 29},
    {Feature::kRdrand, 1, FeatureBit::kEcx, 30},
    {Feature::kHypervisor, 1, FeatureBit::kEcx, 31},
    {Feature::kVmx, 1, FeatureBit::kEcx, 5},
    {Feature::kSmx, 1, FeatureBit::kEcx, 6},
    {Feature::kFsgsbase, 7, FeatureBit::kEbx, 0},
    {Feature::kBmi1, 7, FeatureBit::kEbx, 3},
    {Feature::kAvx2, 7, FeatureBit::kEbx, 5},
    {Feature::kBmi2, 7, FeatureBit::kEbx, 8},
    {Feature::kErms, 7, FeatureBit::kEbx, 9},
    {Feature::kInvpcid, 7, FeatureBit::kEbx, 10},
    {Feature::kRdseed, 7, FeatureBit::kEbx, 18},
    {Feature::kAdx, 7, FeatureBit::kEbx, 19},
    {Feature::kSha, 7, FeatureBit::kEbx, 29},
    {Feature::kSgx, 7, FeatureBit::kEbx, 2},
    {Feature::kRtm, 7, FeatureBit::kEbx, 11},
    {Feature::kSmap, 7, FeatureBit::kEbx, 20},
    {Feature::kClflushopt, 7, FeatureBit::kEbx, 23},
    {Feature::kClwb, 7, FeatureBit::kEbx, 24},
    {Feature::kUmip, 7, FeatureBit::kEcx, 2},
    {Feature::kPku, 7, FeatureBit::kEcx, 3},
    {Feature::kRdpid, 7, FeatureBit::kEcx, 22},
    {Feature::kXsaveopt, 13, FeatureBit::kEax, 0},  // sub-leaf 1
    {Feature::kXsavec, 13, FeatureBit::kEax, 1},
    {Feature::kXsaves, 13, FeatureBit::kEax, 3},
    {Feature::kSvm, 0x80000001, FeatureBit::kEcx, 2},
    {Feature::kLahfLm, 0x80000001, FeatureBit::kEcx, 0},
    {Feature::kAbm, 0x80000001, FeatureBit::kEcx, 5},
    {Feature::kSse4a, 0x80000001, FeatureBit::kEcx, 6},
    {Feature::kPrefetchw, 0x80000001, FeatureBit::kEcx, 8},
    {Feature::kSyscall, 0x80000001, FeatureBit::kEdx, 11},
    {Feature::kNx, 0x80000001, FeatureBit::kEdx, 20},
    {Feature::kMmxExt, 0x80000001, FeatureBit::kEdx, 22},
    {Feature::kMonitorx, 0x80000001, FeatureBit::kEcx, 29},
    {Feature::kRdtscp, 0x80000001, FeatureBit::kEdx, 27},
    {Feature::kLm, 0x80000001, FeatureBit::kEdx, 29},
    {Feature::k3dnow, 0x80000001, FeatureBit::kEdx, 31},
    {Feature::kClzero, 0x80000008, FeatureBit::kEbx, 0},
};

uint32_t& register_of(CpuidRegisters& registers, FeatureBit::Register reg) {
  if (reg == FeatureBit::kEax) return registers.eax;
  if (reg == FeatureBit::kEbx) return registers.ebx;
  return reg == FeatureBit::kEcx ? registers.ecx : registers.edx;
}

void add_feature_bits(CpuidRegisters& registers, uint32_t leaf, const FeatureSet& features) {
  for (const FeatureBit& row : kFeatureBits) {
    if (row.leaf == leaf && features.has(row.feature)) register_of(registers, row.reg) |= 1u << row.bit;
  }
}

/// Vireo runs these in the host's own units, so the guest cannot have what the host lacks. Everything older
/// is part of x86-64; what the guest's kernel alone sees is emulated.
constexpr Feature kNeedHost[] = {Feature::kSse3,   Feature::kSsse3, Feature::kSse41, Feature::kSse42,
                                 Feature::kPopcnt, Feature::kMovbe, Feature::kAes,   Feature::kPclmulqdq};

void limit_to_host(FeatureSet& features) {
  const FeatureSet host = host_features();
  for (Feature feature : kNeedHost) {
    if (!host.has(feature)) features.remove(feature);
  }
}

constexpr FeatureSet kI486Features = {Feature::kI8086, Feature::kI186, Feature::kI286,  Feature::kI386,
                                      Feature::kI486,  Feature::kFpu,  Feature::kCpuid, Feature::kVme};
// The P54C of a uniprocessor board has its local APIC strapped off, and so not in CPUID.
constexpr FeatureSet kPentiumFeatures =
    kI486Features |
    FeatureSet{Feature::kDe, Feature::kPse, Feature::kTsc, Feature::kMsr, Feature::kMce, Feature::kCx8};
constexpr FeatureSet kPentium3Features =
    kPentiumFeatures | FeatureSet{Feature::kPae,   Feature::kApic, Feature::kSep,  Feature::kMtrr,
                                  Feature::kPge,   Feature::kMca,  Feature::kCmov, Feature::kPat,
                                  Feature::kPse36, Feature::kMmx,  Feature::kFxsr, Feature::kSse,
                                  Feature::kNopl};
// Of the real CPU's features these are not offered: long mode, VMX, SpeedStep, thermal control, debug store,
// performance counters, MONITOR (HLT idles better here) and the second core.
constexpr FeatureSet kCore2Features =
    kPentium3Features |
    FeatureSet{Feature::kClfsh, Feature::kSse2, Feature::kSs, Feature::kSse3, Feature::kSsse3, Feature::kNx};

const CpuModel kModels[] = {
    {
        .name = "486",  // i486 DX4-100 (SL-enhanced: with CPUID)
        .vendor = "GenuineIntel",
        .brand = {},
        .signature = 0x483,
        .features = kI486Features,
        .max_leaf = 1,
        .tsc_hz = 100'000'000,
    },
    {
        .name = "pentium",  // P54C, C2 stepping
        .vendor = "GenuineIntel",
        .brand = {},
        .signature = 0x52c,
        .features = kPentiumFeatures,
        .max_leaf = 1,
        .tsc_hz = 133'333'333,
    },
    {
        .name = "pentium3",  // Coppermine, C0 stepping, 256 KiB L2, serial number off
        .vendor = "GenuineIntel",
        .brand = {},
        .signature = 0x686,
        .features = kPentium3Features,
        .max_leaf = 2,
        .brand_index = 2,
        .physical_bits = 36,
        .cache_descriptors = {0x03020101, 0, 0, 0x0c040882},
        .tsc_hz = 1'000'000'000,
    },
    {
        .name = "core2duo-32",  // Conroe E6600, B2 stepping, one core of it, without Intel 64
        .vendor = "GenuineIntel",
        .brand = "Intel(R) Core(TM)2 CPU          6600  @ 2.40GHz",
        .signature = 0x6f6,
        .features = kCore2Features,
        .max_leaf = 10,
        .physical_bits = 36,
        .cache_descriptors = {0x05b0b101, 0x005657f0, 0, 0x2cb43049},
        .caches = {{{0x121, 0x01c0003f, 0x3f, 1},     // L1 data, 32 KiB, 8 ways
                    {0x122, 0x01c0003f, 0x3f, 1},     // L1 instruction, 32 KiB, 8 ways
                    {0x143, 0x03c0003f, 0xfff, 1}}},  // L2, 4 MiB, 16 ways
        .tsc_hz = 2'400'000'000,
    },
};

uint32_t word_of(std::string_view text, size_t offset) {
  char bytes[4] = {};
  if (offset < text.size())
    std::memcpy(bytes, text.data() + offset, std::min<size_t>(4, text.size() - offset));
  uint32_t word;
  std::memcpy(&word, bytes, sizeof word);
  return word;
}

constexpr uint32_t kExtended = 0x80000000;

CpuidRegisters leaf_1(const CpuModel& model) {
  CpuidRegisters r;
  r.eax = model.signature;
  r.ebx = model.brand_index;
  if (model.has(Feature::kClfsh)) r.ebx |= 8u << 8 | 1u << 16;  // 64-byte lines, one logical processor
  add_feature_bits(r, 1, model.features);
  return r;
}

CpuidRegisters extended_leaf(const CpuModel& model, uint32_t leaf) {
  CpuidRegisters r;
  switch (leaf) {
    case kExtended:
      r.eax = kExtended + 8;
      break;
    case kExtended + 1:
      add_feature_bits(r, leaf, model.features);
      break;
    case kExtended + 2:
    case kExtended + 3:
    case kExtended + 4: {
      const size_t at = (leaf - kExtended - 2) * 16;
      return {word_of(model.brand, at), word_of(model.brand, at + 4), word_of(model.brand, at + 8),
              word_of(model.brand, at + 12)};
    }
    case kExtended + 6:
      r.ecx = 0x10008040;  // L2: 4 MiB, 16 ways, 64-byte lines
      break;
    case kExtended + 8:
      r.eax = model.physical_bits | (model.has(Feature::kLm) ? 48u : 32u) << 8;
      break;
    default:
      break;
  }
  return r;
}

}  // namespace

CpuidRegisters CpuModel::cpuid(uint32_t leaf, uint32_t subleaf) const {
  if (leaf >= kExtended && leaf <= kExtended + 8 && !brand.empty()) return extended_leaf(*this, leaf);
  if (leaf > max_leaf) leaf = max_leaf;
  switch (leaf) {
    case 0:
      return {max_leaf, word_of(vendor, 0), word_of(vendor, 8), word_of(vendor, 4)};
    case 1:
      return leaf_1(*this);
    case 2:
      return {cache_descriptors[0], cache_descriptors[1], cache_descriptors[2], cache_descriptors[3]};
    case 4:
      return subleaf < caches.size() ? caches[subleaf] : CpuidRegisters{};
    default:
      return {};
  }
}

CpuidRegisters cpuid(const CpuModel& model, const CpuState& cpu, uint32_t leaf, uint32_t subleaf) {
  CpuModel now = model;
  if (cpu.msr.misc_enable & misc_enable::kLimitCpuid) now.max_leaf = std::min(now.max_leaf, 3u);
  if (cpu.msr.misc_enable & misc_enable::kXdDisable) now.features.remove(Feature::kNx);
  if (!(cpu.msr.apic_base & apic_base::kEnable)) now.features.remove(Feature::kApic);
  return now.cpuid(leaf, subleaf);
}

FeatureSet host_features() {
  FeatureSet features = {Feature::kI8086, Feature::kI186,  Feature::kI286, Feature::kI386,
                         Feature::kI486,  Feature::kCpuid, Feature::kNopl, Feature::kRdpmc};
  for (const FeatureBit& row : kFeatureBits) {
    CpuidRegisters host;
    const unsigned subleaf = row.leaf == 13 ? 1 : 0;
    if (__get_cpuid_count(row.leaf, subleaf, &host.eax, &host.ebx, &host.ecx, &host.edx) &&
        (register_of(host, row.reg) >> row.bit) & 1) {
      features.add(row.feature);
    }
  }
  return features;
}

Result<CpuModel> find_cpu_model(std::string_view name) {
  std::string known;
  for (const CpuModel& model : kModels) {
    if (model.name == name) {
      CpuModel found = model;
      limit_to_host(found.features);
      return found;
    }
    known += (known.empty() ? "" : ", ") + std::string(model.name);
  }
  return Error{fmt::format("there is no CPU model '{}'; the models are {}", name, known)};
}

}  // namespace vireo
