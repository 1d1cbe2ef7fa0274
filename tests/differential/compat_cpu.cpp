#include "tests/differential/compat_cpu.h"

#include <asm/ldt.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tests/differential/arena.h"

namespace vireo::diff {
namespace {

bool write_ldt(unsigned index) {
  const LdtEntry& entry = kLdt[index];
  user_desc descriptor{};
  descriptor.entry_number = index;
  descriptor.base_addr = entry.base;
  descriptor.limit = entry.limit;
  descriptor.seg_32bit = entry.big;
  descriptor.contents = entry.contents;
  descriptor.read_exec_only = entry.read_or_execute_only;
  descriptor.limit_in_pages = entry.pages;
  descriptor.seg_not_present = !entry.present;
  descriptor.useable = entry.available;
  return syscall(SYS_modify_ldt, 0x11, &descriptor, sizeof descriptor) == 0;
}

/// Tries it in a process of its own, which does not survive where it cannot be done: some paravirtual hosts
/// have no segments but their own, and no compatibility mode, although the system calls succeed.
bool host_runs_32_bit_code() {
  const pid_t child = fork();
  if (child == 0) {
    signal(SIGSEGV, SIG_DFL);
    alarm(5);
    void* code = mmap(nullptr, kPage, PROT_READ | PROT_WRITE | PROT_EXEC,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
    if (code == MAP_FAILED || !write_ldt(kLdtDataFlat) || !write_ldt(kLdtCode32Flat)) _exit(1);
    *static_cast<uint8_t*>(code) = 0xcc;  // INT3
    // The handler's stack: the kernel takes the interrupted ESP for one of 32 bits.
    static std::array<uint8_t, 64 * 1024> memory;
    stack_t stack{};
    stack.ss_sp = memory.data();
    stack.ss_size = memory.size();
    struct sigaction action {};
    action.sa_handler = [](int) { _exit(0); };
    action.sa_flags = SA_ONSTACK;
    if (sigaltstack(&stack, nullptr) != 0 || sigaction(SIGTRAP, &action, nullptr) != 0) _exit(1);
    struct [[gnu::packed]] {
      uint32_t offset;
      uint16_t selector;
    } const to{static_cast<uint32_t>(reinterpret_cast<uintptr_t>(code)), ldt_selector(kLdtCode32Flat)};
    asm volatile("movw %w0, %%es; ljmpl *%1" : : "r"(uint32_t{ldt_selector(kLdtDataFlat)}), "m"(to));
    _exit(1);
  }
  int status = 1;
  return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace

Result<std::unique_ptr<CompatCpu>> CompatCpu::create() {
  if (!host_runs_32_bit_code()) {
    return Error{"this host's kernel does not run 16- and 32-bit code in a 64-bit process",
                 ExitStatus::kHostCannot};
  }
  for (unsigned i = 1; i < kLdt.size(); i++) {
    if (!write_ldt(i)) return host_cannot("modify_ldt");
  }
  std::unique_ptr<CompatCpu> cpu(new CompatCpu);
  if (auto begun = cpu->begin(); !begun) return begun.error();
  return cpu;
}

NativeCode CompatCpu::code_for(const isa::InsnRow&, const Case& c) const {
  return NativeCode::for_case(c, c.code.bytes);
}

}  // namespace vireo::diff
