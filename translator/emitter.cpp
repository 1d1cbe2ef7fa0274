#include "translator/emitter.h"

#include <algorithm>

#include "core/check.h"
#include "core/interp/handlers.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::InsnClass;

namespace {

/// The poll's operand has one byte. The number of the block's instructions is filled in later.
constexpr int kMostCount = 127;
static_assert(Block::kMostInsns <= kMostCount);

}  // namespace

Emitter::Emitter(const EmitterEnvironment& environment, const EmitterMode& mode, const uint8_t* code_address)
    : environment_(environment), mode_(mode), address_(code_address) {
  code_.init(Environment::host(), reinterpret_cast<uint64_t>(code_address));
  code_.attach(&a);
}

std::span<const uint8_t> Emitter::code() const {
  const CodeBuffer& buffer = code_.sectionById(0)->buffer();
  return {buffer.data(), buffer.size()};
}

// A block that first needs its flags saved is entered with them saved; the other way round for the rest.
FlagState Emitter::wanted_entry(std::span<const ScannedInsn> insns) const {
  for (const ScannedInsn& x : insns) {
    switch (x.row->insn_class) {
      case InsnClass::Passthrough:
        if (operand_use(x.insn, *x.row).memory && !mode_.mode.promoted()) return FlagState::kSaved;
        break;
      case InsnClass::Control:
        return x.row->flags.tested != 0 ? FlagState::kEflags : FlagState::kSaved;
      default:
        return FlagState::kSaved;
    }
    // An instruction that sets all of them does not care, and the poll is cheaper with them saved.
    if (sets_all_flags(x)) return FlagState::kSaved;
    if ((x.row->flags.tested | x.row->flags.modified) & rflags::kArithmetic) return FlagState::kEflags;
  }
  return FlagState::kSaved;
}

namespace {

bool may_precede_poll(const ScannedInsn& x) {
  const isa::Mnemonic m = x.row->mnemonic;
  return x.row->insn_class == InsnClass::Passthrough &&
         (m == isa::Mnemonic::MOV || m == isa::Mnemonic::MOVZX || m == isa::Mnemonic::MOVSX);
}

}  // namespace

std::optional<uint16_t> Emitter::find_late_poll() const {
  if (!environment_.options.late_poll || !mode_.mode.promoted() || block_->self_checking || block_->crosses)
    return std::nullopt;
  const size_t most = std::min<size_t>(insns_.size(), kLatestPoll);
  for (uint16_t i = 0; i < most; ++i) {
    const isa::InsnRow& row = *insns_[i].row;
    const bool leaves = !stays(i);
    if (((row.flags.tested | row.flags.modified) & rflags::kArithmetic) != 0) {
      const bool sets_all =
          !leaves && (row.flags.tested & rflags::kArithmetic) == 0 && sets_all_flags(insns_[i]);
      return sets_all ? std::optional(i) : std::nullopt;
    }
    // It may fault, which shows the flags: they would have to be restored.
    if (leaves && (!may_precede_poll(insns_[i]) || block_->entered_with == FlagState::kSaved)) break;
  }
  return std::nullopt;
}

void Emitter::emit_late_entry() {
  flags_ = FlagState::kSaved;
  block_->entry[static_cast<unsigned>(FlagState::kSaved)] = offset();
  bool shown = false;
  for (size_t i = 0; i < block_->poll_at; ++i) shown |= !stays(i);
  if (shown) restore_flags();
  flags_ = FlagState::kEflags;
  block_->entry[static_cast<unsigned>(FlagState::kEflags)] = offset();
}

void Emitter::emit_entry(FlagState wanted) {
  block_->entry[static_cast<unsigned>(wanted == FlagState::kSaved ? FlagState::kEflags : FlagState::kSaved)] =
      0;
  flags_ = wanted == FlagState::kSaved ? FlagState::kEflags : FlagState::kSaved;
  if (wanted == FlagState::kSaved) {
    save_flags();
  } else {
    restore_flags();
  }
  block_->entry[static_cast<unsigned>(wanted)] = offset();
  emit_poll(wanted);
}

/// The count is filled in when it is known.
void Emitter::emit_poll(FlagState flags) {
  if (flags == FlagState::kSaved) {
    countdown_over_ = a.newLabel();
    a.sub(host::kCountdown, kMostCount);
    count_operand_ = offset() - 1;
    a.jl(countdown_over_);
    return;
  }
  // Neither touches the flags.
  a.lea(host::kCountdown, x86::ptr(host::kCountdown, -kMostCount));
  count_operand_ = offset() - 1;
  if (environment_.bmi2) {
    a.shrx(x86::r10, host::kCountdown, host::kFrame);
  } else {
    a.mov(x86::r10, host::kCountdown);
    a.bswap(x86::r10);
    a.movzx(x86::r10d, x86::r10b);
  }
  add_site(Site::Kind::kPollEflags, 0);
  a.mov(x86::r10, x86::ptr(host::kFrame, x86::r10, 3, kPollOffset));
}

