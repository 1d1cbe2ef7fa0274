#include "tests/differential/program_generator.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "tests/differential/arena.h"
#include "tests/differential/program_writer.h"
#include "tests/differential/row_pool.h"
#include "tests/differential/values.h"

namespace vireo::diff {
namespace {

using isa::CodeSize;
using isa::Insn;
using isa::InsnRow;
using isa::Mnemonic;
using isa::Operand;
using isa::OperandKind;
using isa::OperandType;
namespace attribute = isa::attribute;

constexpr unsigned kEax = 0, kEcx = 1, kEdx = 2, kEbx = 3, kEsp = 4, kEsi = 6, kEdi = 7;
/// In the stack's pages, out of its way: loop counters, and the tables of indirect jumps.
constexpr uint32_t kCounters = kArena + 0x9100;
constexpr uint32_t kTables = kArena + 0x9200;
constexpr unsigned kTableSlots = 4;

constexpr uint16_t kData[] = {
    kUserData,
    kUserData,
    kUserData,
    ldt_selector(kLdtData16),
    ldt_selector(kLdtData32),
    ldt_selector(kLdtDataFlat),
    ldt_selector(kLdtDataOdd),
    ldt_selector(kLdtExpandDown16),
    ldt_selector(kLdtExpandDown32),
};

class Generator {
 public:
  explicit Generator(Rng& rng) : rng_(rng), write_(program_) {}

  Program run() {
    program_.code_size = rng_.chance(25) ? CodeSize::k16 : CodeSize::k32;
    choose_segments();
    choose_registers();
    for (unsigned i = rng_.below(4); i > 0; i--) {
      subroutines_.push_back({write_.new_label(), static_cast<uint8_t>(rng_.below(3))});
    }
    units(6 + rng_.below(50), 0);
    write_.put({kTrapByte});
    for (next_subroutine_ = 0; next_subroutine_ < subroutines_.size();) {
      const Subroutine s = subroutines_[next_subroutine_++];
      write_.bind(s.label);
      units(1 + rng_.below(8), 0);
      const auto bytes = static_cast<uint8_t>(s.arguments * write_.pointer_size());
      write_.put(bytes ? std::vector<uint8_t>{0xc2, bytes, 0} : std::vector<uint8_t>{0xc3});
    }
    place_code();
    return std::move(program_);
  }

 private:
  struct Subroutine {
    Label label;
    uint8_t arguments;  ///< that RET removes
  };

  CpuImage& cpu() { return program_.before; }
  bool wide() const { return write_.wide(); }
  uint16_t& selector(SegReg s) { return selectors_[static_cast<unsigned>(s)]; }
  uint32_t base_of(SegReg s) { return segment_base(selector(s)); }
  uint32_t on_stack(uint32_t linear) { return linear - base_of(SegReg::kSs); }

  void choose_segments() {
    constexpr uint16_t kCode32[] = {kUserCode32, kUserCode32, ldt_selector(kLdtCode32),
                                    ldt_selector(kLdtCode32Flat)};
    selector(SegReg::kCs) = wide() ? rng_.pick(kCode32) : ldt_selector(kLdtCode16);
    for (SegReg s : {SegReg::kEs, SegReg::kSs, SegReg::kDs, SegReg::kFs, SegReg::kGs}) {
      selector(s) = rng_.chance(70) ? (wide() ? kUserData : ldt_selector(kLdtData16)) : rng_.pick(kData);
    }
    cpu().selector = selectors_;
  }

  void choose_registers() {
    for (uint32_t& r : cpu().gpr) r = static_cast<uint32_t>(random_integer(rng_, 4));
    const uint32_t top = kArena + (rng_.chance(80) ? 0x9c00 + rng_.below(0x800) : 0xa000 + rng_.below(16));
    cpu().reg(Gpr::kRsp) = on_stack(rng_.chance(85) ? top & ~3u : top);
    uint32_t flags = rflags::kFixed1 | rflags::kIf | (rng_.next32() & rflags::kArithmetic);
    if (rng_.chance(10)) flags |= rflags::kDf;
    if (rng_.chance(3)) flags |= rflags::kAc;
    if (rng_.chance(10)) flags |= rflags::kId;
    cpu().eflags = flags;
    random_fx(rng_, cpu().fx);
    if (rng_.chance(85)) {
      cpu().fx.fcw |= 0x3f;
      cpu().fx.fsw &= 0x7f00;
    }
    if (rng_.chance(90)) cpu().fx.mxcsr |= 0x1f80;
  }

