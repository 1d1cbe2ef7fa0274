// From guest bytes to a published block.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/isa/cpuid.h"
#include "core/isa/decode.h"
#include "core/log.h"
#include "translator/code_dump.h"
#include "translator/code_names.h"
#include "translator/translator_impl.h"

namespace vireo::translator {

namespace {

/// A conditional branch ahead in the same page is a side exit: the block goes on behind it. A branch back
/// closes a loop, so that what is behind it is another matter.
bool ends_block(const ScannedInsn& x, bool side_exits) {
  if (is_system_call(x)) return true;
  if (x.row->insn_class != isa::InsnClass::Control) return false;
  if (x.row->mnemonic != isa::Mnemonic::JCC || !side_exits) return true;
  const uint32_t target = branch_target(x);
  return target < x.next_rip || (target ^ x.rip) >= kPageSize;
}

}  // namespace

bool Translator::Impl::scan_crossing(Block& block) {
  const Privilege privilege = interp.privilege();
  const Gla linear{(code_base + block.rip) & 0xffffffff};
  const Gla second{(linear.page().value + kPageSize) & 0xffffffff};
  const uint64_t in_first = kPageSize - linear.page_offset();
  const uint64_t within_limit = code_limit - block.rip + 1;
  const uint64_t wanted = std::min<uint64_t>(isa::kMaxInsnLength, within_limit);
  if (wanted <= in_first) return false;
  if (context.mmu.exec_frame(second, privilege) == 0 &&
      context.mmu.fill(second, Access::kExecute, privilege)) {
    return false;
  }
  const uint32_t frame_number = context.mmu.exec_frame(second, privilege);
  if (frame_number == 0) return false;
  block.guest_code = {context.mmu.code_bytes(linear, privilege), context.mmu.code_bytes(second, privilege)};
  std::copy_n(block.guest_code[0], in_first, crossing_bytes.begin());
  std::copy_n(block.guest_code[1], wanted - in_first, crossing_bytes.begin() + in_first);
  if (decode_one({crossing_bytes.data(), wanted}, block.rip) != isa::DecodeStatus::kOk) return false;
  block.crosses = true;
  block.second_page = (uint64_t{frame_number} - 1) * kPageSize;
  block.self_checking =
      context.memory.is_mixed(block.guest_code[0]) || context.memory.is_mixed(block.guest_code[1]);
  const auto in_second = static_cast<unsigned>(scanned.back().insn.length - in_first);
  if (blocks->mixed().keeps_changing(block.physical, static_cast<unsigned>(in_first)) ||
      blocks->mixed().keeps_changing(block.second_page, in_second)) {
    block.crosses = false;
    scanned.clear();
  }
  return block.crosses;
}

isa::DecodeStatus Translator::Impl::decode_one(std::span<const uint8_t> bytes, uint32_t rip) {
  ScannedInsn x;
  const isa::DecodeStatus status = isa::decode(bytes, interp.code_size(), x.insn);
  if (status != isa::DecodeStatus::kOk) return status;
  if (!context.model.has(isa::row(x.insn).feature) && !isa::downgrade(x.insn))
    return isa::DecodeStatus::kUndefined;
  x.row = &isa::row(x.insn);
  x.bytes = bytes.first(x.insn.length);
  x.rip = rip;
  x.next_rip = rip + x.insn.length;
  scanned.push_back(x);
  return isa::DecodeStatus::kOk;
}

/// An instruction of a mixed page, unless it keeps changing in more than its immediate.
bool Translator::Impl::accept_changing(ScannedInsn& x, uint64_t physical) const {
  const unsigned length = x.insn.length, live = may_have_live_immediate(x) ? x.insn.imm_size : 0;
  if (blocks->mixed().keeps_changing(physical, length - live)) return false;
  x.live_immediate = live != 0 && blocks->mixed().keeps_changing(physical + length - live, live);
  return true;
}

void Translator::Impl::scan(Block& block) {
  scanned.clear();
  const Gla linear{(code_base + block.rip) & 0xffffffff};
  const uint64_t within_limit = code_limit - block.rip + 1;
  const std::span<const uint8_t> bytes{context.mmu.code_bytes(linear, interp.privilege()),
                                       std::min(kPageSize - linear.page_offset(), within_limit)};
  block.guest_code = {bytes.data(), nullptr};
  block.self_checking = context.memory.is_mixed(bytes.data());
  size_t used = 0;
  isa::DecodeStatus status = isa::DecodeStatus::kOk;
  while (scanned.size() < options.max_block_insns && used < bytes.size()) {
    status = decode_one(bytes.subspan(used), block.rip + static_cast<uint32_t>(used));
    if (status != isa::DecodeStatus::kOk) break;
    if (block.self_checking && !accept_changing(scanned.back(), block.physical + used)) {
      scanned.pop_back();
      break;
    }
    used += scanned.back().insn.length;
    if (block.self_checking && may_write_memory(scanned.back())) break;
    if (ends_block(scanned.back(), options.side_exits)) break;
  }
  // Where the page ends behind it, the way out would need a check.
  if (options.unroll && !block.self_checking && used != 0 && used < bytes.size()) unroll();
  block.crosses = false;
  // Not for an undefined instruction: the guest sees from its page tables what has been accessed.
  if (scanned.empty() && status == isa::DecodeStatus::kNeedMoreBytes) scan_crossing(block);
}

namespace {

/// How many entries the guest's table has, by the comparison of its index that the block makes before; 0: not
/// known.
unsigned compared_size(std::span<const ScannedInsn> insns) {
  constexpr uint8_t kAbove = 7;
  for (size_t i = insns.size() - 1; i-- > 1;) {
    if (insns[i].row->mnemonic != isa::Mnemonic::JCC || insns[i].insn.condition() != kAbove) continue;
    const ScannedInsn& before = insns[i - 1];
    const bool compares = before.row->mnemonic == isa::Mnemonic::CMP && before.insn.imm_size != 0;
    return compares && before.insn.imm < BranchTable::kMostEntries
               ? static_cast<unsigned>(before.insn.imm) + 1
               : 0;
  }
  return 0;
}

/// How an indirect branch comes to its target.
struct TableBranch {
  uint16_t load;                     ///< the instruction that reads the guest's table
  uint8_t added = isa::kNoRegister;  ///< general register that is added to what that reads
};

/// JMP or CALL through memory; by a register that the MOV before it has loaded; or, in position-independent
/// code, with an ADD of another register in between.
std::optional<TableBranch> find_table_branch(std::span<const ScannedInsn> insns) {
  const ScannedInsn& branch = insns.back();
  if (!is_indirect_branch(branch) || branch.insn.operand_size != 4) return std::nullopt;
  size_t i = insns.size() - 1;
  TableBranch found{static_cast<uint16_t>(i)};
  if (branch.insn.is_memory()) return found;
  const unsigned target = branch.insn.rm();
  if (i == 0 || target == static_cast<unsigned>(Gpr::kRsp)) return std::nullopt;
  const isa::Insn* before = &insns[--i].insn;
  const bool adds = insns[i].row->mnemonic == isa::Mnemonic::ADD && before->operand_size == 4 &&
                    (before->opcode == 0x01 || before->opcode == 0x03) && !before->is_memory();
  if (adds) {
    const bool to_rm = before->opcode == 0x01;
    if ((to_rm ? before->rm() : before->reg()) != target || i == 0) return std::nullopt;
    found.added = to_rm ? before->reg() : before->rm();
    before = &insns[--i].insn;
  }
  found.load = static_cast<uint16_t>(i);
  const bool loads = insns[i].row->mnemonic == isa::Mnemonic::MOV && before->opcode == 0x8b &&
                     before->is_memory() && before->operand_size == 4 && before->reg() == target;
  return loads && found.added != target ? std::optional(found) : std::nullopt;
}

}  // namespace

BranchTableShape Translator::Impl::find_branch_table(const Block& block) const {
  constexpr unsigned kBytes = 4;
  const std::optional<TableBranch> branch = find_table_branch(scanned);
  if (!options.branch_tables || block.no_table || !branch) return {};
  const isa::Insn& load = scanned[branch->load].insn;
  if (load.index >= isa::kNoRegister || load.scale != 2 || load.address_size != 4 ||
      !is_flat(mode.mode, load.segment))
    return {};
  // Registers are those at the block's start, which hardly ever changes what they are for a table.
  const auto value = [&](uint8_t gpr) {
    return gpr < isa::kNoRegister ? static_cast<uint32_t>(cpu.gpr[gpr]) : 0;
  };
  const uint32_t table = static_cast<uint32_t>(load.disp) + value(load.base), added = value(branch->added);
  // Beyond that it is no function of the same program.
  constexpr uint32_t kFar = 16 << 20;
  const unsigned compared = compared_size(std::span(scanned).first(branch->load + 1u));
  const unsigned most =
      compared == 0 ? BranchTable::kMostEntries : std::min(compared, BranchTable::kMostEntries);
  BranchTableShape shape{.load = branch->load};
  shape.near = true;
  for (unsigned i = 0; i < most; ++i) {
    const std::optional<Gpa> place = context.mmu.probe({table + kBytes * i});
    const uint8_t* page = place ? context.memory.page({place->value & ~kPageMask}).read : nullptr;
    if (page == nullptr || place->page_offset() > kPageSize - kBytes) break;
    uint32_t target;
    std::memcpy(&target, page + place->page_offset(), kBytes);
    target += added;
    if (compared == 0 && target - block.rip + kFar > 2 * kFar) break;
    shape.near &= block.ends_in_page_of(target);
    shape.size = static_cast<uint16_t>(i + 1);
  }
  return shape;
}

/// A block that is a loop holds several turns of it: one poll does for all.
void Translator::Impl::unroll() {
  constexpr size_t kMostTurns = 4;
  const ScannedInsn& last = scanned.back();
  const bool branch = last.row->mnemonic == isa::Mnemonic::JCC ||
                      (last.row->mnemonic == isa::Mnemonic::JMP && last.insn.opcode != 0xff);
  if (!branch || branch_target(last) != scanned.front().rip) return;
  // A third more than other blocks.
  const size_t most = std::min<size_t>(Block::kMostInsns, options.max_block_insns * 4 / 3);
  const size_t size = scanned.size(), turns = std::min(kMostTurns, most / size);
  scanned.reserve(size * kMostTurns);
  for (size_t turn = 1; turn < turns; ++turn) std::copy_n(scanned.begin(), size, std::back_inserter(scanned));
}

void Translator::Impl::translate(Block& block) {
  const TimeScope scope(context.time, TimeLedger::Component::kTranslating);
  scan(block);
  if (scanned.empty()) {
    block.state = Block::State::kInterpret;
    block.hits = 0;
    return;
  }
  if (block.self_checking) {
    const uint8_t* first = scanned.front().bytes.data();
    block.made_of.assign(first, scanned.back().bytes.data() + scanned.back().bytes.size());
  }
  block.code_base = mode.code_base;
  const uint8_t* address = blocks->reserve(kMaxBlockCode);
  Emitter emitter(environment, mode, address);
  std::vector<CodePart> parts;
  if (log_enabled(LogCategory::kCode)) emitter.record_parts(parts);
  emitter.use_branch_table(find_branch_table(block));
  emitter.emit_block(scanned, block);
  CHECK(block.code_bytes <= kMaxBlockCode);
  buffer->write(address, emitter.code());
  blocks->publish(&block);
  if (perf_map != nullptr) perf_map->add(block);
  if (log_enabled(LogCategory::kBlocks)) {
    trace(LogCategory::kBlocks,
          "translated {}: physical {:08x}, {} instructions, {} guest bytes, {} host bytes", block_name(block),
          block.physical, block.insn_count, block.guest_bytes, block.code_bytes);
  }
  if (log_enabled(LogCategory::kCode)) trace_code(block, interp.code_size(), scanned, parts, trampolines);
}

}  // namespace vireo::translator
