// String instructions. A single one is two probes and a move; a repeated one is the host's own REP
// instruction when what it touches lies in one page on each side, or is a copy or a fill through a window,
// else the interpreter's (which goes page by page).
#include "core/isa/mnemonic.h"
#include "translator/emitter.h"
#include "translator/frame_access.h"

namespace vireo::translator {

using namespace asmjit;
using isa::Mnemonic;

namespace {

constexpr unsigned kEsi = 6, kEdi = 7;
/// Bytes that may be moved without a look at interrupts: some 100 us where the host has all pages in its
/// caches. A page that is not in the window yet is a look.
constexpr uint32_t kLongestRun = 4 << 20;

x86::Gp sized(const x86::Gp& r, unsigned bytes) {
  return bytes == 4 ? x86::Gp(r.r32()) : bytes == 2 ? x86::Gp(r.r16()) : x86::Gp(r.r8());
}

unsigned element_bytes(const isa::Insn& insn) {
  return insn.opcode & 1 ? insn.operand_size : 1;
}

uint8_t log2_bytes(unsigned bytes) {
  return bytes == 4 ? 2 : bytes == 2 ? 1 : 0;
}

}  // namespace

bool Emitter::emit_String(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  if (!environment_.options.strings || !environment_.options.inline_memory || insn.address_size != 4)
    return false;
  return insn.rep() ? emit_repeated_string(x) : emit_single_string(x);
}

/// Strings that go down (DF = 1) are the interpreter's.
void Emitter::emit_upward_check() {
  save_flags();
  a.mov(x86::r10, VIREO_FRAME(cpu));
  a.test(x86::byte_ptr(x86::r10, static_cast<int32_t>(offsetof(CpuState, rflags) + 1)), rflags::kDf >> 8);
  a.jnz(step_label());
}

bool Emitter::emit_single_string(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  const unsigned bytes = element_bytes(insn);
  const auto step = static_cast<int32_t>(bytes);
  const Gp esi = host::guest32(kEsi), edi = host::guest32(kEdi);
  const auto advance = [&](const Gp& r) { a.lea(r, x86::ptr(r.r64(), step)); };
  const auto place = [&](SegReg segment, const Gp& offset, bool write) {
    const Mem m = emit_linear(emit_segment(segment, offset, bytes, write), bytes, write);
    note_access(m, write);
    return m;
  };
  const auto source = [&] { return place(insn.segment, esi, false); };
  const auto destination = [&](bool write) { return place(SegReg::kEs, edi, write); };
  const bool needs_value = x.row->mnemonic == Mnemonic::MOVS || x.row->mnemonic == Mnemonic::CMPS;
  const bool needs_address = !windowed() || !flat(SegReg::kEs) || !flat(insn.segment);
  const Gp accumulator = sized(x86::r8, bytes);
  const Gp value = sized(needs_value && needs_address ? use_value() : Gp(x86::r10), bytes);
  emit_upward_check();
  switch (x.row->mnemonic) {
    case Mnemonic::LODS:
      a.mov(accumulator, source());
      advance(esi);
      return true;
    case Mnemonic::STOS:
      a.mov(destination(true), accumulator);
      advance(edi);
      return true;
    case Mnemonic::MOVS:
      a.mov(value, source());
      a.mov(destination(true), value);
      advance(esi);
      advance(edi);
      return true;
    case Mnemonic::SCAS:
      a.cmp(accumulator, destination(false));
      flags_ = FlagState::kEflags;
      advance(edi);
      return true;
    case Mnemonic::CMPS:
      // In the order in which Intel's CPUs fault.
      a.mov(value, destination(false));
      a.mov(sized(x86::r11, bytes), source());
      a.cmp(sized(x86::r11, bytes), value);
      flags_ = FlagState::kEflags;
      advance(esi);
      advance(edi);
      return true;
    default:
      return false;
  }
}

/// Leaves for the interpreter unless `pointer` and the `bytes` from there on are in one page.
void Emitter::emit_one_page_check(const Gp& pointer, const Gp& bytes) {
  a.mov(x86::r11d, pointer.r32());
  a.and_(x86::r11d, static_cast<uint32_t>(kPageMask));
  a.add(x86::r11, bytes);
  a.cmp(x86::r11, static_cast<uint32_t>(kPageSize));
  a.ja(step_label());
}

/// Goes to `none` if ECX is 0, and on if all that is left to do lies in one page, at ESI (`source`) in
/// another one.
void Emitter::emit_whole_run_check(unsigned bytes, bool source, const Label& none) {
  emit_upward_check();
  a.test(x86::ecx, x86::ecx);
  a.jz(none);
  const Gp length = use_value();
  a.mov(length.r32(), x86::ecx);
  a.shl(length, log2_bytes(bytes));
  emit_one_page_check(x86::edi, length);
  if (source) emit_one_page_check(x86::esi, length);
}

bool Emitter::emit_repeated_string(const ScannedInsn& x) {
  const isa::Insn& insn = x.insn;
  const Mnemonic mnemonic = x.row->mnemonic;
  const bool copies = mnemonic == Mnemonic::MOVS;
  if (!flat(SegReg::kEs)) return false;
  if (mnemonic == Mnemonic::SCAS) return emit_repeated_scas(x);
  if (!flat(insn.segment) && mnemonic != Mnemonic::STOS) return false;
  if (mnemonic == Mnemonic::CMPS) return emit_repeated_cmps(x);
  if (!copies && mnemonic != Mnemonic::STOS) return false;
  if (windowed() && !block_->self_checking) return emit_windowed_run(x);
  const unsigned bytes = element_bytes(insn);
  const Gp esi = host::guest32(kEsi), edi = host::guest32(kEdi);
  const Label done = a.newLabel();
  emit_whole_run_check(bytes, copies, done);
  const Gp kept = use_value();  // kDelta of the source, or the flags
  // Pages as a whole are probed: no element crosses one.
  if (copies) {
    // The source first: if it faults, the destination has not been accessed.
    emit_probe(esi, 1, false);
    a.mov(kept, host::kDelta);
  }
  emit_probe(edi, 1, true);
  emit_own_page_check();
  if (copies) {
    a.add(x86::rsi, kept);
    a.add(x86::rdi, host::kDelta);
  } else {
    a.mov(kept, host::kFlags);
    a.mov(x86::eax, x86::r8d);
    a.add(x86::rdi, host::kDelta);
  }
  if (bytes == 2) a.db(0x66);
  a.db(0xf3);
  a.db(static_cast<uint8_t>((copies ? 0xa4 : 0xaa) | (bytes == 1 ? 0 : 1)));
  if (copies) {
    a.sub(x86::rsi, kept);
    a.sub(x86::rdi, host::kDelta);
    a.mov(x86::esi, x86::esi);
  } else {
    a.sub(x86::rdi, host::kDelta);
    a.mov(host::kFlags, kept);
  }
  a.mov(x86::edi, x86::edi);  // the end of the last page is address 0
  a.bind(done);
  return true;
}

/// REP MOVS and STOS where the window has all of their pages side by side. Wherever the host's instruction
/// faults, its registers say how far it has come.
bool Emitter::emit_windowed_run(const ScannedInsn& x) {
  const unsigned bytes = element_bytes(x.insn);
  const bool copies = x.row->mnemonic == Mnemonic::MOVS;
  emit_upward_check();
  a.cmp(x86::ecx, kLongestRun / bytes);
  a.ja(step_label());
  const auto check_end = [&](const Gp& pointer) {
    a.lea(x86::r10, x86::ptr(pointer, x86::rcx, log2_bytes(bytes)));
    a.shr(x86::r10, 32);
    a.jnz(step_label());
  };
  check_end(x86::rdi);
  const auto repeat = [&](Site::Kind kind, uint8_t opcode) {
    add_site(kind, insn_);
    if (bytes == 2) a.db(0x66);
    a.db(0xf3);
    a.db(static_cast<uint8_t>(opcode | (bytes == 1 ? 0 : 1)));
  };
  if (copies) check_end(x86::rsi);
  a.mov(VIREO_FRAME(run_start), x86::ecx);
  if (copies) {
    a.add(x86::rsi, host::kWindow);
    a.add(x86::rdi, host::kWindow);
    repeat(Site::Kind::kRunSaved, 0xa4);
    a.sub(x86::rsi, host::kWindow);
    a.sub(x86::rdi, host::kWindow);
  } else {
    restore_flags();  // their register is the value's
    a.mov(x86::eax, x86::r8d);
    a.lea(x86::rdi, x86::ptr(x86::rdi, host::kWindow));
    repeat(Site::Kind::kRunEflags, 0xaa);
    a.mov(x86::r10, host::kWindow);
    a.not_(x86::r10);
    a.lea(x86::rdi, x86::ptr(x86::rdi, x86::r10, 0, 1));
  }
  return true;
}

bool Emitter::emit_repeated_cmps(const ScannedInsn& x) {
  const unsigned bytes = element_bytes(x.insn);
  const Gp esi = host::guest32(kEsi), edi = host::guest32(kEdi);
  const Label none = a.newLabel();
  emit_whole_run_check(bytes, true, none);
  emit_probe(edi, 1, false);
  const Gp kept = use_value();
  a.mov(kept, host::kDelta);
  emit_probe(esi, 1, false);
  a.add(x86::rdi, kept);
  a.add(x86::rsi, host::kDelta);
  if (bytes == 2) a.db(0x66);
  a.db(x.insn.prefixes & isa::prefix::kRepne ? 0xf2 : 0xf3);
  a.db(static_cast<uint8_t>(0xa6 | (bytes == 1 ? 0 : 1)));
  a.lahf();
  a.seto(x86::al);
  a.sub(x86::rdi, kept);
  a.sub(x86::rsi, host::kDelta);
  a.mov(x86::edi, x86::edi);  // the end of the last page is address 0
  a.mov(x86::esi, x86::esi);
  a.bind(none);
  flags_ = FlagState::kSaved;
  return true;
}

/// As far as the page goes; the rest, if nothing was found, is the interpreter's.
bool Emitter::emit_repeated_scas(const ScannedInsn& x) {
  const unsigned bytes = element_bytes(x.insn);
  const Gp edi = host::guest32(kEdi);
  const Label none = a.newLabel(), done = a.newLabel(), found = a.newLabel(), whole = a.newLabel();
  emit_upward_check();
  a.test(x86::ecx, x86::ecx);
  a.jz(none);
  if (bytes > 1) {
    a.test(edi.r8(), bytes - 1);
    a.jnz(step_label());
  }
  emit_probe(edi, 1, false);
  const Gp left = use_value().r32();  // elements for the interpreter
  a.mov(x86::r10d, edi);
  a.or_(x86::r10d, static_cast<uint32_t>(~kPageMask));
  a.neg(x86::r10d);
  if (bytes > 1) a.shr(x86::r10d, log2_bytes(bytes));
  a.xor_(left, left);
  a.cmp(x86::ecx, x86::r10d);
  a.jbe(whole);
  a.mov(left, x86::ecx);
  a.sub(left, x86::r10d);
  a.mov(x86::ecx, x86::r10d);
  a.bind(whole);
  a.mov(x86::r10, host::kFlags);
  a.mov(x86::eax, x86::r8d);
  a.add(x86::rdi, host::kDelta);
  if (bytes == 2) a.db(0x66);
  a.db(x.insn.prefixes & isa::prefix::kRepne ? 0xf2 : 0xf3);
  a.db(static_cast<uint8_t>(0xae | (bytes == 1 ? 0 : 1)));
  a.lahf();  // the new flags, while ECX and EDI are put right
  a.seto(x86::al);
  a.sub(x86::rdi, host::kDelta);
  a.mov(x86::edi, x86::edi);
  a.add(x86::ecx, left);
  a.jz(done);
  // Ended by its condition?
  a.test(x86::ah, 0x40);
  if (x.insn.prefixes & isa::prefix::kRepne) {
    a.jnz(found);
  } else {
    a.jz(found);
  }
  a.mov(host::kFlags, x86::r10);  // it has not ended: the flags are still the old ones
  a.jmp(step_label());
  a.bind(none);
  a.bind(found);
  a.bind(done);
  flags_ = FlagState::kSaved;
  return true;
}

}  // namespace vireo::translator