  void place_code() {
    uint32_t length = 0;
    for (const ProgramItem& item : program_.items) length += static_cast<uint32_t>(item.bytes.size());
    length = std::min(length, kCodeEnd - kCodeBegin - 0x40);
    const uint32_t room = kCodeEnd - kCodeBegin - length - 0x20;
    uint32_t at = kCodeBegin + 0x10 + rng_.below(room);
    if (rng_.chance(40)) at = kCodeBegin + std::min(room, kPage - std::min(kPage - 1, rng_.below(length)));
    program_.code_linear = at;
    cpu().eip = at - base_of(SegReg::kCs);
  }

  // ---- the parts that programs are made of; `depth`: of loops
  void units(unsigned count, unsigned depth) {
    for (unsigned i = 0; i < count; i++) unit(depth);
  }

  void unit(unsigned depth) {
    const uint32_t dice = rng_.below(1000);
    if (dice < 760) return row_instruction();
    if (dice < 850) return skip(depth);
    if (dice < 890) return depth < 2 ? counted_loop(depth) : skip(depth);
    if (dice < 900) return depth < 2 ? register_loop(depth) : row_instruction();
    if (dice < 915) return carry_chain();
    if (dice < 940) return call_subroutine();
    if (dice < 955) return jump_through_table(depth);
    if (dice < 965) return jump_by_return(depth);
    if (dice < 972) return far_transfer();
    if (dice < 982) return load_segment();
    if (dice < 990) return change_flags();
    frame(depth);
  }

  /// A conditional or unconditional branch over a few units.
  void skip(unsigned depth) {
    const Label over = write_.new_label();
    if (rng_.chance(85))
      write_.jump_if(static_cast<uint8_t>(rng_.below(16)), over);
    else if (rng_.chance(50))
      write_.loop(0xe3, over, rng_.chance(20));
    else
      write_.jump(over);
    const unsigned count = rng_.below(4);
    for (unsigned i = 0; i < count; i++) rng_.chance(80) ? row_instruction() : unit(depth);
    write_.bind(over);
  }

  /// With its counter in memory, so that the body may use all registers; flags from the body reach the next
  /// round or not.
  void counted_loop(unsigned depth) {
    const uint32_t counter = on_stack(kCounters + 4 * loops_++ % 0x100);
    const auto rounds = static_cast<uint8_t>(2 + rng_.below(7));
    write_.with_stack_memory(0xc7, 0, counter, {rounds, 0, 0, 0});
    const Label again = write_.here();
    units(1 + rng_.below(6), depth + 1);
    if (rng_.chance(60)) {
      write_.with_stack_memory(0xff, 1, counter);  // DEC
      if (rng_.chance(30)) write_.put32({0x90});
      write_.jump_if(rng_.chance(50) ? 5 : 0xf, again);  // JNZ, JNLE
      return;
    }
    const Label out = write_.new_label();
    const auto keep = static_cast<uint8_t>(rng_.below(2));
    if (keep) write_.put32({0x51});                 // PUSH ECX
    write_.with_stack_memory(0x8b, kEcx, counter);  // MOV ECX, counter
    write_.put32_memory({0x8d, 0x49, 0xff});        // LEA ECX, [ECX - 1]
    write_.with_stack_memory(0x89, kEcx, counter);
    write_.loop(0xe3, out, false);
    if (keep) write_.put32({0x59});  // POP ECX
    write_.jump(again);
    write_.bind(out);
    if (keep) write_.put32({0x59});
  }

  /// Counts in ECX; what the body does to ECX and ZF may end it early, or late.
  void register_loop(unsigned depth) {
    write_.set(kEcx, 1 + rng_.below(9));
    const Label again = write_.here();
    units(rng_.below(4), depth + 1);
    if (rng_.chance(70)) {
      write_.loop(static_cast<uint8_t>(0xe0 + rng_.below(3)), again, rng_.chance(20));
    } else {
      write_.put32({0x49});  // DEC ECX
      write_.jump_if(5, again);
    }
  }

