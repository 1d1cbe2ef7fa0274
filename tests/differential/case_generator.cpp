#include "tests/differential/case_generator.h"

#include <algorithm>
#include <bit>
#include <cstring>

#include "tests/differential/arena.h"
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

constexpr uint16_t kCode16[] = {ldt_selector(kLdtCode16), ldt_selector(kLdtCode16),
                                ldt_selector(kLdtCode16High), ldt_selector(kLdtCode16Small)};
constexpr uint16_t kCode32[] = {kUserCode32,
                                kUserCode32,
                                kUserCode32,
                                ldt_selector(kLdtCode32),
                                ldt_selector(kLdtCode32Flat),
                                ldt_selector(kLdtCodeExecuteOnly)};
constexpr uint16_t kWritable[] = {
    kUserData,
    kUserData,
    kUserData,
    ldt_selector(kLdtData16),
    ldt_selector(kLdtData32),
    ldt_selector(kLdtDataFlat),
    ldt_selector(kLdtDataOdd),
    ldt_selector(kLdtDataSmall),
    ldt_selector(kLdtExpandDown16),
    ldt_selector(kLdtExpandDown32),
};
// Not null selectors other than 0: IRET makes them 0 when it enters the case.
constexpr uint16_t kNotWritable[] = {
    0,
    kUserCode32,
    ldt_selector(kLdtDataReadOnly),
    ldt_selector(kLdtCode16),
    ldt_selector(kLdtCode32),
    ldt_selector(kLdtExpandDownReadOnly),
    kCpuNumber,
};

class Generator {
 public:
  Generator(Rng& rng, const InsnRow& row, CaseKind kind) : rng_(rng), row_(row), kind_(kind) {}

  std::optional<Case> run() {
    kind_ == CaseKind::kFlat32 ? choose_flat_segments() : choose_segments();
    auto code = encode_row(rng_, row_, code_size_);
    if (!code) return {};
    case_.code = std::move(*code);
    place_code();
    random_registers();
    plant_stack();
    if (case_.code.decoded) {
      plant_branch();
      plant_string();
      plant_implicit();
      plant_memory_operand();
      plant_by_mnemonic();
    }
    return std::move(case_);
  }

 private:
  const Insn& insn() const { return case_.code.insn; }
  CpuImage& cpu() { return case_.before; }
  bool is(Mnemonic m) const { return row_.mnemonic == m; }
  uint32_t base_of(SegReg s) { return segment_base(cpu().segment(s)); }

  void choose_segments() {
    code_size_ = rng_.chance(38) ? CodeSize::k16 : CodeSize::k32;
    cpu().segment(SegReg::kCs) = code_size_ == CodeSize::k16 ? rng_.pick(kCode16) : rng_.pick(kCode32);
    for (SegReg s : {SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs}) {
      const bool writable = rng_.chance(s == SegReg::kDs || s == SegReg::kEs ? 96 : 85);
      cpu().segment(s) = writable ? rng_.pick(kWritable) : rng_.pick(kNotWritable);
      // Most 16-bit code has 64 KiB segments: others are out of its reach.
      if (code_size_ == CodeSize::k16 && rng_.chance(80)) cpu().segment(s) = ldt_selector(kLdtData16);
    }
    cpu().segment(SegReg::kSs) = rng_.pick(kWritable);
    if (code_size_ == CodeSize::k16 && rng_.chance(70)) cpu().segment(SegReg::kSs) = ldt_selector(kLdtData16);
  }

  void choose_flat_segments() {
    for (SegReg s : {SegReg::kEs, SegReg::kSs, SegReg::kDs, SegReg::kFs, SegReg::kGs}) {
      cpu().segment(s) = rng_.chance(50) ? kUserData : ldt_selector(kLdtDataFlat);
    }
    cpu().segment(SegReg::kCs) = rng_.chance(50) ? kUserCode32 : ldt_selector(kLdtCode32Flat);
  }

