// x87 instructions that the generic executor does not fit: environments, the FXSAVE image, status to AX,
// WAIT. Source: Intel SDM volume 1 chapters 8 and 10.5, volume 2.
#include <array>
#include <cstring>

#include "core/interp/ferr.h"
#include "core/interp/fx_state.h"
#include "core/interp/mxcsr.h"
#include "core/interp/operands.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

X87EnvironmentFormat environment_format(const Interp& interp, const Insn& insn) {
  return {.wide = insn.operand_size != 2, .protected_mode = !interp.cpu.real_or_v86()};
}

constexpr unsigned kRegisterBytes = 10;

bool alignment_checks(const CpuState& cpu) {
  return (cpu.cr0 & cr0::kAm) && (cpu.rflags & rflags::kAc) && cpu.cpl == 3;
}

[[noreturn]] void throw_ac() {
  constexpr uint8_t kAlignmentCheck = 17;
  throw Fault{kAlignmentCheck, true, 0};
}

void touch(Interp& interp, const Insn& insn, uint64_t offset, unsigned bytes, bool write) {
  uint32_t unused;
  if (write) {
    interp.probe_write(insn.segment, offset, bytes);
  } else {
    interp.read_bytes(insn.segment, offset, &unused, bytes);
  }
}

uint64_t last_byte(const Insn& insn, uint64_t offset, unsigned bytes) {
  return (offset + bytes - 1) & (~uint64_t{0} >> (64 - 8 * insn.address_size));
}

/// Where an environment or state image of `bytes` bytes is, after the checks that the processor makes before
/// it moves anything: the first field, the last byte.
uint64_t image_offset(Interp& interp, const Insn& insn, X87EnvironmentFormat format, unsigned bytes,
                      bool write) {
  const uint64_t offset = interp.effective_address(insn);
  touch(interp, insn, offset, format.field_bytes(), write);
  touch(interp, insn, last_byte(insn, offset, bytes), 1, write);
  return offset;
}

void fnstsw_ax(Interp& interp, const Insn& insn) {
  interp.check_x87(false);
  interp.set_reg<uint16_t>(0, insn, interp.cpu.fx.fsw);
}

void fnstsw_memory(Interp& interp, const Insn& insn) {
  interp.check_x87(false);
  interp.write<uint16_t>(insn.segment, interp.effective_address(insn), interp.cpu.fx.fsw);
}

void fnstenv(Interp& interp, const Insn& insn) {
  interp.check_x87(false);
  FxState& fx = interp.cpu.fx;
  const X87EnvironmentFormat format = environment_format(interp, insn);
  const uint64_t offset = image_offset(interp, insn, format, format.bytes(), true);
  std::array<uint8_t, 28> image;
  store_x87_environment(fx, format, image.data());
  interp.write_bytes(insn.segment, offset, image.data(), format.bytes());
  // All exceptions are then masked, which takes a pending one back.
  const uint16_t status = fx.fsw;
  set_x87_control(fx, fx.fcw | fsw::kExceptions, status);
  release_ferr(interp, status);
}

void fldenv(Interp& interp, const Insn& insn) {
  interp.check_x87(true);
  const X87EnvironmentFormat format = environment_format(interp, insn);
  const uint64_t offset = image_offset(interp, insn, format, format.bytes(), false);
  std::array<uint8_t, 28> image;
  interp.read_bytes(insn.segment, offset, image.data(), format.bytes());
  const uint16_t status = interp.cpu.fx.fsw;
  load_x87_environment(interp.cpu.fx, format, image.data());
  release_ferr(interp, status);
}

void fnsave(Interp& interp, const Insn& insn) {
  interp.check_x87(false);
  FxState& fx = interp.cpu.fx;
  const X87EnvironmentFormat format = environment_format(interp, insn);
  const unsigned bytes = format.bytes() + 8 * kRegisterBytes;
  const uint64_t offset = image_offset(interp, insn, format, bytes, true);
  std::array<uint8_t, 108> image;
  store_x87_environment(fx, format, image.data());
  uint8_t* out = image.data() + format.bytes();
  for (const auto& st : fx.st) {
    std::memcpy(out, st.data(), kRegisterBytes);
    out += kRegisterBytes;
  }
  interp.write_bytes(insn.segment, offset, image.data(), bytes);
  const uint16_t status = fx.fsw;
  init_x87(fx);
  release_ferr(interp, status);
}

