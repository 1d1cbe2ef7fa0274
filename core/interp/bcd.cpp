// DAA DAS AAA AAS AAM AAD. The flags that the SDM leaves undefined were measured on a Sapphire Rapids Xeon,
// over all inputs: DAA, DAS, AAA and AAS clear OF and set SF, ZF and PF from AL; AAM clears OF, AF and CF;
// AAD sets all flags as the addition of AL and the low byte of AH * base does.
#include <bit>

#include "core/interp/handlers.h"
#include "core/interp/host_ops.h"
#include "core/interp/interp_inline.h"

namespace vireo::interp {

namespace {

void set_flags(Interp& interp, uint8_t al, bool cf, bool af) {
  uint64_t flags = interp.cpu.rflags & ~rflags::kArithmetic;
  if (cf) flags |= rflags::kCf;
  if (af) flags |= rflags::kAf;
  if (al == 0) flags |= rflags::kZf;
  if (al & 0x80) flags |= rflags::kSf;
  if (std::popcount(al) % 2 == 0) flags |= rflags::kPf;
  interp.cpu.rflags = flags;
}

void set_ax(Interp& interp, uint8_t ah, uint8_t al) {
  uint64_t& rax = interp.cpu.reg(Gpr::kRax);
  rax = (rax & ~uint64_t{0xffff}) | static_cast<uint64_t>(ah) << 8 | al;
}

template <bool subtract>
void decimal_adjust(Interp& interp, const Insn&) {
  const uint8_t ah = static_cast<uint8_t>(interp.cpu.reg(Gpr::kRax) >> 8);
  const uint8_t old = static_cast<uint8_t>(interp.cpu.reg(Gpr::kRax));
  const bool old_cf = interp.cpu.rflags & rflags::kCf;
  const bool af = (old & 15) > 9 || (interp.cpu.rflags & rflags::kAf);
  const bool high = old > 0x99 || old_cf;
  const int adjust = (af ? 6 : 0) + (high ? 0x60 : 0);
  const uint8_t al = static_cast<uint8_t>(subtract ? old - adjust : old + adjust);
  // DAS also carries when taking 6 off borrows (SDM 2A, DAS).
  const bool cf = high || (subtract && af && (old_cf || old < 6));
  set_ax(interp, ah, al);
  set_flags(interp, al, cf, af);
}

template <bool subtract>
void ascii_adjust(Interp& interp, const Insn&) {
  uint16_t ax = static_cast<uint16_t>(interp.cpu.reg(Gpr::kRax));
  const bool adjust = (ax & 15) > 9 || (interp.cpu.rflags & rflags::kAf);
  if (adjust) ax = static_cast<uint16_t>(subtract ? ax - 0x106 : ax + 0x106);
  const uint8_t al = ax & 15;
  set_ax(interp, static_cast<uint8_t>(ax >> 8), al);
  set_flags(interp, al, adjust, adjust);
}

void aam(Interp& interp, const Insn& insn) {
  const uint8_t base = static_cast<uint8_t>(insn.imm);
  if (base == 0) throw_de();
  const uint8_t old = static_cast<uint8_t>(interp.cpu.reg(Gpr::kRax));
  const uint8_t al = old % base;
  set_ax(interp, old / base, al);
  set_flags(interp, al, false, false);
}

void aad(Interp& interp, const Insn& insn) {
  const uint16_t ax = static_cast<uint16_t>(interp.cpu.reg(Gpr::kRax));
  const uint8_t product = static_cast<uint8_t>((ax >> 8) * static_cast<uint8_t>(insn.imm));
  set_ax(interp, 0, host::Add::run<uint8_t>(static_cast<uint8_t>(ax), product, interp.cpu.rflags));
}

}  // namespace

namespace bind {

Handler DAA(const Insn&) {
  return decimal_adjust<false>;
}
Handler DAS(const Insn&) {
  return decimal_adjust<true>;
}
Handler AAA(const Insn&) {
  return ascii_adjust<false>;
}
Handler AAS(const Insn&) {
  return ascii_adjust<true>;
}
Handler AAM(const Insn&) {
  return aam;
}
Handler AAD(const Insn&) {
  return aad;
}

}  // namespace bind

}  // namespace vireo::interp