  /// Where the instruction stands: mostly inside a page, sometimes across pages or into one that is not
  /// there.
  void place_code() {
    const uint32_t length = static_cast<uint32_t>(case_.code.bytes.size());
    uint32_t at = kCodeBegin + 0x40 + rng_.below(0x1e00);
    if (rng_.chance(8)) at = kCodeBegin + kPage - rng_.below(length + 1);
    // To this host the opcode may be none, and its operands no part of it.
    if (row_.support == isa::Support::kDecodeOnly) {
      case_.code_linear = at;
      cpu().eip = at - base_of(SegReg::kCs);
      return;
    }
    if (rng_.chance(4)) at = kCodeEnd - length;
    if (rng_.chance(2)) at = kCodeEnd - rng_.below(length) - (length > 1 ? 0 : 1);
    case_.code_linear = at;
    cpu().eip = at - base_of(SegReg::kCs);
  }

  void random_registers() {
    for (uint32_t& r : cpu().gpr) r = static_cast<uint32_t>(random_integer(rng_, 4));
    uint32_t flags = rflags::kFixed1 | rflags::kIf;
    flags |= rng_.next32() & (rflags::kArithmetic | (rng_.chance(20) ? rflags::kDf : 0));
    if (rng_.chance(4)) flags |= rflags::kAc;
    if (rng_.chance(4) && !is(Mnemonic::IRET)) flags |= rflags::kNt;  // a task switch; in long mode #GP
    if (rng_.chance(10)) flags |= rflags::kId;
    if (rng_.chance(4) && !emulated_by_linux(row_)) flags |= rflags::kTf;
    cpu().eflags = flags;
    random_fx(rng_, cpu().fx);
  }

  /// A linear address for an operand of `size` bytes.
  uint32_t data_target(uint32_t size) {
    constexpr uint32_t kWritablePages[] = {4, 5, 7, 0xe};
    const uint32_t straddle = size > 1 ? 1 + rng_.below(size - 1) : 0;
    const uint32_t dice = rng_.below(100);
    uint32_t at;
    if (dice < 64) {
      at = kArena + rng_.pick(kWritablePages) * kPage + rng_.below(kPage - std::min(size, kPage - 1));
      if (size > 1 && rng_.chance(40)) at &= ~(std::min<uint32_t>(16, std::bit_ceil(size)) - 1);
    } else if (dice < 74) {
      at = kArena + 0x5000 - straddle;
    } else if (dice < 79) {
      at = kArena + 0x6000 - straddle;  // into a read-only page
    } else if (dice < 83) {
      at = kArena + 0x6000 + rng_.below(kPage - 1);
    } else if (dice < 86) {
      at = kArena + 0x7000 - straddle;  // out of a read-only page
    } else if (dice < 90) {
      at = kArena + 0x8000 - straddle;  // into a page that is not there
    } else if (dice < 92) {
      at = kArena + 0x4000 - straddle;  // out of one
    } else if (dice < 94) {
      at = kCodeBegin + rng_.below(0x2000);
    } else if (dice < 97) {
      at = kArena + 0x10000 - size + rng_.below(3) - (rng_.chance(50) ? 1 : 0);
    } else if (dice < 99) {
      at = kTopPage + kPage - size - rng_.below(64) + (rng_.chance(20) ? rng_.below(size + 1) : 0);
    } else {
      at = kArena + 0x8000 + rng_.below(kPage);
    }
    if (size >= 16 && rng_.chance(75)) at &= ~15u;
    return at;
  }

  void patch(uint32_t linear, std::vector<uint8_t> bytes) {
    case_.patches.push_back({linear, std::move(bytes)});
  }
  template <class T>
  void patch_value(uint32_t linear, T value, unsigned size = sizeof(T)) {
    std::vector<uint8_t> bytes(size);
    std::memcpy(bytes.data(), &value, size);
    patch(linear, std::move(bytes));
  }

  uint16_t random_selector() {
    constexpr uint16_t kOthers[] = {0,    1,    3,    0x08,       0x10, 0x18,   kUserCode32, kUserData,
                                    0x40, 0x50, 0x63, kCpuNumber, 0x80, 0xfff8, 0x2a,        0x28};
    switch (rng_.below(8)) {
      case 0:
        return rng_.pick(kOthers);
      case 1:
        return ldt_selector(static_cast<uint16_t>(rng_.below(kLdtCount + 2)),
                            static_cast<uint16_t>(rng_.below(4)));
      case 2: {
        const uint16_t any = static_cast<uint16_t>(rng_.next32());
        return (any & ~3) == (kUserCode64 & ~3) ? 0 : any;
      }
      case 3:
        return rng_.pick(kNotWritable);
      case 4:
        return rng_.pick(kCode32);
      default:
        return rng_.pick(kWritable);
    }
  }

