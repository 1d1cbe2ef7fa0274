// Branches, calls and returns, and the ways out of a block.
#include "core/check.h"
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

bool Emitter::emit_Control(const ScannedInsn& x) {
  switch (x.row->mnemonic) {
    case Mnemonic::JCC:
      return emit_jcc(x);
    case Mnemonic::JCXZ:
    case Mnemonic::LOOP:
      return emit_loop(x);
    case Mnemonic::JMP:
      if (x.insn.opcode == 0xff) return emit_jmp_indirect(x);
      if (beyond_code_limit(branch_target(x))) return false;
      if (goes_on_at(branch_target(x))) return true;
      emit_edge(branch_target(x));
      return true;
    case Mnemonic::CALL:
      return emit_call(x);
    case Mnemonic::RET:
      return emit_ret(x);
    default:
      return false;
  }
}

uint32_t branch_target(const ScannedInsn& x) {
  const uint32_t target = x.next_rip + static_cast<uint32_t>(x.insn.imm);
  return x.insn.operand_size == 2 ? target & 0xffff : target;
}

bool is_indirect_branch(const ScannedInsn& x) {
  return x.insn.opcode == 0xff && (x.row->mnemonic == Mnemonic::JMP || x.row->mnemonic == Mnemonic::CALL);
}

size_t Emitter::new_exit(uint32_t rip, FlagState flags) {
  BlockExit exit;
  exit.target_rip = rip;
  exit.flags = flags;
  block_->exits.push_back(exit);
  return block_->exits.size() - 1;
}

/// What an exit's jump leads to until it is linked.
void Emitter::emit_edge_stub(size_t exit) {
  block_->exits[exit].stub = offset();
  call_to(block_->exits[exit].flags == FlagState::kSaved ? environment_.trampolines.exit_call_saved
                                                         : environment_.trampolines.exit_call_eflags);
  add_site(Site::Kind::kLink, static_cast<uint16_t>(exit));
}

void Emitter::emit_page_check(size_t exit, uint32_t rip, const Label& stub) {
  const uint32_t page = (rip + mode_.code_base) >> 12;
  a.cmp(x86::dword_ptr(host::kTlb, static_cast<int32_t>(Mmu::kExecFrameOffset + 4 * page) - kTlbBias),
        0x7fffffff);
  block_->exits[exit].check = offset() - 4;
  a.jne(stub);
}

void Emitter::emit_edge(uint32_t rip) {
  CHECK(!window_lost_);
  ended_ = true;
  const bool near = block_->ends_in_page_of(rip);
  if (!near) save_flags();
  const size_t exit = new_exit(rip, flags_);
  const Label stub = a.newLabel();
  edge_stubs_.push_back({stub, exit});
  if (!near) emit_page_check(exit, rip, stub);
  a.long_().jmp(stub);
  block_->exits[exit].jump = offset() - 4;
}

bool Emitter::emit_jcc(const ScannedInsn& x) {
  const uint32_t target = branch_target(x);
  if (beyond_code_limit(target)) return false;
  restore_flags();
  auto condition = static_cast<x86::CondCode>(x.insn.condition());
  if (block_->ends_in_page_of(target)) {
    const bool taken_inside = goes_on_at(target) && target != x.next_rip;
    const size_t exit = new_exit(taken_inside ? x.next_rip : target, FlagState::kEflags);
    const Label stub = a.newLabel();
    if (taken_inside) condition = x86::negateCond(condition);
    a.long_().j(condition, stub);
    if (insn_ + 1u < insns_.size()) {  // the block goes on otherwise
      side_exits_.push_back({stub, exit, insn_ + 1u});
      return true;
    }
    edge_stubs_.push_back({stub, exit});
    block_->exits[exit].jump = offset() - 4;
    emit_edge(x.next_rip);
    return true;
  }
  // Where CS does not start at a page, the block ends here although more has been scanned.
  const auto x87 = block_->last_x87_before(insn_);
  if (x87 && insn_ + 1u < insns_.size()) keep_fip(insns_[*x87].rip);
  // Not taken first: the other edge has more to do.
  const Label taken = a.newLabel();
  a.j(condition, taken);
  const FlagState at_branch = flags_;
  emit_edge(x.next_rip);
  flags_ = at_branch;
  a.bind(taken);
  emit_edge(target);
  return true;
}

