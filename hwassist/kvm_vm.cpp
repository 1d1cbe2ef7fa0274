#include "hwassist/kvm_vm.h"

#include <fmt/format.h>
#include <grp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

namespace vireo::hwassist {

FileDescriptor::~FileDescriptor() {
  if (fd_ >= 0) close(fd_);
}

namespace {

std::string group_of_device() {
  struct stat status {};
  if (stat("/dev/kvm", &status) != 0) return "kvm";
  const group* entry = getgrgid(status.st_gid);
  return entry != nullptr ? entry->gr_name : fmt::format("{}", status.st_gid);
}

}  // namespace

bool has_nested_paging() {
  for (const char* path : {"/sys/module/kvm_intel/parameters/ept", "/sys/module/kvm_amd/parameters/npt"}) {
    std::ifstream file(path);
    if (char answer = 0; file >> answer) return answer == 'Y' || answer == '1';
  }
  return false;
}

Result<FileDescriptor> open_kvm(KvmCalls& calls) {
  FileDescriptor fd(calls.open_device());
  if (fd.get() < 0) {
    const int error = errno;
    std::string sentence = fmt::format("there, but /dev/kvm cannot be opened: {}", std::strerror(error));
    if (error == ENOENT) sentence = "absent (no /dev/kvm)";
    if (error == EACCES || error == EPERM) {
      const std::string group = group_of_device();
      const bool roots = group == "root" || group == "0";
      sentence = fmt::format("there, but this user has no permission for /dev/kvm ({})",
                             roots ? "it belongs to the group root; an administrator can change that"
                                   : fmt::format("join the group {} and log in again", group));
    }
    return Error{sentence, ExitStatus::kHostCannot};
  }
  const int version = calls.call(fd.get(), request::kGetApiVersion, 0);
  if (version < 0) return kvm_error(request::kGetApiVersion);
  if (version != KVM_API_VERSION) {
    return Error{fmt::format("/dev/kvm has API version {}, not {}", version, KVM_API_VERSION),
                 ExitStatus::kHostCannot};
  }
  return fd;
}

Result<std::unique_ptr<KvmVm>> KvmVm::create(std::unique_ptr<KvmCalls> calls) {
  auto kvm = open_kvm(*calls);
  if (!kvm) return kvm.error();
  std::unique_ptr<KvmVm> vm(new KvmVm(std::move(calls), kvm.take()));
  const auto call = [&](const FileDescriptor& fd, const KvmRequest& request, uintptr_t argument) {
    return vm->calls_->call(fd.get(), request, argument);
  };
  vm->vm_ = FileDescriptor(call(vm->kvm_, request::kCreateVm, 0));
  if (vm->vm_.get() < 0) return kvm_error(request::kCreateVm);
  if (vm->extension(KVM_CAP_USER_MEMORY) == 0 || vm->extension(KVM_CAP_IMMEDIATE_EXIT) == 0 ||
      vm->extension(KVM_CAP_XSAVE) == 0 || vm->extension(KVM_CAP_VCPU_EVENTS) == 0) {
    return Error{"the host's KVM is too old (Linux 4.11 or later is needed)", ExitStatus::kHostCannot};
  }
  // What Intel's CPUs without "unrestricted guest" keep in guest memory, for real mode: where the board has
  // nothing.
  constexpr uint64_t kIdentityMap = 0xfeffc000, kTss = 0xfeffd000;
  if (vm->extension(KVM_CAP_SET_IDENTITY_MAP_ADDR) != 0) {
    uint64_t address = kIdentityMap;
    if (call(vm->vm_, request::kSetIdentityMapAddr, reinterpret_cast<uintptr_t>(&address)) < 0)
      return kvm_error(request::kSetIdentityMapAddr);
  }
  if (vm->extension(KVM_CAP_SET_TSS_ADDR) != 0 && call(vm->vm_, request::kSetTssAddr, kTss) < 0)
    return kvm_error(request::kSetTssAddr);
  vm->vcpu_ = FileDescriptor(call(vm->vm_, request::kCreateVcpu, 0));
  if (vm->vcpu_.get() < 0) return kvm_error(request::kCreateVcpu);
  const int bytes = call(vm->kvm_, request::kGetVcpuMmapSize, 0);
  if (bytes < 0) return kvm_error(request::kGetVcpuMmapSize);
  void* page =
      mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, vm->vcpu_.get(), 0);
  if (page == MAP_FAILED) {
    return Error{fmt::format("the run page of KVM's CPU cannot be mapped: {}", std::strerror(errno)),
                 ExitStatus::kHostCannot};
  }
  vm->run_ = static_cast<kvm_run*>(page);
  vm->calls_->set_run_page(vm->run_);
  vm->run_bytes_ = static_cast<size_t>(bytes);
  if (const auto ring_page = static_cast<uint64_t>(vm->extension(KVM_CAP_COALESCED_MMIO)); ring_page != 0)
    vm->ring_ = static_cast<uint8_t*>(page) + ring_page * kPageSize;
  return vm;
}

