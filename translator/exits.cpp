// What happens where translated code stops, by signal or at an exit: the access is made possible, the
// instruction is the interpreter's, or the block is translated anew without what has failed.
#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "translator/code_names.h"
#include "translator/translator_impl.h"

namespace vireo::translator {

using interp::Interp;

namespace {

/// To have an instruction interpreted, instead of a check: the time of 100 instructions, for one of ten.
constexpr uint64_t kInterpretedCost = 10;

}  // namespace

const Site& Translator::Impl::site_at(const Block& block, const uint8_t* host) const {
  const auto offset = static_cast<uint32_t>(host - block.code);
  const auto found = std::lower_bound(block.sites.begin(), block.sites.end(), offset,
                                      [](const Site& s, uint32_t o) { return s.offset < o; });
  CHECK(found != block.sites.end() && found->offset == offset);
  return *found;
}

/// Counts one more instruction; true when it is time for a translation that avoids it.
bool Translator::Impl::too_often(Block::Repeats& repeats, uint64_t retired, uint64_t soon,
                                 unsigned most) const {
  if (!options.adapt) return false;
  if (retired != repeats.latest) {
    repeats.count = retired - repeats.latest < soon ? repeats.count + 1 : 0;
    repeats.latest = retired;
  }
  return repeats.count >= most;
}

// A check costs as much as an instruction or two, and is worth it if as many as that are executed in the time
// of a signal. Where checks do not help, the instruction is for the interpreter, which costs more.
void Translator::Impl::note_trap(Block& block, unsigned insn, uint64_t retired, bool hopeless) {
  if (!options.adapt || !block.translated()) return;
  const bool checks = (block.always_probe >> insn & 1) != 0;
  const auto signal = static_cast<uint64_t>(HostCosts::instructions(costs.signal));
  if (!too_often(block.trapped, retired, checks ? signal / kInterpretedCost : signal) && !hopeless) return;
  Block* fresh = replace(block);
  (checks ? fresh->always_interpret : fresh->always_probe) |= block.copies_of(insn);
}

/// For another translation of the same code at once.
Block* Translator::Impl::replace(Block& block) {
  Block* fresh = blocks->replace(&block);
  fresh->hits = options.hot_threshold;
  fresh->always_interpret = block.always_interpret;
  fresh->on_trial = block.on_trial;
  fresh->denials = block.denials;
  fresh->always_probe = block.always_probe;
  fresh->large_tables = block.large_tables;
  fresh->no_table = block.no_table;
  ++stats.adapted;
  return fresh;
}

/// The interpreter has executed it, and may have looked at memory.
void Translator::Impl::note_interpreted(Block& block, unsigned insn, bool direct) {
  if ((block.on_trial >> insn & 1) == 0) return;
  if (!direct) ++block.tried_indirect;
  if (++block.tried < Block::kTrial) return;
  const unsigned indirect = std::exchange(block.tried_indirect, 0);
  block.tried = 0;
  if (indirect > Block::kTrial / 2) return;
  Block* fresh = replace(block);
  fresh->always_interpret &= ~block.on_trial;
  fresh->on_trial = 0;
  fresh->denials = std::min<uint16_t>(block.denials * 2, Block::kMostFailures);
}

bool Translator::Impl::try_again(AccessFault& fault) {
  const uint64_t address = fault.address;
  const Privilege privilege = interp.privilege();
  const bool by_window = windows && windows->is_near(address);
  if (!by_window && !(mode.mode.has(Mode::kTrust) && TrustPolicy::trapped(address))) return false;
  Block* block = blocks->find_by_host(fault.host);
  if (block == nullptr) return false;
  const Site& site = site_at(*block, fault.host);
  const Site::Kind kind = site.kind;
  const bool run = kind == Site::Kind::kRunSaved || kind == Site::Kind::kRunEflags;
  const bool write = run ? fault.write : kind == Site::Kind::kWriteSaved || kind == Site::Kind::kWriteEflags;
  if (!run && !write && kind != Site::Kind::kReadSaved && kind != Site::Kind::kReadEflags) return false;
  if (run && context.attention.bits() != 0) {
    left_for_attention = true;
    return false;
  }
  ++stats.trapped;
  const uint64_t linear = address - frame->window;
  const Access access = write ? Access::kWrite : Access::kRead;
  // The walk may set a flag in an entry that is part of the instruction.
  before_walk = bytes_of(*block, site.insn);
  if (by_window && !windows->contains(address)) {
    // A sum of more than 32 bits, or an operand that goes on at 0.
    windows->refused();
    fill_denied = true;
    return false;
  }
  // The interpreter fetches the instruction again, which a fault now could make impossible.
  const bool permitted = context.mmu.permits({linear}, access, privilege);
  if (trust) trust->count_signal();
  // What is not there at all may be a program's, which this window never shows.
  if (!permitted && by_window && windows->shared()) fill_denied = true;
  const bool filled = permitted && fill(frame, linear, access);
  if (!by_window) {
    const TlbTables& tables = context.mmu.tables(privilege);
    if (filled) fault.delta = (write ? tables.write_delta : tables.read_delta)[linear / kPageSize];
    return filled;
  }
  const bool mapped = filled && windows->map(linear, write);
  if (!mapped) windows->refused();
  // A few instructions of a kernel meet each page that is allocated, however many there are.
  if (mapped && !(windows->shared() && too_often(block->mapped, retired_at(fault.countdown),
                                                 static_cast<uint64_t>(windows->map_cost()))))
    return true;
  fill_denied |= filled;
  return false;
}

void Translator::Impl::handle_unknown_entry(Block& block) {
  if (!block.translated()) return;
  const BranchTable& table = *block.table;
  // The guest may have changed its table, but not for ever.
  const bool changing = table.learned_anew == BranchTable::kMostAnew;
  if (!changing && (!table.near || block.ends_in_page_of(frame->branch_target))) {
    edge = {&block, frame->branch_index, frame->branch_target, true};
  } else if (options.adapt) {
    replace(block)->no_table = true;
  }
}

void Translator::Impl::handle_exit() {
  if (static_cast<ExitKind>(frame->exit_kind) == ExitKind::kIndirect) {
    if (frame->fpu_ready != 0) store_fpu(nullptr, 0);
    cpu.rip = frame->exit_address & 0xffffffff;
    count_exit(Leaving::kIndirect);
    return;
  }
  const auto* host = reinterpret_cast<const uint8_t*>(frame->exit_address);
  // A call may be a block's last instruction: its return address is then behind the block.
  Block* block = blocks->find_by_host(host - 1);
  CHECK(block != nullptr);
  const Site& site = site_at(*block, host);
  const uint64_t retired = retired_now();  // as try_again() sees it
  if (frame->fpu_ready != 0) {
    const bool at_end = site.kind == Site::Kind::kLink || site.kind == Site::Kind::kTable;
    store_fpu(at_end ? nullptr : block, site.insn);
  }
  uint64_t& esp = cpu.reg(Gpr::kRsp);
  esp = (esp + static_cast<uint64_t>(int64_t{site.esp})) & 0xffffffff;
  const auto leave_before = [&](unsigned insn) {
    frame->countdown += static_cast<uint64_t>(int64_t{block->counted_from(insn)});
    cpu.rip = (block->rip + block->insn_offset[insn]) & 0xffffffff;
    if (insn < 64 && (block->behind_sti >> insn & 1) != 0) cpu.interrupt_shadow = CpuState::Shadow::kSti;
  };
  const auto step = [&](unsigned insn, bool walked = false) {
    leave_before(insn);
    leave_to_interpreter(Interp::Amount::kInstruction, stats.alone);
    if (may_go_on() || insn == block->insn_count) return;
    // The fast path has walked page tables, and code may be elsewhere now: for what comes behind it.
    fetched_already = decode_again(walked ? before_walk : bytes_of(*block, insn));
    if (!fetched_already) return;
    leave_to_interpreter(Interp::Amount::kNothing, stats.alone);
    cpu.interrupt_shadow = CpuState::Shadow::kNone;
  };
  switch (site.kind) {
    case Site::Kind::kRunSaved:
    case Site::Kind::kRunEflags:
      // The interpreter goes on where it has come to.
      cpu.reg(Gpr::kRdi) -= frame->window;
      if (site.kind == Site::Kind::kRunSaved) cpu.reg(Gpr::kRsi) -= frame->window;
      // For an interrupt that comes before the rest.
      cpu.rep_incomplete = cpu.reg(Gpr::kRcx) != frame->run_start;
      step(site.insn, true);
      count_exit(Leaving::kNotDirect);
      if (!std::exchange(left_for_attention, false))
        note_trap(*block, site.insn, retired, std::exchange(fill_denied, false));
      break;
    case Site::Kind::kLink:
      cpu.rip = block->exits[site.insn].target_rip;
      edge = {block, site.insn, block->exits[site.insn].target_rip};
      count_exit(Leaving::kLink);
      break;
    case Site::Kind::kReadSaved:
    case Site::Kind::kReadEflags:
    case Site::Kind::kWriteSaved:
    case Site::Kind::kWriteEflags:
    case Site::Kind::kUnaligned: {
      const bool unaligned = site.kind == Site::Kind::kUnaligned;
      step(site.insn, !unaligned);
      count_exit(unaligned ? Leaving::kUnaligned : Leaving::kNotDirect);
      // A signal is a dear way to find MMIO, a page with code, or an unaligned address, and there will be
      // more.
      note_trap(*block, site.insn, retired, unaligned || std::exchange(fill_denied, false));
      break;
    }
    case Site::Kind::kOtherPageSaved:
    case Site::Kind::kOtherPageEflags:
      step(site.insn);
      count_exit(Leaving::kOtherPage);
      if (options.adapt && block->translated()) replace(*block)->large_tables |= block->copies_of(site.insn);
      break;
    case Site::Kind::kTable:
      cpu.rip = frame->branch_target;
      count_exit(Leaving::kTable);
      handle_unknown_entry(*block);
      break;
    case Site::Kind::kStep:
      step(site.insn);
      count_exit(Leaving::kStep);
      break;
    case Site::Kind::kFaultEflags:
    case Site::Kind::kFaultSaved:
      step(site.insn);
      count_exit(Leaving::kHostFault);
      note_trap(*block, site.insn, retired);
      break;
    case Site::Kind::kChanged:
      leave_before(0);
      blocks->drop_changed(block);
      count_exit(Leaving::kCodeChanged);
      break;
    case Site::Kind::kNoFpu:
      leave_before(site.insn);
      leave_to_interpreter(Interp::Amount::kBlock, stats.alone);
      count_exit(Leaving::kNoFpu);
      break;
    case Site::Kind::kPollSaved:
    case Site::Kind::kPollEflags:
      leave_before(0);
      count_exit(Leaving::kCountdown);
      break;
    case Site::Kind::kPollDead:
      // Nobody may see the flags before the instruction has set them. It is the block's: had its bytes
      // changed, the block would be dead.
      leave_before(site.insn);
      fetched_already = decode_again(bytes_of(*block, site.insn));
      CHECK(fetched_already.has_value());
      count_exit(Leaving::kCountdown);
      break;
  }
}

void Translator::Impl::count_exit(Leaving why) {
  ++stats.leaves[static_cast<size_t>(why)];
  if (log_enabled(LogCategory::kExits)) {
    trace(LogCategory::kExits, "{}: {:08x} {}", leaving_name(why), cpu.rip, mode_name(mode.mode));
  }
}

}  // namespace vireo::translator
