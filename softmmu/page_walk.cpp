#include "softmmu/page_walk.h"

#include <algorithm>

namespace vireo {

namespace {

// Bits of a paging-structure entry (SDM 3A tables 4-4 to 4-6 and 4-8 to 4-11).
constexpr uint64_t kPresent = 1u << 0;
constexpr uint64_t kWritable = 1u << 1;
constexpr uint64_t kUser = 1u << 2;
constexpr uint64_t kAccessed = 1u << 5;
constexpr uint64_t kDirty = 1u << 6;
constexpr uint64_t kLarge = 1u << 7;
constexpr uint64_t kGlobal = 1u << 8;
constexpr uint64_t kExecuteDisable = uint64_t{1} << 63;

/// Bits `low` to `high`; none if `high` is below.
constexpr uint64_t bits(unsigned high, unsigned low) {
  return (~uint64_t{0} >> (63 - high)) & (~uint64_t{0} << low);
}

/// Bits that must be 0 in a present entry. `level` counts from 1 at the leaf.
uint64_t reserved_bits(PagingMode mode, unsigned level, bool large, bool nxe, unsigned physical_bits) {
  if (mode == PagingMode::k32Bit) {
    // PSE-36: bits 13 to 20 are address bits 32 to 39.
    return large ? bits(21, std::min(physical_bits, 40u) - 19) : 0;
  }
  uint64_t reserved = bits(mode == PagingMode::kPae ? 62 : 51, physical_bits);
  if (!nxe) reserved |= kExecuteDisable;
  if (large) reserved |= bits(12 + 9 * (level - 1) - 1, 13);
  if (level == 4) reserved |= kLarge;
  return reserved;
}

}  // namespace

TableShape table_shape(PagingMode mode) {
  switch (mode) {
    case PagingMode::k32Bit:
      return {2, 10, 4};
    case PagingMode::kPae:
      return {2, 9, 8};  // below the PDPTE registers
    default:
      return {4, 9, 8};
  }
}

PagingMode paging_mode(const CpuState& cpu) {
  if (!cpu.paging()) return PagingMode::kNone;
  if (!(cpu.cr4 & cr4::kPae)) return PagingMode::k32Bit;
  return cpu.long_mode() ? PagingMode::k4Level : PagingMode::kPae;
}

void TableMemory::write_byte(Gpa address, uint8_t value) {
  memory_.write_value(address, value);
}

PageWalk::PageWalk(const CpuState& cpu, TableMemory& memory, unsigned physical_bits, Gla address) {
  const uint64_t frame_mask = bits(physical_bits - 1, 12);
  const PagingMode paging = paging_mode(cpu);
  if (paging == PagingMode::kNone) {
    translation_ = {.page = {address.value & 0xffff'f000}, .dirty = true};
    return;
  }
  const TableShape mode = table_shape(paging);
  const bool nxe = cpu.msr.efer & efer::kNxe;
  entry_size_ = mode.entry_size;

  uint64_t table = cpu.cr3 & (paging == PagingMode::k32Bit ? bits(31, 12) : frame_mask);
  if (paging == PagingMode::kPae) {
    const uint64_t pdpte = cpu.pdpte[(address.value >> 30) & 3];
    if (!(pdpte & kPresent)) {
      fault_bits_ = 0;
      return;
    }
    table = pdpte & frame_mask;
  }

  for (unsigned level = mode.levels; level > 0; --level) {
    const unsigned shift = 12 + mode.index_bits * (level - 1);
    const uint64_t index = (address.value >> shift) & ((1u << mode.index_bits) - 1);
    const Gpa where{table + index * entry_size_};
    const uint64_t entry = entry_size_ == 4 ? memory.read<uint32_t>(where) : memory.read<uint64_t>(where);
    if (!(entry & kPresent)) {
      fault_bits_ = 0;
      return;
    }
    const bool may_be_large =
        paging == PagingMode::k32Bit ? level == 2 && (cpu.cr4 & cr4::kPse) : level == 2 || level == 3;
    const bool large = may_be_large && (entry & kLarge);
    if (entry & reserved_bits(paging, level, large, nxe, physical_bits)) {
      fault_bits_ = pf::kPresent | pf::kReserved;
      return;
    }
    steps_[step_count_++] = {where, entry, level};
    translation_.writable &= (entry & kWritable) != 0;
    translation_.user &= (entry & kUser) != 0;
    translation_.executable &= !(nxe && entry_size_ == 8 && (entry & kExecuteDisable));
    if (level > 1 && !large) {
      table = entry & frame_mask;
      continue;
    }
    const uint64_t page_size = uint64_t{1} << shift;
    uint64_t frame = entry & frame_mask & ~(page_size - 1);
    if (paging == PagingMode::k32Bit && large) frame |= (entry & bits(20, 13)) << 19;
    translation_.page = {frame | (address.value & (page_size - 1) & ~kPageMask)};
    translation_.page_size = page_size;
    translation_.dirty = (entry & kDirty) != 0;
    translation_.global = (cpu.cr4 & cr4::kPge) && (entry & kGlobal);
    return;
  }
}

void PageWalk::set_accessed(TableMemory& memory, bool dirty) {
  for (unsigned i = 0; i < step_count_; ++i) {
    const bool leaf = i + 1 == step_count_;
    const uint64_t wanted = steps_[i].value | kAccessed | (leaf && dirty ? kDirty : 0);
    if (wanted == steps_[i].value) continue;
    // The flags are in the low byte, in either entry size.
    memory.write_byte(steps_[i].entry, static_cast<uint8_t>(wanted));
  }
  if (dirty) translation_.dirty = true;
}

}  // namespace vireo