KvmVm::~KvmVm() {
  if (run_ != nullptr) munmap(run_, run_bytes_);
}

int KvmVm::extension(int capability) const {
  const int found = calls_->call(vm_.get(), request::kCheckExtension, static_cast<uintptr_t>(capability));
  return found < 0 ? 0 : found;
}

Result<void> KvmVm::enable(uint32_t capability, uint64_t argument) {
  kvm_enable_cap wanted{};
  wanted.cap = capability;
  wanted.args[0] = argument;
  return vm_call(request::kEnableCap, &wanted);
}

Result<void> KvmVm::set_slot(uint32_t slot, Gpa start, uint64_t size, const void* host, bool writable) {
  kvm_userspace_memory_region region{};
  region.slot = slot;
  region.flags = writable ? 0 : KVM_MEM_READONLY;
  region.guest_phys_addr = start.value;
  region.memory_size = size;
  region.userspace_addr = reinterpret_cast<uintptr_t>(host);
  return vm_call(request::kSetUserMemoryRegion, &region);
}

Result<void> KvmVm::set_waiting(Gpa start, uint64_t size, bool wait) {
  if (ring_ == nullptr) return {};
  kvm_coalesced_mmio_zone zone{};
  zone.addr = start.value;
  zone.size = static_cast<__u32>(size);
  return vm_call(wait ? request::kRegisterCoalescedMmio : request::kUnregisterCoalescedMmio, &zone);
}

std::optional<KvmVm::WaitingWrite> KvmVm::take_waiting_write() {
  if (ring_ == nullptr) return std::nullopt;
  constexpr size_t kHead = 2 * sizeof(uint32_t);  // kvm_coalesced_mmio_ring: first, last
  constexpr uint32_t kEntries = (kPageSize - kHead) / sizeof(kvm_coalesced_mmio);
  auto* first = reinterpret_cast<uint32_t*>(ring_);
  if (first[0] == first[1]) return std::nullopt;
  const auto& entry = reinterpret_cast<const kvm_coalesced_mmio*>(ring_ + kHead)[first[0] % kEntries];
  WaitingWrite write{{entry.phys_addr}, entry.len, {}};
  std::memcpy(write.bytes, entry.data, sizeof write.bytes);
  first[0] = (first[0] + 1) % kEntries;
  return write;
}

Result<void> KvmVm::checked(const FileDescriptor& fd, const KvmRequest& request, void* argument) const {
  if (calls_->call(fd.get(), request, reinterpret_cast<uintptr_t>(argument)) < 0) return kvm_error(request);
  return {};
}

Result<void> KvmVm::vcpu_value(const KvmRequest& request, uintptr_t argument) const {
  if (calls_->call(vcpu_.get(), request, argument) < 0) return kvm_error(request);
  return {};
}

Result<uint32_t> KvmVm::msrs(const KvmRequest& request, KvmMsrList& list) const {
  const int done = calls_->call(vcpu_.get(), request, reinterpret_cast<uintptr_t>(list.header()));
  if (done < 0) return kvm_error(request);
  return static_cast<uint32_t>(done);
}

int KvmVm::run() {
  return calls_->call(vcpu_.get(), request::kRun, 0) < 0 ? errno : 0;
}

int KvmVm::complete() {
  const uint8_t before = run_->immediate_exit;
  run_->immediate_exit = 1;
  const int error = run();
  run_->immediate_exit = before;
  return error;
}

}  // namespace vireo::hwassist
