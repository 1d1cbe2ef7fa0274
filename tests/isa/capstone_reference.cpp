#include "tests/isa/capstone_reference.h"

#include "core/check.h"

namespace vireo::isa {

CapstoneReference::CapstoneReference(CodeSize code_size) {
  constexpr cs_mode kModes[] = {CS_MODE_16, CS_MODE_32, CS_MODE_64};
  CHECK(cs_open(CS_ARCH_X86, kModes[static_cast<unsigned>(code_size)], &handle_) == CS_ERR_OK);
  CHECK(cs_option(handle_, CS_OPT_DETAIL, CS_OPT_ON) == CS_ERR_OK);
  insn_ = cs_malloc(handle_);
}

CapstoneReference::~CapstoneReference() {
  cs_free(insn_, 1);
  cs_close(&handle_);
}

const cs_insn* CapstoneReference::decode(std::span<const uint8_t> bytes) {
  const uint8_t* code = bytes.data();
  size_t size = bytes.size();
  uint64_t address = kAddress;
  return cs_disasm_iter(handle_, &code, &size, &address, insn_) ? insn_ : nullptr;
}

}  // namespace vireo::isa
