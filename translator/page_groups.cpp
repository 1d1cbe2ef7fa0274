#include "translator/page_groups.h"

#include <algorithm>
#include <optional>

#include "core/isa/mnemonic.h"
#include "core/types.h"
#include "translator/emitter.h"
#include "translator/reencode.h"

namespace vireo::translator {

namespace {

using isa::InsnClass;
using isa::Mnemonic;

constexpr unsigned kEsp = 4;
constexpr uint32_t kMaxSpan = 1024;
constexpr uint8_t kMostGroups = 32;

/// A register's content: an unknown number and a known distance from it.
struct Value {
  uint32_t symbol = 0;
  uint32_t offset = 0;
  bool operator==(const Value&) const = default;
};

/// Two symbols whose sum has one, too: pointers that a loop computes anew in each turn.
struct Sum {
  uint32_t base, index;
  uint8_t scale;
  uint32_t symbol;
};

struct Address {
  uint32_t base = 0, index = 0;  ///< symbols; 0: none
  uint8_t scale = 0;
  uint32_t offset = 0;  ///< from their sum
  bool constant() const { return base == 0 && index == 0; }
};

/// What is only needed while groups are being found.
struct Draft {
  PageGroup group;
  Address address;
  uint32_t low = 0, high = 0;  ///< offsets from the address's symbols
  unsigned cost = 0;           ///< of its accesses, if they probe one by one
};

/// What is re-encoded with the guest's registers, and therefore has only the effects that its row tells.
bool is_reencoded(const ScannedInsn& x) {
  switch (x.row->insn_class) {
    case InsnClass::Passthrough:
      return true;
    case InsnClass::Fpu:
    case InsnClass::Mmx:
    case InsnClass::Sse:
      return x.row->support == isa::Support::kNative;
    default:
      return false;
  }
}

/// Whether its emitter keeps host::kValue as it is.
enum class KeepsValue : uint8_t { kNo, kYes, kIfStackGrouped };

KeepsValue keeps_value(const ScannedInsn& x, const OperandUse& use) {
  const auto yes_if = [](bool yes) { return yes ? KeepsValue::kYes : KeepsValue::kNo; };
  switch (x.row->mnemonic) {
    case Mnemonic::PUSH:
      return use.memory ? KeepsValue::kIfStackGrouped : KeepsValue::kYes;
    case Mnemonic::CALL:
      return x.insn.opcode == 0xff ? KeepsValue::kIfStackGrouped : KeepsValue::kYes;
    case Mnemonic::RET:
    case Mnemonic::JCC:
    case Mnemonic::JMP:
      return KeepsValue::kYes;
    case Mnemonic::POP:
      return yes_if((use.opcode_is_gpr || use.rm_is_gpr) && !use.names_esp);
    default:
      return yes_if(is_reencoded(x) && !(x.row->has(isa::attribute::kBitString) && use.memory));
  }
}

class Finder {
 public:
  Finder(std::span<const ScannedInsn> insns, Mode mode, uint64_t ungrouped, const ProbeCosts& costs)
      : insns_(insns), mode_(mode), ungrouped_(ungrouped), costs_(costs) {
    forget_registers();
  }

  PageGroups find() {
    found_.operands.resize(insns_.size());
    found_.stack.resize(insns_.size());
    for (uint16_t i = 0; i < insns_.size(); ++i) look_at(i);
    choose();
    return std::move(found_);
  }

 private:
  void forget_registers() {
    for (Value& v : registers_) v = {++last_symbol_, 0};
  }
  void forget(unsigned gpr) { registers_[gpr] = {++last_symbol_, 0}; }

  Value sum(const Value& base, const Value& index, uint8_t scale) {
    const uint32_t offset = base.offset + (index.offset << scale);
    for (const Sum& s : sums_) {
      const bool same = s.base == base.symbol && s.index == index.symbol && s.scale == scale;
      const bool other_way = scale == 0 && s.scale == 0 && s.base == index.symbol && s.index == base.symbol;
      if (same || other_way) return {s.symbol, offset};
    }
    sums_.push_back({base.symbol, index.symbol, scale, ++last_symbol_});
    return {last_symbol_, offset};
  }

