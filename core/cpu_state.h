// All architectural state of one x86 CPU, 64 bits wide from the start. At every exit of every engine it is
// all here. Source: Intel SDM volume 1 chapter 3, volume 3 chapters 2 and 3.
#pragma once

#include <array>
#include <cstdint>

#include "core/types.h"

namespace vireo {

enum class Gpr : uint8_t {
  kRax,
  kRcx,
  kRdx,
  kRbx,
  kRsp,
  kRbp,
  kRsi,
  kRdi,
  kR8,
  kR9,
  kR10,
  kR11,
  kR12,
  kR13,
  kR14,
  kR15
};

/// In the order of the SDM's sreg encoding.
enum class SegReg : uint8_t { kEs, kCs, kSs, kDs, kFs, kGs };

namespace rflags {
inline constexpr uint64_t kCf = 1u << 0;
inline constexpr uint64_t kFixed1 = 1u << 1;
inline constexpr uint64_t kPf = 1u << 2;
inline constexpr uint64_t kAf = 1u << 4;
inline constexpr uint64_t kZf = 1u << 6;
inline constexpr uint64_t kSf = 1u << 7;
inline constexpr uint64_t kTf = 1u << 8;
inline constexpr uint64_t kIf = 1u << 9;
inline constexpr uint64_t kDf = 1u << 10;
inline constexpr uint64_t kOf = 1u << 11;
inline constexpr uint64_t kIopl = 3u << 12;
inline constexpr unsigned kIoplShift = 12;
inline constexpr uint64_t kNt = 1u << 14;
inline constexpr uint64_t kRf = 1u << 16;
inline constexpr uint64_t kVm = 1u << 17;
inline constexpr uint64_t kAc = 1u << 18;
inline constexpr uint64_t kVif = 1u << 19;
inline constexpr uint64_t kVip = 1u << 20;
inline constexpr uint64_t kId = 1u << 21;
inline constexpr uint64_t kArithmetic = kCf | kPf | kAf | kZf | kSf | kOf;
}  // namespace rflags

namespace cr0 {
inline constexpr uint64_t kPe = 1u << 0;
inline constexpr uint64_t kMp = 1u << 1;
inline constexpr uint64_t kEm = 1u << 2;
inline constexpr uint64_t kTs = 1u << 3;
inline constexpr uint64_t kEt = 1u << 4;
inline constexpr uint64_t kNe = 1u << 5;
inline constexpr uint64_t kWp = 1u << 16;
inline constexpr uint64_t kAm = 1u << 18;
inline constexpr uint64_t kNw = 1u << 29;
inline constexpr uint64_t kCd = 1u << 30;
inline constexpr uint64_t kPg = 1u << 31;
}  // namespace cr0

namespace cr4 {
inline constexpr uint64_t kVme = 1u << 0;
inline constexpr uint64_t kPvi = 1u << 1;
inline constexpr uint64_t kTsd = 1u << 2;
inline constexpr uint64_t kDe = 1u << 3;
inline constexpr uint64_t kPse = 1u << 4;
inline constexpr uint64_t kPae = 1u << 5;
inline constexpr uint64_t kMce = 1u << 6;
inline constexpr uint64_t kPge = 1u << 7;
inline constexpr uint64_t kPce = 1u << 8;
inline constexpr uint64_t kOsfxsr = 1u << 9;
inline constexpr uint64_t kOsxmmexcpt = 1u << 10;
}  // namespace cr4

namespace efer {
inline constexpr uint64_t kSce = 1u << 0;
inline constexpr uint64_t kLme = 1u << 8;
inline constexpr uint64_t kLma = 1u << 10;
inline constexpr uint64_t kNxe = 1u << 11;
}  // namespace efer

/// A segment register with its hidden part (SDM 3A 3.4.3).
struct Segment {
  uint64_t base = 0;
  uint32_t limit = 0;  ///< in bytes, granularity applied
  uint16_t selector = 0;
  /// Descriptor bits 40 to 55 as in VMX: bits 0-3 type, 4 S, 5-6 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G;
  /// bits 8 to 11 are 0.
  uint16_t access = 0;

  static constexpr uint16_t kTypeMask = 0xf;
  static constexpr uint16_t kS = 1u << 4;
  static constexpr uint16_t kP = 1u << 7;
  static constexpr uint16_t kL = 1u << 13;
  static constexpr uint16_t kDb = 1u << 14;
  static constexpr uint16_t kG = 1u << 15;

