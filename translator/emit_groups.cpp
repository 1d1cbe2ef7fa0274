// Probes of page groups, and accesses through them.
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;

void Emitter::emit_group_probes() {
  for (unsigned i = 0; i < groups_.groups.size(); ++i) {
    if (groups_.groups[i].first == insn_) emit_group_probe(i);
  }
}

// What is not all in one page that may be accessed goes on in a plain block, whose accesses find out by
// themselves.
void Emitter::emit_group_probe(unsigned number) {
  const PageGroup& group = groups_.groups[number];
  save_flags();
  const size_t exit = new_exit(insns_[insn_].rip, FlagState::kSaved);
  block_->exits[exit].plain = true;
  const Label fail = a.newLabel();
  side_exits_.push_back({fail, exit, insn_});

  const Gp pointer = group.in_register ? host::kValue : host::kDelta;
  const size_t table = delta_table(group.writes);
  if (group.constant()) {
    const auto linear = static_cast<uint32_t>(group.low);
    a.mov(pointer, tlb_word(table, linear / kPageSize));
    a.mov(x86::r10d, linear);
  } else {
    isa::Insn lowest;
    lowest.base = group.base;
    lowest.index = group.index;
    lowest.scale = group.scale;
    lowest.disp = group.low;
    lowest.address_size = 4;
    emit_offset_to(lowest, x86::r10d);
    emit_page_number(pointer, x86::r10d);
    a.mov(pointer, tlb_word(table, pointer));
  }
  a.test(pointer, pointer);
  a.jz(fail);
  a.add(pointer, x86::r10);
  if (!group.constant() && group.bytes > 1 && !group.aligned) {
    a.and_(x86::r10d, static_cast<uint32_t>(kPageMask));
    a.cmp(x86::r10d, static_cast<uint32_t>(kPageSize) - group.bytes);
    a.ja(fail);
  }
  if (!group.in_register) {
    a.mov(group_slot(group), pointer);
    delta_group_ = static_cast<uint8_t>(number);
  }
  group_probed_[number] = true;
}

Emitter::Mem Emitter::group_slot(const PageGroup& group) {
  return frame_field(offsetof(Frame, groups) + group.slot * sizeof(uint64_t));
}

Emitter::Mem Emitter::grouped(const GroupedAccess& access, unsigned bytes) {
  const PageGroup& group = groups_.groups[access.group];
  const auto offset = static_cast<int32_t>(access.offset);
  if (group.in_register) return x86::Mem(host::kValue, offset, bytes);
  if (delta_group_ != access.group) {
    a.mov(host::kDelta, group_slot(group));
    delta_group_ = access.group;
  }
  return x86::Mem(host::kDelta, offset, bytes);
}

void Emitter::forget_groups() {
  group_probed_.assign(groups_.groups.size(), false);
  use_delta();
}

}  // namespace vireo::translator