bool Emitter::emit_loop(const ScannedInsn& x) {
  const uint32_t target = branch_target(x);
  if (beyond_code_limit(target) || x.insn.address_size != 4) return false;
  const bool loop = x.row->mnemonic == Mnemonic::LOOP;
  const FlagState at_branch = flags_;
  if (loop) a.lea(x86::ecx, x86::ptr(x86::rcx, -1));
  const Label zero = a.newLabel();
  a.short_().jecxz(x86::ecx, zero);
  const Label other = a.newLabel();
  a.long_().jmp(other);
  a.bind(zero);
  emit_edge(loop ? x.next_rip : target);
  flags_ = at_branch;
  a.bind(other);
  emit_edge(loop ? target : x.next_rip);
  return true;
}

// The host's return stack pairs guest calls with guest returns: a call pushes its guest return address and
// calls; the return compares, and returns to the landing, which drops the address and goes on.
bool Emitter::emit_call(const ScannedInsn& x) {
  if (!environment_.options.inline_memory) return false;
  const unsigned bytes = x.insn.operand_size;
  const uint32_t return_rip = bytes == 2 ? x.next_rip & 0xffff : x.next_rip;
  const bool indirect = x.insn.opcode == 0xff;
  const bool pair = environment_.options.pair_calls;
  if (indirect) {
    // A register has its target still behind the push.
    const bool in_register =
        !x.insn.is_memory() && x.insn.rm() != static_cast<unsigned>(Gpr::kRsp) && bytes == 4;
    const Gp target = in_register ? Gp(host::guest32(x.insn.rm())) : pushed_value();
    if (!in_register && !load_branch_target(x, target)) return false;
    check_code_limit(target);
    push_immediate(return_rip, bytes);
    if (target != x86::r10d) a.mov(x86::r10d, target);
    restore_window();
    settle_esp();
    save_flags();
    if (pair) {
      a.push(static_cast<int32_t>(return_rip));
      const Label jump = a.newLabel();
      a.call(jump);
      // The landing: here the return comes back.
      a.lea(x86::rsp, x86::ptr(x86::rsp, 8));
      flags_ = FlagState::kSaved;
      emit_edge(return_rip);
      a.bind(jump);
    }
    emit_table_jump();
    emit_lookup_jump();
    return true;
  }
  const uint32_t target = branch_target(x);
  if (beyond_code_limit(target)) return false;
  push_immediate(return_rip, bytes);
  settle_esp();
  save_flags();
  if (!pair) {
    emit_edge(target);
    return true;
  }
  const size_t exit = new_exit(target, FlagState::kSaved);
  const Label stub = a.newLabel();
  edge_stubs_.push_back({stub, exit});
  if (!block_->ends_in_page_of(target)) emit_page_check(exit, target, stub);
  a.push(static_cast<int32_t>(return_rip));
  a.call(stub);
  block_->exits[exit].jump = offset() - 4;
  a.lea(x86::rsp, x86::ptr(x86::rsp, 8));
  flags_ = FlagState::kSaved;
  emit_edge(return_rip);
  return true;
}

