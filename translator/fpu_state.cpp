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

/// FXSAVE64 and FXRSTOR64 have all 64 bits of the instruction pointer, and no selector, in FIP's place.
constexpr size_t kFip64 = offsetof(FxState, fip), kFdp64 = offsetof(FxState, fdp);

uint64_t get64(const FxState& fx, size_t offset) {
  uint64_t value;
  std::memcpy(&value, reinterpret_cast<const uint8_t*>(&fx) + offset, sizeof value);
  return value;
}

void put64(FxState& fx, size_t offset, uint64_t value) {
  std::memcpy(reinterpret_cast<uint8_t*>(&fx) + offset, &value, sizeof value);
}

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
  put64(frame->fx, kFip64, cpu.fx.fip);
  put64(frame->fx, kFdp64, cpu.fx.fdp);
  frame->fpu_ready = permitted;
  ++stats.fpu_loads;
  return true;
}

void Translator::Impl::store_fpu() {
  frame->fpu_ready = 0;
  const FxState& from = frame->fx;
  FxState& to = cpu.fx;
  to.fcw = from.fcw;
  to.fsw = from.fsw;
  to.ftw = from.ftw;
  to.mxcsr = from.mxcsr;
  to.st = from.st;
  std::copy_n(from.xmm.begin(), kXmmRegisters, to.xmm.begin());
  // Of the pointers, masked exceptions change FIP and FCS alone (interp::record_x87_instruction).
  const uint64_t fip64 = get64(from, kFip64);
  if (!buffer->contains(fip64)) return;
  const auto* fip = reinterpret_cast<const uint8_t*>(fip64);
  const Block* block = blocks->find_by_host(fip);
  CHECK(block != nullptr);
  to.fip = (block->rip + block->insn_offset[site_at(*block, fip, SiteUse::kFpu).insn]) & 0xffffffff;
  to.fcs = cpu.segment(SegReg::kCs).selector;
}

}  // namespace vireo::translator
