#include "core/isa/disassemble.h"

#include <capstone/capstone.h>

#include "core/check.h"

namespace vireo::isa {
namespace {

/// Opened once per thread and code size: opening costs more than disassembling.
class Handle {
 public:
  explicit Handle(cs_mode mode) { CHECK(cs_open(CS_ARCH_X86, mode, &handle_) == CS_ERR_OK); }
  ~Handle() { cs_close(&handle_); }
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;

  csh get() const { return handle_; }

 private:
  csh handle_ = 0;
};

csh handle_for(CodeSize code_size) {
  thread_local const Handle handles[] = {Handle(CS_MODE_16), Handle(CS_MODE_32), Handle(CS_MODE_64)};
  return handles[static_cast<unsigned>(code_size)].get();
}

}  // namespace

Disassembly disassemble_one(std::span<const uint8_t> bytes, CodeSize code_size, uint64_t rip) {
  cs_insn* insn = nullptr;
  const size_t count = cs_disasm(handle_for(code_size), bytes.data(), bytes.size(), rip, 1, &insn);
  if (count == 0) return {"(bad)", 0};
  Disassembly found{insn->mnemonic, insn->size};
  if (insn->op_str[0]) found.text.append(" ").append(insn->op_str);
  cs_free(insn, count);
  return found;
}

std::string disassemble(std::span<const uint8_t> bytes, CodeSize code_size, uint64_t rip) {
  return disassemble_one(bytes, code_size, rip).text;
}

}  // namespace vireo::isa
