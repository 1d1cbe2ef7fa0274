#include "tests/differential/native_cpu.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <ucontext.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "tests/differential/arena.h"
#include "translator/trust_policy.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

extern "C" {
// Shared with the entry stub. Selectors are in SegReg's order; CS and SS go through the signal frame.
[[gnu::visibility("hidden")]] uint16_t vireo_diff_selectors[6];
[[gnu::visibility("hidden")]] uint64_t vireo_diff_fs_base;
/// How the thread gets it back: 0 it has never lost it, 1 arch_prctl(2), 2 FSGSBASE.
[[gnu::visibility("hidden")]] uint8_t vireo_diff_fs_base_by;
[[gnu::visibility("hidden")]] uint64_t vireo_diff_found_fs_base;  ///< when the handler was entered
[[gnu::visibility(
    "hidden")]] uint64_t vireo_diff_kept_flags;  ///< NT and ID, which sigreturn does not restore
/// Where the handler leads: 0 to the case's code, 1 to the harness, 2 to code whose segments nobody has
/// touched.
[[gnu::visibility("hidden")]] uint8_t vireo_diff_to;
[[gnu::visibility("hidden")]] void vireo_diff_signal(int, siginfo_t*, void*);
[[gnu::visibility("hidden")]] void vireo_diff_handle(int signal, siginfo_t* info, ucontext_t* context);
}

// The stub: clear AC and NT; note the selectors; give the thread its FS base (TLS) back; handle; load the
// selectors that go with the context that sigreturn will load. Where the CPU has FSGSBASE the FS base needs
// no system call, and the stub can tell whether it was lost where nobody had loaded FS.
asm(R"(
    .text
    .hidden vireo_diff_signal
    .globl vireo_diff_signal
vireo_diff_signal:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushfq
    andl $~0x44000, (%rsp)
    popfq
    movl %edi, %ebx
    movq %rsi, %rbp
    movq %rdx, %r12
    movw %es, vireo_diff_selectors(%rip)
    movw %ds, vireo_diff_selectors+6(%rip)
    movw %fs, vireo_diff_selectors+8(%rip)
    movw %gs, vireo_diff_selectors+10(%rip)
    movq vireo_diff_fs_base(%rip), %rsi
    cmpb $1, vireo_diff_fs_base_by(%rip)
    jb 2f
    je 1f
    rdfsbase %rax
    movq %rax, vireo_diff_found_fs_base(%rip)
    xorl %eax, %eax
    movw %ax, %fs
    wrfsbase %rsi
    jmp 2f
1:  movq %rsi, vireo_diff_found_fs_base(%rip)
    movl $158, %eax                          # arch_prctl(ARCH_SET_FS, base)
    movl $0x1002, %edi
    syscall
2:  movl %ebx, %edi
    movq %rbp, %rsi
    movq %r12, %rdx
    call vireo_diff_handle
    cmpb $2, vireo_diff_to(%rip)
    je 1f
    movw vireo_diff_selectors(%rip), %es
    movw vireo_diff_selectors+6(%rip), %ds
    movw vireo_diff_selectors+10(%rip), %gs
    cmpb $0, vireo_diff_to(%rip)
    jne 1f
    movw vireo_diff_selectors+8(%rip), %fs
1:  popq %r12
    popq %rbp
    popq %rbx
    pushfq
    andl $~0x204000, (%rsp)
    movq vireo_diff_kept_flags(%rip), %rax
    orq %rax, (%rsp)
    popfq
    ret
)");

