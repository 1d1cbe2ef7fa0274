// What a CPU can do: the features that table rows, control-register bits and MSRs depend on.
// Names are those of CPUID (SDM 2A, CPUID; AMD APM 3 for leaf 80000001h); the first five are CPU generations.
#pragma once

#include <cstdint>
#include <initializer_list>

namespace vireo::isa {

enum class Feature : uint8_t {
  kI8086,  ///< every CPU
  kI186,
  kI286,
  kI386,
  kI486,
  kFpu,
  kCpuid,  ///< EFLAGS.ID can be changed
  kVme,
  kDe,
  kPse,
  kTsc,
  kMsr,
  kPae,
  kMce,
  kCx8,
  kApic,
  kSep,
  kMtrr,
  kPge,
  kMca,
  kCmov,
  kPat,
  kPse36,
  kClfsh,
  kDs,
  kAcpi,
  kMmx,
  kFxsr,
  kSse,
  kSse2,
  kSs,
  kHtt,
  kTm,
  kSse3,
  kPclmulqdq,
  kMonitor,
  kSsse3,
  kFma,
  kCx16,
  kSse41,
  kSse42,
  kMovbe,
  kPopcnt,
  kAes,
  kXsave,
  kAvx,
  kF16c,
  kRdrand,
  kHypervisor,
  kFsgsbase,
  kBmi1,
  kAvx2,
  kBmi2,
  kErms,
  kInvpcid,
  kRdseed,
  kAdx,
  kSha,
  kLahfLm,  ///< LAHF/SAHF in 64-bit mode
  kAbm,     ///< LZCNT
  kSse4a,
  kPrefetchw,
  kSyscall,
  kNx,
  kMmxExt,
  kRdtscp,
  kLm,
  k3dnow,
  kUmip,
  kNopl,  ///< 0F 1F: every family 6 CPU
  // Decoded, but offered by no CPU model.
  kUd,             ///< UD0, UD1, UD2
  kTestRegisters,  ///< MOV to and from TR3 to TR7: 386 and 486
  kSmm,            ///< RSM; outside system-management mode it raises #UD
  kRdpmc,          ///< Pentium MMX and family 6
  kVmx,
  kSmx,
  kSgx,
  kRtm,
  kSmap,
  kClflushopt,
  kClwb,
  kPku,
  kRdpid,
  kXsaveopt,
  kXsavec,
  kXsaves,
  kSvm,
  k3dnowExt,
  kMonitorx,
  kClzero,
  kCount,
};

/// A set of features.
class FeatureSet {
 public:
  constexpr FeatureSet() = default;
  constexpr FeatureSet(std::initializer_list<Feature> features) {
    for (Feature feature : features) add(feature);
  }

  constexpr bool has(Feature feature) const { return (words_[word(feature)] >> bit(feature)) & 1; }
  constexpr void add(Feature feature) { words_[word(feature)] |= uint64_t{1} << bit(feature); }
  constexpr void remove(Feature feature) { words_[word(feature)] &= ~(uint64_t{1} << bit(feature)); }
  constexpr bool operator==(const FeatureSet&) const = default;

  friend constexpr FeatureSet operator|(FeatureSet a, const FeatureSet& b) {
    for (unsigned i = 0; i < kWords; i++) a.words_[i] |= b.words_[i];
    return a;
  }
  friend constexpr FeatureSet operator&(FeatureSet a, const FeatureSet& b) {
    for (unsigned i = 0; i < kWords; i++) a.words_[i] &= b.words_[i];
    return a;
  }

 private:
  static constexpr unsigned kWords = 2;
  static_assert(static_cast<unsigned>(Feature::kCount) <= kWords * 64);
  static constexpr unsigned word(Feature feature) { return static_cast<unsigned>(feature) / 64; }
  static constexpr unsigned bit(Feature feature) { return static_cast<unsigned>(feature) % 64; }

  uint64_t words_[kWords] = {};
};

}  // namespace vireo::isa