  /// An addition of long numbers: CF goes around the loop.
  void carry_chain() {
    const uint32_t base = base_of(SegReg::kDs);
    write_.set(kEsi, kArena + 0x4000 + rng_.below(0x1f00) - base);
    write_.set(kEdi, kArena + 0x4000 + rng_.below(0x1f00) - base);
    write_.set(kEcx, 1 + rng_.below(12));
    if (rng_.chance(60)) write_.put({static_cast<uint8_t>(rng_.chance(50) ? 0xf8 : 0xf9)});  // CLC, STC
    const Label again = write_.here();
    write_.put32_memory({0x8b, 0x06});                                                 // MOV EAX, [ESI]
    write_.put32_memory({static_cast<uint8_t>(rng_.chance(50) ? 0x13 : 0x1b), 0x07});  // ADC/SBB EAX, [EDI]
    write_.put32_memory({0x89, 0x07});                                                 // MOV [EDI], EAX
    write_.put32_memory({0x8d, 0x76, 0x04});                                           // LEA ESI, [ESI + 4]
    write_.put32_memory({0x8d, 0x7f, 0x04});                                           // LEA EDI, [EDI + 4]
    if (rng_.chance(50)) {
      write_.put32({0x49});  // DEC ECX
      write_.jump_if(5, again);
    } else {
      write_.loop(0xe2, again, false);
    }
  }

  void call_subroutine() {
    if (next_subroutine_ >= subroutines_.size()) return row_instruction();
    const size_t left = subroutines_.size() - next_subroutine_;
    const Subroutine& s = subroutines_[next_subroutine_ + rng_.below(static_cast<uint32_t>(left))];
    for (unsigned i = 0; i < s.arguments; i++) {
      write_.put({static_cast<uint8_t>(0x50 + rng_.below(8))});  // PUSH r
    }
    switch (rng_.below(3)) {
      case 0:
        write_.call(s.label);
        break;
      case 1:
        write_.set_to_address(kEbx, s.label);
        write_.put({0xff, 0xd3});  // CALL EBX
        break;
      default: {
        const std::array<Label, kTableSlots> targets = {s.label, s.label, s.label, s.label};
        through_table(2, targets);
        break;
      }
    }
  }

  void through_table(unsigned digit, const std::array<Label, kTableSlots>& targets) {
    const uint32_t table = kTables + 4 * kTableSlots * (tables_++ % 16);
    for (unsigned i = 0; i < kTableSlots; i++) {
      program_.tables.push_back({table + i * write_.pointer_size(), write_.pointer_size(), targets[i]});
    }
    unsigned r = rng_.below(8);
    if (r == kEsp) r = kEax;
    write_.put32({0x83, static_cast<uint8_t>(0xe0 + r), kTableSlots - 1});  // AND r, 3
    write_.through_table(digit, r, on_stack(table));
  }

  /// A switch: whatever a register holds chooses one of four places.
  void jump_through_table(unsigned depth) {
    std::array<Label, kTableSlots> targets;
    for (Label& target : targets) target = write_.new_label();
    const Label end = write_.new_label();
    through_table(4, targets);
    for (Label target : targets) {
      write_.bind(target);
      const unsigned count = rng_.below(3);
      for (unsigned i = 0; i < count; i++) rng_.chance(85) ? row_instruction() : unit(depth);
      if (rng_.chance(70)) write_.jump(end);
    }
    write_.bind(end);
  }

  /// PUSH and RET, a CALL whose return address is dropped, or JMP r.
  void jump_by_return(unsigned depth) {
    const Label to = write_.new_label();
    switch (rng_.below(3)) {
      case 0:
        write_.push_address(to);
        write_.put({0xc3});
        break;
      case 1:
        write_.call(to);
        break;
      default:
        write_.set_to_address(kEdx, to);
        write_.put({0xff, 0xe2});  // JMP EDX
        write_.bind(to);
        return;
    }
    const unsigned count = rng_.below(3);
    for (unsigned i = 0; i < count; i++) unit(depth);
    write_.bind(to);
    if (program_.items.back().bytes[0] != 0xc3 && rng_.chance(50)) {
      write_.put({static_cast<uint8_t>(0x58 + rng_.below(4))});  // POP r
    }
  }