namespace vireo::diff {
namespace {

enum class Phase : uint8_t { kIdle, kEntering, kRunning };

constexpr uint64_t kKeptFlags = rflags::kNt | rflags::kId;
constexpr int kSignals[] = {SIGTRAP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGALRM};

/// Bytes of the FXSAVE image that the CPU defines; the kernel keeps its own data after them.
constexpr size_t kFxDefined = 416;
constexpr size_t kXstateBvOffset = 512;

volatile Phase phase = Phase::kIdle;
const CpuImage* entering = nullptr;
unsigned instruction_length = 0;
uint32_t instruction_eip = 0;
Outcome* outcome = nullptr;
bool whole_program = false;
bool loads_segments = true;
struct sigaction handlers_before[NSIG];
uint64_t fs_bases_lost = 0;
uint64_t run_serial = 0;
uint64_t alarmed_serial = 0;

gregset_t harness_registers;
uint8_t harness_fx[kFxDefined];
uint16_t harness_selectors[6];

/// FXRSTOR and FXSAVE keep FIP whether or not an exception is pending.
bool always_keeps_fip() {
  FxState own, tried, kept;
  asm volatile("fxsave %0" : "=m"(own));
  tried = own;
  constexpr uint16_t kPending = 0xff;
  tried.fsw = static_cast<uint16_t>(tried.fsw & ~kPending);
  tried.fip = 0x12345678;
  asm volatile("fxrstor %1\n\tfxsave %0\n\tfxrstor %2" : "=m"(kept) : "m"(tried), "m"(own));
  return kept.fip == tried.fip;
}

void load_fx(ucontext_t* context, const void* image) {
  auto* area = reinterpret_cast<uint8_t*>(context->uc_mcontext.fpregs);
  std::memcpy(area, image, kFxDefined);
  // The frame is an XSAVE area: x87 and SSE must be marked as not in their initial state. The upper halves of
  // the vector registers go back to theirs.
  uint64_t components = 3;
  std::memcpy(area + kXstateBvOffset, &components, sizeof components);
}

uint16_t frame_selector(const ucontext_t* context, unsigned shift) {
  return static_cast<uint16_t>(static_cast<uint64_t>(context->uc_mcontext.gregs[REG_CSGSFS]) >> shift);
}

// Values of vireo_diff_to.
constexpr uint8_t kToUntouchedSegments = 2;
uint8_t to_case() {
  return loads_segments ? 0 : kToUntouchedSegments;
}
uint8_t to_harness() {
  return loads_segments ? 1 : kToUntouchedSegments;
}

void enter(ucontext_t* context) {
  greg_t* regs = context->uc_mcontext.gregs;
  std::memcpy(harness_registers, regs, sizeof harness_registers);
  std::memcpy(harness_fx, context->uc_mcontext.fpregs, kFxDefined);
  std::memcpy(harness_selectors, vireo_diff_selectors, sizeof harness_selectors);

  const CpuImage& in = *entering;
  constexpr int kOrder[8] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI};
  for (unsigned i = 0; i < 8; i++) regs[kOrder[i]] = in.gpr[i];
  for (int r = REG_R8; r <= REG_R15; r++) regs[r] = 0;
  regs[REG_RIP] = instruction_eip;
  regs[REG_EFL] = in.eflags;
  if (loads_segments) {
    regs[REG_CSGSFS] = static_cast<greg_t>(in.segment(SegReg::kCs) | uint64_t{in.segment(SegReg::kSs)} << 48);
    std::memcpy(vireo_diff_selectors, in.selector.data(), sizeof vireo_diff_selectors);
  }
  load_fx(context, &in.fx);
  vireo_diff_kept_flags = in.eflags & kKeptFlags;
  vireo_diff_to = to_case();
  phase = Phase::kRunning;
}

void classify(Outcome& out, uint32_t trap, uint32_t error, uint64_t cr2) {
  CpuImage& after = out.after;
  const uint32_t advanced = after.eip - instruction_eip;
  // An instruction that faults is where it was; the same EIP in another segment is another place.
  const bool same_segment = after.segment(SegReg::kCs) == entering->segment(SegReg::kCs);
  out.kind = Outcome::Kind::kException;
  out.vector = static_cast<uint8_t>(trap);
  constexpr uint32_t kBreakpoint = 3, kOverflow = 4, kPageFault = 14;
  const bool is_trap = trap == 1 || trap == kBreakpoint || trap == kOverflow;
  if (whole_program) {
    if (!is_trap) out.error_code = error;
    if (trap == kPageFault) out.cr2 = static_cast<uint32_t>(cr2);
  } else if (trap == kBreakpoint) {
    // INT3 within the instruction is the instruction itself; any other is the filling.
    if (same_segment && advanced >= 1 && advanced <= instruction_length) return;
    after.eip -= 1;
    out.kind = Outcome::Kind::kCompleted;
  } else if (is_trap) {
    return;  // INTO and INT1: EIP is behind them
  } else if (advanced != 0 || !same_segment) {
    out.kind = Outcome::Kind::kCompleted;  // and there is no code where it went
  } else {
    out.error_code = error;
    if (trap == kPageFault) out.cr2 = static_cast<uint32_t>(cr2);
  }
  if (out.kind == Outcome::Kind::kCompleted) out.vector = 0;
}

void leave(int signal, ucontext_t* context) {
  greg_t* regs = context->uc_mcontext.gregs;
  Outcome& out = *outcome;
  constexpr int kOrder[8] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI};
  for (unsigned i = 0; i < 8; i++) out.after.gpr[i] = static_cast<uint32_t>(regs[kOrder[i]]);
  out.after.eip = static_cast<uint32_t>(regs[REG_RIP]);
  out.after.eflags = static_cast<uint32_t>(regs[REG_EFL]);
  out.after.selector = entering->selector;
  if (loads_segments) {
    std::memcpy(out.after.selector.data(), vireo_diff_selectors, sizeof vireo_diff_selectors);
    out.after.segment(SegReg::kCs) = frame_selector(context, 0);
    out.after.segment(SegReg::kSs) = frame_selector(context, 48);
  }
  std::memset(&out.after.fx, 0, sizeof out.after.fx);
  std::memcpy(&out.after.fx, context->uc_mcontext.fpregs, kFxDefined);
  static const bool always_known = always_keeps_fip();
  constexpr uint16_t kErrorSummary = 0x80;
  out.fip_known = always_known || (out.after.fx.fsw & kErrorSummary);
  if (signal == SIGALRM) {
    out.kind = Outcome::Kind::kHung;
  } else {
    classify(out, static_cast<uint32_t>(regs[REG_TRAPNO]), static_cast<uint32_t>(regs[REG_ERR]),
             static_cast<uint64_t>(regs[REG_CR2]));
  }