void Emitter::emit_block(std::span<const ScannedInsn> insns, Block& block) {
  block_ = &block;
  insns_ = insns;
  block.insn_offset.clear();
  block.sites.clear();
  block.exits.clear();
  block.table.reset();
  block.interpreted.clear();
  block.behind_sti = 0;
  block.sets_fip = block.interpreted_at = 0;
  start_part(CodePart::Kind::kEntry);
  const std::optional<uint16_t> late_poll = find_late_poll();
  polls_late_ = late_poll.has_value();
  block.poll_at = late_poll.value_or(0);
  if (polls_late_) {
    emit_late_entry();
  } else {
    emit_entry(block.self_checking ? FlagState::kSaved : wanted_entry(insns));
  }
  if (block.self_checking) emit_self_check();
  if (block.crosses) emit_second_page_check();
  groups_ = {};
  if (environment_.options.page_groups && environment_.options.inline_memory &&
      !block.mode.has(Mode::kPlain) && !block.mode.has(Mode::kWindow)) {
    groups_ = find_page_groups(insns, mode_.mode, block.always_interpret,
                               mode_.mode.has(Mode::kTrust) ? kTrustingProbes : kFindingProbes);
  }
  groups_.operands.resize(insns.size());
  groups_.stack.resize(insns.size());
  forget_groups();
  for (const ScannedInsn& x : insns) {
    block.insn_offset.push_back(static_cast<uint16_t>(x.rip - block.rip));
    start_part(CodePart::Kind::kInsn, insn_);
    prepare_esp(x);
    if (polls_late_ && insn_ == block.poll_at) emit_poll(FlagState::kSaved);
    emit_group_probes();
    if (table_shape_.size != 0 && insn_ == table_shape_.load) keep_table_index();
    const bool interpret = (block.always_interpret >> insn_ & 1) != 0 && !x.live_immediate;
    if (interpret || (!emit_of_esp(x) && !emit_insn(with_deferred_esp(x)))) emit_interpreted(x);
    if (!slow_steps_.empty() && slow_steps_.back().insn == insn_) {
      SlowStep& slow = slow_steps_.back();
      a.bind(slow.after);
      slow.flags_after = flags_;
      slow.esp_after = deferred_esp_;
      slow.fpu_after = fpu_checked_;
      slow.ends_block = ended_;
      use_delta();
    }
    restore_window();
    // The other emitters use kDelta as they like.
    if (x.row->insn_class == InsnClass::Stack || x.row->insn_class == InsnClass::Segment ||
        x.row->insn_class == InsnClass::System || x.row->insn_class == InsnClass::String)
      use_delta();
    ++insn_;
    if (ended_) break;
  }
  block.insn_count = insn_;
  const uint32_t next_rip = insns[insn_ - 1].next_rip;
  block.guest_bytes = 0;
  for (const ScannedInsn& x : insns.first(insn_))
    block.guest_bytes = std::max(block.guest_bytes, x.next_rip - block.rip);
  block.insn_offset.push_back(static_cast<uint16_t>(next_rip - block.rip));
  if (!ended_) {
    start_part(CodePart::Kind::kEnd);
    settle_esp();
    emit_edge(next_rip);
  }
  emit_slow_paths();
  emit_branch_table();
  block.code = address_;
  block.code_bytes = offset();
  std::sort(block.sites.begin(), block.sites.end(),
            [](const Site& x, const Site& y) { return x.offset < y.offset; });
  for (auto& i : block.interpreted) i->counted = static_cast<int16_t>(block.counted_from(i->index));
  CHECK(insn_ <= Block::kMostInsns);
  const int count = countdown_over_.isValid() ? insn_ : -insn_;
  const_cast<uint8_t*>(code().data())[count_operand_] = static_cast<uint8_t>(count);
  for (const RemainingOperand& r : remaining_operands_) {
    CHECK(r.insn >= block.poll_at);
    const uint32_t remaining = insn_ - uint32_t{r.insn};
    std::copy_n(reinterpret_cast<const uint8_t*>(&remaining), 4,
                const_cast<uint8_t*>(code().data()) + r.offset);
  }
}

