#include "translator/translator.h"

#include <fmt/format.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "core/check.h"
#include "core/interp/handlers.h"
#include "core/interp/mxcsr.h"
#include "core/isa/cpuid.h"
#include "core/log.h"
#include "translator/code_names.h"
#include "translator/translator_impl.h"

namespace vireo::translator {

using interp::Interp;

namespace {

/// What a guest return finds when the pair stack is empty: one that goes to EIP 0 looks like a pair, and is
/// looked up all the same.
struct PairStackEnd {
  uint64_t landing;
  uint64_t return_rip;
};
constexpr size_t kPairStackBytes = size_t{64} << 10;  // with the guard page at its low end
constexpr uint32_t kLooksAtInterpreted = 1000;
/// So often translated code comes back at least: to look at the policies, and should the host have had no
/// room for another signal.
constexpr uint64_t kMaxBudget = 1 << 18;
static_assert(kMaxBudget < kLeaveSoon);
/// Failures of a block's fast paths that are fewer instructions apart come one after the other. To find out
/// that an access is not direct takes 20 to 50 ns more than to have it interpreted at once; so many
/// instructions take 600 ns, and are worth a fast path that sometimes does.
constexpr uint64_t kDeniedSoon = 2000;
void* map_memory(size_t bytes) {
  void* memory = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return memory == MAP_FAILED ? nullptr : memory;
}

bool flags_in_eflags(void* owner, const uint8_t* host) {
  const auto& impl = *static_cast<Translator::Impl*>(owner);
  const Block* block = impl.blocks->find_by_host(host);
  if (block == nullptr) return true;
  switch (impl.site_at(*block, host).kind) {
    case Site::Kind::kFaultSaved:
    case Site::Kind::kReadSaved:
    case Site::Kind::kWriteSaved:
    case Site::Kind::kRunSaved:
    case Site::Kind::kOtherPageSaved:
      return false;
    default:
      return true;
  }
}

}  // namespace

Result<std::unique_ptr<Translator>> Translator::create(CpuContext& context, const Options& options) {
  auto buffer = CodeBuffer::create(options.code_cache_bytes);
  if (!buffer) return buffer.error();
  // Inaccessible pages follow the Frame, another one precedes the pair stack.
  void* frame = map_memory(kFrameBytes + kFrameGuardBytes);
  void* pairs = map_memory(kPairStackBytes);
  if (frame == nullptr || pairs == nullptr ||
      mprotect(static_cast<uint8_t*>(frame) + kFrameBytes, kFrameGuardBytes, PROT_NONE) != 0 ||
      mprotect(pairs, kPageSize, PROT_NONE) != 0) {
    return Error{fmt::format("the translator: no memory: {}; use --engine interp", std::strerror(errno)),
                 ExitStatus::kHostCannot};
  }
  auto impl = std::make_unique<Impl>(context, options, buffer.take(), frame, pairs);
  if (options.perf_map) {
    auto map = PerfMap::create();
    if (!map) return map.error();
    impl->perf_map = map.take();
    impl->perf_map->add(impl->trampolines);
  }
  return std::unique_ptr<Translator>(new Translator(std::move(impl)));
}

Translator::Translator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Translator::~Translator() = default;

ExitReason Translator::run(const RunLimits& limits) {
  return impl_->run(limits);
}

Translator::Impl::Impl(CpuContext& c, const Options& o, std::unique_ptr<CodeBuffer> code, void* frame_memory,
                       void* pairs)
    : context(c),
      cpu(c.cpu),
      options(o),
      costs(o.host_costs ? *o.host_costs : measure_host_costs()),
      interp(c),
      buffer(std::move(code)),
      frame(new (frame_memory) Frame),
      pair_stack(pairs),
      environment{options,           trampolines,
                  c.model,           asmjit::CpuInfo::host().features().x86().hasBMI2(),
                  find_host_flags(), interp::mxcsr_mask(interp)},
      mode{},
      first_retired(c.cpu.retired) {
  if (options.keep_spaces_after) context.mmu.keep_spaces_after(*options.keep_spaces_after);
  frame->cpu = &cpu;
  frame->translator = this;
  interp.mirror_segment_views(&frame->views);
  frame->interrupt_waiting = interp.interrupt_waiting();
  auto* top = reinterpret_cast<PairStackEnd*>(static_cast<uint8_t*>(pairs) + kPairStackBytes) - 1;
  frame->pair_rsp = reinterpret_cast<uint64_t>(top);
  frame->jumps.entries.fill({});
  asm volatile("stmxcsr %0" : "=m"(frame->host_mxcsr));
  asm volatile("fnstcw %0" : "=m"(frame->host_fcw));

  const Helpers helpers{
      [](Frame* f, uint64_t linear) { return fill(f, linear, Access::kRead); },
      [](Frame* f, uint64_t linear) { return fill(f, linear, Access::kWrite); },
      [](Frame* f, uint64_t what) { return static_cast<Impl*>(f->translator)->load_segment(what); },
      [](Frame* f, uint64_t what) { return static_cast<Impl*>(f->translator)->verify_segment(what); },
      [](Frame* f, uint64_t remaining) { return static_cast<Impl*>(f->translator)->read_tsc(remaining); },
      [](Frame* f, uint64_t units) {
        return static_cast<Impl*>(f->translator)->load_fpu(static_cast<uint8_t>(units));
      },
      [](Frame* f, uint64_t insn) {
        return static_cast<Impl*>(f->translator)->interpret(*reinterpret_cast<const InterpretedInsn*>(insn));
      },
      [](Frame* f, uint64_t insn) {
        return static_cast<Impl*>(f->translator)
            ->system_call(*reinterpret_cast<const InterpretedInsn*>(insn));
      },
      &cpu,
      interp.writable_segment_views().data(),
  };
  const Result<void> handles_faults = prepare_fault_handling();
  if (!handles_faults) {
    notice(fmt::format("{}: guest memory is reached without windows, which is slower",
                       handles_faults.error().message));
  }
  if (handles_faults && options.windows && options.inline_memory) {
    const uint64_t mappings = options.window_mappings.value_or(WindowPolicy::permitted_mappings());
    auto created = WindowPolicy::create(context.memory, context.mmu, options.window_after, costs, mappings);
    if (created) {
      windows = created.take();
    } else {
      notice(fmt::format("{}: guest memory is reached without windows, which is slower",
                         created.error().message));
    }
  }
  if (handles_faults && windows == nullptr && options.trust && options.inline_memory) {
    auto created = TrustPolicy::create(context.mmu, options.window_after, costs);
    if (created) {
      trust = created.take();
    } else if (options.trust_asked) {
      notice(fmt::format("{}: every probe checks, which is slower", created.error().message));
    }
  }
  const std::vector<uint8_t> bytes = make_trampolines(buffer->executable(), helpers, trampolines);
  buffer->write(buffer->executable(), bytes);
  *top = {reinterpret_cast<uint64_t>(trampolines.exit_indirect), 0};
  blocks = std::make_unique<BlockCache>(context.memory, *buffer, frame->jumps,
                                        (bytes.size() + kPageSize - 1) & ~kPageMask,
                                        options.self_check ? &cpu.retired : nullptr);
  blocks->watch.flag = &interp.block_ended;
  fault_range.start = reinterpret_cast<uint64_t>(buffer->executable());
  fault_range.end = fault_range.start + buffer->bytes();
  fault_range.pair_guard = reinterpret_cast<uint64_t>(pairs);
  fault_range.pair_rsp = frame->pair_rsp;
  fault_range.host_registers_start = reinterpret_cast<uint64_t>(trampolines.host_registers);
  fault_range.host_registers_end = reinterpret_cast<uint64_t>(trampolines.host_registers_end);
  fault_range.countdown = &frame->countdown;
  fault_range.exit_saved = trampolines.exit_jump_saved;
  fault_range.exit_eflags = trampolines.exit_jump_eflags;
  fault_range.flags_in_eflags = flags_in_eflags;
  fault_range.try_again = [](void* owner, AccessFault& fault) {
    return static_cast<Impl*>(owner)->try_again(fault);
  };
  fault_range.owner = this;
}

Translator::Impl::~Impl() {
  blocks.reset();
  munmap(frame, kFrameBytes + kFrameGuardBytes);
  munmap(pair_stack, kPairStackBytes);
}

bool Translator::Impl::fill(Frame* frame, uint64_t linear, Access access) {
  Impl& t = *static_cast<Impl*>(frame->translator);
  Mmu& mmu = t.context.mmu;
  const Privilege privilege = t.interp.privilege();
  const TimeScope scope(t.context.time, TimeLedger::Component::kTlb);
  ++t.stats.fills;
  if (t.trust) t.trust->count_fill();
  t.page_fault =
      t.windows ? t.windows->fill(linear, access, privilege) : mmu.fill({linear}, access, privilege);
  t.settle_windows();
  if (!t.page_fault && t.may_go_on()) {
    const TlbTables& tables = mmu.tables(privilege);
    const uint64_t page = linear / kPageSize;
    const uint64_t read_delta = tables.read_delta[page];
    if ((access == Access::kWrite ? tables.write_delta[page] : read_delta) != 0) return true;
    t.fill_denied = true;
    t.denied_for_code = read_delta != 0 &&
                        t.context.memory.has_code_mark(reinterpret_cast<const uint8_t*>(linear + read_delta));
  }
  ++t.stats.failed_fills;
  return false;
}

void Translator::Impl::look_at_policies() {
  if ((!windows && !trust) || options.window_after == 0) return;
  if (cpu.retired - looked_at < std::min(options.window_after, kMaxBudget)) return;
  looked_at = cpu.retired;
  if (mode_changed()) refresh_mode();
  const bool changed =
      windows ? windows->look((code_base + cpu.rip) & 0xffffffff, cpu.retired) : trust->look(cpu.retired);
  if (changed) refresh_mode();
}

uint64_t Translator::Impl::interpret(const InterpretedInsn& insn) {
  const TimeScope scope(context.time, TimeLedger::Component::kInterpreter);
  ++(insn.slow_path ? stats.missed : stats.no_emitter)[static_cast<size_t>(insn.insn.mnemonic)];
  store_flags();
  if (frame->fpu_ready != 0) store_fpu(insn.block, insn.index);
  cpu.rip = insn.rip;
  const uint64_t retired = retired_now() - static_cast<uint64_t>(int64_t{insn.counted});
  cpu.retired = retired;
  done_as = Leaving::kEvent;
  blocks->watch.block = insn.block;  // a REP instruction that overwrites itself is fetched anew
  // Pages with code that are written to often are mixed ones soon.
  const bool denied = std::exchange(fill_denied, false) && !(options.self_check && denied_for_code);
  const std::optional<PageFault> fault = std::exchange(page_fault, std::nullopt);
  const uint64_t indirect = context.mmu.indirect_accesses();
  // The fast path may have walked page tables, as the interpreter's own first access would have.
  const Interp::PlainResult result = fault && insn.one_access
                                         ? interp.fault_plain(*fault)
                                         : interp.execute_plain(insn.handler, insn.insn, !may_go_on());
  settle_windows();
  if (result == Interp::PlainResult::kStop) return kLeave;
  // Not an access across pages, of which a loop has many and more that are not.
  if (denied && insn.slow_path && result == Interp::PlainResult::kNext && !code_changed()) {
    Block& block = *insn.block;
    if (too_often(block.denied, retired, kDeniedSoon, block.denials)) {
      const uint64_t copies = block.copies_of(insn.index);
      Block* fresh = replace(block);
      fresh->always_interpret |= copies;
      fresh->on_trial |= copies;
    }
  } else if (!insn.slow_path && insn.block->on_trial != 0 && !code_changed()) {
    note_interpreted(*insn.block, insn.index, context.mmu.indirect_accesses() == indirect);
  }
  const Mode before = mode.mode;
  if (mode_changed()) refresh_mode();
  // Blocks may have died, this one too, or what they are linked by has changed.
  const uint64_t generation = context.mmu.exec_generation(interp.privilege());
  const bool same_code = mode.mode == before && generation == entered_generation;
  if (result == Interp::PlainResult::kNext && same_code && !code_changed()) {
    load_flags();
    return kGoOn;
  }
  done_as = code_changed() ? Leaving::kCodeChanged : same_code ? Leaving::kIndirect : Leaving::kModeChanged;
  const Block* next = find_in_jump_cache();
  if (next == nullptr || retired_at_zero <= cpu.retired) return kLeave;
  frame->countdown = retired_at_zero - cpu.retired;
  std::atomic_signal_fence(std::memory_order_seq_cst);  // as in execute()
  if (context.attention.bits() != 0) return kLeave;
  code_epoch = blocks->epoch();
  entered_generation = generation;
  load_flags();
  return reinterpret_cast<uint64_t>(next->entry_address(FlagState::kSaved));
}

uint64_t Translator::Impl::system_call(const InterpretedInsn& insn) {
  const bool faults = (cpu.msr.sysenter_cs & 0xfffc) == 0 || !mode.mode.has(Mode::kProtected) ||
                      (insn.insn.mnemonic == isa::Mnemonic::SYSEXIT && cpu.cpl != 0);
  if (faults || !mode.mode.has(Mode::kCode32) || code_base != 0 || code_limit != 0xffffffff ||
      context.attention.bits() != 0) {
    return interpret(insn);
  }
  if (frame->fpu_ready != 0) store_fpu(insn.block, insn.index);
  const bool comparable = interp.views_comparable();
  insn.handler(interp, insn.insn);
  cpu.rip = interp.next_rip & 0xffffffff;
  cpu.retired = retired_now();
  // The code segment counts as changed; if that is all, CS, SS, DS and ES are what they were for the mode.
  if (interp.mode_epoch() == seen_epoch + 1 && interp.views_comparable() == comparable) {
    refresh_privilege();
  } else {
    refresh_mode();
  }
  if (const Block* next = find_in_jump_cache()) {
    code_epoch = blocks->epoch();
    entered_generation = context.mmu.exec_generation(interp.privilege());
    return reinterpret_cast<uint64_t>(next->entry_address(FlagState::kSaved));
  }
  store_flags();
  done_as = Leaving::kModeChanged;
  return kLeave;
}

namespace {

/// Where the DescriptorCache is used.
bool protected_ring_0_or_3(const CpuState& cpu) {
  return !cpu.real_or_v86() && (cpu.cpl == 0 || cpu.cpl == 3);
}

}  // namespace

bool Translator::Impl::verify_segment(uint64_t what) {
  constexpr uint64_t kZfInAh = rflags::kZf << 8;
  try {
    const bool good =
        interp.verify_segment(static_cast<uint16_t>(what), (what & DescriptorCache::kVerifyWrite) != 0);
    uint64_t& flags = frame->saved[kSavedFlags];
    flags = (flags & ~kZfInAh) | (good ? kZfInAh : 0);
    if (protected_ring_0_or_3(cpu)) frame->descriptors.note_verify(interp, static_cast<uint32_t>(what), good);
  } catch (const interp::Fault&) {
    return false;
  }
  settle_windows();
  return may_go_on();
}

bool Translator::Impl::read_tsc(uint64_t remaining) {
  if ((cpu.cr4 & cr4::kTsd) != 0 && cpu.cpl != 0) return false;
  cpu.retired = retired_now() - remaining;
  const uint64_t tsc = context.tsc();
  frame->saved[kSavedEax] = static_cast<uint32_t>(tsc);
  frame->saved[kSavedEdx] = tsc >> 32;
  return true;
}

bool Translator::Impl::load_segment(uint64_t what) {
  const auto which =
      static_cast<SegReg>((what & DescriptorCache::kRegister) >> DescriptorCache::kRegisterShift);
  const Segment before = cpu.segment(which);
  try {
    interp.load_segment(which, static_cast<uint16_t>(what));
  } catch (const interp::Fault&) {
    return false;
  }
  if (interp.mode_epoch() == seen_epoch && may_go_on()) {
    settle_windows();
    if (protected_ring_0_or_3(cpu)) frame->descriptors.note_load(interp, static_cast<uint32_t>(what), which);
    return true;
  }
  // The interpreter does it again, maybe with a memory operand in this very segment.
  cpu.segment(which) = before;
  interp.update_segment(which);
  return false;
}

void Translator::Impl::refresh_mode() {
  seen_space = context.mmu.space_serial();
  const auto& views = interp.segment_views();
  const auto flat = [&](SegReg s) { return views[static_cast<unsigned>(s)].flat(); };
  uint32_t bits = 0;
  if (interp.code_size() == isa::CodeSize::k32) bits |= Mode::kCode32;
  if (cpu.segment(SegReg::kSs).big()) bits |= Mode::kStack32;
  if (flat(SegReg::kEs)) bits |= Mode::kFlatEs;
  if (flat(SegReg::kSs)) bits |= Mode::kFlatSs;
  if (flat(SegReg::kDs)) bits |= Mode::kFlatDs;
  if (cpu.protected_mode()) bits |= Mode::kProtected;
  if (cpu.v86()) bits |= Mode::kV86;
  const Segment& cs = cpu.segment(SegReg::kCs);
  if (cs.base != code_base || cs.limit != code_limit || code_segments.empty()) {
    code_base = cs.base;
    code_limit = cs.limit;
    if (code_segments.empty()) code_segments[{0, 0xffffffff}] = 0;
    if (code_segments.size() >= kMaxCodeSegments) {
      trace(LogCategory::kBlocks, "all invalidated: {} code segments", code_segments.size());
      blocks->clear();
      code_segments.clear();
      code_segments[{0, 0xffffffff}] = 0;
    }
    const auto number = static_cast<uint32_t>(code_segments.size());
    mode.mode.bits = code_segments.try_emplace({code_base, code_limit}, number).first->second
                     << Mode::kCodeSegmentShift;
    mode.code_base = static_cast<uint32_t>(code_base);
    mode.code_limit = static_cast<uint32_t>(code_limit);
  }
  constexpr uint32_t kFlagBits = (1u << Mode::kCodeSegmentShift) - 1;
  mode.mode.bits = (mode.mode.bits & ~kFlagBits) | bits;
  frame->supervisor_tlb = reinterpret_cast<uint64_t>(&context.mmu.tables(Privilege::kSupervisor));
  frame->descriptors.look(interp);
  refresh_privilege();
}

void Translator::Impl::refresh_privilege() {
  seen_epoch = interp.mode_epoch();
  const Privilege privilege = interp.privilege();
  uint32_t bits = 0;
  if (privilege == Privilege::kUser) bits |= Mode::kUser;
  if (cpu.cpl == 0) bits |= Mode::kCpl0;
  frame->window = windows ? windows->enter(privilege, cpu.retired) : 0;
  if (frame->window != 0) bits |= Mode::kWindow;
  if (trust && trust->enter(privilege, cpu.retired)) bits |= Mode::kTrust;
  constexpr uint32_t kItsBits = Mode::kUser | Mode::kCpl0 | Mode::kWindow | Mode::kTrust;
  mode.mode.bits = (mode.mode.bits & ~kItsBits) | bits;
  frame->mode_tag = number_of_mode() << JumpCache::kFrameBits;
  frame->tlb = reinterpret_cast<uint64_t>(&context.mmu.tables(privilege)) + kTlbBias;
}

uint32_t Translator::Impl::number_of_mode() {
  ModeNumber& latest = latest_modes[static_cast<unsigned>(interp.privilege())];
  if (latest.mode == mode.mode && latest.number != 0) return latest.number;
  auto known = mode_numbers.find(mode.mode.bits);
  if (known == mode_numbers.end()) {
    if (mode_numbers.size() + 1 == JumpCache::kModes) {
      frame->jumps.entries.fill({});
      mode_numbers.clear();
      latest_modes = {};
    }
    known = mode_numbers.emplace(mode.mode.bits, mode_numbers.size() + 1).first;
  }
  latest = {mode.mode, known->second};
  return latest.number;
}

Block* Translator::Impl::find_in_jump_cache() {
  const auto rip = static_cast<uint32_t>(cpu.rip);
  const unsigned slot = JumpCache::slot(rip, mode.mode.promoted());
  const uint32_t exec_frame = context.mmu.exec_frame({(code_base + rip) & 0xffffffff}, interp.privilege());
  return cpu.rip == rip && frame->jumps.entries[slot].tag == jump_tag(rip, exec_frame) ? jump_blocks[slot]
                                                                                       : nullptr;
}

Block* Translator::Impl::find_block(bool plain) {
  const uint64_t rip = cpu.rip;
  if (rip > code_limit || interp.code_size() == isa::CodeSize::k64) return nullptr;
  const Gla linear{(code_base + rip) & 0xffffffff};
  const Privilege privilege = interp.privilege();
  uint32_t exec_frame = context.mmu.exec_frame(linear, privilege);
  if (exec_frame == 0) {
    page_fault = context.mmu.fill(linear, Access::kExecute, privilege);
    if (page_fault) return nullptr;
    exec_frame = context.mmu.exec_frame(linear, privilege);
  }
  if (exec_frame == 0 || exec_frame >> JumpCache::kFrameBits != 0) return nullptr;
  const uint64_t physical = (uint64_t{exec_frame} - 1) * kPageSize + linear.page_offset();
  return blocks->find_or_add(physical, static_cast<uint32_t>(rip), plain ? mode.mode.plain() : mode.mode);
}

void Translator::Impl::leave_to_interpreter(Interp::Amount amount, uint64_t& counter) {
  todo = amount;
  interpreted_as = &counter;
  edge = {};
}

std::optional<ExitReason> Translator::Impl::advance(uint64_t retired_limit) {
  const TimeScope scope(context.time, TimeLedger::Component::kInterpreter);
  const uint64_t before = cpu.retired;
  const auto exit = interp.advance(retired_limit, todo);
  *interpreted_as += cpu.retired - before;
  todo = Interp::Amount::kNothing;
  return exit;
}

ExitReason Translator::Impl::run(const RunLimits& limits) {
  const TimeScope scope(context.time, TimeLedger::Component::kDispatch);
  interp.begin_run();
  const FaultScope fault_scope(fault_range);
  const Attention::Running running(
      context.attention,
      [](void* range, ucontext_t& at) { leave_soon(*static_cast<const FaultRange*>(range), at); },
      &fault_range);
  leave_to_interpreter(Interp::Amount::kNothing, stats.alone);
  for (;;) {
    if (const auto exit = advance(limits.retired)) return *exit;
    blocks->look_at_mixed_pages();
    blocks->collect();
    look_at_policies();
    if (mode_changed()) refresh_mode();
    Block* block = find_in_jump_cache();
    if (block != nullptr && edge.from == nullptr &&
        limits.retired - cpu.retired >= block->insn_count + kLatestPoll) {
      execute(*block, limits.retired);
      continue;
    }
    const BlockExit* const exit = edge.exit();
    const bool plain = exit != nullptr && exit->plain;
    page_fault.reset();
    block = find_block(plain);
    if (block == nullptr) {
      if (const auto fault = std::exchange(page_fault, std::nullopt)) {
        interp.fault_plain(*fault);
        leave_to_interpreter(Interp::Amount::kNothing, stats.alone);
      } else {
        leave_to_interpreter(Interp::Amount::kInstruction, stats.alone);
      }
      continue;
    }
    if (block->state == Block::State::kCold) {
      if (block->hits++ < options.hot_threshold) {
        leave_to_interpreter(Interp::Amount::kBlock, stats.cold);
        continue;
      }
      block->entered_with = exit != nullptr ? exit->flags
                            : edge.in_table ? FlagState::kSaved
                                            : FlagState::kEflags;
      translate(*block);
    }
    if (block->state == Block::State::kInterpret) {
      // Its bytes may have changed since.
      if (++block->hits == kLooksAtInterpreted) block->state = Block::State::kCold;
      leave_to_interpreter(Interp::Amount::kInstruction, stats.alone);
      continue;
    }
    const uint32_t exec_frame =
        context.mmu.exec_frame({(code_base + cpu.rip) & 0xffffffff}, interp.privilege());
    link(std::exchange(edge, {}), *block, exec_frame);
    if (!plain) {
      const unsigned slot = JumpCache::slot(block->rip, mode.mode.promoted());
      frame->jumps.entries[slot] = {jump_tag(block->rip, exec_frame),
                                    reinterpret_cast<uint64_t>(block->entry_address(FlagState::kSaved))};
      jump_blocks[slot] = block;
    }
    if (limits.retired - cpu.retired < block->insn_count + kLatestPoll) {
      leave_to_interpreter(Interp::Amount::kBlock, stats.near_limit);
      continue;
    }
    execute(*block, limits.retired);
  }
}

void Translator::Impl::link(const Edge& taken, Block& target, uint32_t exec_frame) {
  Block* from = taken.from;
  if (from == nullptr || !from->translated() || from->mode.of_cpu() != mode.mode) return;
  if (taken.target_rip != target.rip) return;  // an interrupt has been taken in between
  if (taken.in_table) {
    blocks->learn(from, taken.index, &target, exec_frame);
  } else if (options.chain) {
    blocks->link(from, taken.index, &target, exec_frame);
  }
}

void Translator::Impl::load_flags() {
  const uint64_t f = cpu.rflags;
  frame->flags = (f & 0xff) << 8 | ((f & rflags::kOf) != 0 ? 1 : 0);
}

void Translator::Impl::store_flags() {
  constexpr uint64_t kInAh = rflags::kArithmetic & 0xff;
  cpu.rflags = (cpu.rflags & ~rflags::kArithmetic) | (frame->flags >> 8 & kInAh) |
               ((frame->flags & 1) != 0 ? rflags::kOf : 0);
}

void Translator::Impl::execute(Block& block, uint64_t retired_limit) {
  settle_windows();
  page_fault.reset();
  fill_denied = false;
  code_epoch = blocks->epoch();
  entered_generation = context.mmu.exec_generation(interp.privilege());
  const uint64_t budget = std::min(retired_limit - cpu.retired, kMaxBudget) - kLatestPoll;
  retired_at_zero = cpu.retired + budget;
  frame->countdown = budget;
  // From now on the signal of a request changes the countdown; one that came before has set its bit.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (context.attention.bits() != 0) return;
  ++stats.entries;
  frame->entry = reinterpret_cast<uint64_t>(block.entry_address(FlagState::kSaved));
  load_flags();
  {
    const TimeScope scope(context.time, TimeLedger::Component::kTranslatedCode);
    reinterpret_cast<void (*)(Frame*)>(reinterpret_cast<uintptr_t>(trampolines.enter))(frame);
  }
  if (static_cast<ExitKind>(frame->exit_kind) == ExitKind::kDone) {
    count_exit(done_as);
    return;
  }
  store_flags();
  handle_exit();
  cpu.retired = retired_now();
  if (auto decoded = std::exchange(fetched_already, std::nullopt)) {
    const interp::Handler handler = interp::bind_handler(*decoded, context.model);
    const uint64_t before = cpu.retired;
    interp.execute_plain(handler, *decoded, true);
    stats.alone += cpu.retired - before;
    settle_windows();
  }
}

Translator::Impl::InsnBytes Translator::Impl::bytes_of(const Block& block, unsigned insn) {
  InsnBytes bytes;
  const unsigned start = block.insn_offset[insn], next = block.insn_offset[insn + 1u];
  // The next turn of an unrolled loop starts behind its end.
  bytes.length = (next > start ? next : block.guest_bytes) - start;
  const auto in_first = static_cast<unsigned>(
      std::min<uint64_t>(bytes.length, kPageSize - (block.physical + start) % kPageSize));
  std::copy_n(block.guest_code[0] + start, in_first, bytes.bytes.begin());
  std::copy_n(block.guest_code[1], bytes.length - in_first, bytes.bytes.begin() + in_first);
  return bytes;
}

/// An instruction of a block; nothing if its bytes have become others.
std::optional<isa::Insn> Translator::Impl::decode_again(const InsnBytes& bytes) const {
  isa::Insn decoded;
  if (isa::decode({bytes.bytes.data(), bytes.length}, interp.code_size(), decoded) !=
          isa::DecodeStatus::kOk ||
      decoded.length != bytes.length) {
    return std::nullopt;
  }
  return decoded;
}

void Translator::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  const Impl& t = *impl_;
  t.stats.visit(t.cpu.retired - t.first_retired, visit);
  visit("host/a signal costs (ns)", t.costs.signal);
  t.blocks->visit_stats(visit);
  t.interp.visit_stats(visit);
  if (t.windows) t.windows->visit_stats(visit);
  if (t.trust) t.trust->visit_stats(visit);
}

}  // namespace vireo::translator