  unsigned type() const { return access & kTypeMask; }
  unsigned dpl() const { return (access >> 5) & 3; }
  unsigned rpl() const { return selector & 3; }
  bool present() const { return access & kP; }
  bool is_code_or_data() const { return access & kS; }
  bool is_code() const { return is_code_or_data() && (access & 8); }
  bool is_conforming_code() const { return is_code() && (access & 4); }
  bool is_expand_down() const { return is_code_or_data() && (access & 0xc) == 4; }
  bool is_writable_data() const { return is_code_or_data() && (access & 0xa) == 2; }
  bool is_readable() const { return is_code_or_data() && (!(access & 8) || (access & 2)); }
  bool big() const { return access & kDb; }
  /// Null or otherwise unloaded in protected mode: any use faults.
  bool usable() const { return present() && is_code_or_data(); }
};

/// GDTR, IDTR.
struct DescriptorTableRegister {
  uint64_t base = 0;
  uint16_t limit = 0;
};

/// The FXSAVE area (SDM 1 table 10-2), in the layout of 64-bit mode without REX.W: FIP/FDP are 32 bits with
/// selectors.
struct alignas(16) FxState {
  uint16_t fcw;
  uint16_t fsw;
  uint8_t ftw;  ///< abridged: bit i set when physical register i is not empty
  uint8_t reserved0;
  uint16_t fop;
  uint32_t fip;
  uint16_t fcs;
  uint16_t reserved1;
  uint32_t fdp;
  uint16_t fds;
  uint16_t reserved2;
  uint32_t mxcsr;
  uint32_t mxcsr_mask;
  std::array<std::array<uint8_t, 16>, 8>
      st;  ///< st[0] is ST(0), 10 bytes used; also MM registers (by physical number = ST order when TOP is 0)
  std::array<std::array<uint8_t, 16>, 16> xmm;
  std::array<uint8_t, 96> unused;
};
static_assert(sizeof(FxState) == 512, "must be the hardware's FXSAVE image");

/// Model-specific registers that have their own storage.
struct Msrs {
  uint64_t efer = 0;
  uint64_t apic_base = 0;
  uint64_t sysenter_cs = 0;
  uint64_t sysenter_esp = 0;
  uint64_t sysenter_eip = 0;
  uint64_t pat = 0x0007040600070406;
  uint64_t misc_enable = 0;
  uint64_t mtrr_def_type = 0;
  std::array<uint64_t, 16> mtrr_variable{};  ///< base/mask pairs
  std::array<uint64_t, 11> mtrr_fixed{};
  uint64_t star = 0, lstar = 0, cstar = 0, sf_mask = 0, kernel_gs_base = 0, tsc_aux = 0;
  uint64_t debugctl = 0;
  uint64_t bios_sign_id = 0;
  uint64_t mcg_status = 0, mcg_ctl = 0;
  std::array<uint64_t, 6> mc_ctl{};
  std::array<uint64_t, 2> perf_select{}, perf_counter{};  ///< kept, but nothing is counted
};

/// An interrupt or exception that the CPU has accepted and not begun to deliver. As a VMCS's IDT-vectoring
/// information (SDM 3C 25.9.3): only hardware assist stops there; the next engine delivers it first.
struct AcceptedEvent {
  enum class Kind : uint8_t { kNone, kExternal, kNmi, kException };
  Kind kind = Kind::kNone;
  uint8_t vector = 0;
  bool has_error_code = false;
  uint32_t error_code = 0;
};

struct CpuState {
  std::array<uint64_t, 16> gpr{};
  uint64_t rip = 0;
  uint64_t rflags = rflags::kFixed1;  ///< complete and architectural (all flags materialised)
  std::array<Segment, 6> seg{};
  Segment ldtr, tr;
  DescriptorTableRegister gdtr, idtr;
  uint64_t cr0 = 0, cr2 = 0, cr3 = 0, cr4 = 0, cr8 = 0;
  std::array<uint64_t, 8> dr{};     ///< 4 and 5 unused
  std::array<uint64_t, 4> pdpte{};  ///< PAE: loaded by mov cr3 and friends (SDM 3A 4.4.1)
  Msrs msr;
  FxState fx{};
  uint64_t xcr0 = 1;

  uint8_t cpl = 0;
  /// Interrupts (sti) or interrupts and debug traps (mov ss, pop ss) are held off until after the next
  /// instruction.
  enum class Shadow : uint8_t { kNone, kSti, kMovSs };
  Shadow interrupt_shadow = Shadow::kNone;
  /// The instruction at CS:RIP is a REP instruction stopped between iterations, and not counted yet: what is
  /// delivered now pushes RF set, and execution breakpoints at it are behind it (SDM 3B 17.3.1.1).
  bool rep_incomplete = false;
  bool halted = false;       ///< in HLT, waiting for an interrupt
  bool nmi_blocked = false;  ///< from NMI delivery to the next IRET
  bool nmi_pending = false;
  bool shutdown = false;     ///< triple fault; only RESET leaves it
  uint64_t pending_dr6 = 0;  ///< debug conditions collected for a #DB due after the current instruction
  AcceptedEvent accepted;
  /// Added to the clock's TSC; WRMSR to the TSC changes it.
  uint64_t tsc_offset = 0;

  /// Guest instructions retired since power-on. A string instruction with REP counts once, when it completes
  /// or is left for an interrupt; an instruction that faults does not count. HLT counts.
  uint64_t retired = 0;

  uint64_t& reg(Gpr r) { return gpr[static_cast<unsigned>(r)]; }
  uint64_t reg(Gpr r) const { return gpr[static_cast<unsigned>(r)]; }
  Segment& segment(SegReg s) { return seg[static_cast<unsigned>(s)]; }
  const Segment& segment(SegReg s) const { return seg[static_cast<unsigned>(s)]; }

  bool protected_mode() const { return cr0 & cr0::kPe; }
  bool v86() const { return rflags & rflags::kVm; }
  bool real_or_v86() const { return !protected_mode() || v86(); }
  bool paging() const { return cr0 & cr0::kPg; }
  bool long_mode() const { return msr.efer & efer::kLma; }
  unsigned iopl() const { return (rflags >> rflags::kIoplShift) & 3; }
};

/// State after RESET (SDM 3A table 9-1): CS:IP = f000:fff0 with base 0xffff0000, `signature` (CPUID.1:EAX) in
/// EDX. `retired` and the TSC keep counting through a warm reset if the caller restores them.
void reset_cpu(CpuState& cpu, uint32_t signature);
/// State after INIT: as RESET, but x87/SSE, MSRs and the TSC are kept (SDM 3A table 9-1).
void init_cpu(CpuState& cpu, uint32_t signature);

}  // namespace vireo
