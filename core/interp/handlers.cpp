#include "core/interp/handlers.h"

#include <array>

#include "core/isa/cpuid.h"
#include "core/isa/decode.h"
#include "core/isa/insn_row.h"

namespace vireo::interp {

namespace {

using Binder = Handler (*)(const Insn&);

void undefined(Interp&, const Insn&) {
  throw_ud();
}

Handler bind_undefined(const Insn&) {
  return undefined;
}

/// By Mnemonic, so in the order of insn_table.inc.
constexpr Binder kBinders[] = {
#define INSTRUCTION(name, ...) bind::name,
#define NATIVE(name, ...) bind_native,
#define DECODE_ONLY(name, ...) bind_undefined,
#include "core/isa/insn_table.inc"
};

}  // namespace

Handler ud_handler() {
  return undefined;
}

Handler bind_handler(Insn& insn, const CpuModel& model) {
  if (!model.has(isa::row(insn).feature) && !isa::downgrade(insn)) return undefined;
  return kBinders[static_cast<size_t>(insn.mnemonic)](insn);
}

}  // namespace vireo::interp
