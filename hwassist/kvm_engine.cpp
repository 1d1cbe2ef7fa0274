#include "hwassist/kvm_engine.h"

#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/check.h"
#include "core/isa/cpuid.h"
#include "core/isa/msr.h"
#include "core/log.h"
#include "hwassist/kvm_list.h"
#include "hwassist/kvm_regs.h"

namespace vireo::hwassist {

namespace {

constexpr uint8_t kUndefined = 6;
constexpr uint64_t kSyncRegs = KVM_SYNC_X86_REGS | KVM_SYNC_X86_SREGS | KVM_SYNC_X86_EVENTS;

constexpr size_t kTscEntry = std::size(kMsrs);

/// Those of kMsrs, then the TSC.
KvmMsrList msr_list() {
  KvmMsrList list(kTscEntry + 1);
  for (size_t i = 0; i < kTscEntry; ++i) list.entry(i).index = kMsrs[i].index;
  list.entry(kTscEntry).index = kMsrTsc;
  return list;
}

}  // namespace

Result<std::unique_ptr<KvmEngine>> KvmEngine::create(CpuContext& context, std::string_view failures) {
  auto calls = make_kvm_calls(failures);
  if (!calls) return calls.error();
  auto vm = KvmVm::create(calls.take());
  if (!vm) return vm.error();
  std::unique_ptr<KvmEngine> engine(new KvmEngine(context, vm.take()));
  if (auto done = engine->set_up(); !done) return done.error();
  return engine;
}

KvmEngine::KvmEngine(CpuContext& context, std::unique_ptr<KvmVm> vm)
    : context_(context), cpu_(context.cpu), vm_(std::move(vm)), memory_(*vm_, context.memory) {}

Result<void> KvmEngine::set_up() {
  if (auto done = set_cpuid(); !done) return done;
  if (auto done = send_msrs_here(); !done) return done;
  // Else what KVM cannot emulate raises #UD in programs, and nobody here is asked.
  if (vm_->extension(KVM_CAP_EXIT_ON_EMULATION_FAILURE) != 0) {
    if (auto done = vm_->enable(KVM_CAP_EXIT_ON_EMULATION_FAILURE, 1); !done) return done;
  }
  const auto sync = static_cast<uint64_t>(vm_->extension(KVM_CAP_SYNC_REGS));
  has_sync_regs_ = (sync & kSyncRegs) == kSyncRegs;
  if (has_sync_regs_) vm_->run_page().kvm_valid_regs = kSyncRegs;
  if (vm_->extension(KVM_CAP_TSC_CONTROL) != 0) {
    // If the CPU cannot scale it after all, the guest's TSC is as fast as the host's.
    static_cast<void>(vm_->vcpu_value(request::kSetTscKhz, context_.model.tsc_hz / 1000));
  }
  uint64_t offset = 0;
  has_tsc_offset_ = tsc_offset(request::kGetDeviceAttr, offset).ok();
  return {};
}

/// What IA32_MISC_ENABLE hides later stays visible: KVM takes CPUID before the first run only.
Result<void> KvmEngine::set_cpuid() {
  std::vector<kvm_cpuid_entry2> entries;
  const auto add = [&](uint32_t leaf, uint32_t subleaf, bool indexed) {
    const CpuidRegisters r = cpuid(context_.model, cpu_, leaf, subleaf);
    kvm_cpuid_entry2 entry = cpuid_entry(leaf, r.eax, r.ebx, r.ecx, r.edx);
    // KVM takes none but 48 and 57 for the width of linear addresses.
    if (leaf == 0x80000008) entry.eax = (entry.eax & ~0xff00u) | 48 << 8;
    entry.index = subleaf;
    entry.flags = indexed ? KVM_CPUID_FLAG_SIGNIFCANT_INDEX : 0;
    entries.push_back(entry);
  };
  for (uint32_t leaf = 0; leaf <= context_.model.max_leaf; ++leaf) {
    if (leaf != 4) {
      add(leaf, 0, false);
      continue;
    }
    for (uint32_t sub = 0; sub <= context_.model.caches.size(); ++sub) add(leaf, sub, true);
  }
  constexpr uint32_t kExtended = 0x80000000;
  const uint32_t last = context_.model.brand.empty() ? 0 : cpuid(context_.model, cpu_, kExtended, 0).eax;
  for (uint32_t leaf = kExtended; leaf <= last; ++leaf) add(leaf, 0, false);

  KvmCpuidList list(entries);
  return vm_->vcpu_call(request::kSetCpuid2, list.header());
}

/// All MSRs but those that must be fast are the CPU model's: KVM has us execute RDMSR and WRMSR.
Result<void> KvmEngine::send_msrs_here() {
  if (vm_->extension(KVM_CAP_X86_USER_SPACE_MSR) == 0 || vm_->extension(KVM_CAP_X86_MSR_FILTER) == 0)
    return {};
  constexpr uint64_t kReasons =
      KVM_MSR_EXIT_REASON_UNKNOWN | KVM_MSR_EXIT_REASON_INVAL | KVM_MSR_EXIT_REASON_FILTER;
  if (auto done = vm_->enable(KVM_CAP_X86_USER_SPACE_MSR, kReasons); !done) return done;
  std::vector<uint32_t> allowed{kMsrTsc, kMsrEfer};
  for (const MsrPlace& msr : kMsrs) allowed.push_back(msr.index);
  uint8_t bitmap = 1;
  kvm_msr_filter filter{};
  CHECK(allowed.size() <= std::size(filter.ranges));
  filter.flags = KVM_MSR_FILTER_DEFAULT_DENY;
  for (size_t i = 0; i < allowed.size(); ++i) {
    filter.ranges[i].flags = KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE;
    filter.ranges[i].base = allowed[i];
    filter.ranges[i].nmsrs = 1;
    filter.ranges[i].bitmap = &bitmap;
  }
  return vm_->vm_call(request::kSetMsrFilter, &filter);
}

Result<void> KvmEngine::load_msrs() {
  KvmMsrList list = msr_list();
  for (size_t i = 0; i < kTscEntry; ++i) list.entry(i).data = cpu_.msr.*kMsrs[i].place;
  list.entry(kTscEntry).data = context_.tsc();
  auto done = vm_->msrs(request::kSetMsrs, list);
  if (!done) return done.error();
  const uint32_t count = done.value();
  if (count == list.count()) return has_tsc_offset_ ? correct_tsc() : Result<void>{};
  return Error{fmt::format("KVM_SET_MSRS: KVM does not have MSR {:x}h", list.entry(count).index),
               ExitStatus::kHostCannot};
}

Result<void> KvmEngine::tsc_offset(const KvmRequest& get_or_set, uint64_t& offset) {
  kvm_device_attr attribute{};
  attribute.group = KVM_VCPU_TSC_CTRL;
  attribute.attr = KVM_VCPU_TSC_OFFSET;
  attribute.addr = reinterpret_cast<uintptr_t>(&offset);
  return vm_->vcpu_call(get_or_set, &attribute);
}

/// KVM_SET_MSRS takes a value within a second of what the last one has become for an attempt to have several
/// CPUs agree, and keeps the last one.
Result<void> KvmEngine::correct_tsc() {
  uint64_t offset = 0;
  if (auto done = tsc_offset(request::kGetDeviceAttr, offset); !done) return done;
  KvmMsrList list = msr_list();
  auto done = vm_->msrs(request::kGetMsrs, list);
  if (!done) return done.error();
  if (done.value() != list.count()) return kvm_error(request::kGetMsrs);
  offset += context_.tsc() - list.entry(kTscEntry).data;
  return tsc_offset(request::kSetDeviceAttr, offset);
}

/// The TSC ran at the speed of the host's, or of KVM's: the clock's goes on from there.
Result<void> KvmEngine::save_msrs() {
  KvmMsrList list = msr_list();
  auto done = vm_->msrs(request::kGetMsrs, list);
  if (!done) return done.error();
  if (done.value() != list.count()) return kvm_error(request::kGetMsrs);
  for (size_t i = 0; i < kTscEntry; ++i) cpu_.msr.*kMsrs[i].place = list.entry(i).data;
  cpu_.tsc_offset += list.entry(kTscEntry).data - context_.tsc();
  return {};
}

Result<void> KvmEngine::load() {
  ran_ = false;
  // Else another engine has run, or the machine has been reset. Padding may differ, too: then it is loaded
  // for nothing.
  const bool same = saved_ && std::memcmp(&*saved_, &cpu_, sizeof cpu_) == 0;
  if (auto done = memory_.update(); !done) return done;
  if (same) return {};
  if (auto done = memory_.forget_tables(); !done) return done;
  writes_seen_ = context_.memory.writes();
  ++counters_.loads;
  saved_.reset();
  kvm_regs regs;
  kvm_sregs sregs;
  kvm_vcpu_events events;
  kvm_debugregs debug;
  KvmXsave xsave;
  to_kvm(cpu_, regs = {});
  to_kvm(cpu_, sregs);
  to_kvm(cpu_, events);
  to_kvm(cpu_, debug);
  to_kvm(cpu_.fx, xsave);
  const std::pair<const KvmRequest&, void*> steps[] = {
      {request::kSetRegs, &regs},         {request::kSetXsave, &xsave},     {request::kSetSregs, &sregs},
      {request::kSetVcpuEvents, &events}, {request::kSetDebugregs, &debug},
  };
  for (const auto& [request, argument] : steps) {
    if (auto done = vm_->vcpu_call(request, argument); !done) return done;
  }
  if (auto done = load_msrs(); !done) return done;
  saved_ = cpu_;
  return {};
}

Result<void> KvmEngine::save_registers() {
  if (has_sync_regs_) {  // the run page has them since KVM_RUN came back
    const kvm_sync_regs& page = vm_->run_page().s.regs;
    from_kvm(page.regs, cpu_);
    from_kvm(page.sregs, cpu_);
    from_kvm(page.events, cpu_);
    return {};
  }
  kvm_regs regs;
  kvm_sregs sregs;
  kvm_vcpu_events events;
  if (auto done = vm_->vcpu_call(request::kGetRegs, &regs); !done) return done;
  if (auto done = vm_->vcpu_call(request::kGetSregs, &sregs); !done) return done;
  if (auto done = vm_->vcpu_call(request::kGetVcpuEvents, &events); !done) return done;
  from_kvm(regs, cpu_);
  from_kvm(sregs, cpu_);
  from_kvm(events, cpu_);
  return {};
}

Result<void> KvmEngine::save() {
  if (!ran_) return {};
  ++counters_.saves;
  // A device may have raised one that KVM does not know of yet.
  const bool nmi_pending = cpu_.nmi_pending;
  if (auto done = save_registers(); !done) return done;
  const bool nmi_in_kvm = std::exchange(cpu_.nmi_pending, cpu_.nmi_pending || nmi_pending);
  kvm_debugregs debug;
  KvmXsave xsave;
  if (auto done = vm_->vcpu_call(request::kGetDebugregs, &debug); !done) return done;
  if (auto done = vm_->vcpu_call(request::kGetXsave, &xsave); !done) return done;
  from_kvm(debug, cpu_);
  from_kvm(xsave, cpu_.fx);
  if (auto done = save_msrs(); !done) return done;
  // PAE: KVM may have others only if the guest has changed them since it loaded CR3.
  constexpr uint64_t kTableBytes = 32;
  if ((cpu_.cr4 & cr4::kPae) != 0 && cpu_.paging() && !cpu_.long_mode()) {
    const Gpa table{cpu_.cr3 & 0xffffffff & ~(kTableBytes - 1)};
    for (unsigned i = 0; i < 4; ++i) cpu_.pdpte[i] = context_.memory.read_value<uint64_t>(table + 8 * i);
  }
  saved_ = cpu_;
  saved_->nmi_pending = nmi_in_kvm;
  return {};
}

ExitReason KvmEngine::fail(const Error& error) {
  broken_ = error.message;
  return ExitReason::kBroken;
}

ExitReason KvmEngine::run(const RunLimits&) {
  const TimeScope scope(context_.time, TimeLedger::Component::kHardware);
  if (!broken_.empty()) return ExitReason::kBroken;
  if (cpu_.shutdown) return ExitReason::kShutdown;
  // No structure of KVM's has a debug trap that is still due.
  if (!context_.memory.a20() || cpu_.pending_dr6 != 0) {
    ++counters_.cannot_run;
    return ExitReason::kCannotRun;
  }
  if (auto done = load(); !done) return fail(done.error());
  std::optional<ExitReason> reason;
  {
    const Attention::Running running(
        context_.attention,
        [](void* page, ucontext_t&) { static_cast<volatile kvm_run*>(page)->immediate_exit = 1; },
        &vm_->run_page());
    reason = execute();
  }
  if (auto done = finish_access(); !done && broken_.empty()) broken_ = done.error().message;
  // Once more if it fails: nothing else has the guest's registers.
  auto saved = save();
  if (!saved) saved = save();
  if (!saved) {
    state_lost_ = true;
    broken_ = saved.error().message + "; the guest's registers are lost";
  }
  if (const auto vector = std::exchange(acknowledged_, std::nullopt)) {
    cpu_.accepted = {AcceptedEvent::Kind::kExternal, *vector, false, 0};
  }
  if (!broken_.empty()) return ExitReason::kBroken;
  // KVM gives a program #UD for what it cannot emulate. It has done nothing else, and another engine can.
  if (std::exchange(not_emulated_, false) && cpu_.accepted.kind == AcceptedEvent::Kind::kException &&
      cpu_.accepted.vector == kUndefined) {
    cpu_.accepted = {};
  }
  if (*reason == ExitReason::kHalt) cpu_.halted = true;
  if (*reason == ExitReason::kShutdown) cpu_.shutdown = true;
  if (saved_) {
    saved_->halted = cpu_.halted;
    saved_->shutdown = cpu_.shutdown;
  }
  return *reason;
}

Result<void> KvmEngine::forget_stale_tables() {
  if (!shadow_paging_ || writes_seen_ == context_.memory.writes()) return {};
  writes_seen_ = context_.memory.writes();
  ++counters_.tables_forgotten;
  return memory_.forget_tables();
}

Result<void> KvmEngine::deliver_nmi() {
  if (std::exchange(cpu_.nmi_pending, false)) {
    ++counters_.nmis;
    if (auto done = vm_->vcpu_value(request::kNmi, 0); !done) {
      cpu_.nmi_pending = true;
      return done;
    }
  }
  return {};
}

std::optional<ExitReason> KvmEngine::execute() {
  kvm_run& page = vm_->run_page();
  // What the CpuState has pending has been loaded.
  can_inject_ = (cpu_.rflags & rflags::kIf) != 0 && cpu_.interrupt_shadow == CpuState::Shadow::kNone &&
                cpu_.accepted.kind == AcceptedEvent::Kind::kNone;
  const bool was_halted = cpu_.halted;
  const bool nmi_pending = std::exchange(cpu_.nmi_pending, false);  // load() has given it to KVM
  const bool nmi = nmi_pending && !cpu_.nmi_blocked;
  /// The CPU's state while KVM has not run.
  const auto untouched = [&](ExitReason reason) {
    if (!ran_) {
      cpu_.nmi_pending |= nmi_pending;
      cpu_.halted = was_halted;
    }
    return reason;
  };
  context_.attention.clear(~uint32_t{Attention::kExit});
  if (was_halted && !nmi && !(context_.interrupts.interrupt_pending() && can_inject_)) {
    if ((context_.attention.bits() & Attention::kExit) != 0) {
      context_.attention.clear(Attention::kExit);
      return untouched(ExitReason::kAttention);
    }
    return untouched(ExitReason::kHalt);
  }
  cpu_.halted = false;
  for (;;) {
    page.immediate_exit = 0;
    // From now on the signal of a request has KVM_RUN come back at once; one that came before has set its
    // bit.
    std::atomic_signal_fence(std::memory_order_seq_cst);
    const uint32_t bits = context_.attention.bits();
    if (bits & Attention::kExit) {
      context_.attention.clear(Attention::kExit);
      return untouched(ExitReason::kAttention);
    }
    if (bits != 0) {
      context_.attention.clear(bits);
      if (auto done = deliver_nmi(); !done) {
        fail(done.error());
        return std::nullopt;
      }
    }
    bool interrupt_waiting = context_.interrupts.interrupt_pending();
    if (interrupt_waiting && can_inject_) {
      kvm_interrupt interrupt{};
      interrupt.irq = context_.interrupts.acknowledge();
      ++counters_.interrupts;
      if (auto done = vm_->vcpu_value(request::kInterrupt, reinterpret_cast<uintptr_t>(&interrupt)); !done) {
        // It has been acknowledged: whoever goes on has to deliver it.
        acknowledged_ = static_cast<uint8_t>(interrupt.irq);
        fail(done.error());
        return std::nullopt;
      }
      can_inject_ = false;
      ran_ = true;
      interrupt_waiting = context_.interrupts.interrupt_pending();
    }
    if (auto done = forget_stale_tables(); !done) {
      fail(done.error());
      return std::nullopt;
    }
    page.request_interrupt_window = interrupt_waiting;
    page.cr8 = 0;
    ++counters_.runs;
    const int error = vm_->run();
    tell_waiting_writes();
    ran_ = true;
    can_inject_ = page.ready_for_interrupt_injection;
    if (error != 0 && error != EINTR && error != EAGAIN) {
      errno = error;
      fail(kvm_error(request::kRun));
      return std::nullopt;
    }
    access_open_ = false;
    if (error != 0) {
      ++counters_.signals;
      continue;
    }
    if (const auto reason = handle_exit()) return reason;
    if (!broken_.empty()) return std::nullopt;
  }
}

std::optional<ExitReason> KvmEngine::handle_exit() {
  const kvm_run& page = vm_->run_page();
  switch (page.exit_reason) {
    case KVM_EXIT_IO:
      access_ports();
      return std::nullopt;
    case KVM_EXIT_MMIO:
      access_memory();
      return std::nullopt;
    case KVM_EXIT_X86_RDMSR:
    case KVM_EXIT_X86_WRMSR:
      access_msr();
      return std::nullopt;
    case KVM_EXIT_HLT:
      ++counters_.halts;
      if (context_.interrupts.interrupt_pending() && page.if_flag) return std::nullopt;
      return ExitReason::kHalt;
    case KVM_EXIT_IRQ_WINDOW_OPEN:
      ++counters_.interrupt_windows;
      return std::nullopt;
    case KVM_EXIT_INTR:
      return std::nullopt;
    case KVM_EXIT_SHUTDOWN:
      return ExitReason::kShutdown;
    case KVM_EXIT_INTERNAL_ERROR:
    case KVM_EXIT_FAIL_ENTRY:
      ++counters_.cannot_run;
      not_emulated_ = page.exit_reason == KVM_EXIT_INTERNAL_ERROR &&
                      page.internal.suberror == KVM_INTERNAL_ERROR_EMULATION;
      if (log_enabled(LogCategory::kExits)) {
        trace(LogCategory::kExits, "KVM cannot run this: exit {}, {}", page.exit_reason,
              page.exit_reason == KVM_EXIT_FAIL_ENTRY ? page.fail_entry.hardware_entry_failure_reason
                                                      : uint64_t{page.internal.suberror});
      }
      return ExitReason::kCannotRun;
    default:
      broken_ = fmt::format("KVM_RUN came back for a reason that Vireo does not know: {}", page.exit_reason);
      return std::nullopt;
  }
}

void KvmEngine::access_ports() {
  ++counters_.port_accesses;
  access_open_ = true;
  accesses_.clear();
  kvm_run& page = vm_->run_page();
  uint8_t* data = reinterpret_cast<uint8_t*>(&page) + page.io.data_offset;
  const unsigned size = page.io.size;
  for (uint32_t i = 0; i < page.io.count; ++i, data += size) {
    uint32_t value = 0;
    if (page.io.direction == KVM_EXIT_IO_IN) {
      value = context_.ports.read(page.io.port, size);
      std::memcpy(data, &value, size);
    } else {
      std::memcpy(&value, data, size);
      context_.ports.write(page.io.port, size, value);
    }
    accesses_.push_back(
        {DeviceAccess::Space::kPorts, page.io.direction == KVM_EXIT_IO_OUT, page.io.port, size, value});
  }
}

namespace {

/// Calls `access` with offset and size of each part that a device takes.
template <class Access>
void in_parts(unsigned size, Access access) {
  const bool whole = size == 1 || size == 2 || size == 4 || size == 8;
  const unsigned step = whole ? size : 1;
  for (unsigned done = 0; done < size; done += step) access(done, step);
}

}  // namespace

/// As any engine's: to a device, to ROM, or to shadow RAM that reads and writes see differently.
void KvmEngine::write_memory(Gpa address, const uint8_t* bytes, unsigned size) {
  in_parts(size, [&](unsigned at, unsigned part) {
    uint64_t value = 0;
    std::memcpy(&value, bytes + at, part);
    context_.memory.write_mmio(address + at, part, value);
  });
}

void KvmEngine::access_memory() {
  ++counters_.memory_accesses;
  access_open_ = true;
  accesses_.clear();
  auto& mmio = vm_->run_page().mmio;
  const Gpa address{mmio.phys_addr};
  if (mmio.is_write) {
    write_memory(address, mmio.data, mmio.len);
    return;
  }
  in_parts(mmio.len, [&](unsigned at, unsigned part) {
    const uint64_t value = context_.memory.read_mmio(address + at, part);
    std::memcpy(mmio.data + at, &value, part);
    accesses_.push_back({DeviceAccess::Space::kMemory, false, (address + at).value, part, value});
  });
}

void KvmEngine::tell_waiting_writes() {
  while (const auto write = vm_->take_waiting_write()) {
    ++counters_.waiting_writes;
    write_memory(write->address, write->bytes, write->size);
  }
}

void KvmEngine::access_msr() {
  ++counters_.msr_accesses;
  access_open_ = true;
  accesses_.clear();  // an MSR may be written twice
  auto& page = vm_->run_page();
  uint64_t value = page.msr.data;
  const bool read = page.exit_reason == KVM_EXIT_X86_RDMSR;
  const bool known = read ? rdmsr(context_, page.msr.index, value) : wrmsr(context_, page.msr.index, value);
  page.msr.error = known ? 0 : 1;
  if (read) page.msr.data = value;
}

Result<void> KvmEngine::finish_access() {
  while (std::exchange(access_open_, false)) {
    int error = vm_->complete();
    // Once more if it fails: the device has been accessed, and must not be again.
    if (error != 0 && error != EINTR) error = vm_->complete();
    tell_waiting_writes();
    ran_ = true;
    if (error == EINTR) return {};
    if (error != 0) {
      unfinished_ = true;
      errno = error;
      return kvm_error(request::kRun);
    }
    handle_exit();
  }
  return {};
}

// KVM comes back for a store and for a string OUT when it has finished the instruction as far as that goes;
// for a read and for OUT, before.
std::vector<DeviceAccess> KvmEngine::open_accesses() const {
  if (!unfinished_ || accesses_.empty() || (accesses_.front().write && !at_out())) return {};
  return accesses_;
}

bool KvmEngine::at_out() const {
  const Segment& cs = cpu_.segment(SegReg::kCs);
  const uint64_t mask = cpu_.long_mode() && (cs.access & Segment::kL) != 0 ? ~uint64_t{0} : 0xffffffff;
  constexpr unsigned kLongest = 15;
  for (unsigned i = 0; i < kLongest; ++i) {
    const std::optional<Gpa> place = context_.mmu.probe({(cs.base + cpu_.rip + i) & mask});
    if (!place) return false;
    switch (context_.memory.read_value<uint8_t>(*place)) {
      case 0x26:
      case 0x2e:
      case 0x36:
      case 0x3e:
      case 0x64:
      case 0x65:
      case 0x66:
      case 0x67:
      case 0xf2:
      case 0xf3:
        continue;  // prefixes
      case 0xe6:
      case 0xe7:
      case 0xee:
      case 0xef:
        return true;
      default:
        return false;
    }
  }
  return false;
}

void KvmEngine::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  visit("hardware assist/KVM_RUN", counters_.runs);
  visit("hardware assist/port accesses", counters_.port_accesses);
  visit("hardware assist/memory accesses", counters_.memory_accesses);
  visit("hardware assist/memory writes that waited", counters_.waiting_writes);
  visit("hardware assist/MSR accesses", counters_.msr_accesses);
  visit("hardware assist/halts", counters_.halts);
  visit("hardware assist/interrupt windows", counters_.interrupt_windows);
  visit("hardware assist/signals", counters_.signals);
  visit("hardware assist/interrupts", counters_.interrupts);
  visit("hardware assist/NMIs", counters_.nmis);
  visit("hardware assist/left to another engine", counters_.cannot_run);
  visit("hardware assist/shadow page tables dropped", counters_.tables_forgotten);
  visit("hardware assist/state loads", counters_.loads);
  visit("hardware assist/state saves", counters_.saves);
}

}  // namespace vireo::hwassist