bool Emitter::emit_ret(const ScannedInsn& x) {
  if (!environment_.options.inline_memory) return false;
  const unsigned bytes = x.insn.operand_size;
  const unsigned extra = x.insn.opcode == 0xc2 ? static_cast<unsigned>(x.insn.imm & 0xffff) : 0;
  const Mem place = probe_pop(bytes);
  save_flags();  // a group's access has not done it
  load_from(x86::r10d, place, bytes);
  check_code_limit(x86::r10d);
  commit_pop(bytes, extra);
  settle_esp();
  if (environment_.options.pair_calls) {
    const Label unpaired = a.newLabel();
    a.cmp(x86::r10d, x86::dword_ptr(x86::rsp, 8));
    a.jne(unpaired);
    a.ret();
    a.bind(unpaired);
  }
  emit_lookup_jump();
  return true;
}

bool Emitter::emit_jmp_indirect(const ScannedInsn& x) {
  if (!environment_.options.inline_memory) return false;
  if (!load_branch_target(x, x86::r10d)) return false;
  save_flags();
  check_code_limit(x86::r10d);
  emit_table_jump();
  emit_lookup_jump();
  return true;
}

bool Emitter::load_branch_target(const ScannedInsn& x, const Gp& out) {
  const unsigned bytes = x.insn.operand_size;
  if (x.insn.is_memory()) {
    load_from(out, emit_operand(x.insn, bytes, false), bytes);
  } else if (bytes == 4) {
    a.mov(out.r32(), host::guest32(x.insn.rm()));
  } else {
    a.movzx(out.r32(), host::guest(x.insn.rm(), 2));
  }
  return true;
}

void Emitter::check_code_limit(const Gp& target) {
  if (mode_.code_limit == 0xffffffff) return;
  save_flags();
  a.cmp(target.r32(), mode_.code_limit);
  a.ja(step_label());
}

bool Emitter::table_load_replaces_index() const {
  const isa::Insn& load = insns_[table_shape_.load].insn;
  return table_shape_.load + 1u < insns_.size() && load.reg() == load.index;
}

void Emitter::keep_table_index() {
  if (!table_load_replaces_index()) return;
  index_in_value_ = !mode_.mode.has(Mode::kWindow) &&
                    std::none_of(groups_.groups.begin(), groups_.groups.end(), [&](const PageGroup& group) {
                      return group.in_register && group.last >= insn_;
                    });
  const Gp index = host::guest32(insns_[insn_].insn.index);
  if (index_in_value_) {
    a.mov(host::kValue.r32(), index);
  } else {
    a.mov(VIREO_FRAME(branch_index), index);
  }
}

// The host's branch needs the index alone: what the guest's table has there is compared beside that.
void Emitter::emit_table_jump() {
  if (table_shape_.size == 0) return;
  block_->table = std::make_unique<BranchTable>();
  BranchTable& table = *block_->table;
  table.size = table_shape_.size;
  table.near = table_shape_.near;
  table.targets.resize(table.size);
  table.known.resize(table.size);
  branch_table_ = a.newLabel();
  table_unknown_ = a.newLabel();
  const Label beyond = a.newLabel();
  const Gp index = table_load_replaces_index() ? Gp(use_value().r32()) : table_index();
  if (table_load_replaces_index() && !index_in_value_) a.mov(index, VIREO_FRAME(branch_index));
  const auto element = [&](unsigned shift, uint32_t offset) {
    return x86::ptr(x86::r11, index.r64(), shift, static_cast<int32_t>(offset), 1u << shift);
  };
  a.lea(x86::r11, x86::ptr(branch_table_));
  a.cmp(index, table.size);
  a.jae(beyond);
  a.cmp(element(2, table.rip_of(0)), x86::r10d);
  a.jne(table_unknown_);
  if (!table.near) {
    table_moved_ = a.newLabel();
    if (mode_.code_base != 0) a.lea(x86::r10d, x86::ptr(x86::r10, static_cast<int32_t>(mode_.code_base)));
    emit_page_number(x86::r10d, x86::r10d);
    a.mov(x86::r10d,
          x86::dword_ptr(host::kTlb, x86::r10, 2, static_cast<int32_t>(Mmu::kExecFrameOffset) - kTlbBias));
    a.cmp(element(2, table.frame_of(0)), x86::r10d);
    a.jne(table_moved_);
  }
  jump_through(element(3, table.address_of(0)), x86::r11);
  a.bind(beyond);
}

