#include "translator/host_fault.h"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "core/attention.h"
#include "core/types.h"
#include "translator/abi.h"

namespace vireo::translator {

namespace {

thread_local const FaultRange* t_range = nullptr;
struct sigaction g_before_segv, g_before_fpe;
constexpr greg_t kPageFaultWrite = 1 << 1;  // of the host's error code

void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& before = signal == SIGSEGV ? g_before_segv : g_before_fpe;
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    ::signal(signal, SIG_DFL);  // the instruction faults again, and the process ends
  }
}

void on_fault(int signal, siginfo_t* info, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(regs[REG_RIP]);
  const FaultRange* range = t_range;
  if (range == nullptr || rip < range->start || rip >= range->end) {
    pass_on(signal, info, context);
    return;
  }
  if (signal == SIGSEGV && reinterpret_cast<uint64_t>(info->si_addr) - range->pair_guard < kPageSize) {
    regs[REG_RSP] = static_cast<greg_t>(range->pair_rsp);
    return;
  }
  const auto* host = reinterpret_cast<const uint8_t*>(rip);
  if (signal == SIGSEGV && info->si_code != SI_KERNEL) {
    AccessFault fault{host, reinterpret_cast<uint64_t>(info->si_addr), (regs[REG_ERR] & kPageFaultWrite) != 0,
                      static_cast<uint64_t>(regs[REG_R15]), static_cast<uint64_t>(regs[REG_R11])};
    if (range->try_again(range->owner, fault)) {
      regs[REG_R11] = static_cast<greg_t>(fault.delta);
      return;
    }
  }
  const bool in_eflags = range->flags_in_eflags(range->owner, host);
  regs[REG_R10] = regs[REG_RIP];
  regs[REG_RIP] =
      static_cast<greg_t>(reinterpret_cast<uint64_t>(in_eflags ? range->exit_eflags : range->exit_saved));
}

/// errno; 0: they are there.
int install_handlers() {
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  // leave_soon() has to see where translated code goes on.
  sigemptyset(&action.sa_mask);
  sigaddset(&action.sa_mask, Attention::signal_number());
  const bool done =
      sigaction(SIGSEGV, &action, &g_before_segv) == 0 && sigaction(SIGFPE, &action, &g_before_fpe) == 0;
  return done ? 0 : errno;
}

/// Translated code's stack is no place for a signal handler.
class SignalStack {
 public:
  SignalStack() {
    stack_t now{};
    if (sigaltstack(nullptr, &now) == 0 && !(now.ss_flags & SS_DISABLE)) return;
    constexpr size_t kBytes = size_t{256} << 10;
    // For the rest of the thread's life.
    stack_t mine{};
    mine.ss_sp = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mine.ss_size = kBytes;
    if (mine.ss_sp == MAP_FAILED || sigaltstack(&mine, nullptr) != 0) error_ = errno;
  }
  /// errno; 0: there is one.
  int error() const { return error_; }

 private:
  int error_ = 0;
};

}  // namespace

// Either r15 or Frame::countdown counts; which one, is not known in the middle of a trampoline. The other
// will be overwritten before it is read.
void leave_soon(const FaultRange& range, ucontext_t& context) {
  *range.countdown -= kLeaveSoon;
  auto& regs = context.uc_mcontext.gregs;
  const auto rip = static_cast<uint64_t>(regs[REG_RIP]);
  const bool in_range = rip >= range.start && rip < range.end;
  const bool host_registers = rip >= range.host_registers_start && rip < range.host_registers_end;
  if (in_range && !host_registers) regs[REG_R15] -= static_cast<greg_t>(kLeaveSoon);
}

Result<void> prepare_fault_handling() {
  static const int no_handlers = install_handlers();
  thread_local const SignalStack stack;
  const int error = no_handlers != 0 ? no_handlers : stack.error();
  if (error == 0) return {};
  return Error{fmt::format("no {}: {}", no_handlers != 0 ? "signal handlers" : "stack for signal handlers",
                           std::strerror(error)),
               ExitStatus::kHostCannot};
}

FaultScope::FaultScope(const FaultRange& range) : outer_(t_range) {
  static_cast<void>(prepare_fault_handling());  // Translator::create() has told if it cannot
  t_range = &range;
}

FaultScope::~FaultScope() {
  t_range = outer_;
}

}  // namespace vireo::translator
