#include "core/isa/msr.h"

#include "core/isa/cpuid.h"

namespace vireo {

uint64_t CpuContext::tsc() const {
  return ns_to_ticks(static_cast<uint64_t>(clock.now()), model.tsc_hz) + cpu.tsc_offset;
}

namespace {

using isa::Feature;

// MSRs of P6 and later are all that have `Feature::kSep` and the like; the rest is by family.
bool p6(const CpuModel& m) {
  return m.family() >= 6;
}
bool core2(const CpuModel& m) {
  return m.family() == 6 && m.model() >= 15;
}

constexpr uint64_t kLow32 = 0xffffffff;

uint64_t physical_mask(const CpuModel& m) {
  return (uint64_t{1} << m.physical_bits) - 1;
}

bool valid_memory_type(uint64_t type, bool pat) {
  return type <= 7 && type != 2 && type != 3 && (pat || type != 7);
}

bool valid_memory_types(uint64_t eight, bool pat) {
  for (unsigned i = 0; i < 8; i++) {
    if (!valid_memory_type((eight >> (8 * i)) & 0xff, pat)) return false;
  }
  return true;
}

/// The stored form of a write that is allowed: bits outside `allowed` must be 0.
bool store(uint64_t& stored, uint64_t value, uint64_t allowed) {
  if (value & ~allowed) return false;
  stored = value;
  return true;
}

/// Every access is one call: `write` null reads. Returns false for #GP.
struct Access {
  CpuContext& context;
  uint32_t index;  ///< within the row
  bool write;
  uint64_t& value;

