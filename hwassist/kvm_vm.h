// A KVM virtual machine with one CPU: its file descriptors, its run page, its memory slots. No interrupt
// controller of the kernel's: the board has its own.
#pragma once

#include <linux/kvm.h>

#include <memory>
#include <optional>
#include <string>

#include "core/result.h"
#include "core/types.h"
#include "hwassist/kvm_calls.h"
#include "hwassist/kvm_list.h"

namespace vireo::hwassist {

class FileDescriptor {
 public:
  FileDescriptor() = default;
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor();
  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

/// Whether this host's KVM leaves the guest's page tables to the CPU (EPT, NPT). Else, or where it does not
/// say, it makes shadow page tables of them.
bool has_nested_paging();

/// /dev/kvm, opened. Errors say "absent", "no permission" with what to do, or what is wrong with it.
Result<FileDescriptor> open_kvm(KvmCalls& calls);

class KvmVm {
 public:
  static Result<std::unique_ptr<KvmVm>> create(std::unique_ptr<KvmCalls> calls);
  ~KvmVm();
  KvmVm(const KvmVm&) = delete;
  KvmVm& operator=(const KvmVm&) = delete;

  /// KVM_CHECK_EXTENSION of the VM: 0 if it has not got it.
  int extension(int capability) const;
  Result<void> enable(uint32_t capability, uint64_t argument);

  /// Shows `size` bytes of host memory to the guest; size 0 removes the slot.
  Result<void> set_slot(uint32_t slot, Gpa start, uint64_t size, const void* host, bool writable);

  /// Writes there do not end KVM_RUN any more, but wait in a ring (or do again). Where KVM has no ring,
  /// nothing.
  Result<void> set_waiting(Gpa start, uint64_t size, bool wait);
  struct WaitingWrite {
    Gpa address;
    unsigned size = 0;
    uint8_t bytes[8];
  };
  /// The oldest of them, taken out: to be asked for whenever KVM_RUN has come back, before anything else.
  std::optional<WaitingWrite> take_waiting_write();

  /// Gives or takes a structure, or sets something for the whole VM.
  Result<void> vcpu_call(const KvmRequest& request, void* argument) const {
    return checked(vcpu_, request, argument);
  }
  Result<void> vm_call(const KvmRequest& request, void* argument) const {
    return checked(vm_, request, argument);
  }
  Result<void> vcpu_value(const KvmRequest& request, uintptr_t argument) const;
  /// KVM_GET_MSRS, KVM_SET_MSRS: how many of them were done, from the first on.
  Result<uint32_t> msrs(const KvmRequest& request, KvmMsrList& list) const;

  kvm_run& run_page() { return *run_; }
  const kvm_run& run_page() const { return *run_; }
  /// KVM_RUN: 0, or errno.
  int run();
  /// KVM_RUN that executes nothing but the rest of the instruction whose access the last exit was about:
  /// EINTR when that is done, 0 if it has another access, else errno.
  int complete();

 private:
  KvmVm(std::unique_ptr<KvmCalls> calls, FileDescriptor kvm)
      : calls_(std::move(calls)), kvm_(std::move(kvm)) {}
  Result<void> checked(const FileDescriptor& fd, const KvmRequest& request, void* argument) const;

  std::unique_ptr<KvmCalls> calls_;
  FileDescriptor kvm_, vm_, vcpu_;
  kvm_run* run_ = nullptr;
  size_t run_bytes_ = 0;
  uint8_t* ring_ = nullptr;  ///< kvm_coalesced_mmio_ring, in the run pages; null: this KVM has none
};

}  // namespace vireo::hwassist
