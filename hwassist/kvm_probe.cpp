#include "hwassist/kvm_probe.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <memory>
#include <optional>

#include "core/cpu_state.h"
#include "hwassist/child_process.h"
#include "hwassist/kvm_list.h"
#include "hwassist/kvm_regs.h"
#include "hwassist/kvm_vm.h"

namespace vireo::hwassist {

namespace {

using Clock = std::chrono::steady_clock;

constexpr uint64_t kMemoryBytes = 64 << 10;
constexpr uint64_t kPageDirectory = 0x3000, kPaeTable = 0x4000, kLargePages = 0x5000, kPml4 = 0x6000,
                   kPdpt = 0x7000;
constexpr uint64_t kStack = 0x8000;
/// First so many turns; where they take less than kLongEnough, more.
constexpr uint32_t kFewTurns = 2'000, kManyTurns = 1'000'000, kOuts = 100;
constexpr std::chrono::microseconds kLongEnough{500};

void put(std::vector<uint8_t>& code, std::initializer_list<uint8_t> bytes) {
  code.insert(code.end(), bytes);
}
void put32(std::vector<uint8_t>& code, uint32_t value) {
  for (unsigned i = 0; i < 4; ++i) code.push_back(static_cast<uint8_t>(value >> (8 * i)));
}

std::vector<uint8_t> probe_program_16(uint32_t turns, uint32_t outs) {
  std::vector<uint8_t> code;
  put(code, {0x66, 0xb9});  // mov ecx, turns
  put32(code, turns);
  put(code, {0x66, 0xff, 0xc9, 0x75, 0xfb});  // next: dec ecx; jnz next
  put(code, {0xbb, 0x00, static_cast<uint8_t>(kProbeResult >> 8), 0x66, 0xc7,
             0x07});  // mov bx, ..; mov dword [bx], "GOOD"
  put32(code, kProbeGood);
  put(code, {0x66, 0xb9});
  put32(code, outs);
  put(code, {0xe6, 0x80, 0x66, 0xff, 0xc9, 0x75, 0xf9, 0xf4});  // again: out 80h, al; dec ecx; jnz again; hlt
  return code;
}

enum class Mode : uint8_t { k16, k32, k32Paged, kPae, k64 };
constexpr std::pair<Mode, std::string_view> kModes[] = {
    {Mode::k16, "16-bit code"},
    {Mode::k32, "32-bit code"},
    {Mode::k32Paged, "32-bit code with paging"},
    {Mode::kPae, "32-bit code with PAE paging"},
    {Mode::k64, "64-bit code"},
};

CpuState state_for(Mode mode) {
  CpuState cpu;
  reset_cpu(cpu, 0);
  cpu.rip = kProbeCode;
  cpu.reg(Gpr::kRsp) = kStack;
  cpu.cr0 = cr0::kEt;
  cpu.fx.fcw = 0x37f;
  for (Segment& s : cpu.seg) s = {.base = 0, .limit = 0xffff, .selector = 0, .access = 0x93};
  cpu.segment(SegReg::kCs).access = 0x9b;
  if (mode == Mode::k16) return cpu;
  cpu.cr0 |= cr0::kPe;
  const bool is_64 = mode == Mode::k64;
  for (Segment& s : cpu.seg) s = {.base = 0, .limit = 0xffffffff, .selector = 0x10, .access = 0xc093};
  cpu.segment(SegReg::kCs) = {.base = 0,
                              .limit = 0xffffffff,
                              .selector = 8,
                              .access = static_cast<uint16_t>(is_64 ? 0xa09b : 0xc09b)};
  if (mode == Mode::k32) return cpu;
  cpu.cr0 |= cr0::kPg;
  cpu.cr4 = mode == Mode::k32Paged ? cr4::kPse : cr4::kPae;
  cpu.cr3 = mode == Mode::k32Paged ? kPageDirectory : mode == Mode::kPae ? kPaeTable : kPml4;
  if (is_64) cpu.msr.efer = efer::kLme | efer::kLma;
  return cpu;
}

/// All paging modes show the first 2 or 4 MiB where they are.
void make_page_tables(uint8_t* memory) {
  const auto put64 = [&](uint64_t at, uint64_t value) { std::memcpy(memory + at, &value, sizeof value); };
  constexpr uint64_t kPresentWritable = 3, kPresent = 1, kLargeWritable = 0x83;
  put64(kPageDirectory, kLargeWritable);
  put64(kPaeTable, kLargePages | kPresent);
  put64(kLargePages, kLargeWritable);
  put64(kPml4, kPdpt | kPresentWritable);
  put64(kPdpt, kLargePages | kPresentWritable);
}

class Probe {
 public:
  Probe(std::unique_ptr<KvmVm> vm, uint8_t* memory) : vm_(std::move(vm)), memory_(memory) {}
  ~Probe() {
    vm_.reset();
    munmap(memory_, kMemoryBytes);
  }

  Result<void> set_up() {
    make_page_tables(memory_);
    if (auto done = vm_->set_slot(0, {0}, kMemoryBytes, memory_, true); !done) return done;
    // A CPU with all that the programs use: FPU PSE MSR PAE CX8 SEP PGE CMOV MMX FXSR SSE SSE2; SYSCALL NX
    // LM.
    KvmCpuidList list({cpuid_entry(0, 1, 0, 0, 0), cpuid_entry(1, 0x6f6, 0, 0, 0x0780a969),
                       cpuid_entry(0x80000000, 0x80000001, 0, 0, 0),
                       cpuid_entry(0x80000001, 0, 0, 0, 0x20100800)});
    return vm_->vcpu_call(request::kSetCpuid2, list.header());
  }