  void look_at(uint16_t i) {
    const ScannedInsn& x = insns_[i];
    const OperandUse use = operand_use(x.insn, *x.row);
    values_kept_.push_back(keeps_value(x, use));
    if (ungrouped_ >> i & 1) {
      forget_registers();
      return;
    }
    const isa::Insn& insn = x.insn;
    const unsigned size = insn.operand_size;
    const bool stack_known = mode_.has(Mode::kStack32) && is_flat(mode_, SegReg::kSs);
    switch (x.row->mnemonic) {
      case Mnemonic::PUSH:
      case Mnemonic::CALL:
        if (use.memory) add_operand(i, use);
        if (!stack_known) return forget(kEsp);
        registers_[kEsp].offset -= size;
        add_stack(i, size, true);
        return;
      case Mnemonic::POP:
        if (!stack_known || !(use.opcode_is_gpr || use.rm_is_gpr)) return forget_registers();
        pop(i, size);
        forget(use.opcode_is_gpr ? insn.opcode_reg() : insn.rm());
        return;
      case Mnemonic::RET:
        if (stack_known) pop(i, size);
        return;
      case Mnemonic::JCC:
        return;
      case Mnemonic::JMP:
        if (insn.opcode == 0xff && use.memory) add_operand(i, use);
        return;
      default:
        break;
    }
    if (!is_reencoded(x)) return forget_registers();
    // The address of a bit string is not its operand's.
    if (use.memory && !x.row->has(isa::attribute::kBitString)) add_operand(i, use);
    follow(x, use);
  }

  void pop(uint16_t i, unsigned size) {
    add_stack(i, size, false);
    registers_[kEsp].offset += size;
  }

  /// What a re-encoded instruction makes of the registers.
  void follow(const ScannedInsn& x, const OperandUse& use) {
    const isa::Insn& insn = x.insn;
    const bool wide = insn.operand_size == 4;
    switch (x.row->mnemonic) {
      case Mnemonic::CMP:
      case Mnemonic::TEST:
      case Mnemonic::NOP:
      case Mnemonic::PREFETCH:
      case Mnemonic::PAUSE:
      case Mnemonic::CLD:
      case Mnemonic::STD:
      case Mnemonic::CLC:
      case Mnemonic::STC:
      case Mnemonic::CMC:
        return;
      case Mnemonic::MOV:
        if (wide && use.reg_is_gpr && use.rm_is_gpr && !use.reg_is_byte && !use.rm_is_byte) {
          const bool to_rm = insn.opcode == 0x89;
          registers_[to_rm ? insn.rm() : insn.reg()] = registers_[to_rm ? insn.reg() : insn.rm()];
          return;
        }
        break;
      case Mnemonic::LEA:
        if (wide && insn.address_size == 4 && insn.base < isa::kNoRegister) {
          Value value = registers_[insn.base];
          if (insn.index < isa::kNoRegister) value = sum(value, registers_[insn.index], insn.scale);
          value.offset += static_cast<uint32_t>(insn.disp);
          registers_[insn.reg()] = value;
          return;
        }
        break;
      case Mnemonic::ADD:
      case Mnemonic::SUB:
        if (wide && use.rm_is_gpr && !use.reg_is_gpr && !use.rm_is_byte) {
          const auto amount = static_cast<uint32_t>(insn.imm);
          registers_[insn.rm()].offset += x.row->mnemonic == Mnemonic::ADD ? amount : 0 - amount;
          return;
        }
        if (wide && x.row->mnemonic == Mnemonic::ADD && use.rm_is_gpr && use.reg_is_gpr && !use.rm_is_byte) {
          registers_[insn.opcode == 0x01 ? insn.rm() : insn.reg()] =
              sum(registers_[insn.rm()], registers_[insn.reg()], 0);
          return;
        }
        break;
      case Mnemonic::INC:
      case Mnemonic::DEC:
        if (wide && !use.rm_is_byte && (use.opcode_is_gpr || use.rm_is_gpr)) {
          const unsigned gpr = use.opcode_is_gpr ? insn.opcode_reg() : insn.rm();
          registers_[gpr].offset += x.row->mnemonic == Mnemonic::INC ? 1 : uint32_t{0} - 1;
          return;
        }
        break;
      // They write registers that they do not name.
      case Mnemonic::MUL:
      case Mnemonic::DIV:
      case Mnemonic::IDIV:
      case Mnemonic::IMUL:
      case Mnemonic::CWD:
      case Mnemonic::CMPXCHG8B:
        forget(0);
        forget(2);
        break;
      case Mnemonic::CBW:
      case Mnemonic::LAHF:
      case Mnemonic::XLAT:
      case Mnemonic::SALC:
      case Mnemonic::AAA:
      case Mnemonic::AAS:
      case Mnemonic::AAM:
      case Mnemonic::AAD:
      case Mnemonic::DAA:
      case Mnemonic::DAS:
      case Mnemonic::CMPXCHG:
        forget(0);
        break;
      case Mnemonic::PCMPESTRI:
      case Mnemonic::PCMPISTRI:
        forget(1);
        break;
      default:
        break;
    }
    forget_written(x);
  }

