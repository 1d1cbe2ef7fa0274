#include "tests/differential/disassembly.h"

#include <capstone/capstone.h>
#include <fmt/format.h>

namespace vireo::diff {

std::string disassemble(std::span<const uint8_t> bytes, uint32_t eip, isa::CodeSize code_size) {
  csh handle;
  if (cs_open(CS_ARCH_X86, code_size == isa::CodeSize::k16 ? CS_MODE_16 : CS_MODE_32, &handle) != CS_ERR_OK) {
    return "(Capstone does not start)";
  }
  cs_insn* insn = nullptr;
  const size_t count = cs_disasm(handle, bytes.data(), bytes.size(), eip, 1, &insn);
  std::string text = "(Capstone: no instruction)";
  if (count > 0) {
    text = fmt::format("{} {}", insn->mnemonic, insn->op_str);
    if (insn->size != bytes.size()) text += fmt::format(" (Capstone: {} bytes)", insn->size);
    cs_free(insn, count);
  }
  cs_close(&handle);
  return text;
}

}  // namespace vireo::diff
