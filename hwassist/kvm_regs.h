// The CpuState in KVM's structures, and back. What is not in them is said where it is left out.
#pragma once

#include <linux/kvm.h>

#include "core/cpu_state.h"
#include "hwassist/kvm_list.h"

namespace vireo::hwassist {

/// Registers that KVM_RUN's page can carry, too (KVM_CAP_SYNC_REGS).
void to_kvm(const CpuState& cpu, kvm_regs& regs);
void to_kvm(const CpuState& cpu, kvm_sregs& sregs);
void from_kvm(const kvm_regs& regs, CpuState& cpu);
/// PDPTEs are not in it: what CR3 points to is as good, unless the guest has changed it since it loaded CR3.
void from_kvm(const kvm_sregs& sregs, CpuState& cpu);

/// Interrupt shadow, NMIs, CpuState::accepted.
void to_kvm(const CpuState& cpu, kvm_vcpu_events& events);
void from_kvm(const kvm_vcpu_events& events, CpuState& cpu);

void to_kvm(const CpuState& cpu, kvm_debugregs& debug);
void from_kvm(const kvm_debugregs& debug, CpuState& cpu);

/// x87, MMX, SSE. The structure begins with an FXSAVE image.
void to_kvm(const FxState& fx, KvmXsave& xsave);
void from_kvm(const KvmXsave& xsave, FxState& fx);

/// The MSRs that KVM keeps while it runs, each with its place.
struct MsrPlace {
  uint32_t index;
  uint64_t Msrs::*place;
};
inline constexpr MsrPlace kMsrs[] = {
    {0x174, &Msrs::sysenter_cs},
    {0x175, &Msrs::sysenter_esp},
    {0x176, &Msrs::sysenter_eip},
    {0x277, &Msrs::pat},
};
inline constexpr uint32_t kMsrTsc = 0x10;
inline constexpr uint32_t kMsrEfer = 0xc0000080;  ///< goes with the segment registers

}  // namespace vireo::hwassist