  void forget_written(const ScannedInsn& x) {
    const uint8_t written = named_gprs_written(x.insn, *x.row);
    for (unsigned gpr = 0; gpr < 8; ++gpr) {
      if ((written >> gpr & 1) != 0) forget(gpr);
    }
  }

  void add_operand(uint16_t i, const OperandUse& use) {
    const isa::Insn& insn = insns_[i].insn;
    if (insn.address_size != 4 || !is_flat(mode_, insn.segment)) return;
    Address address;
    address.offset = static_cast<uint32_t>(insn.disp);
    if (insn.base < isa::kNoRegister) {
      address.base = registers_[insn.base].symbol;
      address.offset += registers_[insn.base].offset;
    }
    if (insn.index < isa::kNoRegister) {
      address.index = registers_[insn.index].symbol;
      address.scale = insn.scale;
      address.offset += registers_[insn.index].offset << insn.scale;
    }
    GroupedAccess& access = found_.operands[i];
    add(access, i, address, insn.base, insn.index, use.memory_bytes, use.writes_memory);
    if (access.group != GroupedAccess::kNone)
      count(drafts_[access.group], use.memory_bytes, must_be_aligned(*insns_[i].row, use));
  }

  void add_stack(uint16_t i, unsigned size, bool write) {
    GroupedAccess& access = found_.stack[i];
    add(access, i, Address{registers_[kEsp].symbol, 0, 0, registers_[kEsp].offset}, kEsp, isa::kNoRegister,
        size, write);
    if (access.group != GroupedAccess::kNone) count(drafts_[access.group], size, false);
  }

  void count(Draft& d, unsigned bytes, bool aligned) {
    d.group.aligned &= aligned;
    d.cost += d.address.constant() || bytes == 1 ? costs_.simple : costs_.other;
  }

  void add(GroupedAccess& access, uint16_t i, const Address& address, uint8_t base, uint8_t index,
           unsigned bytes, bool write) {
    const bool constant = address.constant();
    // Of the latest groups first: those before have been left behind because they would have become too wide.
    for (size_t g = drafts_.size(); g-- > 0;) {
      Draft& d = drafts_[g];
      if (d.address.base != address.base || d.address.index != address.index ||
          d.address.scale != address.scale)
        continue;
      const auto distance = static_cast<int32_t>(address.offset - d.low);
      const uint32_t low = distance < 0 ? address.offset : d.low;
      // Offsets half the address space apart are before and behind each other.
      const uint32_t span = std::max(d.high - low, address.offset + bytes - low);
      const uint32_t high = low + span;
      if (span > kMaxSpan || (constant && low / kPageSize != (high - 1) / kPageSize)) continue;
      d.low = low;
      d.high = high;
      d.group.writes |= write;
      d.group.last = i;
      access = {static_cast<uint8_t>(g), address.offset};
      return;
    }
    if (drafts_.size() == kMostGroups) return;
    // Going on in a plain block behind STI would lose the shadow.
    if (i != 0 && insns_[i - 1].row->mnemonic == Mnemonic::STI) return;
    if (constant && address.offset / kPageSize != (address.offset + bytes - 1) / kPageSize) return;
    Draft d;
    d.address = address;
    d.low = address.offset;
    d.high = address.offset + bytes;
    d.group.first = d.group.last = i;
    d.group.base = base < isa::kNoRegister ? base : isa::kNoRegister;
    d.group.index = index < isa::kNoRegister ? index : isa::kNoRegister;
    d.group.scale = index < isa::kNoRegister ? address.scale : 0;
    d.group.writes = write;
    d.group.aligned = true;
    // A push has changed ESP here, but its instruction has not when the group is probed.
    const bool pushes =
        insns_[i].row->mnemonic == Mnemonic::PUSH || insns_[i].row->mnemonic == Mnemonic::CALL;
    uint32_t low = 0;
    if (base < isa::kNoRegister) {
      low -= registers_[base].offset;
      if (pushes && base == kEsp && &access == &found_.stack[i]) low -= insns_[i].insn.operand_size;
    }
    if (index < isa::kNoRegister) low -= registers_[index].offset << address.scale;
    d.group.low = static_cast<int32_t>(low);
    access = {static_cast<uint8_t>(drafts_.size()), address.offset};
    drafts_.push_back(d);
  }