  const CpuModel& model() const { return context.model; }
  Msrs& msr() const { return context.cpu.msr; }
  /// Storage with bits that may be set.
  bool stored(uint64_t& place, uint64_t allowed = ~uint64_t{0}) const {
    if (write) return store(place, value, allowed);
    value = place;
    return true;
  }
  /// A value that writes cannot change: they are ignored, or #GP.
  bool constant(uint64_t fixed, bool write_ignored) const {
    if (!write) value = fixed;
    return !write || write_ignored;
  }
};

bool tsc(const Access& a) {
  if (a.write) {
    // Before model 6/15 the high half cannot be written and becomes 0 (SDM 3B, WRMSR to the TSC).
    const uint64_t value = core2(a.model()) ? a.value : a.value & kLow32;
    a.context.cpu.tsc_offset += value - a.context.tsc();
  } else {
    a.value = a.context.tsc();
  }
  return true;
}

bool apic_base_msr(const Access& a) {
  const uint64_t allowed = (physical_mask(a.model()) & ~kPageMask) | apic_base::kBsp | apic_base::kEnable;
  const uint64_t before = a.msr().apic_base;
  if (!a.stored(a.msr().apic_base, allowed)) return false;
  if (a.write && before != a.value && a.context.apic_base_changed) a.context.apic_base_changed(a.value);
  return true;
}

bool efer_msr(const Access& a) {
  const bool nx = a.model().has(Feature::kNx) && !(a.msr().misc_enable & misc_enable::kXdDisable);
  const bool lm = a.model().has(Feature::kLm);
  if (!nx && !lm) return false;
  if (!a.write) {
    a.value = a.msr().efer;
    return true;
  }
  const uint64_t before = a.msr().efer;
  const uint64_t allowed = (nx ? efer::kNxe : 0) | (lm ? efer::kSce | efer::kLme | efer::kLma : 0);
  if (a.value & ~allowed) return false;
  const uint64_t changed = before ^ a.value;
  if ((changed & efer::kLme) && a.context.cpu.paging()) return false;
  a.msr().efer = (a.value & ~efer::kLma) | (before & efer::kLma);
  if (changed & efer::kNxe) a.context.mmu.control_registers_changed();
  return true;
}

bool misc_enable_msr(const Access& a) {
  using namespace misc_enable;
  if (!a.write) {
    a.value = a.msr().misc_enable;
    return true;
  }
  constexpr uint64_t kWritable = kFastStrings | kLimitCpuid | (1u << 23);
  const uint64_t writable = kWritable | (a.model().has(Feature::kNx) ? kXdDisable : 0);
  const uint64_t before = a.msr().misc_enable;
  a.msr().misc_enable = (before & ~writable) | (a.value & writable);
  return true;
}

bool sysenter(const Access& a) {
  uint64_t* places[] = {&a.msr().sysenter_cs, &a.msr().sysenter_esp, &a.msr().sysenter_eip};
  const bool lm = a.model().has(Feature::kLm) && a.index != 0;
  if (a.write && !lm) {
    *places[a.index] = a.value & kLow32;
    return true;
  }
  return a.stored(*places[a.index]);
}

bool mtrr_variable(const Access& a) {
  uint64_t& place = a.msr().mtrr_variable[a.index];
  const uint64_t page_bits = physical_mask(a.model()) & ~kPageMask;
  if (a.index & 1) return a.stored(place, page_bits | 0x800);
  if (a.write && !valid_memory_type(a.value & 0xff, false)) return false;
  return a.stored(place, page_bits | 0xff);
}

bool mtrr_fixed(const Access& a, unsigned first) {
  if (a.write && !valid_memory_types(a.value, false)) return false;
  return a.stored(a.msr().mtrr_fixed[first + a.index]);
}

bool mtrr_def_type(const Access& a) {
  if (a.write && !valid_memory_type(a.value & 0xff, false)) return false;
  return a.stored(a.msr().mtrr_def_type, 0xcff);
}

bool pat(const Access& a) {
  if (a.write && !valid_memory_types(a.value, true)) return false;
  return a.stored(a.msr().pat);
}

bool bios_sign_id(const Access& a) {
  // Software writes 0 and executes CPUID; the loaded update's revision then stands in the high half.
  constexpr uint64_t kRevision = uint64_t{0xd2} << 32;
  if (a.write)
    a.msr().bios_sign_id = a.value;
  else
    a.value = (a.msr().bios_sign_id & kLow32) | kRevision;
  return true;
}

unsigned mc_banks(const CpuModel& m) {
  return core2(m) ? 6 : 5;
}

bool mcg_cap(const Access& a) {
  return a.constant(core2(a.model()) ? 0x806 : 0x105, false);
}

bool mcg_ctl(const Access& a) {
  return !core2(a.model()) && a.stored(a.msr().mcg_ctl);
}

bool mc_bank(const Access& a) {
  const unsigned bank = a.index / 4;
  if (bank >= mc_banks(a.model())) return false;
  switch (a.index % 4) {
    case 0:
      return a.stored(a.msr().mc_ctl[bank]);
    case 1:  // no error is ever logged: the status can only be cleared
      if (a.write) return a.value == 0;
      a.value = 0;
      return true;
    default:
      return a.constant(0, a.value == 0);
  }
}

bool debugctl(const Access& a) {
  return a.stored(a.msr().debugctl, core2(a.model()) ? 0x5fc3 : 0x7f);
}

bool perf_select(const Access& a) {
  return a.stored(a.msr().perf_select[a.index], kLow32);
}

bool perf_counter(const Access& a) {
  // Counters are 40 bits; P6 sign-extends what is written from 32 bits (SDM 3B 20.6.8).
  if (a.write) {
    a.msr().perf_counter[a.index] =
        static_cast<uint64_t>(static_cast<int64_t>(static_cast<int32_t>(a.value))) & 0xff'ffff'ffff;
    return true;
  }
  a.value = a.msr().perf_counter[a.index];
  return true;
}

bool zero(const Access& a) {
  return a.constant(0, true);
}
bool read_only_zero(const Access& a) {
  return a.constant(0, false);
}
bool write_only(const Access& a) {
  return a.write;
}

bool any(const CpuModel&) {
  return true;
}
bool p5(const CpuModel& m) {
  return m.family() == 5;
}
bool p6_not_core2(const CpuModel& m) {
  return p6(m) && !core2(m);
}

struct Row {
  uint32_t first;
  uint32_t count;
  bool (*exists)(const CpuModel&);
  bool (*access)(const Access&);
};

constexpr Row kRows[] = {
    {0x000, 2, any, zero},  // P5_MC_ADDR, P5_MC_TYPE
    {0x010, 1, any, tsc},
    {0x011, 1, p5, perf_select},     // CESR
    {0x012, 2, p5, perf_counter},    // CTR0, CTR1
    {0x017, 1, p6, read_only_zero},  // PLATFORM_ID
    {0x01b, 1, p6, apic_base_msr},
    {0x02a, 1, p6, zero},  // EBL_CR_POWERON: every strap low
    {0x03a, 1, core2,
     [](const Access& a) { return a.constant(1, false); }},  // FEATURE_CONTROL: locked, no VMX
    {0x079, 1, p6, write_only},                              // BIOS_UPDT_TRIG
    {0x088, 3, p6_not_core2, zero},                          // BBL_CR_D0 to D2
    {0x08b, 1, p6, bios_sign_id},
    {0x0c1, 2, p6, perf_counter},
    {0x0cd, 1, core2, [](const Access& a) { return a.constant(0, true); }},  // FSB_FREQ: 266 MHz
    {0x0e7, 2, core2,
     [](const Access& a) {
       return tsc(Access{a.context, 0, false, a.value});
     }},  // MPERF, APERF
    {0x0fe, 1, p6,
     [](const Access& a) { return a.constant(0x508, false); }},  // MTRRCAP: 8 variable, fixed, WC
    {0x116, 1, p6_not_core2, zero},                              // BBL_CR_ADDR
    {0x118, 4, p6_not_core2, zero},                              // BBL_CR_DECC, CTL, TRIG, BUSY
    {0x11e, 1, p6, [](const Access& a) { return a.constant(0x100, true); }},  // BBL_CR_CTL3: L2 enabled
    {0x174, 3, p6, sysenter},
    {0x179, 1, p6, mcg_cap},
    {0x17a, 1, p6, [](const Access& a) { return a.stored(a.msr().mcg_status, 7); }},
    {0x17b, 1, p6, mcg_ctl},
    {0x186, 2, p6, perf_select},
    {0x198, 1, core2, [](const Access& a) { return a.constant(0x06090928'00000928, true); }},  // PERF_STATUS
    {0x199, 4, core2, zero},  // PERF_CTL, CLOCK_MODULATION, THERM_INTERRUPT, THERM_STATUS
    {0x19d, 1, core2, zero},  // THERM2_CTL
    {0x1a0, 1, core2, misc_enable_msr},
    {0x1c9, 1, core2, zero},  // LASTBRANCH_TOS
    {0x1d9, 1, p6, debugctl},
    {0x1db, 4, p6_not_core2, zero},  // LASTBRANCHFROMIP to LASTINTTOIP
    {0x1dd, 2, core2, zero},         // LER_FROM_LIP, LER_TO_LIP
    {0x200, 16, p6, mtrr_variable},
    {0x250, 1, p6, [](const Access& a) { return mtrr_fixed(a, 0); }},
    {0x258, 2, p6, [](const Access& a) { return mtrr_fixed(a, 1); }},
    {0x268, 8, p6, [](const Access& a) { return mtrr_fixed(a, 3); }},
    {0x277, 1, p6, pat},
    {0x2ff, 1, p6, mtrr_def_type},
    {0x400, 24, p6, mc_bank},
    {0xc0000080, 1, any, efer_msr},
};

bool access(CpuContext& context, uint32_t index, bool write, uint64_t& value) {
  for (const Row& row : kRows) {
    if (index - row.first < row.count && row.exists(context.model)) {
      return row.access(Access{context, index - row.first, write, value});
    }
  }
  return false;
}

}  // namespace

bool rdmsr(CpuContext& context, uint32_t index, uint64_t& value) {
  return access(context, index, false, value);
}

bool wrmsr(CpuContext& context, uint32_t index, uint64_t value) {
  return access(context, index, true, value);
}

void reset_msrs(CpuState& cpu, const CpuModel& model) {
  cpu.msr = Msrs{};
  if (model.has(Feature::kApic))
    cpu.msr.apic_base = apic_base::kDefaultAddress | apic_base::kEnable | apic_base::kBsp;
  if (core2(model)) {
    cpu.msr.misc_enable =
        misc_enable::kFastStrings | misc_enable::kBtsUnavailable | misc_enable::kPebsUnavailable;
  }
}

}  // namespace vireo