  void far_transfer() {
    const Label to = write_.new_label();
    switch (rng_.below(4)) {
      case 0:
        write_.far_transfer(0xea, selector(SegReg::kCs), to);
        break;
      case 1:
        write_.put({0x0e});  // PUSH CS
        write_.push_address(to);
        write_.put({0xcb});  // RETF
        break;
      case 2:
        write_.put({0x9c});  // PUSHF
        write_.put({0x0e});
        write_.push_address(to);
        write_.put({0xcf});  // IRET
        break;
      default: {
        const Label over = write_.new_label();
        write_.far_transfer(0x9a, selector(SegReg::kCs), to);
        write_.jump(over);
        write_.bind(to);
        row_instruction();
        write_.put({0xcb});
        write_.bind(over);
        return;
      }
    }
    if (rng_.chance(50)) row_instruction();
    write_.bind(to);
  }

  void load_segment() {
    constexpr SegReg kTargets[] = {SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs};
    const SegReg s = rng_.pick(kTargets);
    selector(s) = rng_.pick(kData);
    if (rng_.chance(70)) {
      const unsigned r = rng_.below(4);
      write_.set(r, selector(s));
      write_.put({0x8e, static_cast<uint8_t>(0xc0 | static_cast<unsigned>(s) << 3 | r)});
    } else {
      write_.push(selector(s));
      if (s == SegReg::kFs || s == SegReg::kGs)
        write_.put32({0x0f, static_cast<uint8_t>(0x81 | static_cast<unsigned>(s) << 3)});
      else
        write_.put32({static_cast<uint8_t>(0x07 | static_cast<unsigned>(s) << 3)});
    }
  }

  void change_flags() {
    uint32_t flags = rng_.next32() & (rflags::kArithmetic | rflags::kId | rflags::kIf);
    if (rng_.chance(20)) flags |= rflags::kDf;
    if (rng_.chance(10)) flags |= rflags::kAc;
    if (rng_.chance(4)) flags |= rflags::kTf;
    if (rng_.chance(4)) flags |= rflags::kNt;
    switch (rng_.below(3)) {
      case 0:
        write_.push(flags);
        write_.put32({0x9d});  // POPF
        break;
      case 1:
        write_.put32({0x9c});
        write_.put32({static_cast<uint8_t>(0x58 + rng_.below(4))});  // POP r
        break;
      default:
        write_.put32({0x9c});
        row_instruction();
        write_.put32({0x9d});
        break;
    }
  }

  /// ENTER and LEAVE around a few units.
  void frame(unsigned depth) {
    write_.put({0xc8, static_cast<uint8_t>(rng_.below(64)), 0,
                static_cast<uint8_t>(rng_.chance(70) ? 0 : rng_.below(3))});
    units(rng_.below(4), depth);
    write_.put({0xc9});
  }

  // ---- instructions of the table
  bool writes_esp(const InsnRow& row, const Insn& insn) const {
    if (row.mnemonic == Mnemonic::ENTER || row.mnemonic == Mnemonic::LEAVE || row.mnemonic == Mnemonic::LSS)
      return true;
    for (unsigned i = 0; i < row.operand_count; i++) {
      if (i == 0 ? row.has(attribute::kFirstRead) : !row.has(attribute::kSecondWritten)) continue;
      const Operand& operand = row.operands[i];
      if (operand.type == OperandType::kB) continue;
      switch (operand.kind) {
        case OperandKind::kE:
          if (!insn.is_memory() && insn.rm() == kEsp) return true;
          break;
        case OperandKind::kR:
          if (insn.rm() == kEsp) return true;
          break;
        case OperandKind::kG:
          if (insn.reg() == kEsp) return true;
          break;
        case OperandKind::kZ:
          if (insn.opcode_reg() == kEsp) return true;
          break;
        default:
          break;
      }
    }
    return false;
  }

  void row_instruction() {
    for (;;) {
      const InsnRow& row = random_program_row(rng_);
      auto code = encode_row(rng_, row, program_.code_size);
      if (!code || !code->decoded) continue;
      if (writes_esp(row, code->insn) && !rng_.chance(2)) continue;
      if (row.mnemonic == Mnemonic::INT && code->bytes.back() == 0x80) continue;  // the host's system call
      if (!prepare(row, *code)) continue;
      write_.put(std::move(code->bytes));
      return;
    }
  }

