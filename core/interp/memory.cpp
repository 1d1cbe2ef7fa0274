// Memory accesses that the inline fast paths do not cover: segment checks, alignment, data breakpoints, page
// faults, operands across pages, MMIO and pages with code.
#include <algorithm>

#include "core/interp/interp_impl.h"

namespace vireo::interp {

namespace {

[[noreturn]] void throw_pf(const PageFault& fault) {
  throw Fault{14, true, fault.error_code, fault.address.value};
}

void fill_or_throw(Mmu& mmu, Gla address, Access access, Privilege privilege) {
  if (auto fault = mmu.fill(address, access, privilege)) throw_pf(*fault);
}

[[noreturn]] void throw_segment_violation(SegReg segment) {
  if (segment == SegReg::kSs) throw_ss(0);
  throw_gp(0);
}

bool alignment_checked(const CpuState& cpu) {
  return (cpu.cr0 & cr0::kAm) && (cpu.rflags & rflags::kAc) && cpu.cpl == 3;
}

/// #AC for operands of 2, 4 and 8 bytes; wider ones have alignment rules of their own.
void check_alignment(const CpuState& cpu, uint64_t linear, unsigned size) {
  if ((size == 2 || size == 4 || size == 8) && (linear & (size - 1)) != 0 && alignment_checked(cpu)) {
    throw Fault{17, true, 0};
  }
}

unsigned bytes_in_page(Gla address, unsigned size) {
  return static_cast<unsigned>(std::min<uint64_t>(size, kPageSize - address.page_offset()));
}

}  // namespace

// SDM 3A 5.3 (limits) and 5.4, 5.5 (types).
void Interp::check_segment(SegReg which, uint64_t offset, unsigned size, bool write) const {
  const Segment& s = cpu.segment(which);
  if (!cpu.real_or_v86() && !(write ? s.is_writable_data() : s.is_readable())) throw_segment_violation(which);
  check_limit(which, offset, size);
}

void Interp::check_limit(SegReg which, uint64_t offset, unsigned size) const {
  const Segment& s = cpu.segment(which);
  if (!cpu.real_or_v86() && !s.usable()) throw_segment_violation(which);
  const uint64_t last = offset + size - 1;
  if (s.is_expand_down()) {
    const uint64_t top = s.big() ? 0xffffffff : 0xffff;
    if (offset <= s.limit || last > top) throw_segment_violation(which);
  } else if (last > s.limit && s.limit != 0xffffffff) {  // a 4-GiB segment wraps
    throw_segment_violation(which);
  }
}

void Interp::read_linear(Gla address, Privilege privilege, void* out, unsigned size) {
  const FetchWatch watch(*this);
  const unsigned first = bytes_in_page(address, size);
  const Gla second{(address.value + first) & linear_mask_};
  fill_or_throw(mmu, address, Access::kRead, privilege);
  if (first < size) fill_or_throw(mmu, second, Access::kRead, privilege);
  mmu.read_slow(address, privilege, out, first);
  if (first < size) mmu.read_slow(second, privilege, static_cast<uint8_t*>(out) + first, size - first);
}

void Interp::write_linear(Gla address, Privilege privilege, const void* bytes, unsigned size) {
  const FetchWatch watch(*this);
  const unsigned first = bytes_in_page(address, size);
  const Gla second{(address.value + first) & linear_mask_};
  fill_or_throw(mmu, address, Access::kWrite, privilege);
  if (first < size) fill_or_throw(mmu, second, Access::kWrite, privilege);
  mmu.write_slow(address, privilege, bytes, first);
  if (first < size)
    mmu.write_slow(second, privilege, static_cast<const uint8_t*>(bytes) + first, size - first);
}

void Interp::write_linear_as(Privilege privilege, Gla address, const void* bytes, unsigned size) {
  address.value &= linear_mask_;
  if (uint8_t* host = mmu.fast_write(address, size, privilege)) {
    std::memcpy(host, bytes, size);
  } else {
    write_linear(address, privilege, bytes, size);
  }
}

void Interp::read_checked(SegReg segment, uint64_t offset, void* out, unsigned size) {
  check_segment(segment, offset, size, false);
  const Gla address{(cpu.segment(segment).base + offset) & linear_mask_};
  check_alignment(cpu, address.value, size);
  read_linear(address, privilege_, out, size);
  impl_->note_data_access(address.value, size, false);
}

void Interp::write_checked(SegReg segment, uint64_t offset, const void* bytes, unsigned size) {
  check_segment(segment, offset, size, true);
  const Gla address{(cpu.segment(segment).base + offset) & linear_mask_};
  check_alignment(cpu, address.value, size);
  write_linear(address, privilege_, bytes, size);
  impl_->note_data_access(address.value, size, true);
}

void Interp::probe_write(SegReg segment, uint64_t offset, unsigned size) {
  check_segment(segment, offset, size, true);
  const Gla address{(cpu.segment(segment).base + offset) & linear_mask_};
  check_alignment(cpu, address.value, size);
  const unsigned first = bytes_in_page(address, size);
  const FetchWatch watch(*this);
  fill_or_throw(mmu, address, Access::kWrite, privilege_);
  if (first < size) fill_or_throw(mmu, {(address.value + first) & linear_mask_}, Access::kWrite, privilege_);
}

void Interp::read_for_write_checked(SegReg segment, uint64_t offset, void* out, unsigned size) {
  probe_write(segment, offset, size);
  const Gla address{(cpu.segment(segment).base + offset) & linear_mask_};
  read_linear(address, privilege_, out, size);
}

bool Interp::writes_itself(const uint8_t* host, unsigned size) const {
  return host != nullptr && own_code_->overlaps(host, size);
}

bool Interp::rewrote_itself() const {
  return own_code_->changed();
}

void Interp::read_bytes(SegReg segment, uint64_t offset, void* out, unsigned size) {
  read_checked(segment, offset, out, size);
}

void Interp::write_bytes(SegReg segment, uint64_t offset, const void* bytes, unsigned size) {
  write_checked(segment, offset, bytes, size);
}

/// What all views depend on beside their segment.
Interp::ViewConditions Interp::view_conditions() const {
  return {cpu.real_or_v86(), impl_->breakpoints.data == 0 && !alignment_checked(cpu)};
}

inline void Interp::update_view(SegReg which, ViewConditions conditions) {
  const Segment& s = cpu.segment(which);
  const unsigned type = s.type();
  const bool usable = s.usable();
  const bool code = type & 8, expand_down = usable && (type & 0xc) == 4;
  // Everything that one comparison cannot decide goes through check_segment().
  const uint64_t end = conditions.comparable && !expand_down ? uint64_t{s.limit} + 1 : 0;
  const bool readable = conditions.unchecked_type || (usable && (!code || (type & 2)));
  const bool writable = conditions.unchecked_type || (usable && !code && (type & 2));
  const uint64_t base = s.base, read_end = readable ? end : 0, write_end = writable ? end : 0;
  SegmentView& view = view_[static_cast<unsigned>(which)];
  const bool was_flat = view.flat();
  // Field by field: a copy of the whole would wait for these stores.
  const auto store = [&](SegmentView& v) {
    v.base = base;
    v.read_end = read_end;
    v.write_end = write_end;
  };
  store(view);
  if (view_mirror_ != nullptr) store((*view_mirror_)[static_cast<unsigned>(which)]);
  const bool is_flat = base == 0 && read_end > 0xffffffff && write_end > 0xffffffff;
  mode_epoch_ += is_flat != was_flat;
  if (which != SegReg::kSs) return;
  const uint64_t stack_mask = s.big() ? 0xffffffff : 0xffff;
  mode_epoch_ += stack_mask != stack_mask_;
  stack_mask_ = stack_mask;
}

void Interp::update_segment(SegReg which) {
  update_view(which, view_conditions());
}

void Interp::take_code_segment() {
  ++mode_epoch_;
  privilege_ = cpu.cpl == 3 ? Privilege::kUser : Privilege::kSupervisor;
  const Segment& cs = cpu.segment(SegReg::kCs);
  const isa::CodeSize size = cpu.long_mode() && (cs.access & Segment::kL) ? isa::CodeSize::k64
                             : cs.big()                                   ? isa::CodeSize::k32
                                                                          : isa::CodeSize::k16;
  impl_->mode = BlockMode::make(size, false);
  end_block();
}

void Interp::mode_changed() {
  linear_mask_ = cpu.long_mode() ? ~uint64_t{0} : 0xffffffff;
  impl_->update_breakpoints();
  conditions_ = view_conditions();
  for (unsigned i = 0; i < 6; ++i) update_view(static_cast<SegReg>(i), conditions_);
  take_code_segment();
}

void Interp::code_and_stack_became_flat() {
  constexpr uint64_t kAll = uint64_t{1} << 32;
  const auto is = [&](SegReg which, uint64_t write_end) {
    const SegmentView& view = view_[static_cast<unsigned>(which)];
    return view.base == 0 && view.read_end == kAll && view.write_end == write_end;
  };
  const bool same_views = conditions_.comparable && view_conditions() == conditions_ && is(SegReg::kCs, 0) &&
                          is(SegReg::kSs, kAll) && stack_mask_ == 0xffffffff;
  if (!same_views) return code_and_stack_changed();
  take_code_segment();
}

void Interp::code_and_stack_changed() {
  if (view_conditions() != conditions_) {
    mode_changed();
    return;
  }
  update_view(SegReg::kCs, conditions_);
  update_view(SegReg::kSs, conditions_);
  take_code_segment();
}

}  // namespace vireo::interp