  bool may_use_register(size_t draft) const {
    const PageGroup& group = drafts_[draft].group;
    for (unsigned i = group.first; i <= group.last; ++i) {
      if (values_kept_[i] == KeepsValue::kNo || (ungrouped_ >> i & 1)) return false;
      if (values_kept_[i] == KeepsValue::kIfStackGrouped && found_.stack[i].group != draft) return false;
    }
    return std::none_of(found_.groups.begin(), found_.groups.end(), [&](const PageGroup& g) {
      return g.in_register && g.first <= group.last && group.first <= g.last;
    });
  }

  /// Which groups pay, and where each keeps its address.
  void choose() {
    std::vector<size_t> order;
    for (size_t i = 0; i < drafts_.size(); ++i) {
      if (drafts_[i].cost > (drafts_[i].address.constant() ? costs_.constant : costs_.group))
        order.push_back(i);
    }
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t x, size_t y) { return drafts_[x].cost > drafts_[y].cost; });
    std::vector<std::optional<uint8_t>> number(drafts_.size());
    uint8_t slots = 0;
    for (const size_t i : order) {
      Draft& d = drafts_[i];
      PageGroup& group = d.group;
      group.low = static_cast<int32_t>(static_cast<uint32_t>(group.low) + d.low);
      group.bytes = d.high - d.low;
      group.aligned = group.aligned && group.bytes == 16;
      group.in_register = may_use_register(i);
      if (!group.in_register) {
        if (slots == PageGroups::kSlots) continue;
        group.slot = slots++;
      }
      number[i] = static_cast<uint8_t>(found_.groups.size());
      found_.groups.push_back(group);
    }
    const auto renumber = [&](GroupedAccess& access) {
      if (access.group == GroupedAccess::kNone) return;
      const auto& n = number[access.group];
      access = n ? GroupedAccess{*n, access.offset - drafts_[access.group].low} : GroupedAccess{};
    };
    for (GroupedAccess& access : found_.operands) renumber(access);
    for (GroupedAccess& access : found_.stack) renumber(access);
  }

  std::span<const ScannedInsn> insns_;
  const Mode mode_;
  const uint64_t ungrouped_;
  const ProbeCosts costs_;
  std::array<Value, 8> registers_;
  uint32_t last_symbol_ = 0;
  std::vector<Sum> sums_;
  std::vector<Draft> drafts_;
  std::vector<KeepsValue> values_kept_;
  PageGroups found_;
};

}  // namespace

bool is_flat(Mode mode, SegReg segment) {
  switch (segment) {
    case SegReg::kEs:
      return mode.has(Mode::kFlatEs);
    case SegReg::kSs:
      return mode.has(Mode::kFlatSs);
    case SegReg::kDs:
      return mode.has(Mode::kFlatDs);
    default:
      return false;
  }
}

PageGroups find_page_groups(std::span<const ScannedInsn> insns, Mode mode, uint64_t ungrouped,
                            const ProbeCosts& costs) {
  return Finder(insns, mode, ungrouped, costs).find();
}

}  // namespace vireo::translator
