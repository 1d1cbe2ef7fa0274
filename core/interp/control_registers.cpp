// MOV to and from control and debug registers, with everything that hangs on them.
// Source: SDM 3A 2.5 (control registers), 4.4.1 (PDPTE registers), SDM 3B 17.2 (debug registers).
#include "core/interp/handlers.h"
#include "core/interp/protection.h"
#include "core/isa/cpuid.h"

namespace vireo::interp {

namespace {

using isa::Feature;

constexpr uint64_t kDr6Bd = 1u << 13;
constexpr uint64_t kDr7Gd = 1u << 13;

uint64_t cr4_bits(const CpuModel& model) {
  struct Bit {
    Feature feature;
    uint64_t bit;
  };
  constexpr Bit kBits[] = {
      {Feature::kVme, cr4::kVme | cr4::kPvi},
      {Feature::kTsc, cr4::kTsd},
      {Feature::kDe, cr4::kDe},
      {Feature::kPse, cr4::kPse},
      {Feature::kPae, cr4::kPae},
      {Feature::kMce, cr4::kMce},
      {Feature::kPge, cr4::kPge},
      {Feature::kFxsr, cr4::kOsfxsr},
      {Feature::kSse, cr4::kOsxmmexcpt},
  };
  uint64_t bits = model.family() >= 6 ? cr4::kPce : 0;
  for (const Bit& b : kBits) {
    if (model.has(b.feature)) bits |= b.bit;
  }
  return bits;
}

bool uses_pdptes(uint64_t cr0_value, uint64_t cr4_value) {
  return (cr0_value & cr0::kPg) && (cr4_value & cr4::kPae);
}

void write_cr0(Interp& interp, uint64_t value) {
  CpuState& cpu = interp.cpu;
  constexpr uint64_t kBits = cr0::kPe | cr0::kMp | cr0::kEm | cr0::kTs | cr0::kNe | cr0::kWp | cr0::kAm |
                             cr0::kNw | cr0::kCd | cr0::kPg;
  value = (value & kBits) | cr0::kEt;
  if ((value & cr0::kPg) && !(value & cr0::kPe)) throw_gp(0);
  if ((value & cr0::kNw) && !(value & cr0::kCd)) throw_gp(0);
  const uint64_t changed = cpu.cr0 ^ value;
  if (uses_pdptes(value, cpu.cr4) && (changed & (cr0::kCd | cr0::kNw | cr0::kPg)) &&
      !load_pdptes(interp, cpu.cr3)) {
    throw_gp(0);
  }
  cpu.cr0 = value;
  interp.mmu.control_registers_changed();
  interp.mode_changed();
}

void write_cr3(Interp& interp, uint64_t value) {
  CpuState& cpu = interp.cpu;
  if (uses_pdptes(cpu.cr0, cpu.cr4) && !load_pdptes(interp, value)) throw_gp(0);
  cpu.cr3 = value;
  interp.mmu.cr3_loaded();
  interp.mmu.control_registers_changed();
  interp.end_block();
}

void write_cr4(Interp& interp, uint64_t value) {
  CpuState& cpu = interp.cpu;
  if (value & ~cr4_bits(interp.context.model)) throw_gp(0);
  const uint64_t changed = cpu.cr4 ^ value;
  if (uses_pdptes(cpu.cr0, value) && (changed & (cr4::kPae | cr4::kPge | cr4::kPse)) &&
      !load_pdptes(interp, cpu.cr3)) {
    throw_gp(0);
  }
  cpu.cr4 = value;
  interp.mmu.control_registers_changed();
  interp.mode_changed();
}

bool has_cr4(const CpuModel& model) {
  return cr4_bits(model) != 0;
}

void mov_to_cr(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  const uint64_t value = interp.reg<uint32_t>(insn.rm(), insn);
  switch (insn.reg()) {
    case 0:
      write_cr0(interp, value);
      break;
    case 2:
      interp.cpu.cr2 = value;
      break;
    case 3:
      write_cr3(interp, value);
      break;
    case 4:
      if (!has_cr4(interp.context.model)) throw_ud();
      write_cr4(interp, value);
      break;
    default:
      throw_ud();
  }
}

void mov_from_cr(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  uint64_t value = 0;
  switch (insn.reg()) {
    case 0:
      value = interp.cpu.cr0;
      break;
    case 2:
      value = interp.cpu.cr2;
      break;
    case 3:
      value = interp.cpu.cr3;
      break;
    case 4:
      if (!has_cr4(interp.context.model)) throw_ud();
      value = interp.cpu.cr4;
      break;
    default:
      throw_ud();
  }
  interp.set_reg<uint32_t>(insn.rm(), insn, static_cast<uint32_t>(value));
}

/// DR4 and DR5 are DR6 and DR7, or with CR4.DE do not exist. DR7.GD makes any access a #DB.
unsigned checked_debug_register(Interp& interp, const Insn& insn) {
  require_cpl0(interp);
  unsigned number = insn.reg() & 7;
  if (number == 4 || number == 5) {
    if (interp.cpu.cr4 & cr4::kDe) throw_ud();
    number += 2;
  }
  if (interp.cpu.dr[7] & kDr7Gd) {
    interp.cpu.dr[6] |= kDr6Bd;
    throw Fault{1};
  }
  return number;
}

void mov_from_dr(Interp& interp, const Insn& insn) {
  const unsigned number = checked_debug_register(interp, insn);
  interp.set_reg<uint32_t>(insn.rm(), insn, static_cast<uint32_t>(interp.cpu.dr[number]));
}

void mov_to_dr(Interp& interp, const Insn& insn) {
  const unsigned number = checked_debug_register(interp, insn);
  const uint64_t value = interp.reg<uint32_t>(insn.rm(), insn);
  uint64_t& dr = interp.cpu.dr[number];
  if (number == 6) {
    dr = (value & 0xe00f) | 0xffff0ff0;
  } else if (number == 7) {
    dr = (value & 0xffff23ff) | 0x400;
  } else {
    dr = value;
  }
  interp.mode_changed();
}

}  // namespace

bool load_pdptes(Interp& interp, uint64_t cr3_value) {
  CpuState& cpu = interp.cpu;
  std::array<uint64_t, 4> entries;
  const uint64_t reserved = (~uint64_t{0} << interp.context.model.physical_bits) | 0x1e6;
  for (unsigned i = 0; i < 4; ++i) {
    entries[i] = interp.context.memory.read_value<uint64_t>({(cr3_value & 0xffffffe0) + 8 * i});
    if ((entries[i] & 1) && (entries[i] & reserved)) return false;
  }
  cpu.pdpte = entries;
  return true;
}

namespace bind {

Handler MOV_CR(const Insn& insn) {
  return insn.opcode == 0x20 ? mov_from_cr : mov_to_cr;
}
Handler MOV_DR(const Insn& insn) {
  return insn.opcode == 0x21 ? mov_from_dr : mov_to_dr;
}

}  // namespace bind

}  // namespace vireo::interp
