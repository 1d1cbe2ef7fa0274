// SSE and MMX instructions that the generic executor does not fit: LDMXCSR STMXCSR MASKMOVDQU MASKMOVQ.
#include <cstring>

#include "core/interp/fx_state.h"
#include "core/interp/mxcsr.h"
#include "core/interp/operands.h"

namespace vireo::interp {

namespace {

void ldmxcsr(Interp& interp, const Insn& insn) {
  interp.check_sse();
  const uint32_t value = Memory::get<uint32_t>(interp, insn);
  if (value & ~mxcsr_mask(interp)) throw_gp();
  interp.cpu.fx.mxcsr = value;
}

void stmxcsr(Interp& interp, const Insn& insn) {
  interp.check_sse();
  Memory::set<uint32_t>(interp, insn, interp.cpu.fx.mxcsr);
}

/// Writes those of `bytes` whose mask byte has its top bit set, to DS:rDI, after the checks of the whole.
void masked_store(Interp& interp, const Insn& insn, const uint8_t* bytes, const uint8_t* mask,
                  unsigned count) {
  const uint64_t address_mask = ~uint64_t{0} >> (64 - 8 * insn.address_size);
  const auto offset = [&](unsigned i) { return (interp.cpu.reg(Gpr::kRdi) + i) & address_mask; };
  // Selected or not, in the order in which Intel's CPUs fault.
  if (count == 16) interp.probe_write(insn.segment, offset(8), 8);
  interp.probe_write(insn.segment, offset(0), 8);
  for (unsigned i = 0; i < count; ++i) {
    if (mask[i] & 0x80) interp.write<uint8_t>(insn.segment, offset(i), bytes[i]);
  }
}

void maskmovdqu(Interp& interp, const Insn& insn) {
  interp.check_sse();
  const FxState& fx = interp.cpu.fx;
  masked_store(interp, insn, fx.xmm[insn.reg()].data(), fx.xmm[insn.rm()].data(), 16);
}

void maskmovq(Interp& interp, const Insn& insn) {
  interp.check_mmx();
  FxState& fx = interp.cpu.fx;
  enter_mmx(fx);
  masked_store(interp, insn, fx.st[insn.reg()].data(), fx.st[insn.rm()].data(), 8);
}

}  // namespace

namespace bind {

Handler LDMXCSR(const Insn&) {
  return ldmxcsr;
}
Handler STMXCSR(const Insn&) {
  return stmxcsr;
}
Handler MASKMOVDQU(const Insn&) {
  return maskmovdqu;
}
Handler MASKMOVQ(const Insn&) {
  return maskmovq;
}

}  // namespace bind

}  // namespace vireo::interp
