#include "tests/fuzz/fuzz_case.h"

#include <algorithm>

#include "core/isa/cpuid.h"
#include "core/isa/insn_row.h"
#include "core/isa/msr.h"
#include "tests/differential/encoding_generator.h"
#include "tests/differential/values.h"
#include "tests/fuzz/fuzz_memory.h"

namespace vireo::fuzz {
namespace {

enum class Mode : uint8_t { kReal, kV86, kProtected16, kProtected32 };
constexpr const char* kModeNames[] = {"real mode", "V86 mode", "16-bit protected mode",
                                      "32-bit protected mode"};
enum class Paging : uint8_t { kOff, kLegacy, kPae };
constexpr const char* kPagingNames[] = {"no paging", "32-bit paging", "PAE paging"};

class Generator {
 public:
  Generator(diff::Rng& rng, uint64_t most_instructions) : rng_(rng), most_instructions_(most_instructions) {}

  FuzzCase run() {
    mode_ = static_cast<Mode>(rng_.below(4));
    if (rng_.chance(30)) mode_ = Mode::kProtected32;
    ring_ = mode_ == Mode::kReal ? 0 : mode_ == Mode::kV86 ? 3 : rng_.chance(50) ? 0 : 3;
    paging_ = mode_ == Mode::kReal ? Paging::kOff : static_cast<Paging>(rng_.below(3));
    resuming_ = rng_.chance(60);
    case_.mode = static_cast<unsigned>(mode_) * 6 + (ring_ == 3 ? 3 : 0) + static_cast<unsigned>(paging_);
    case_.code_size = mode_ == Mode::kProtected32 ? isa::CodeSize::k32 : isa::CodeSize::k16;
    make_code();
    make_state();
    if (paging_ != Paging::kOff && rng_.chance(60)) make_page_entries();
    make_events();
    return std::move(case_);
  }

 private:
  CpuState& cpu() { return case_.start; }
  bool real_addresses() const { return mode_ == Mode::kReal || mode_ == Mode::kV86; }

  // ---- code
  void make_code() {
    const auto kind = static_cast<CodeKind>(rng_.below(3));
    if (kind == CodeKind::kBytes) {
      for (unsigned i = 16 + rng_.below(200); i > 0; i--) case_.pieces.push_back({rng_.byte()});
    } else {
      const unsigned branches = rng_.chance(50) ? rng_.below(40) : 0;
      for (unsigned i = 3 + rng_.below(40); i > 0; i--) {
        case_.pieces.push_back(rng_.chance(branches) ? branch_or_stack_bytes() : row_bytes());
      }
      if (paging_ != Paging::kOff && mode_ == Mode::kProtected32 && rng_.chance(15)) {
        for (unsigned i = 1 + rng_.below(3); i > 0; i--) {
          const auto at = static_cast<std::ptrdiff_t>(rng_.below(static_cast<uint32_t>(case_.pieces.size())));
          case_.pieces.insert(case_.pieces.begin() + at, page_entry_bytes());
        }
      }
      if (branches != 0) link_branches();
      if (kind == CodeKind::kMutatedRows) mutate();
    }
    if (rng_.chance(40)) close_loop();
    const auto bytes = static_cast<uint32_t>(case_.code().size());
    uint32_t offset = rng_.below(0x3000);
    if (rng_.chance(25)) offset = 0x1000 * (1 + rng_.below(3)) - rng_.below(std::min(bytes, 0xfffu) + 1);
    if (rng_.chance(5)) offset = kArenaBytes - rng_.below(bytes + 1);
    offset = std::min(offset, kArenaBytes - 1);
    case_.code_at = kArena + offset;
  }

  std::vector<uint8_t> row_bytes() {
    for (;;) {
      const isa::InsnRow& row = rng_.pick(isa::rows());
      // Most rows are of vector instructions.
      const bool vector =
          row.family == isa::Family::Avx || row.family == isa::Family::Sse || row.family == isa::Family::Mmx;
      if (vector && !rng_.chance(row.family == isa::Family::Avx ? 2 : 20)) continue;
      const auto code = diff::encode_row(rng_, row, case_.code_size);
      if (code && (code->decoded || rng_.chance(5))) return code->bytes;
    }
  }

