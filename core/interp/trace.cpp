// `--trace cpu`: one line for each instruction, with the registers before it.
#include "core/interp/interp_impl.h"
#include "core/isa/decode.h"
#include "core/isa/disassemble.h"

namespace vireo::interp {

void Interp::Impl::trace_instruction(const Insn& insn) {
  uint8_t bytes[isa::kMaxInsnLength];
  const uint64_t linear = (cpu.segment(SegReg::kCs).base + cpu.rip) & in.linear_mask_;
  for (unsigned i = 0; i < insn.length; ++i) {
    const Gla address{(linear + i) & in.linear_mask_};
    fill_for_fetch(address.value);
    in.mmu.read_slow(address, in.privilege_, &bytes[i], 1);
  }
  const auto r = [&](Gpr g) { return static_cast<uint32_t>(cpu.reg(g)); };
  trace(LogCategory::kCpu,
        "{:04x}:{:08x} {:<40} eax={:08x} ecx={:08x} edx={:08x} ebx={:08x} esp={:08x} ebp={:08x} esi={:08x} "
        "edi={:08x} efl={:08x}",
        cpu.segment(SegReg::kCs).selector, cpu.rip,
        isa::disassemble({bytes, insn.length}, mode.code_size(), cpu.rip), r(Gpr::kRax), r(Gpr::kRcx),
        r(Gpr::kRdx), r(Gpr::kRbx), r(Gpr::kRsp), r(Gpr::kRbp), r(Gpr::kRsi), r(Gpr::kRdi),
        static_cast<uint32_t>(cpu.rflags));
}

}  // namespace vireo::interp