  uint16_t code_selector() {
    if (rng_.chance(15)) return random_selector();
    return rng_.chance(40) ? rng_.pick(kCode16) : rng_.pick(kCode32);
  }

  /// An offset in segment `cs` where the filling of the code pages is; sometimes anything.
  uint32_t code_offset(uint16_t cs) {
    if (rng_.chance(6)) return static_cast<uint32_t>(random_integer(rng_, 4));
    for (;;) {
      const uint32_t linear = kCodeBegin + rng_.below(kCodeEnd - kCodeBegin);
      if (linear - case_.code_linear >= case_.code.bytes.size()) return linear - segment_base(cs);
    }
  }

  uint32_t flags_image() {
    uint32_t flags = rng_.next32();
    if (rng_.chance(80)) flags &= ~static_cast<uint32_t>(rflags::kTf);
    if (rng_.chance(80)) flags &= ~static_cast<uint32_t>(rflags::kAc);
    return flags;
  }

  uint32_t stack_target() {
    const uint32_t dice = rng_.below(100);
    if (dice < 80) {
      const uint32_t at = kArena + 0x9010 + rng_.below(0x1fe0);
      return rng_.chance(70) ? at & ~3u : at;
    }
    if (dice < 84) return kArena + 0xa000 - rng_.below(8);
    if (dice < 88) return kArena + 0x9000 + rng_.below(40);
    if (dice < 92) return kArena + 0xb000 - rng_.below(40);
    if (dice < 95) return kArena + 0x10000 - rng_.below(8);
    if (dice < 97) return kArena + rng_.below(8);
    return data_target(4);
  }

  uint32_t stack_linear() {
    uint32_t sp = cpu().reg(Gpr::kRsp);
    if (!stack_is_wide()) sp &= 0xffff;
    return base_of(SegReg::kSs) + sp;
  }
  bool stack_is_wide() {
    const uint16_t ss = cpu().segment(SegReg::kSs);
    return !(ss & 4) || kLdt[ss >> 3].big;
  }

  void plant_stack() {
    if (row_.insn_class != isa::InsnClass::Stack && row_.insn_class != isa::InsnClass::Control &&
        row_.insn_class != isa::InsnClass::Segment && rng_.chance(30)) {
      return;
    }
    for (Gpr r : {Gpr::kRsp, Gpr::kRbp}) {
      uint32_t offset = stack_target() - base_of(SegReg::kSs);
      if (!stack_is_wide() && rng_.chance(80)) offset = (offset & 0xffff) | (rng_.next32() & 0xffff0000);
      cpu().reg(r) = offset;
    }
  }

  void plant_branch() {
    const uint32_t size = insn().operand_size;
    const uint16_t cs = cpu().segment(SegReg::kCs);
    for (unsigned i = 0; i < row_.operand_count; i++) {
      const Operand& operand = row_.operands[i];
      uint8_t* imm = case_.code.bytes.data() + case_.code.immediate_at;
      if (operand.kind == OperandKind::kJ) {
        const uint32_t next = cpu().eip + static_cast<uint32_t>(case_.code.bytes.size());
        const unsigned bytes = operand.type == OperandType::kB ? 1 : size;
        for (;;) {
          uint32_t relative =
              bytes == 1 ? static_cast<uint32_t>(static_cast<int8_t>(rng_.byte())) : code_offset(cs) - next;
          if (bytes == 2) relative = static_cast<uint32_t>(static_cast<int16_t>(relative));
          uint32_t target = next + relative;
          if (size == 2) target &= 0xffff;
          if (target - cpu().eip < case_.code.bytes.size()) continue;
          std::memcpy(imm, &relative, bytes);
          break;
        }
      } else if (operand.kind == OperandKind::kA) {
        const uint16_t selector = code_selector();
        const uint32_t offset = code_offset(selector);
        std::memcpy(imm, &offset, size);
        std::memcpy(imm + size, &selector, 2);
      }
    }
    const uint32_t top = stack_linear();
    if (is(Mnemonic::RET)) {
      patch_value(top, code_offset(cs), size);
    } else if (is(Mnemonic::RETF) || is(Mnemonic::IRET)) {
      const uint16_t selector = code_selector();
      patch_value(top, code_offset(selector), size);
      patch_value(top + size, uint32_t{selector}, size);
      if (is(Mnemonic::IRET)) patch_value(top + 2 * size, flags_image(), size);
    } else if (is(Mnemonic::POPF)) {
      patch_value(top, flags_image(), size);
    } else if (is(Mnemonic::POP_SREG)) {
      patch_value(top, uint32_t{random_selector()}, size);
    } else if (is(Mnemonic::INT) && case_.code.bytes.back() == 0x80) {
      case_.code.bytes.back() = 0x81;  // the host's system call
    }
  }