bool Emitter::emit_insn(const ScannedInsn& x) {
  switch (x.row->insn_class) {
#define VIREO_CLASS(name) \
  case InsnClass::name:   \
    return emit_##name(x);
    VIREO_CLASS(Passthrough)
    VIREO_CLASS(Stack)
    VIREO_CLASS(String)
    VIREO_CLASS(Control)
    VIREO_CLASS(Segment)
    VIREO_CLASS(System)
    VIREO_CLASS(Io)
    VIREO_CLASS(Fpu)
    VIREO_CLASS(Mmx)
    VIREO_CLASS(Sse)
    VIREO_CLASS(Avx)
#undef VIREO_CLASS
  }
  return false;
}

void Emitter::emit_second_page_check() {
  save_flags();
  const uint32_t page = ((block_->rip + mode_.code_base) >> 12) + 1;
  a.cmp(x86::dword_ptr(host::kTlb,
                       static_cast<int32_t>(Mmu::kExecFrameOffset + 4 * (page & 0xfffff)) - kTlbBias),
        static_cast<uint32_t>(block_->second_page / kPageSize + 1));
  second_page_changed_ = a.newLabel();
  a.jne(second_page_changed_);
}

void Emitter::save_flags() {
  if (flags_ == FlagState::kSaved) return;
  a.lahf();
  a.seto(x86::al);
  flags_ = FlagState::kSaved;
}

void Emitter::restore_flags() {
  if (flags_ == FlagState::kEflags) return;
  a.add(x86::al, 0x7f);  // sets OF from AL
  a.sahf();
  flags_ = FlagState::kEflags;
}

void Emitter::add_site(Site::Kind kind, uint16_t insn) {
  add_site_at(offset(), kind, insn);
}

void Emitter::add_site_at(uint32_t at, Site::Kind kind, uint16_t insn) {
  block_->sites.push_back({at, insn, kind, static_cast<int8_t>(deferred_esp_)});
}

void Emitter::call_to(const uint8_t* target) {
  a.db(0xe8);
  a.dd(static_cast<uint32_t>(target - (address_ + a.offset() + 4)));
}

void Emitter::jump_to(const uint8_t* target) {
  a.db(0xe9);
  a.dd(static_cast<uint32_t>(target - (address_ + a.offset() + 4)));
}

void Emitter::embed(const HostInsn& insn) {
  a.embed(insn.bytes.data(), insn.size);
}

namespace {

bool has_one_access(const ScannedInsn& x) {
  const bool operand = operand_use(x.insn, *x.row).memory;
  if (x.row->insn_class == isa::InsnClass::Passthrough) return operand;
  switch (x.row->mnemonic) {
    case isa::Mnemonic::PUSH:
    case isa::Mnemonic::POP:
      return !operand && x.row->insn_class == isa::InsnClass::Stack;
    case isa::Mnemonic::CALL:  // whose target is known, and within CS
      return x.insn.opcode == 0xe8;
    case isa::Mnemonic::RET:
      return true;
    default:
      return false;
  }
}

}  // namespace

void Emitter::call_interpreter(uint16_t index, bool slow_path) {
  const ScannedInsn& x = insns_[index];
  if (block_->self_checking && x.insn.rep() && may_write_memory(x)) {
    // It may overwrite itself, which only the interpreter's own fetch notices.
    call_to(environment_.trampolines.exit_call_saved);
    add_site(Site::Kind::kStep, index);
    return;
  }
  isa::Insn insn = x.insn;
  const interp::Handler handler = interp::bind_handler(insn, environment_.model);
  block_->interpreted.push_back(std::make_unique<InterpretedInsn>(
      InterpretedInsn{block_, handler, insn, x.rip, index, slow_path, has_one_access(x), 0}));
  a.mov(x86::r10, reinterpret_cast<uint64_t>(block_->interpreted.back().get()));
  const bool fast = is_system_call(x) && environment_.options.system;
  call_to(fast ? environment_.trampolines.system_call : environment_.trampolines.interpret);
}

bool is_system_call(const ScannedInsn& x) {
  return x.row->mnemonic == isa::Mnemonic::SYSENTER || x.row->mnemonic == isa::Mnemonic::SYSEXIT;
}

void Emitter::emit_interpreted(const ScannedInsn&) {
  settle_esp();
  save_flags();
  call_interpreter(insn_, false);
  block_->interpreted_at |= uint64_t{1} << insn_;
  fpu_checked_ = 0;
  first_step_with_fpu_ = slow_steps_.size();
  forget_groups();
}

asmjit::Label Emitter::step_label() {
  if (slow_steps_.empty() || slow_steps_.back().insn != insn_) {
    slow_steps_.push_back({a.newLabel(), a.newLabel(), insn_, deferred_esp_});
  }
  return slow_steps_.back().start;
}

