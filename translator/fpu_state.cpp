// The guest's x87, MMX and SSE state between the CpuState and the host's units.
#include <algorithm>
#include <cstring>

#include "core/check.h"
#include "core/interp/fx_state.h"
#include "translator/translator_impl.h"

namespace vireo::translator {

namespace fsw = interp::fsw;

namespace {

/// XMM0 to XMM7: all that 16- and 32-bit code reaches.
constexpr unsigned kXmmRegisters = 8;

}  // namespace

uint8_t permitted_fpu_units(const CpuState& cpu) {
  const FxState& fx = cpu.fx;
  if (cpu.cr0 & (cr0::kEm | cr0::kTs)) return 0;
  // An exception that is pending would become pending on the host. Words that FXRSTOR would not load
  // unchanged do not come from executing instructions.
  FxState canonical = fx;
  interp::set_x87_control(canonical, fx.fcw, fx.fsw);
  if (canonical.fcw != fx.fcw || canonical.fsw != fx.fsw || (fx.fsw & fsw::kEs)) return 0;
  if (fx.mxcsr > 0xffff) return 0;
  uint8_t units = fpu_unit::kMmx;
  if ((fx.fcw & fsw::kExceptions) == fsw::kExceptions) units |= fpu_unit::kX87;
  if ((cpu.cr4 & cr4::kOsfxsr) && (fx.mxcsr & kMxcsrMasks) == kMxcsrMasks) units |= fpu_unit::kSse;
  return units;
}

bool Translator::Impl::load_fpu(uint8_t units) {
  const uint8_t permitted = permitted_fpu_units(cpu);
  if ((permitted & units) != units) return false;
  std::memcpy(&frame->fx, &cpu.fx, offsetof(FxState, xmm) + kXmmRegisters * 16);
  interp::X87Pointers{}.store(frame->fx);
  frame->fip = Frame::kKeptFip << 32;
  frame->fpu_ready = permitted;
  ++stats.fpu_loads;
  return true;
}

void Translator::Impl::store_fpu(const Block* block, unsigned insn) {
  frame->fpu_ready = 0;
  const FxState& from = frame->fx;
  FxState& to = cpu.fx;
  to.fcw = from.fcw;
  to.fsw = from.fsw;
  to.ftw = from.ftw;
  to.mxcsr = from.mxcsr;
  to.st = from.st;
  std::copy_n(from.xmm.begin(), kXmmRegisters, to.xmm.begin());
  // Of the pointers, masked exceptions change FIP and FCS alone (interp::record_x87_instruction). FXSAVE does
  // not have them on all hosts: AMD's CPUs keep them for unmasked exceptions only.
  const std::optional<unsigned> in_block = block != nullptr ? block->last_x87_before(insn) : std::nullopt;
  if (in_block) {
    to.fip = (block->rip + block->insn_offset[*in_block]) & 0xffffffff;
  } else if (frame->fip >> 32 != Frame::kKeptFip) {
    to.fip = frame->fip & 0xffffffff;
  } else {
    return;
  }
  to.fcs = cpu.segment(SegReg::kCs).selector;
}

}  // namespace vireo::translator