  void set_address(Gpr r, SegReg segment, uint32_t size) {
    uint32_t offset = data_target(size) - base_of(segment);
    if (insn().address_size == 2) offset = (offset & 0xffff) | (rng_.next32() & 0xffff0000);
    cpu().reg(r) = offset;
  }

  void plant_string() {
    if (!row_.has(attribute::kRep | attribute::kRepWhile)) return;
    if (rng_.chance(40)) cpu().eflags ^= rflags::kDf;
    if (rng_.chance(93)) set_address(Gpr::kRdi, SegReg::kEs, 4);
    if (rng_.chance(93)) set_address(Gpr::kRsi, insn().segment, 4);
    if (rng_.chance(10)) cpu().reg(Gpr::kRdi) = cpu().reg(Gpr::kRsi) + rng_.below(9) - 4;  // overlap
    const uint32_t count = rng_.chance(85)   ? rng_.below(24)
                           : rng_.chance(60) ? rng_.below(3000)
                                             : rng_.next32();
    cpu().reg(Gpr::kRcx) = insn().address_size == 2 ? (rng_.next32() & 0xffff0000) | (count & 0xffff) : count;
    if (row_.has(attribute::kRepWhile) && rng_.chance(70)) {
      // Runs of equal elements, so that the condition does not end it at once.
      const uint8_t value = rng_.byte();
      const unsigned length = 8 + rng_.below(60);
      for (auto [r, s] : {std::pair{Gpr::kRdi, SegReg::kEs}, std::pair{Gpr::kRsi, insn().segment}}) {
        const uint32_t at = base_of(s) + (insn().address_size == 2 ? cpu().reg(r) & 0xffff : cpu().reg(r));
        patch(at - (cpu().eflags & rflags::kDf ? length : 0), std::vector<uint8_t>(length, value));
      }
      if (rng_.chance(70)) cpu().reg(Gpr::kRax) = value * 0x01010101u;
    }
  }

  void plant_implicit() {
    if (!row_.has(attribute::kImplicitMemory)) return;
    if (rng_.chance(10)) return;
    if (is(Mnemonic::XLAT)) {
      set_address(Gpr::kRbx, insn().segment, 1);
      cpu().reg(Gpr::kRbx) -= cpu().reg(Gpr::kRax) & 0xff;
    } else {
      set_address(Gpr::kRdi, insn().segment, 16);
    }
  }

  uint32_t memory_size() {
    uint32_t size = 1;
    for (unsigned i = 0; i < row_.operand_count; i++) {
      switch (row_.operands[i].kind) {
        case OperandKind::kE:
        case OperandKind::kM:
        case OperandKind::kQ:
        case OperandKind::kW:
        case OperandKind::kO:
          size = std::max(size, static_cast<uint32_t>(isa::operand_bytes(row_.operands[i], insn())));
          break;
        default:
          break;
      }
    }
    return size;
  }

  /// Registers (or moffs) such that the effective address becomes `offset`, as far as they allow it.
  void aim(uint32_t offset) {
    const uint32_t mask = insn().address_size == 2 ? 0xffff : 0xffffffff;
    if (insn().modrm == 0 && insn().disp_size != 0 && insn().base == isa::kNoRegister &&
        insn().index == isa::kNoRegister && !row_.encoding.has_modrm) {
      std::memcpy(case_.code.bytes.data() + case_.code.displacement_at, &offset, insn().address_size);
      return;
    }
    const uint32_t disp = static_cast<uint32_t>(insn().disp);
    const bool has_base = insn().base < 8, has_index = insn().index < 8;
    auto set = [&](unsigned r, uint32_t value) { cpu().gpr[r] = (cpu().gpr[r] & ~mask) | (value & mask); };
    if (has_base && has_index && insn().base == insn().index) {
      set(insn().base, (offset - disp) / (1 + (1u << insn().scale)));
    } else if (has_base) {
      const uint32_t indexed = has_index ? cpu().gpr[insn().index] << insn().scale : 0;
      set(insn().base, offset - disp - indexed);
    } else if (has_index) {
      set(insn().index, (offset - disp) >> insn().scale);
    } else if (insn().disp_size >= 2) {
      // Absolute: the displacement is just before the immediates.
      std::memcpy(case_.code.bytes.data() + case_.code.displacement_at - insn().disp_size, &offset,
                  insn().disp_size);
    }
  }

