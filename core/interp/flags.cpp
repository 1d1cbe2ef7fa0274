// CLC STC CMC CLD STD LAHF SAHF.
#include "core/interp/handlers.h"
#include "core/interp/interp_inline.h"

namespace vireo::interp {

namespace {

constexpr uint64_t kLowFlags = rflags::kSf | rflags::kZf | rflags::kAf | rflags::kPf | rflags::kCf;

template <uint64_t bit>
void clear(Interp& interp, const Insn&) {
  interp.cpu.rflags &= ~bit;
}

template <uint64_t bit>
void set(Interp& interp, const Insn&) {
  interp.cpu.rflags |= bit;
}

void complement_carry(Interp& interp, const Insn&) {
  interp.cpu.rflags ^= rflags::kCf;
}

void lahf(Interp& interp, const Insn&) {
  uint64_t& rax = interp.cpu.reg(Gpr::kRax);
  rax = (rax & ~uint64_t{0xff00}) | ((interp.cpu.rflags & kLowFlags) | rflags::kFixed1) << 8;
}

void sahf(Interp& interp, const Insn&) {
  uint64_t& flags = interp.cpu.rflags;
  flags = (flags & ~kLowFlags) | ((interp.cpu.reg(Gpr::kRax) >> 8) & kLowFlags);
}

}  // namespace

namespace bind {

Handler CLC(const Insn&) {
  return clear<rflags::kCf>;
}
Handler STC(const Insn&) {
  return set<rflags::kCf>;
}
Handler CMC(const Insn&) {
  return complement_carry;
}
Handler CLD(const Insn&) {
  return clear<rflags::kDf>;
}
Handler STD(const Insn&) {
  return set<rflags::kDf>;
}
Handler LAHF(const Insn&) {
  return lahf;
}
Handler SAHF(const Insn&) {
  return sahf;
}

}  // namespace bind

}  // namespace vireo::interp