  std::memcpy(regs, harness_registers, sizeof harness_registers);
  std::memcpy(vireo_diff_selectors, harness_selectors, sizeof harness_selectors);
  load_fx(context, harness_fx);
  vireo_diff_kept_flags = static_cast<uint64_t>(regs[REG_EFL]) & kKeptFlags;
  vireo_diff_to = to_harness();
  phase = Phase::kIdle;
}

int protection(Rights rights) {
  switch (rights) {
    case Rights::kReadWrite:
      return PROT_READ | PROT_WRITE;
    case Rights::kReadExecute:
      return PROT_READ | PROT_EXEC;
    default:
      return PROT_READ;
  }
}

/// An engine whose accesses trust may have reserved all addresses below 4 GiB, and finds out by SIGSEGV what
/// its TLB has not got: then these pages must be there only while code runs natively.
bool g_shown_only_to_natives = false;

Result<uint8_t*> map_memory() {
  const int fd = memfd_create("vireo-differential", MFD_CLOEXEC);
  if (fd < 0) return host_cannot("memfd_create");
  if (ftruncate(fd, kMemoryBytes) != 0) return host_cannot("ftruncate");
  // Populated and locked: the kernel must never have to fault a page in, or #PF error codes would tell of it.
  void* alias = mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (alias == MAP_FAILED) return host_cannot("mmap");
  std::memset(alias, 0, kMemoryBytes);
  for (uint32_t page = 0; page < kPages; page++) {
    if (kPageRights[page] == Rights::kNone) continue;
    void* at = reinterpret_cast<void*>(uintptr_t{page_address(page)});
    const int fixed = g_shown_only_to_natives ? MAP_FIXED : MAP_FIXED_NOREPLACE;
    if (mmap(at, kPage, protection(kPageRights[page]), MAP_SHARED | MAP_POPULATE | fixed, fd, page * kPage) !=
        at) {
      return host_cannot("mmap at a fixed address below 4 GiB");
    }
    (void)mlock(at, kPage);
  }
  close(fd);
  return static_cast<uint8_t*>(alias);
}