  /// Sets registers and memory for the instruction to make sense; false if it is not wanted as it is.
  bool prepare(const InsnRow& row, EncodedInsn& code) {
    if (row.has(attribute::kRep | attribute::kRepWhile)) prepare_string(code.insn);
    if (row.has(attribute::kImplicitMemory)) prepare_implicit(row, code.insn);
    switch (row.mnemonic) {
      case Mnemonic::DIV:
      case Mnemonic::IDIV:
        write_.set(kEdx, rng_.below(3));
        if (!(code.insn.opcode & 1)) write_.set(kEax, rng_.below(0x300));
        break;
      case Mnemonic::POPF:
        write_.push(rflags::kIf | (rng_.next32() & rflags::kArithmetic));
        break;
      case Mnemonic::BOUND:
      case Mnemonic::INTO:
      case Mnemonic::INT:
        if (!rng_.chance(20)) return false;
        break;
      default:
        break;
    }
    const bool moffs = !row.encoding.has_modrm && code.insn.disp_size != 0;
    const bool memory =
        moffs || (row.encoding.has_modrm && code.insn.is_memory() && !row.has(attribute::kModIgnored));
    return !memory || prepare_memory(row, code, moffs);
  }

  /// A linear address for an operand.
  uint32_t data_target(uint32_t size) {
    constexpr uint32_t kWritablePages[] = {4, 5, 7, 0xe};
    const uint32_t straddle = size > 1 ? 1 + rng_.below(size - 1) : 0;
    const uint32_t dice = rng_.below(1000);
    uint32_t at;
    if (dice < 840) {
      // Often in the same few places, so that instructions meet each other's results.
      const uint32_t offset =
          rng_.chance(60) ? rng_.below(64) : rng_.below(kPage - std::min(size, kPage - 1));
      at = kArena + rng_.pick(kWritablePages) * kPage + offset;
      if (rng_.chance(60)) at &= ~(std::min<uint32_t>(16, std::bit_ceil(size)) - 1);
    } else if (dice < 930) {
      at = kArena + 0x5000 - straddle;
    } else if (dice < 945) {
      at = kArena + 0x6000 + rng_.below(kPage - 1);  // read-only
    } else if (dice < 955) {
      at = kArena + 0x6000 - straddle;
    } else if (dice < 965) {
      at = kArena + 0x8000 - straddle;  // into a page that is not there
    } else if (dice < 975) {
      at = kCodeBegin + rng_.below(0x2000);
    } else if (dice < 985) {
      at = kArena + 0x10000 - size;
    } else if (dice < 995) {
      at = kTopPage + kPage - size - rng_.below(64);
    } else {
      at = rng_.next32();
    }
    if (size >= 16 && rng_.chance(90)) at &= ~15u;
    return at;
  }

  void set_address(unsigned r, uint32_t linear, SegReg segment, const Insn& insn) {
    uint32_t offset = linear - base_of(segment);
    if (insn.address_size == 2) offset = (offset & 0xffff) | (rng_.next32() & 0xffff0000);
    write_.set(r, offset);
  }

  void prepare_string(const Insn& insn) {
    if (rng_.chance(90)) set_address(kEdi, data_target(32), SegReg::kEs, insn);
    if (rng_.chance(90)) set_address(kEsi, data_target(32), insn.segment, insn);
    if (insn.rep()) {
      const uint32_t count = rng_.chance(90) ? rng_.below(20) : rng_.below(2000);
      write_.set(kEcx, insn.address_size == 2 ? count | (rng_.next32() & 0xffff0000) : count);
    }
    if (rng_.chance(15)) write_.put({static_cast<uint8_t>(rng_.chance(50) ? 0xfc : 0xfd)});  // CLD, STD
  }

  void prepare_implicit(const InsnRow& row, const Insn& insn) {
    const bool xlat = row.mnemonic == Mnemonic::XLAT;
    set_address(xlat ? kEbx : kEdi, data_target(xlat ? 256 : 16), insn.segment, insn);
  }