  /// MOV dword [page table entry of the arena], imm32: mostly another page of the arena, and no INVLPG.
  std::vector<uint8_t> page_entry_bytes() {
    const uint32_t page = kArena / 0x1000 + rng_.below(rng_.chance(60) ? 4 : 16);
    const uint32_t at = page_entry_at(page, paging_ == Paging::kPae) + (ring_ == 0 ? 0 : kAlias);
    uint32_t entry = kArena | rng_.below(16) << 12 | 7;
    if (rng_.chance(20)) entry = (entry & 0xfff) | page << 12;
    if (rng_.chance(20)) entry ^= 1u << rng_.below(9);
    std::vector<uint8_t> bytes{0xc7, 0x05};
    for (uint32_t value : {at, entry}) {
      for (unsigned shift = 0; shift < 32; shift += 8) bytes.push_back(static_cast<uint8_t>(value >> shift));
    }
    return bytes;
  }

  static bool is_near_branch(uint8_t opcode) {
    return (opcode & 0xf0) == 0x70 || opcode == 0xe8 || opcode == 0xe9 || opcode == 0xeb ||
           (opcode >= 0xe0 && opcode <= 0xe3);
  }

  /// What compiled code has most of. The displacements come later.
  std::vector<uint8_t> branch_or_stack_bytes() {
    const auto number = static_cast<uint8_t>(rng_.below(8));
    const auto not_esp = static_cast<uint8_t>(number == 4 ? 0 : number);
    switch (rng_.below(12)) {
      case 0:
      case 1:
      case 2:
        return {static_cast<uint8_t>(0x70 + rng_.below(16)), 0};
      case 3:
        return {static_cast<uint8_t>(0xe0 + rng_.below(4)), 0};
      case 4:
        return {0xeb, 0};
      case 5:
      case 6: {
        std::vector<uint8_t> call(case_.code_size == isa::CodeSize::k32 ? 5 : 3);
        call[0] = rng_.chance(80) ? 0xe8 : 0xe9;
        return call;
      }
      case 7:
        return {0xc3};
      case 8:
      case 9:
        return {static_cast<uint8_t>(0x50 + number)};
      case 10:
        return {static_cast<uint8_t>(0x58 + not_esp)};
      default:  // MOV with [ESP + disp8], in 16-bit code other things
        return {static_cast<uint8_t>(rng_.chance(50) ? 0x89 : 0x8b),
                static_cast<uint8_t>(0x44 | not_esp << 3), 0x24, static_cast<uint8_t>(4 * rng_.below(8))};
    }
  }

  /// Short and near branches of pieces go to pieces.
  void link_branches() {
    std::vector<int> start;
    int end = 0;
    for (const auto& piece : case_.pieces) {
      start.push_back(end);
      end += static_cast<int>(piece.size());
    }
    for (size_t i = 0; i < case_.pieces.size(); i++) {
      auto& piece = case_.pieces[i];
      if (!is_near_branch(piece[0]) || piece.size() < 2) continue;
      // Mostly ahead, lest it goes round and round.
      const auto pieces = static_cast<uint32_t>(start.size());
      const auto at = static_cast<uint32_t>(i);
      const uint32_t to = rng_.chance(75) ? at + rng_.below(pieces - at) : rng_.below(pieces);
      const int distance = start[to] - start[i] - static_cast<int>(piece.size());
      for (size_t b = 1; b < piece.size(); b++)
        piece[b] = static_cast<uint8_t>(distance >> (8 * std::min<size_t>(b - 1, 3)));
    }
  }