/// Of the neighbouring pages from `first` on to below `end`.
void protect(uint32_t first, uint32_t end, int rights) {
  CHECK(mprotect(reinterpret_cast<void*>(uintptr_t{page_address(first)}), (end - first) * kPage, rights) ==
        0);
}

void hide_pages() {
  protect(0, kArenaPages, PROT_NONE);
  protect(kArenaPages, kPages, PROT_NONE);
}

void show_pages() {
  for (uint32_t page = 0, next = 0; page < kPages; page = next) {
    for (next = page + 1; next < kArenaPages && kPageRights[next] == kPageRights[page];) ++next;
    if (kPageRights[page] != Rights::kNone) protect(page, next, protection(kPageRights[page]));
  }
}

}  // namespace

Error host_cannot(const char* what) {
  return Error{
      fmt::format("this host cannot run the differential test: {} failed ({})", what, std::strerror(errno)),
      ExitStatus::kHostCannot};
}

uint32_t stay_on_this_cpu() {
  cpu_set_t cpus;
  CPU_ZERO(&cpus);
  CPU_SET(static_cast<unsigned>(sched_getcpu()), &cpus);
  (void)sched_setaffinity(0, sizeof cpus, &cpus);
  uint32_t limit = 0;
  asm("lsl %1, %0" : "+r"(limit) : "r"(uint32_t{kCpuNumber}) : "cc");
  return limit;
}

Result<void> NativeCpu::begin() {
  CHECK(outcome == nullptr);  // signal handlers are the process's
  loads_segments = loads_segments_;
  g_shown_only_to_natives = translator::TrustPolicy::reserved();
  auto memory = map_memory();
  if (!memory) return memory.error();
  memory_ = memory.value();
  memory_bytes_ = kMemoryBytes;

  static std::array<uint8_t, 256 * 1024> stack;
  stack_t alternate{};
  alternate.ss_sp = stack.data();
  alternate.ss_size = stack.size();
  if (sigaltstack(&alternate, nullptr) != 0) return host_cannot("sigaltstack");
  if (syscall(SYS_arch_prctl, 0x1003 /* ARCH_GET_FS */, &vireo_diff_fs_base) != 0)
    return host_cannot("arch_prctl");
  constexpr unsigned long kHwcap2Fsgsbase = 1u << 1;  // AT_HWCAP2
  vireo_diff_found_fs_base = vireo_diff_fs_base;
  if (loads_segments) vireo_diff_fs_base_by = (getauxval(AT_HWCAP2) & kHwcap2Fsgsbase) ? 2 : 1;
  for (int signal : kSignals) {
    struct sigaction action {};
    action.sa_sigaction = vireo_diff_signal;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    for (int other : kSignals) sigaddset(&action.sa_mask, other);
    if (sigaction(signal, &action, &handlers_before[signal]) != 0) return host_cannot("sigaction");
  }
  const itimerval tick{{0, 500'000}, {0, 500'000}};
  if (setitimer(ITIMER_REAL, &tick, nullptr) != 0) return host_cannot("setitimer");

  if (g_shown_only_to_natives) hide_pages();
  return {};
}