  bool prepare_memory(const InsnRow& row, EncodedInsn& code, bool moffs) {
    const Insn& insn = code.insn;
    uint32_t size = 1;
    for (unsigned i = 0; i < row.operand_count; i++) {
      const OperandKind kind = row.operands[i].kind;
      if (kind == OperandKind::kE || kind == OperandKind::kM || kind == OperandKind::kQ ||
          kind == OperandKind::kW || kind == OperandKind::kO) {
        size = std::max(size, static_cast<uint32_t>(isa::operand_bytes(row.operands[i], insn)));
      }
    }
    const uint32_t target = data_target(size);
    const uint32_t offset = target - base_of(insn.segment);
    const bool has_base = insn.base < 8, has_index = insn.index < 8;
    const auto disp = static_cast<uint32_t>(insn.disp);
    if (has_base && insn.base == kEsp) {
      if (disp + 0x100 > 0x200) return false;
      if (has_index) write_.set(insn.index, rng_.below(16));
    } else if (moffs) {
      std::memcpy(&code.bytes[code.displacement_at], &offset, insn.address_size);
    } else if (has_base && has_index && insn.base != insn.index) {
      const uint32_t index = rng_.chance(80) ? rng_.below(256) : rng_.next32();
      write_.set(insn.index, index);
      write_.set(insn.base, offset - disp - (index << insn.scale));
    } else if (has_base && !has_index) {
      write_.set(insn.base, offset - disp);
    } else if (has_base) {
      write_.set(insn.base, (offset - disp) / (1 + (1u << insn.scale)));
    } else if (has_index) {
      write_.set(insn.index, (offset - disp) >> insn.scale);
    } else if (insn.disp_size >= 2) {
      std::memcpy(&code.bytes[code.displacement_at - insn.disp_size], &offset, insn.disp_size);
    }
    if (row.has(attribute::kBitString) && insn.reg() != insn.base && insn.reg() != insn.index &&
        insn.reg() != kEsp) {
      write_.set(insn.reg(), rng_.below(0x400));
    }
    plant_operand(row, insn, target, size);
    return true;
  }

  /// Something at `target` that suits the operand. The program may overwrite it before it gets there.
  void plant_operand(const InsnRow& row, const Insn& insn, uint32_t target, uint32_t size) {
    std::vector<uint8_t> value(size);
    random_operand(rng_, value.data(), size);
    const OperandType type = row.operands[row.operand_count ? row.operand_count - 1 : 0].type;
    constexpr uint16_t kMaskedControl = 0x37f;
    if (row.mnemonic == Mnemonic::LDMXCSR) {
      const uint32_t mxcsr = random_mxcsr(rng_) | (rng_.chance(90) ? 0x1f80 : 0);
      std::memcpy(value.data(), &mxcsr, sizeof mxcsr);
    } else if (row.mnemonic == Mnemonic::FLDCW) {
      const uint16_t control = static_cast<uint16_t>(kMaskedControl | (rng_.next32() & 0xf00));
      std::memcpy(value.data(), &control, sizeof control);
    } else if (type == OperandType::kP) {
      const uint16_t to = rng_.pick(kData);
      std::memcpy(&value[insn.operand_size], &to, sizeof to);
    } else if (type == OperandType::kEnv || type == OperandType::kFst) {
      const uint16_t words[] = {kMaskedControl, static_cast<uint16_t>(rng_.next32() & 0x7f00),
                                static_cast<uint16_t>(rng_.next32())};
      for (unsigned i = 0; i < 3; i++) std::memcpy(&value[i * insn.operand_size], &words[i], 2);
    } else if (type == OperandType::kFx) {
      FxState fx;
      random_fx(rng_, fx);
      fx.fcw |= 0x3f;
      fx.fsw &= 0x7f00;
      fx.mxcsr |= 0x1f80;
      std::memcpy(value.data(), &fx, std::min(value.size(), sizeof fx));
    } else if (!rng_.chance(50)) {
      return;
    }
    program_.patches.push_back({target, std::move(value)});
  }

  Rng& rng_;
  Program program_;
  ProgramWriter write_;
  std::array<uint16_t, 6> selectors_{};  ///< as the program has loaded them so far, branches apart
  std::vector<Subroutine> subroutines_;
  size_t next_subroutine_ = 0;  ///< those from here on may still be called
  unsigned loops_ = 0, tables_ = 0;
};

}  // namespace

Program generate_program(Rng& rng) {
  return Generator(rng).run();
}

}  // namespace vireo::diff