  void mutate() {
    for (auto& piece : case_.pieces) {
      if (!rng_.chance(25)) continue;
      const uint32_t at = rng_.below(static_cast<uint32_t>(piece.size()));
      switch (rng_.below(4)) {
        case 0:
          piece[at] ^= static_cast<uint8_t>(1 << rng_.below(8));
          break;
        case 1:
          piece[at] = rng_.byte();
          break;
        case 2:
          piece.resize(at + 1);
          break;
        default:
          piece.insert(piece.begin() + at, rng_.byte());
          break;
      }
    }
  }

  /// A jump back, near the end, so that code runs again and again.
  void close_loop() {
    size_t bytes = 0, from = case_.pieces.size();
    const size_t most = case_.pieces.size() > 1 ? 1 + rng_.below(static_cast<uint32_t>(from - 1)) : 1;
    for (size_t i = 0; i < most && bytes + case_.pieces[from - 1].size() < 120 && from > 1; i++) {
      bytes += case_.pieces[--from].size();
    }
    constexpr uint8_t kJumps[] = {0xeb, 0xe2, 0x75, 0x74, 0x72, 0x73, 0x79};
    case_.pieces.push_back({rng_.pick(kJumps), static_cast<uint8_t>(-static_cast<int>(bytes) - 2)});
  }

  // ---- state
  static Segment segment_of(uint16_t selector) {
    const uint64_t d = descriptor_of(selector);
    Segment s;
    s.selector = selector;
    if ((selector & ~3) == 0) return s;
    s.base = ((d >> 16) & 0xffffff) | ((d >> 56) << 24);
    const auto limit = static_cast<uint32_t>((d & 0xffff) | ((d >> 32) & 0xf0000));
    s.access = static_cast<uint16_t>((d >> 40) & 0xf0ff);
    s.limit = s.access & Segment::kG ? limit << 12 | 0xfff : limit;
    return s;
  }

  void real_segments() {
    for (Segment& s : cpu().seg) {
      const uint16_t selector = rng_.chance(80) ? kArena >> 4 : static_cast<uint16_t>(rng_.below(0x10000));
      s = {.base = uint64_t{selector} << 4, .limit = 0xffff, .selector = selector, .access = 0x93};
      if (mode_ == Mode::kV86) s.access = 0xf3;
    }
    Segment& cs = cpu().segment(SegReg::kCs);
    const uint16_t selector = rng_.chance(70) ? kArena >> 4 : static_cast<uint16_t>(case_.code_at >> 4);
    cs.selector = selector;
    cs.base = uint64_t{selector} << 4;
  }

  void protected_segments() {
    const auto rpl = static_cast<uint16_t>(ring_);
    const bool wide = mode_ == Mode::kProtected32;
    const uint16_t code = ring_ == 0 ? (wide ? kCode32 : kCode16) : (wide ? kUserCode32 : kUserCode16);
    const uint16_t data = ring_ == 0 ? (wide ? kData32 : kData16) : (wide ? kUserData32 : kUserData16);
    for (Segment& s : cpu().seg) {
      constexpr uint16_t kOthers[] = {0, kUserData32, kUserData16, 0x68, 0x80, 0x90, kUserCode32};
      s = segment_of(rng_.chance(80) ? data | rpl : static_cast<uint16_t>(rng_.pick(kOthers) | 3));
    }
    cpu().segment(SegReg::kSs) = segment_of(data | rpl);
    cpu().segment(SegReg::kCs) = segment_of(code | rpl);
    if (wide && rng_.chance(15)) cpu().segment(SegReg::kCs) = segment_of(0x88 | 3);
    if (wide && ring_ == 0) cpu().segment(SegReg::kCs) = segment_of(kCode32);
  }