void frstor(Interp& interp, const Insn& insn) {
  interp.check_x87(true);
  FxState& fx = interp.cpu.fx;
  const X87EnvironmentFormat format = environment_format(interp, insn);
  const unsigned bytes = format.bytes() + 8 * kRegisterBytes;
  const uint64_t offset = image_offset(interp, insn, format, bytes, false);
  std::array<uint8_t, 108> image;
  interp.read_bytes(insn.segment, offset, image.data(), bytes);
  const uint16_t status = fx.fsw;
  load_x87_environment(fx, format, image.data());
  release_ferr(interp, status);
  const uint8_t* in = image.data() + format.bytes();
  for (auto& st : fx.st) {
    std::memcpy(st.data(), in, kRegisterBytes);
    in += kRegisterBytes;
  }
}

/// TS alone does not stop WAIT (SDM 2B, WAIT), nor does EM.
void fwait(Interp& interp, const Insn&) {
  constexpr uint64_t kMonitored = cr0::kMp | cr0::kTs;
  if ((interp.cpu.cr0 & kMonitored) == kMonitored) throw_nm();
  interp.check_pending_x87_error();
}

/// As image_offset(), but alignment comes between the segment's limit and its type, which come with the
/// pages.
uint64_t fx_offset(Interp& interp, const Insn& insn, bool write) {
  const CpuState& cpu = interp.cpu;
  if (cpu.cr0 & cr0::kEm) throw_ud();
  if (cpu.cr0 & cr0::kTs) throw_nm();
  const uint64_t offset = interp.effective_address(insn);
  interp.check_limit(insn.segment, offset, 4);
  const uint64_t linear = cpu.segment(insn.segment).base + offset;
  if (linear % 4 != 0 && alignment_checks(cpu)) throw_ac();
  if (linear % 16 != 0) throw_gp();
  touch(interp, insn, last_byte(insn, offset, sizeof(FxState)), 1, write);
  return offset;
}

/// How much of the image this CPU saves now: x87, and with CR4.OSFXSR the XMM registers that the mode has.
unsigned fx_image_bytes(const Interp& interp) {
  if (!(interp.cpu.cr4 & cr4::kOsfxsr)) return offsetof(FxState, xmm);
  const bool mode64 = interp.cpu.long_mode() && (interp.cpu.segment(SegReg::kCs).access & Segment::kL);
  return offsetof(FxState, xmm) + 16 * (mode64 ? 16 : 8);
}

void fxsave(Interp& interp, const Insn& insn) {
  const uint64_t offset = fx_offset(interp, insn, true);
  FxState image = interp.cpu.fx;
  image.mxcsr_mask = mxcsr_mask(interp);
  image.reserved0 = 0;
  image.reserved1 = image.reserved2 = 0;
  interp.probe_write(insn.segment, offset, sizeof image);
  interp.write_bytes(insn.segment, offset, &image, fx_image_bytes(interp));
}

void fxrstor(Interp& interp, const Insn& insn) {
  const uint64_t offset = fx_offset(interp, insn, false);
  FxState image;
  interp.read_bytes(insn.segment, offset, &image, sizeof image);
  const bool sse = interp.cpu.cr4 & cr4::kOsfxsr;
  if (sse && (image.mxcsr & ~mxcsr_mask(interp))) throw_gp();
  FxState& fx = interp.cpu.fx;
  const uint16_t status = fx.fsw;
  // The register image comes in the stack order of the new TOP, so it needs no rotation.
  set_x87_control(fx, image.fcw, image.fsw);
  fx.ftw = image.ftw;
  X87Pointers pointers = X87Pointers::of(image);
  pointers.fop &= 0x7ff;
  pointers.store(fx);
  for (unsigned i = 0; i < 8; ++i) std::memcpy(fx.st[i].data(), image.st[i].data(), kRegisterBytes);
  release_ferr(interp, status);
  if (sse) {
    fx.mxcsr = image.mxcsr;
    const unsigned registers = (fx_image_bytes(interp) - offsetof(FxState, xmm)) / 16;
    std::copy_n(image.xmm.begin(), registers, fx.xmm.begin());
  }
}

}  // namespace

namespace bind {

Handler FNSTSW(const Insn& insn) {
  const bool memory = isa::row(insn).operands[0].kind == isa::OperandKind::kM;
  return memory ? fnstsw_memory : fnstsw_ax;
}
Handler FNSTENV(const Insn&) {
  return fnstenv;
}
Handler FLDENV(const Insn&) {
  return fldenv;
}
Handler FNSAVE(const Insn&) {
  return fnsave;
}
Handler FRSTOR(const Insn&) {
  return frstor;
}
Handler FWAIT(const Insn&) {
  return fwait;
}
Handler FXSAVE(const Insn&) {
  return fxsave;
}
Handler FXRSTOR(const Insn&) {
  return fxrstor;
}

}  // namespace bind

}  // namespace vireo::interp
