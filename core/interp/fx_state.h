// The x87 and MMX side of the FXSAVE image: tags, TOP, instruction pointers, environments.
// Source: Intel SDM volume 1 chapters 8 and 10.5.1; what the SDM leaves open was measured on a Sapphire
// Rapids Xeon.
#pragma once

#include <cstdint>

#include "core/cpu_state.h"
#include "core/isa/insn.h"
#include "core/isa/mnemonic.h"

namespace vireo::interp {

namespace fsw {
inline constexpr uint16_t kIe = 1u << 0;
inline constexpr uint16_t kDe = 1u << 1;
inline constexpr uint16_t kZe = 1u << 2;
inline constexpr uint16_t kOe = 1u << 3;
inline constexpr uint16_t kUe = 1u << 4;
inline constexpr uint16_t kPe = 1u << 5;
inline constexpr uint16_t kExceptions = 0x3f;
inline constexpr uint16_t kEs = 1u << 7;
inline constexpr uint16_t kC0 = 1u << 8;
inline constexpr uint16_t kC1 = 1u << 9;
inline constexpr uint16_t kC2 = 1u << 10;
inline constexpr uint16_t kC3 = 1u << 14;
inline constexpr uint16_t kConditions = kC0 | kC1 | kC2 | kC3;
inline constexpr unsigned kTopShift = 11;
inline constexpr uint16_t kTop = 7u << kTopShift;
inline constexpr uint16_t kB = 1u << 15;
}  // namespace fsw

inline unsigned x87_top(const FxState& fx) {
  return (fx.fsw & fsw::kTop) >> fsw::kTopShift;
}

/// Changes TOP; physical registers keep their contents, so the image, which is in stack order, rotates.
void rotate_to_top(FxState& fx, unsigned top);
inline void set_x87_top(FxState& fx, unsigned top) {
  if (x87_top(fx) != top) rotate_to_top(fx, top);
}

/// What any MMX instruction but EMMS does to the x87 state: TOP = 0, all tags valid.
inline void enter_mmx(FxState& fx) {
  set_x87_top(fx, 0);
  fx.ftw = 0xff;
}

/// Loads a control or status word as FLDCW, FLDENV, FXRSTOR do: reserved bits of FCW are fixed, ES and B
/// follow from the exception flags and masks. Does not rotate the register image.
void set_x87_control(FxState& fx, uint16_t control, uint16_t status);

/// FOP, FIP, FCS, FDP, FDS.
struct X87Pointers {
  uint16_t fop = 0;
  uint32_t fip = 0;
  uint16_t fcs = 0;
  uint32_t fdp = 0;
  uint16_t fds = 0;

  static X87Pointers of(const FxState& fx) { return {fx.fop, fx.fip, fx.fcs, fx.fdp, fx.fds}; }
  void store(FxState& fx) const {
    fx.fop = fop;
    fx.fip = fip;
    fx.fcs = fcs;
    fx.fdp = fdp;
    fx.fds = fds;
  }
};

/// An x87 control instruction, or EMMS: FIP, FCS, FOP, FDP and FDS stay as they are (FNINIT clears them).
bool keeps_x87_pointers(isa::Mnemonic mnemonic);

/// After any other one: FIP and FCS always; FOP, and FDP and FDS with a memory operand at
/// `offset`, only when it has raised an unmasked exception (as CPUs with CPUID.7.EBX[6] do).
void record_x87_instruction(CpuState& cpu, const isa::Insn& insn, bool memory, uint64_t offset);

/// The full tag word, which FXSAVE does not keep: from the abridged one and the registers' contents.
uint16_t full_tag_word(const FxState& fx);

/// FNSTENV and FLDENV images: 14 or 28 bytes, in the real-mode (also V86) or protected-mode format.
struct X87EnvironmentFormat {
  bool wide;  ///< 32-bit operand size: 28 bytes
  bool protected_mode;
  unsigned field_bytes() const { return wide ? 4 : 2; }
  unsigned bytes() const { return 7 * field_bytes(); }
};
void store_x87_environment(const FxState& fx, X87EnvironmentFormat format, uint8_t* out);
/// Also TOP and the tags; rotates the register image.
void load_x87_environment(FxState& fx, X87EnvironmentFormat format, const uint8_t* bytes);

/// FNINIT: default control word, all registers empty, pointers 0.
void init_x87(FxState& fx);

}  // namespace vireo::interp
