// From guest bytes to a published block.
#include "core/check.h"
#include "core/isa/cpuid.h"
#include "core/isa/decode.h"
#include "translator/translator_impl.h"

namespace vireo::translator {

namespace {

/// Control never goes on behind these (but by a return to the address that a call pushed).
bool ends_block(const isa::InsnRow& row) {
  return row.insn_class == isa::InsnClass::Control;
}

}  // namespace

void Translator::Impl::scan(const Block& block) {
  scanned.clear();
  const Gla linear{(code_base + block.rip) & 0xffffffff};
  const uint64_t in_page = kPageSize - linear.page_offset();
  const uint64_t within_limit = code_limit - block.rip + 1;
  const std::span<const uint8_t> bytes{context.mmu.code_bytes(linear, interp.privilege()),
                                       std::min(in_page, within_limit)};
  size_t used = 0;
  const bool host_has_all = true;
  static_cast<void>(host_has_all);
  while (scanned.size() < options.max_block_insns && used < bytes.size()) {
    ScannedInsn x;
    if (isa::decode(bytes.subspan(used), interp.code_size(), x.insn) != isa::DecodeStatus::kOk) break;
    if (!context.model.has(isa::row(x.insn).feature) && !isa::downgrade(x.insn)) break;
    x.row = &isa::row(x.insn);
    x.bytes = bytes.subspan(used, x.insn.length);
    x.rip = block.rip + static_cast<uint32_t>(used);
    x.next_rip = x.rip + x.insn.length;
    used += x.insn.length;
    scanned.push_back(x);
    if (ends_block(*x.row)) break;
  }
}

void Translator::Impl::translate(Block& block) {
  scan(block);
  if (scanned.empty()) {
    block.state = Block::State::kInterpret;
    return;
  }
  const uint8_t* address = blocks->reserve(kMaxBlockCode);
  Emitter emitter(environment, mode, address);
  if (!emitter.emit_block(scanned, block)) {
    block.state = Block::State::kInterpret;
    return;
  }
  CHECK(block.code_bytes <= kMaxBlockCode);
  buffer->write(address, emitter.code());
  blocks->publish(&block);
}

}  // namespace vireo::translator