  void plant_memory_operand() {
    const bool moffs = !row_.encoding.has_modrm && insn().disp_size != 0;
    const bool memory =
        moffs || (row_.encoding.has_modrm && insn().is_memory() && !row_.has(attribute::kModIgnored));
    if (!memory) return;
    const uint32_t size = memory_size();
    operand_linear_ = data_target(size);
    if (rng_.chance(93)) aim(operand_linear_ - base_of(insn().segment));
    std::vector<uint8_t> value(size);
    random_operand(rng_, value.data(), size);
    for (unsigned i = 0; i < row_.operand_count; i++) shape_operand(row_.operands[i], value);
    patch(operand_linear_, value);
    operand_value_ = value;
    if (row_.has(attribute::kBitString) && rng_.chance(90)) {
      cpu().gpr[insn().reg()] = static_cast<uint32_t>(static_cast<int32_t>(rng_.below(0x8000)) - 0x4000);
    }
  }

  /// Values that only some operand types give a meaning to.
  void shape_operand(const Operand& operand, std::vector<uint8_t>& value) {
    const unsigned size = insn().operand_size;
    switch (operand.type) {
      case OperandType::kP: {  // far pointer
        const bool code = row_.family == isa::Family::Control;
        const uint16_t selector = code ? code_selector() : random_selector();
        const uint32_t offset = code_offset(selector);
        std::memcpy(value.data(), &offset, size);
        std::memcpy(value.data() + size, &selector, 2);
        break;
      }
      case OperandType::kEnv:
      case OperandType::kFst: {
        const FxState& fx = cpu().fx;
        const uint16_t words[] = {fx.fcw,
                                  static_cast<uint16_t>(fx.fsw ^ (rng_.chance(50) ? rng_.next32() : 0)),
                                  static_cast<uint16_t>(rng_.next32())};
        for (unsigned i = 0; i < 3; i++) std::memcpy(value.data() + i * size, &words[i], 2);
        for (size_t at = 7 * size; at + 10 <= value.size(); at += 10) random_real80(rng_, value.data() + at);
        break;
      }
      case OperandType::kFx: {
        FxState fx;
        random_fx(rng_, fx);
        if (rng_.chance(10)) fx.mxcsr |= 1u << (16 + rng_.below(16));
        std::memcpy(value.data(), &fx, std::min(value.size(), sizeof fx));
        break;
      }
      default:
        break;
    }
  }

  /// The low `size` bytes of the ModRM.rm operand.
  void set_rm(uint32_t v, unsigned size) {
    if (insn().is_memory()) {
      patch_value(operand_linear_, v, size);
    } else if (size == 1) {
      set_byte_register(insn().rm(), static_cast<uint8_t>(v));
    } else {
      std::memcpy(&cpu().gpr[insn().rm()], &v, size);
    }
  }
  void set_byte_register(unsigned r, uint8_t v) {
    uint32_t& whole = cpu().gpr[r & 3];
    const unsigned shift = r & 4 ? 8 : 0;
    whole = (whole & ~(0xffu << shift)) | uint32_t{v} << shift;
  }
  uint64_t operand_as_integer() const {
    uint64_t v = 0;
    std::memcpy(&v, operand_value_.data(), std::min<size_t>(8, operand_value_.size()));
    return v;
  }

