#include "tests/isa/host_decoder.h"

#include <asm/ldt.h>
#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/types.h"

namespace vireo::isa {
namespace {

constexpr unsigned kMaxLength = 15;
constexpr uint16_t kUserCode64 = 0x33, kUserCode32 = 0x23, kLdtCode16 = 0x07;
constexpr int kInvalidOpcode = 6, kPageFault = 14;
constexpr uint64_t kFetch = 1u << 4;  ///< page-fault error code
constexpr uint64_t kScratchStack = kPageSize * 2 + kPageSize / 2;

/// The experiment. Set up before fork(), advanced by the signal handler in the child.
struct Experiment {
  uint8_t* pages = nullptr;  ///< below 4 GiB: code, a page without access, a stack
  uint8_t bytes[kMaxLength] = {};
  CodeSize code_size{};
  unsigned length = 0;
  HostVerdict* verdict = nullptr;  ///< shared with the parent
};
Experiment experiment;

/// Continues with the next longer prefix of the bytes, right before the page that cannot be executed.
void start_next(ucontext_t* context) {
  if (experiment.length == kMaxLength) {
    experiment.verdict->kind = HostVerdict::Kind::kTooLong;
    _exit(0);
  }
  experiment.length++;
  uint8_t* const code = experiment.pages + kPageSize - experiment.length;
  std::memcpy(code, experiment.bytes, experiment.length);
  greg_t* const regs = context->uc_mcontext.gregs;
  for (int reg : {REG_RBX, REG_RCX, REG_RDX, REG_RSI, REG_RDI, REG_RBP, REG_R8, REG_R9, REG_R10, REG_R11,
                  REG_R12, REG_R13, REG_R14, REG_R15})
    regs[reg] = 0;
  regs[REG_RAX] = -1;
  regs[REG_RSP] = reinterpret_cast<greg_t>(experiment.pages + kScratchStack);
  regs[REG_RIP] = reinterpret_cast<greg_t>(code);
  uint16_t selector = experiment.code_size == CodeSize::k64 ? kUserCode64 : kUserCode32;
  if (experiment.code_size == CodeSize::k16) {
    regs[REG_RIP] -= reinterpret_cast<greg_t>(experiment.pages);
    selector = kLdtCode16;
  }
  regs[REG_CSGSFS] = (regs[REG_CSGSFS] & ~0xffff) | selector;
  regs[REG_EFL] = 0x302;  // TF
}

void on_signal(int signal, siginfo_t*, void* context_pointer) {
  auto* const context = static_cast<ucontext_t*>(context_pointer);
  const greg_t* const regs = context->uc_mcontext.gregs;
  if (signal == SIGUSR1) {
    start_next(context);
    return;
  }
  const bool wants_more =
      signal == SIGSEGV && regs[REG_TRAPNO] == kPageFault &&
      (static_cast<uint64_t>(regs[REG_ERR]) & kFetch) &&
      static_cast<uint64_t>(regs[REG_CR2]) == reinterpret_cast<uint64_t>(experiment.pages) + kPageSize;
  // A branch may also land there, but then the instruction pointer has moved.
  const uint64_t start = experiment.code_size == CodeSize::k16
                             ? kPageSize - experiment.length
                             : reinterpret_cast<uint64_t>(experiment.pages) + kPageSize - experiment.length;
  if (wants_more && static_cast<uint64_t>(regs[REG_RIP]) == start) {
    start_next(context);
    return;
  }
  experiment.verdict->length = static_cast<uint8_t>(experiment.length);
  experiment.verdict->kind = regs[REG_TRAPNO] == kInvalidOpcode && signal == SIGILL
                                 ? HostVerdict::Kind::kUndefined
                                 : HostVerdict::Kind::kValid;
  _exit(0);
}

void make_16_bit_segment() {
  user_desc descriptor{};
  descriptor.entry_number = 0;
  descriptor.base_addr = static_cast<unsigned>(reinterpret_cast<uintptr_t>(experiment.pages));
  descriptor.limit = 2 * kPageSize - 1;
  descriptor.contents = MODIFY_LDT_CONTENTS_CODE;
  if (syscall(SYS_modify_ldt, 1, &descriptor, sizeof descriptor) != 0) _exit(0);
}

[[noreturn]] void run_child() {
  static uint8_t alternate_stack[64 * 1024];
  const stack_t stack = {alternate_stack, 0, sizeof alternate_stack};
  sigaltstack(&stack, nullptr);
  struct sigaction action = {};
  action.sa_sigaction = on_signal;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  for (int signal : {SIGUSR1, SIGSEGV, SIGILL, SIGTRAP, SIGBUS, SIGFPE}) sigaction(signal, &action, nullptr);
  alarm(2);
  if (experiment.code_size == CodeSize::k16) make_16_bit_segment();
  raise(SIGUSR1);
  _exit(0);
}

void prepare_pages() {
  constexpr int kAnonymous = MAP_PRIVATE | MAP_ANONYMOUS;
  void* const low =
      mmap(nullptr, 3 * kPageSize, PROT_READ | PROT_WRITE | PROT_EXEC, kAnonymous | MAP_32BIT, -1, 0);
  void* const shared = mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(low != MAP_FAILED && shared != MAP_FAILED);
  experiment.pages = static_cast<uint8_t*>(low);
  CHECK(mprotect(experiment.pages + kPageSize, kPageSize, PROT_NONE) == 0);
  experiment.verdict = static_cast<HostVerdict*>(shared);
}

}  // namespace

std::string HostVerdict::text() const {
  switch (kind) {
    case Kind::kNone:
      return "nothing";
    case Kind::kValid:
      return fmt::format("{} bytes", length);
    case Kind::kUndefined:
      return fmt::format("#UD after {} bytes", length);
    case Kind::kTooLong:
      return "too long";
  }
  return {};
}

HostVerdict host_decode(std::span<const uint8_t> bytes, CodeSize code_size) {
  if (!experiment.pages) prepare_pages();
  std::memset(experiment.bytes, 0, sizeof experiment.bytes);
  std::memcpy(experiment.bytes, bytes.data(), std::min<size_t>(bytes.size(), kMaxLength));
  experiment.code_size = code_size;
  experiment.length = 0;
  *experiment.verdict = {};
  const pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) run_child();
  int status;
  waitpid(child, &status, 0);
  return *experiment.verdict;
}

}  // namespace vireo::isa