NativeCpu::~NativeCpu() {
  if (!memory_) return;
  const itimerval off{};
  setitimer(ITIMER_REAL, &off, nullptr);
  for (int number : kSignals) sigaction(number, &handlers_before[number], nullptr);
  // Hidden pages stay: the addresses are not ours.
  for (uint32_t page = 0; page < kPages && !g_shown_only_to_natives; page++) {
    if (kPageRights[page] != Rights::kNone)
      munmap(reinterpret_cast<void*>(uintptr_t{page_address(page)}), kPage);
  }
  munmap(memory_, memory_bytes_);
  outcome = nullptr;
}

namespace {

// Not inlined: whatever the compiler keeps in vector registers is given up by the call.
[[gnu::noinline]] Outcome enter_and_leave(const CpuImage& before, uint32_t eip) {
  Outcome result;
  outcome = &result;
  entering = &before;
  instruction_eip = eip;
  run_serial++;
  if (g_shown_only_to_natives) show_pages();
  phase = Phase::kEntering;
  asm volatile("int3" ::: "memory", "cc");
  CHECK(phase == Phase::kIdle);
  if (g_shown_only_to_natives) hide_pages();
  return result;
}

/// A signal that is not about code that we run.
void pass_on(int signal, siginfo_t* info, void* context) {
  const struct sigaction& before = handlers_before[signal];
  if (before.sa_flags & SA_SIGINFO) {
    before.sa_sigaction(signal, info, context);
  } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
    before.sa_handler(signal);
  } else {
    ::signal(signal, SIG_DFL);  // die of it
  }
}

}  // namespace

NativeCode NativeCode::for_case(const Case& c, std::vector<uint8_t> bytes) {
  const auto end = c.code_linear + static_cast<uint32_t>(c.code.bytes.size());
  return {LeftOut::kNot, end - static_cast<uint32_t>(bytes.size()), std::move(bytes)};
}

Outcome NativeCpu::run(const Case& c, const NativeCode& code) {
  whole_program = false;
  instruction_length = static_cast<unsigned>(code.bytes.size());
  const uint32_t earlier = c.code_linear - code.linear, eip = c.before.eip - earlier;
  // What lies behind the code's pages is dropped.
  const size_t room = std::min<size_t>(code.bytes.size(), kCodeEnd - code.linear);
  uint8_t* const at = memory_ + (code.linear - kArena);
  const std::vector<uint8_t> guest(at, at + room);
  std::copy_n(code.bytes.begin(), room, at);
  Outcome out = enter_and_leave(c.before, eip);
  std::copy(guest.begin(), guest.end(), at);
  for (uint32_t* address : {&out.after.eip, &out.after.fx.fip}) {
    if (*address == eip) *address = c.before.eip;
  }
  return out;
}

uint64_t NativeCpu::fs_bases_lost() {
  return diff::fs_bases_lost;
}

Outcome NativeCpu::run_to_exception(const CpuImage& before) {
  whole_program = true;
  return enter_and_leave(before, before.eip);
}

}  // namespace vireo::diff

void vireo_diff_handle(int signal, siginfo_t* info, ucontext_t* context) {
  using namespace vireo::diff;
  // By default back to where we came from.
  const bool from_harness = phase != Phase::kRunning;
  const bool lost_fs_base = from_harness && vireo_diff_found_fs_base != vireo_diff_fs_base;
  fs_bases_lost += lost_fs_base;
  vireo_diff_to = from_harness ? to_harness() : to_case();
  vireo_diff_kept_flags = static_cast<uint64_t>(context->uc_mcontext.gregs[REG_EFL]) & kKeptFlags;
  if (signal == SIGALRM) {
    if (from_harness) {
      vireo_diff_to = kToUntouchedSegments;
      return;
    }
    if (alarmed_serial != run_serial) {
      alarmed_serial = run_serial;
      return;
    }
  }
  if (phase == Phase::kRunning) {
    leave(signal, context);
  } else if (phase == Phase::kEntering && signal == SIGTRAP) {
    enter(context);
  } else {
    vireo_diff_to = kToUntouchedSegments;
    // An access to TLS can be tried again now.
    if (!lost_fs_base || signal != SIGSEGV) pass_on(signal, info, context);
  }
}