void Emitter::jump_through(const Mem& place, const Gp& scratch) {
  if (!window_lost_) {
    a.jmp(place);
    return;
  }
  a.mov(scratch, place);
  restore_window();
  a.jmp(scratch);
}

void Emitter::emit_branch_table() {
  if (!branch_table_.isValid()) return;
  BranchTable& table = *block_->table;
  const Gp index = table_index();
  start_part(CodePart::Kind::kUnknown);
  table.unknown = offset();
  if (mode_.mode.has(Mode::kWindow) && table_load_replaces_index()) {  // the jump here has lost them
    a.mov(index, VIREO_FRAME(branch_index));
    a.lea(x86::r11, x86::ptr(branch_table_));
  }
  if (table_moved_.isValid()) {  // r10 has had the EIP
    a.bind(table_moved_);
    a.mov(x86::r10d, x86::ptr(x86::r11, index.r64(), 2, static_cast<int32_t>(table.rip_of(0))));
  }
  a.bind(table_unknown_);
  a.mov(VIREO_FRAME(branch_target), x86::r10d);
  a.mov(VIREO_FRAME(branch_index), index);
  call_to(environment_.trampolines.exit_call_saved);
  add_site(Site::Kind::kTable, 0);
  a.align(AlignMode::kData, 8);
  start_part(CodePart::Kind::kTable);
  a.bind(branch_table_);
  table.arrays = offset();
  for (unsigned i = 0; i < table.size; ++i) a.dq(reinterpret_cast<uint64_t>(address_ + table.unknown));
  for (unsigned i = 0; i < table.size * (table.near ? 1u : 2u); ++i) a.dd(0);
}

void Emitter::emit_lookup_jump() {
  ended_ = true;
  if (!environment_.options.inline_lookup) {
    jump_to(environment_.trampolines.exit_indirect);
    return;
  }
  const Label miss = a.newLabel();
  const auto jumps = [](size_t offset) {
    return static_cast<int32_t>(offsetof(Frame, jumps) + offset) - kFrameBias;
  };
  static_assert(JumpCache::kHalf == 1u << 16);
  Gp linear = x86::r10d;
  if (mode_.code_base != 0) {
    linear = x86::r11d;
    a.lea(linear, x86::ptr(x86::r10, static_cast<int32_t>(mode_.code_base)));
  }
  emit_page_number(x86::r11d, linear);
  a.mov(x86::r11d,
        x86::dword_ptr(host::kTlb, x86::r11, 2, static_cast<int32_t>(Mmu::kExecFrameOffset) - kTlbBias));
  const Gp slot = use_value();
  a.movzx(slot.r32(), x86::r10w);
  a.add(x86::r11d, VIREO_FRAME(mode_tag));
  using Entry = JumpCache::Entry;
  static_assert(sizeof(Entry) == 16);
  a.add(slot.r32(), slot.r32());
  const size_t half = mode_.mode.promoted() ? JumpCache::kHalf * sizeof(Entry) : 0;
  const auto entry = [&](size_t offset, uint32_t bytes) {
    x86::Mem m = x86::ptr(host::kFrame, slot, 3, jumps(offsetof(JumpCache, entries) + half + offset));
    m.setSize(bytes);
    return m;
  };
  a.cmp(entry(offsetof(Entry, tag) + offsetof(JumpCache::Tag, rip), 4), x86::r10d);
  a.jne(miss);
  a.cmp(entry(offsetof(Entry, tag) + offsetof(JumpCache::Tag, where), 4), x86::r11d);
  a.jne(miss);
  jump_through(entry(offsetof(Entry, code), 8), x86::r10);
  a.bind(miss);
  jump_to(environment_.trampolines.exit_indirect);
}

}  // namespace vireo::translator
