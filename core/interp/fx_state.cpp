#include "core/interp/fx_state.h"

#include <algorithm>
#include <cstring>

namespace vireo::interp {

namespace {

constexpr uint16_t kFcwWritable = 0x1f3f;
constexpr uint16_t kFcwFixed = 0x0040;
constexpr uint16_t kFopMask = 0x7ff;

}  // namespace

void rotate_to_top(FxState& fx, unsigned top) {
  const unsigned old = x87_top(fx);
  // ST(i) is physical register (TOP + i) & 7.
  std::rotate(fx.st.begin(), fx.st.begin() + ((top - old) & 7), fx.st.end());
  fx.fsw = static_cast<uint16_t>((fx.fsw & ~fsw::kTop) | top << fsw::kTopShift);
}

void set_x87_control(FxState& fx, uint16_t control, uint16_t status) {
  fx.fcw = static_cast<uint16_t>((control & kFcwWritable) | kFcwFixed);
  const bool pending = status & ~fx.fcw & fsw::kExceptions;
  fx.fsw = static_cast<uint16_t>((status & ~(fsw::kEs | fsw::kB)) | (pending ? fsw::kEs | fsw::kB : 0));
}

bool keeps_x87_pointers(isa::Mnemonic mnemonic) {
  switch (mnemonic) {
    case isa::Mnemonic::FLDCW:
    case isa::Mnemonic::FNSTCW:
    case isa::Mnemonic::FNSTSW:
    case isa::Mnemonic::FNCLEX:
    case isa::Mnemonic::FWAIT:
    case isa::Mnemonic::FNINIT:
    case isa::Mnemonic::FNENI:
    case isa::Mnemonic::FNDISI:
    case isa::Mnemonic::FNSETPM:
    case isa::Mnemonic::EMMS:
      return true;
    default:
      return false;
  }
}

void record_x87_instruction(CpuState& cpu, const isa::Insn& insn, bool memory, uint64_t offset) {
  FxState& fx = cpu.fx;
  fx.fip = static_cast<uint32_t>(cpu.rip);
  fx.fcs = cpu.segment(SegReg::kCs).selector;
  if (!(fx.fsw & fsw::kEs)) return;
  fx.fop = static_cast<uint16_t>((insn.opcode & 7) << 8 | insn.modrm);
  if (memory) {
    fx.fdp = static_cast<uint32_t>(offset);
    fx.fds = cpu.segment(insn.segment).selector;
  }
}

uint16_t full_tag_word(const FxState& fx) {
  enum : unsigned { kValid, kZero, kSpecial, kEmpty };
  unsigned word = 0;
  for (unsigned physical = 0; physical < 8; ++physical) {
    unsigned tag = kEmpty;
    if (fx.ftw & (1u << physical)) {
      const auto& bytes = fx.st[(physical - x87_top(fx)) & 7];
      uint64_t significand;
      uint16_t exponent;
      std::memcpy(&significand, bytes.data(), sizeof significand);
      std::memcpy(&exponent, bytes.data() + 8, sizeof exponent);
      exponent &= 0x7fff;
      if (exponent == 0x7fff) {
        tag = kSpecial;
      } else if (exponent == 0) {
        tag = significand == 0 ? kZero : kSpecial;
      } else {
        tag = significand >> 63 ? kValid : kSpecial;
      }
    }
    word |= tag << (2 * physical);
  }
  return static_cast<uint16_t>(word);
}

void store_x87_environment(const FxState& fx, X87EnvironmentFormat format, uint8_t* out) {
  // Seven fields; the wide format has them in double words. Reserved bits are ones where measured so.
  uint32_t field[7] = {fx.fcw, fx.fsw, full_tag_word(fx)};
  if (format.protected_mode) {
    field[3] = fx.fip;
    field[4] = format.wide ? fx.fcs | static_cast<uint32_t>(fx.fop) << 16 : fx.fcs;
    field[5] = fx.fdp;
    field[6] = fx.fds;
  } else {
    const uint32_t instruction = (static_cast<uint32_t>(fx.fcs) << 4) + fx.fip;
    const uint32_t data = (static_cast<uint32_t>(fx.fds) << 4) + fx.fdp;
    const uint32_t high = format.wide ? 0xffff : 0xf;
    field[3] = instruction & 0xffff;
    field[4] = ((instruction >> 16) & high) << 12 | fx.fop;
    field[5] = data & 0xffff;
    field[6] = ((data >> 16) & high) << 12;
  }
  if (format.wide) {
    constexpr uint32_t kReserved = 0xffff0000;
    for (const unsigned i : {0, 1, 2}) field[i] |= kReserved;
    if (format.protected_mode) field[6] |= kReserved;
    if (!format.protected_mode) {
      field[3] |= kReserved;
      field[5] |= kReserved;
    }
  }
  const unsigned size = format.wide ? 4 : 2;
  for (unsigned i = 0; i < 7; ++i) std::memcpy(out + i * size, &field[i], size);
}

void load_x87_environment(FxState& fx, X87EnvironmentFormat format, const uint8_t* bytes) {
  uint32_t field[7] = {};
  const unsigned size = format.wide ? 4 : 2;
  for (unsigned i = 0; i < 7; ++i) std::memcpy(&field[i], bytes + i * size, size);

  const uint16_t status = static_cast<uint16_t>(field[1]);
  set_x87_top(fx, (status & fsw::kTop) >> fsw::kTopShift);
  set_x87_control(fx, static_cast<uint16_t>(field[0]), status);
  fx.ftw = 0;
  for (unsigned i = 0; i < 8; ++i) {
    if (((field[2] >> (2 * i)) & 3) != 3) fx.ftw = static_cast<uint8_t>(fx.ftw | 1u << i);
  }
  X87Pointers pointers;
  if (format.protected_mode) {
    pointers.fip = field[3];
    pointers.fcs = static_cast<uint16_t>(field[4]);
    if (format.wide) pointers.fop = static_cast<uint16_t>((field[4] >> 16) & kFopMask);
    pointers.fdp = field[5];
    pointers.fds = static_cast<uint16_t>(field[6]);
  } else {
    // Linear addresses: they stand for any selector that gives them; 0 keeps them whole.
    pointers.fip = (field[3] & 0xffff) | (field[4] >> 12) << 16;
    pointers.fop = static_cast<uint16_t>(field[4] & kFopMask);
    pointers.fdp = (field[5] & 0xffff) | (field[6] >> 12) << 16;
  }
  pointers.store(fx);
}

void init_x87(FxState& fx) {
  set_x87_top(fx, 0);
  fx.fcw = 0x37f;
  fx.fsw = 0;
  fx.ftw = 0;
  X87Pointers{}.store(fx);
}

}  // namespace vireo::interp