  // What makes an instruction do something interesting; without it, random operands must do.
  void plant_by_mnemonic() {
    const unsigned size = insn().operand_size;
    if (row_.family == isa::Family::Segment && row_.encoding.has_modrm && row_.operand_count > 0) {
      for (unsigned i = 0; i < row_.operand_count; i++) {
        const Operand& operand = row_.operands[i];
        if (operand.kind == OperandKind::kE && operand.type == OperandType::kW) set_rm(random_selector(), 2);
        if (operand.kind == OperandKind::kG && operand.type == OperandType::kW) {
          const uint16_t selector = random_selector();
          std::memcpy(&cpu().gpr[insn().reg()], &selector, 2);
        }
      }
    }
    switch (row_.mnemonic) {
      case Mnemonic::JMP:
      case Mnemonic::CALL:
        if (row_.encoding.has_modrm && (insn().is_memory() || insn().rm() != 4)) {
          set_rm(code_offset(cpu().segment(SegReg::kCs)), size);
        }
        break;
      case Mnemonic::DIV:
      case Mnemonic::IDIV:
        if (rng_.chance(70)) {
          uint32_t& edx = cpu().reg(Gpr::kRdx);
          uint32_t& eax = cpu().reg(Gpr::kRax);
          const bool negative = is(Mnemonic::IDIV) && rng_.chance(50);
          if (insn().opcode & 1) {
            edx = (edx & ~(size == 2 ? 0xffffu : ~0u)) |
                  ((negative ? ~rng_.below(4) : rng_.below(4)) & (size == 2 ? 0xffff : ~0u));
          } else {
            eax = (eax & 0xffff00ff) | ((negative ? ~rng_.below(4) : rng_.below(4)) & 0xff) << 8;
          }
        }
        break;
      case Mnemonic::CMPXCHG:
        if (rng_.chance(50)) {
          const bool byte = !(insn().opcode & 1);
          const uint64_t equal = insn().is_memory() ? operand_as_integer() : byte_or_whole(insn().rm(), byte);
          if (insn().is_memory() || insn().rm() != 0)
            std::memcpy(&cpu().reg(Gpr::kRax), &equal, byte ? 1 : size);
        }
        break;
      case Mnemonic::CMPXCHG8B:
        if (rng_.chance(50) && insn().base != 0 && insn().base != 2 && insn().index != 0 &&
            insn().index != 2) {
          cpu().reg(Gpr::kRax) = static_cast<uint32_t>(operand_as_integer());
          cpu().reg(Gpr::kRdx) = static_cast<uint32_t>(operand_as_integer() >> 32);
        }
        break;
      case Mnemonic::JCXZ:
      case Mnemonic::LOOP:
      case Mnemonic::LOOPE:
      case Mnemonic::LOOPNE:
        if (rng_.chance(60)) {
          cpu().reg(Gpr::kRcx) = rng_.below(3);
          if (insn().address_size == 2) cpu().reg(Gpr::kRcx) |= rng_.next32() & 0xffff0000;
        }
        break;
      case Mnemonic::BOUND:
        if (insn().is_memory() && rng_.chance(50)) {
          const uint32_t index = cpu().gpr[insn().reg()];
          patch_value(operand_linear_, index - rng_.below(3), size);
          patch_value(operand_linear_ + size, index + rng_.below(3), size);
        }
        break;
      case Mnemonic::ENTER: {
        uint8_t* imm = case_.code.bytes.data() + case_.code.immediate_at;
        const uint16_t frame = static_cast<uint16_t>(rng_.chance(80) ? rng_.below(64) : rng_.next32());
        std::memcpy(imm, &frame, 2);
        imm[2] = static_cast<uint8_t>(rng_.chance(80) ? rng_.below(5) : rng_.byte());
        break;
      }
      case Mnemonic::LDMXCSR:
        if (rng_.chance(85)) patch_value(operand_linear_, random_mxcsr(rng_));
        break;
      default:
        break;
    }
  }
  uint32_t byte_or_whole(unsigned r, bool byte) {
    if (!byte) return cpu().gpr[r];
    return (cpu().gpr[r & 3] >> (r & 4 ? 8 : 0)) & 0xff;
  }

  Rng& rng_;
  const InsnRow& row_;
  const CaseKind kind_;
  CodeSize code_size_ = CodeSize::k32;
  Case case_;
  uint32_t operand_linear_ = kArena + 0x4000;
  std::vector<uint8_t> operand_value_;
};

}  // namespace

uint32_t segment_base(uint16_t selector) {
  const unsigned index = selector >> 3;
  return (selector & 4) && index < kLdt.size() ? kLdt[index].base : 0;
}

std::optional<Case> generate_case(Rng& rng, const InsnRow& row, CaseKind kind) {
  return Generator(rng, row, kind).run();
}

}  // namespace vireo::diff