void Emitter::emit_slow_paths() {
  for (const SlowProbe& p : slow_probes_) {
    start_part(CodePart::Kind::kSlow, p.insn);
    const x86::Gp linear = p.linear.r32();
    if (p.unaligned.isValid()) {
      a.bind(p.unaligned);
      a.mov(x86::r11d, linear);
      a.and_(x86::r11d, static_cast<uint32_t>(kPageMask));
      a.cmp(x86::r11d, static_cast<uint32_t>(kPageSize) - p.bytes);
      a.ja(p.write ? p.step : p.across);
      a.mov(x86::r11d, linear);
      a.shr(x86::r11d, 12);
      a.mov(host::kDelta, tlb_word(delta_table(p.write), host::kDelta));
      a.jmp(p.back);
    }
    if (p.other_page.isValid()) {
      a.bind(p.other_page);
      emit_page_number(host::kDelta, linear);
      a.mov(host::kDelta, tlb_word(delta_table(p.write), host::kDelta));
      a.jmp(p.back);
    }
    if (p.across.isValid()) {
      a.bind(p.across);
      if (linear != x86::r10d) a.mov(x86::r10d, linear);
      call_to(environment_.trampolines.read_across);
      a.test(x86::r11, x86::r11);
      a.jnz(p.back);
      a.jmp(p.step);
    }
    if (!p.miss.isValid()) continue;
    a.bind(p.miss);
    if (p.aligned) {  // #GP comes before the page tables are looked at
      a.test(linear.r8(), p.bytes - 1);
      a.jnz(p.step);
    }
    if (linear != x86::r10d) a.mov(x86::r10d, linear);
    call_to(p.write ? environment_.trampolines.fill_write : environment_.trampolines.fill_read);
    a.test(x86::r11d, x86::r11d);
    a.jnz(p.retry);
    a.jmp(p.step);
  }
  for (const SlowFpu& f : slow_fpu_) {
    start_part(CodePart::Kind::kSlow, f.insn);
    a.bind(f.start);
    a.mov(x86::r10d, f.unit);
    call_to(environment_.trampolines.load_fpu);
    a.test(x86::r11d, x86::r11d);
    a.jnz(f.back);
    call_to(environment_.trampolines.exit_call_saved);
    add_site(Site::Kind::kNoFpu, f.insn);
  }
  for (SlowStep& s : slow_steps_) {
    start_part(CodePart::Kind::kSlow, s.insn);
    a.bind(s.start);
    add_to_esp(s.esp_before);
    call_interpreter(s.insn, true);
    if (s.ends_block) {  // a branch that was not taken
      call_to(environment_.trampolines.exit_call_saved);
      add_site(Site::Kind::kStep, s.insn + 1);
      continue;
    }
    if (s.fpu_needed != 0) {
      a.mov(x86::r10d, s.fpu_needed);
      call_to(environment_.trampolines.load_fpu);
      Label loaded = a.newLabel();
      a.test(x86::r11d, x86::r11d);
      a.jnz(loaded);
      call_to(environment_.trampolines.exit_call_saved);
      add_site(Site::Kind::kNoFpu, s.insn + 1);
      a.bind(loaded);
    }
    add_to_esp(-s.esp_after);
    flags_ = FlagState::kSaved;
    if (s.flags_after == FlagState::kEflags) restore_flags();
    a.jmp(s.after);
  }
  for (const SideExit& e : side_exits_) {
    start_part(CodePart::Kind::kSideExit, e.exit);
    a.bind(e.start);
    if (const auto x87 = block_->last_x87_before(e.retired)) keep_fip(insns_[*x87].rip);
    a.lea(host::kCountdown, x86::ptr(host::kCountdown, block_->counted_from(e.retired)));
    const Label stub = a.newLabel();
    edge_stubs_.push_back({stub, e.exit});
    a.long_().jmp(stub);
    block_->exits[e.exit].jump = offset() - 4;
  }
  if (countdown_over_.isValid()) {
    a.bind(countdown_over_);
    call_to(environment_.trampolines.exit_call_saved);
    add_site(polls_late_ ? Site::Kind::kPollDead : Site::Kind::kPollSaved, block_->poll_at);
  }
  if (code_changed_.isValid()) {
    start_part(CodePart::Kind::kSlow, 0);
    a.bind(code_changed_);
    call_to(environment_.trampolines.exit_call_saved);
    add_site(Site::Kind::kChanged, 0);
  }
  if (second_page_changed_.isValid()) {
    // The instruction must be fetched anew: no step of the one that was decoded.
    start_part(CodePart::Kind::kSlow, 0);
    a.bind(second_page_changed_);
    call_to(environment_.trampolines.exit_call_saved);
    add_site(Site::Kind::kStep, 0);
  }
  for (const EdgeStub& e : edge_stubs_) {
    start_part(CodePart::Kind::kExit, e.exit);
    a.bind(e.start);
    emit_edge_stub(e.exit);
  }
}

}  // namespace vireo::translator
