// The system calls that KVM is reached by, each by name, so that messages can say which one failed and tests
// can have any of them fail. Source: the Linux kernel's Documentation/virt/kvm/api.rst.
#pragma once

#include <linux/kvm.h>
#include <sys/ioctl.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "core/result.h"
#include "hwassist/kvm_list.h"

namespace vireo::hwassist {

struct KvmRequest {
  unsigned long number;
  std::string_view name;
};

namespace request {
#define VIREO_KVM_REQUEST(constant, number) \
  inline constexpr KvmRequest constant {    \
    number, #number                         \
  }
VIREO_KVM_REQUEST(kGetApiVersion, KVM_GET_API_VERSION);
VIREO_KVM_REQUEST(kCheckExtension, KVM_CHECK_EXTENSION);
VIREO_KVM_REQUEST(kCreateVm, KVM_CREATE_VM);
VIREO_KVM_REQUEST(kCreateVcpu, KVM_CREATE_VCPU);
VIREO_KVM_REQUEST(kGetVcpuMmapSize, KVM_GET_VCPU_MMAP_SIZE);
VIREO_KVM_REQUEST(kEnableCap, KVM_ENABLE_CAP);
VIREO_KVM_REQUEST(kSetTssAddr, KVM_SET_TSS_ADDR);
VIREO_KVM_REQUEST(kSetIdentityMapAddr, KVM_SET_IDENTITY_MAP_ADDR);
VIREO_KVM_REQUEST(kSetUserMemoryRegion, KVM_SET_USER_MEMORY_REGION);
VIREO_KVM_REQUEST(kRegisterCoalescedMmio, KVM_REGISTER_COALESCED_MMIO);
VIREO_KVM_REQUEST(kUnregisterCoalescedMmio, KVM_UNREGISTER_COALESCED_MMIO);
VIREO_KVM_REQUEST(kSetMsrFilter, KVM_X86_SET_MSR_FILTER);
VIREO_KVM_REQUEST(kSetTscKhz, KVM_SET_TSC_KHZ);
VIREO_KVM_REQUEST(kGetDeviceAttr, KVM_GET_DEVICE_ATTR);
VIREO_KVM_REQUEST(kSetDeviceAttr, KVM_SET_DEVICE_ATTR);
VIREO_KVM_REQUEST(kRun, KVM_RUN);
VIREO_KVM_REQUEST(kInterrupt, KVM_INTERRUPT);
VIREO_KVM_REQUEST(kNmi, KVM_NMI);
VIREO_KVM_REQUEST(kGetRegs, KVM_GET_REGS);
VIREO_KVM_REQUEST(kSetRegs, KVM_SET_REGS);
VIREO_KVM_REQUEST(kGetSregs, KVM_GET_SREGS);
VIREO_KVM_REQUEST(kSetSregs, KVM_SET_SREGS);
VIREO_KVM_REQUEST(kGetVcpuEvents, KVM_GET_VCPU_EVENTS);
VIREO_KVM_REQUEST(kSetVcpuEvents, KVM_SET_VCPU_EVENTS);
VIREO_KVM_REQUEST(kGetDebugregs, KVM_GET_DEBUGREGS);
VIREO_KVM_REQUEST(kSetDebugregs, KVM_SET_DEBUGREGS);
#undef VIREO_KVM_REQUEST
// With the sizes that they have in C; kvm_list.h says why.
inline constexpr KvmRequest kGetXsave{_IOR(KVMIO, 0xa4, KvmXsave), "KVM_GET_XSAVE"};
inline constexpr KvmRequest kSetXsave{_IOW(KVMIO, 0xa5, KvmXsave), "KVM_SET_XSAVE"};
inline constexpr KvmRequest kSetCpuid2{_IOW(KVMIO, 0x90, uint64_t), "KVM_SET_CPUID2"};
inline constexpr KvmRequest kGetMsrs{_IOWR(KVMIO, 0x88, uint64_t), "KVM_GET_MSRS"};
inline constexpr KvmRequest kSetMsrs{_IOW(KVMIO, 0x89, uint64_t), "KVM_SET_MSRS"};
}  // namespace request

class KvmCalls {
 public:
  virtual ~KvmCalls() = default;
  /// Opens /dev/kvm. -1 with errno if that fails.
  virtual int open_device();
  /// ioctl(2): -1 with errno if it fails.
  virtual int call(int fd, const KvmRequest& request, uintptr_t argument);
  /// Where KVM_RUN's results are.
  virtual void set_run_page(kvm_run* page) { static_cast<void>(page); }
};

/// The host's. `failures` (of --hw): empty, or words like KVM_RUN@100, with commas between: the call of that
/// name fails (EIO) the 100th time, or, with a + behind, from then on; with a ! behind, it never comes back.
/// KVM_RUN@100~20: from the 100th time on, each 20th comes back with an instruction that KVM cannot emulate.
/// KVM_RUN@100=500: from then on it takes 500 us longer. For tests of what happens then.
Result<std::unique_ptr<KvmCalls>> make_kvm_calls(std::string_view failures);

/// "KVM_SET_SREGS failed: Invalid argument", by errno.
Error kvm_error(const KvmRequest& request);

}  // namespace vireo::hwassist