  void make_state() {
    static const CpuModel model = find_cpu_model(kDefaultCpuModel).take();
    reset_cpu(cpu(), model.signature);
    reset_msrs(cpu(), model);
    control_registers();
    if (real_addresses())
      real_segments();
    else
      protected_segments();
    cpu().cpl = static_cast<uint8_t>(ring_);
    cpu().gdtr = {kGdt, kLastSelector + 7};
    cpu().ldtr = {kLdt, 0xff, kLdtSelector, 0x82};
    cpu().tr = {kTss, kTssLimit, kTssSelector, 0x8b};
    if (mode_ == Mode::kReal)
      cpu().idtr = {resuming_ ? kIvtResuming : kIvtHalting, 0x3ff};
    else
      cpu().idtr = {resuming_ ? kIdtResuming : kIdtHalting, 0x7ff};
    for (unsigned i = 0; i < 8; i++) cpu().gpr[i] = register_value();
    cpu().reg(Gpr::kRsp) = address(0xe000 + (rng_.below(0x1000) & ~3u));
    cpu().rip = (case_.code_at - cpu().segment(SegReg::kCs).base) & 0xffffffff;
    cpu().rflags = rflags::kFixed1 | (rng_.next32() & (rflags::kArithmetic | rflags::kIf));
    if (rng_.chance(10)) cpu().rflags |= rflags::kDf;
    if (rng_.chance(4)) cpu().rflags |= rflags::kTf;
    if (rng_.chance(10))
      cpu().rflags |= rng_.next32() & (rflags::kNt | rflags::kAc | rflags::kId | rflags::kIopl);
    if (mode_ == Mode::kV86) {
      cpu().rflags |= rflags::kVm;
      if (rng_.chance(50)) cpu().rflags |= rflags::kIopl;
    }
    diff::random_fx(rng_, cpu().fx);
    if (rng_.chance(80)) {
      cpu().fx.fcw |= 0x3f;
      cpu().fx.fsw &= 0x7f00;
      cpu().fx.mxcsr |= 0x1f80;
    }
    if (rng_.chance(5)) {  // breakpoints in the arena
      for (unsigned i = 0; i < 4; i++) cpu().dr[i] = kArena + rng_.below(kArenaBytes);
      cpu().dr[7] = 0x400 | (rng_.next32() & 0xffff00ff);
    }
  }

  void control_registers() {
    cpu().cr0 = cr0::kEt | cr0::kNe;
    if (mode_ != Mode::kReal) cpu().cr0 |= cr0::kPe;
    if (rng_.chance(50)) cpu().cr0 |= cr0::kWp;
    if (rng_.chance(20)) cpu().cr0 |= cr0::kAm;
    if (rng_.chance(50)) cpu().cr0 |= cr0::kMp;
    if (rng_.chance(5)) cpu().cr0 |= cr0::kTs;
    if (rng_.chance(3)) cpu().cr0 |= cr0::kEm;
    if (rng_.chance(5)) cpu().cr0 &= ~cr0::kNe;
    cpu().cr4 = cr4::kPse;
    if (rng_.chance(90)) cpu().cr4 |= cr4::kOsfxsr | cr4::kOsxmmexcpt;
    if (rng_.chance(15)) cpu().cr4 |= cr4::kVme;
    if (rng_.chance(15)) cpu().cr4 |= cr4::kPvi;
    if (rng_.chance(20)) cpu().cr4 |= cr4::kPge;
    if (rng_.chance(20)) cpu().cr4 |= cr4::kDe;
    if (rng_.chance(10)) cpu().cr4 |= cr4::kTsd;
    cpu().cr3 = kDirectory;
    if (paging_ != Paging::kOff) cpu().cr0 |= cr0::kPg;
    if (paging_ == Paging::kPae) {
      cpu().cr4 |= cr4::kPae;
      cpu().cr3 = kPaePointers;
      cpu().pdpte[0] = kPaeDirectoryEntry;
      if (rng_.chance(70)) cpu().msr.efer |= efer::kNxe;
    }
  }
  static constexpr uint64_t kPaeDirectoryEntry = 0x9001;

  /// `offset` in the arena as DS and SS see it.
  uint32_t address(uint32_t offset) const { return mode_ == Mode::kProtected32 ? kArena + offset : offset; }