  /// Runs one program; an Error if it does not do what it should. Gives the time until its "GOOD" was
  /// followed by the first write to the port, and the time for a further one.
  Result<void> run(Mode mode, uint32_t turns, KvmReport& report) {
    const std::vector<uint8_t> code =
        mode == Mode::k16 ? probe_program_16(turns, kOuts) : probe_program(turns, kOuts);
    std::memcpy(memory_ + kProbeCode, code.data(), code.size());
    std::memset(memory_ + kProbeResult, 0, sizeof kProbeGood);
    if (auto done = load(state_for(mode)); !done) return done;
    const auto start = Clock::now();
    Clock::time_point looped{};
    for (uint32_t outs = 0;;) {
      const int error = vm_->run();
      if (error == EINTR || error == EAGAIN) continue;
      if (error != 0) {
        errno = error;
        return kvm_error(request::kRun);
      }
      const kvm_run& page = vm_->run_page();
      if (page.exit_reason == KVM_EXIT_IO && page.io.port == 0x80 && outs < kOuts) {
        if (outs++ == 0) looped = Clock::now();
        continue;
      }
      uint32_t result;
      std::memcpy(&result, memory_ + kProbeResult, sizeof result);
      if (page.exit_reason != KVM_EXIT_HLT || outs != kOuts || result != kProbeGood) {
        return Error{
            fmt::format("KVM_RUN came back for reason {}{}, after {} of {} port writes", page.exit_reason,
                        page.exit_reason == KVM_EXIT_INTERNAL_ERROR ? " (internal error)" : "", outs, kOuts)};
      }
      break;
    }
    using std::chrono::duration;
    report.turn_ns = duration<double, std::nano>(looped - start).count() / turns;
    report.exit_us = duration<double, std::micro>(Clock::now() - looped).count() / kOuts;
    return {};
  }

 private:
  Result<void> load(const CpuState& cpu) {
    kvm_regs regs{};
    kvm_sregs sregs;
    to_kvm(cpu, regs);
    to_kvm(cpu, sregs);
    sregs.apic_base = 0xfee00900;
    if (auto done = vm_->vcpu_call(request::kSetSregs, &sregs); !done) return done;
    return vm_->vcpu_call(request::kSetRegs, &regs);
  }

  std::unique_ptr<KvmVm> vm_;
  uint8_t* memory_;
};

}  // namespace

std::vector<uint8_t> probe_program(uint32_t turns, uint32_t outs) {
  std::vector<uint8_t> code{0xb9};  // mov ecx, turns
  put32(code, turns);
  put(code, {0xff, 0xc9, 0x75, 0xfc, 0xbb});  // next: dec ecx; jnz next; mov ebx, kProbeResult
  put32(code, static_cast<uint32_t>(kProbeResult));
  put(code, {0xc7, 0x03});  // mov dword [ebx], "GOOD"
  put32(code, kProbeGood);
  put(code, {0xb9});
  put32(code, outs);
  put(code, {0xe6, 0x80, 0xff, 0xc9, 0x75, 0xfa, 0xf4});  // again: out 80h, al; dec ecx; jnz again; hlt
  return code;
}

namespace {

KvmReport probe_here(std::string_view failures) {
  KvmReport report;
  const auto with = [&](std::string problem) {
    report.problem = std::move(problem);
    return report;
  };
  auto calls = make_kvm_calls(failures);
  if (!calls) return with(calls.error().message);
  // So that what open_kvm() says of the device itself stands alone.
  if (auto opened = open_kvm(*calls.value()); !opened) return with(opened.error().message);
  auto vm = KvmVm::create(calls.take());
  if (!vm) return with("present, but " + vm.error().message);
  void* memory = mmap(nullptr, kMemoryBytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return with("not tried: no memory");
  Probe probe(vm.take(), static_cast<uint8_t*>(memory));
  if (auto done = probe.set_up(); !done) return with("present, but " + done.error().message);
  for (const auto& [mode, name] : kModes) {
    if (auto done = probe.run(mode, kFewTurns, report); !done)
      return with(fmt::format("present, but fails at {}: {}", name, done.error().message));
  }
  if (report.turn_ns * kFewTurns < std::chrono::duration<double, std::nano>(kLongEnough).count()) {
    // The fastest has met the least of what else the host does.
    std::optional<KvmReport> best;
    for (unsigned i = 0; i < 3; ++i) {
      KvmReport again;
      if (!probe.run(Mode::kPae, kManyTurns, again).ok()) break;
      if (!best) best = again;
      best->turn_ns = std::min(best->turn_ns, again.turn_ns);
      best->exit_us = std::min(best->exit_us, again.exit_us);
    }
    if (best) report = *best;
  }
  report.usable = true;
  return report;
}

/// The report's numbers as they are in memory; the problem follows.
struct ReportHead {
  bool usable;
  double turn_ns, exit_us;
};

std::string packed(const KvmReport& report) {
  const ReportHead head{report.usable, report.turn_ns, report.exit_us};
  std::string bytes(sizeof head, 0);
  std::memcpy(bytes.data(), &head, sizeof head);
  return bytes + report.problem;
}

KvmReport unpacked(const std::string& bytes) {
  ReportHead head{};
  if (bytes.size() < sizeof head) return {.problem = "not tried: the trial's report is incomplete"};
  std::memcpy(&head, bytes.data(), sizeof head);
  return {head.usable, bytes.substr(sizeof head), head.turn_ns, head.exit_us};
}

}  // namespace

KvmReport probe_kvm(std::string_view failures, std::chrono::milliseconds at_most) {
  const auto result = in_child_process(at_most, [&] { return packed(probe_here(failures)); });
  if (!result) return {.problem = "present, but a trial of it " + result.error().message};
  return unpacked(result.value());
}

}  // namespace vireo::hwassist
