// `--trace cpu`: one line for each instruction, disassembled by Capstone, which is also the decoder's
// independent check: a length that differs is shown.
#include <capstone/capstone.h>

#include <memory>

#include "core/interp/interp_impl.h"

namespace vireo::interp {

namespace {

/// Capstone with one handle for each code size.
class Disassembler {
 public:
  Disassembler() {
    constexpr cs_mode kModes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
    for (unsigned i = 0; i < 3; ++i) {
      if (cs_open(CS_ARCH_X86, kModes[i], &handles_[i]) != CS_ERR_OK) handles_[i] = 0;
    }
  }
  ~Disassembler() {
    for (csh& handle : handles_) {
      if (handle != 0) cs_close(&handle);
    }
  }

  std::string text(isa::CodeSize size, const uint8_t* bytes, size_t count, uint64_t address, size_t* length) {
    const csh handle = handles_[static_cast<unsigned>(size)];
    cs_insn* insn = nullptr;
    if (handle == 0 || cs_disasm(handle, bytes, count, address, 1, &insn) != 1) {
      *length = 0;
      return "(bad)";
    }
    std::string line = fmt::format("{} {}", insn->mnemonic, insn->op_str);
    *length = insn->size;
    cs_free(insn, 1);
    return line;
  }

 private:
  csh handles_[3] = {};
};

}  // namespace

void Interp::Impl::trace_instruction(const Insn& insn) {
  static Disassembler disassembler;
  uint8_t bytes[15];
  const uint64_t linear = (cpu.segment(SegReg::kCs).base + cpu.rip) & in.linear_mask_;
  for (unsigned i = 0; i < insn.length; ++i) {
    const Gla address{(linear + i) & in.linear_mask_};
    if (in.mmu.entry(address, in.privilege_).slow_page != (address.value & ~kPageMask))
      fill_for_fetch(address.value);
    in.mmu.read_slow(address, in.privilege_, &bytes[i], 1);
  }
  size_t length = 0;
  const std::string text = disassembler.text(mode.code_size(), bytes, insn.length, cpu.rip, &length);
  const auto r = [&](Gpr g) { return static_cast<uint32_t>(cpu.reg(g)); };
  vireo::trace(
      LogCategory::kCpu,
      "{:04x}:{:08x} {:<40}{} eax={:08x} ecx={:08x} edx={:08x} ebx={:08x} esp={:08x} ebp={:08x} esi={:08x} "
      "edi={:08x} efl={:08x}",
      cpu.segment(SegReg::kCs).selector, cpu.rip, text, length == insn.length ? "" : " (length differs)",
      r(Gpr::kRax), r(Gpr::kRcx), r(Gpr::kRdx), r(Gpr::kRbx), r(Gpr::kRsp), r(Gpr::kRbp), r(Gpr::kRsi),
      r(Gpr::kRdi), static_cast<uint32_t>(cpu.rflags));
}

}  // namespace vireo::interp