  uint32_t register_value() {
    switch (rng_.below(10)) {
      case 0:
      case 1:
        return static_cast<uint32_t>(diff::random_integer(rng_, 4));
      case 2:
        return rng_.below(64);
      case 3:
        return address(0x1000 * (4 + rng_.below(11)) - rng_.below(20));
      case 4:
        return mode_ == Mode::kProtected32 ? rng_.below(kRom + kRomBytes) : rng_.below(0x10000);
      case 5:
        return case_.code_at + rng_.below(64) - (mode_ == Mode::kProtected32 ? 0 : kArena);
      case 6:
        return paging_ != Paging::kOff ? kAlias + kArena + rng_.below(kArenaBytes) : rng_.next32();
      default:
        return address(0x4000 + rng_.below(0xa000));
    }
  }

  /// Rights, flags, now and then another page or a reserved bit, mostly in the arena.
  void make_page_entries() {
    constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kGlobal = 0x100;
    constexpr uint64_t kAccessedDirty = 0x60;
    const bool pae = paging_ == Paging::kPae;
    for (unsigned n = 1 + rng_.below(6); n > 0; n--) {
      uint32_t page = kArena / 0x1000 + rng_.below(16);
      if (rng_.chance(25)) page = (case_.code_at >> 12) + rng_.below(2);
      if (rng_.chance(8)) page = rng_.below(kRamEnd / 0x1000);
      uint64_t entry = uint64_t{page} << 12 | kPresent | kWritable | kUser;
      if (rng_.chance(15)) entry &= ~kPresent;
      if (rng_.chance(30)) entry &= ~kWritable;
      if (rng_.chance(20)) entry &= ~kUser;
      if (rng_.chance(20)) entry |= kGlobal;
      if (rng_.chance(30)) entry |= rng_.next() & kAccessedDirty;
      if (rng_.chance(20)) entry = (entry & 0xfff) | kArena | rng_.below(16) << 12;
      if (rng_.chance(5)) entry = (entry & 0xfff) | kMmio;
      if (pae && rng_.chance(15)) entry |= uint64_t{1} << 63;
      if (pae && rng_.chance(2)) entry |= uint64_t{1} << 50;
      case_.page_entries.push_back({page_entry_at(page, pae), entry, pae ? 8u : 4u});
    }
  }

  void make_events() {
    uint64_t retired = 0;
    uint64_t end = 1 + rng_.below(static_cast<uint32_t>(most_instructions_));
    if (rng_.chance(3)) end *= 20;
    while (rng_.chance(65)) {
      retired += 1 + rng_.below(rng_.chance(50) ? 8 : 200);
      if (retired >= end) break;
      using Kind = FuzzCase::Event::Kind;
      constexpr Kind kKinds[] = {Kind::kNone, Kind::kInterrupt, Kind::kInterrupt, Kind::kNmi, Kind::kExit};
      case_.events.push_back({retired, rng_.pick(kKinds), static_cast<uint8_t>(0x20 + rng_.below(0x20))});
    }
    case_.events.push_back({end, FuzzCase::Event::Kind::kNone, 0});
  }

  diff::Rng& rng_;
  const uint64_t most_instructions_;
  FuzzCase case_;
  Mode mode_{};
  unsigned ring_ = 0;
  Paging paging_{};
  bool resuming_ = false;
};

}  // namespace

std::string mode_name(unsigned mode) {
  return std::string(kModeNames[mode / 6]) + (mode % 6 / 3 == 0 ? ", ring 0, " : ", ring 3, ") +
         kPagingNames[mode % 3];
}

std::vector<uint8_t> FuzzCase::code() const {
  std::vector<uint8_t> bytes;
  for (const auto& piece : pieces) bytes.insert(bytes.end(), piece.begin(), piece.end());
  return bytes;
}

FuzzCase generate_case(diff::Rng& rng, uint64_t most_instructions) {
  return Generator(rng, most_instructions).run();
}

}  // namespace vireo::fuzz
