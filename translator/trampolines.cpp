#include "translator/trampolines.h"

#include "core/check.h"
#include "translator/frame_access.h"

namespace vireo::translator {

namespace {

using namespace asmjit;
using x86::ptr;

constexpr auto kGprOffset = offsetof(CpuState, gpr);

x86::Mem cpu_gpr(const x86::Gp& cpu, unsigned number, uint32_t size) {
  return x86::Mem(cpu, static_cast<int32_t>(kGprOffset + 8 * number), size);
}

class Builder {
 public:
  Builder(const uint8_t* base, const Helpers& helpers, Trampolines& out)
      : base_(base), helpers_(helpers), out_(out) {
    code_.init(Environment::host(), reinterpret_cast<uint64_t>(base));
    code_.attach(&a);
  }

  std::vector<uint8_t> build() {
    leave_ = a.newLabel();
    return_to_host_ = a.newLabel();
    make_return_to_host();
    make_enter();
    make_exits();
    out_.fill_read = make_helper(reinterpret_cast<uint64_t>(helpers_.fill_read), false);
    out_.fill_write = make_helper(reinterpret_cast<uint64_t>(helpers_.fill_write), false);
    make_read_across();
    out_.load_segment = make_helper(reinterpret_cast<uint64_t>(helpers_.load_segment), false);
    out_.verify_segment = make_helper(reinterpret_cast<uint64_t>(helpers_.verify_segment), false);
    make_known_segments();
    out_.read_tsc = make_helper(reinterpret_cast<uint64_t>(helpers_.read_tsc), false);
    out_.interpret = make_interpret(reinterpret_cast<uint64_t>(helpers_.interpret));
    out_.system_call = make_interpret(reinterpret_cast<uint64_t>(helpers_.system_call));
    out_.load_fpu = make_helper(reinterpret_cast<uint64_t>(helpers_.load_fpu), true);
    out_.bytes = code_.codeSize();
    CHECK(code_.flatten() == kErrorOk);
    const CodeBuffer& bytes = code_.sectionById(0)->buffer();
    return {bytes.data(), bytes.data() + bytes.size()};
  }

 private:
  const uint8_t* here() {
    a.align(AlignMode::kCode, 16);
    return base_ + a.offset();
  }

  static constexpr x86::Gp kCalleeSaved[] = {x86::rbx, x86::rbp, x86::r12, x86::r13, x86::r14, x86::r15};

  void make_return_to_host() {
    here();
    a.bind(return_to_host_);
    a.mov(x86::rsp, VIREO_FRAME(host_rsp));
    a.add(x86::rsp, 8);
    for (size_t i = std::size(kCalleeSaved); i-- > 0;) {
      a.pop(kCalleeSaved[i]);
      if (kCalleeSaved[i] == host::kCountdown) out_.host_registers = base_ + a.offset();
    }
    a.ret();
  }

  /// Follows make_return_to_host(), so that the code where r15 is not the countdown is in one piece.
  void make_enter() {
    out_.enter = here();
    for (const x86::Gp& r : kCalleeSaved) a.push(r);
    a.sub(x86::rsp, 8);
    a.lea(host::kFrame, ptr(x86::rdi, kFrameBias));
    a.mov(VIREO_FRAME(host_rsp), x86::rsp);
    a.mov(x86::rsp, VIREO_FRAME(pair_rsp));
    a.mov(host::kCountdown, VIREO_FRAME(countdown));
    out_.host_registers_end = base_ + a.offset();
    a.mov(host::kTlb, VIREO_FRAME(tlb));
    a.mov(host::kWindow, VIREO_FRAME(window));
    a.mov(x86::r11, VIREO_FRAME(entry));
    load_guest();
    a.jmp(x86::r11);
  }

  void make_exits() {
    out_.exit_call_eflags = here();
    a.lahf();
    a.seto(x86::al);
    out_.exit_call_saved = base_ + a.offset();
    a.pop(host::kAddress);
    Label site = a.newLabel();
    a.jmp(site);

    out_.exit_jump_eflags = here();
    a.lahf();
    a.seto(x86::al);
    out_.exit_jump_saved = base_ + a.offset();
    a.bind(site);
    a.mov(x86::r11d, static_cast<uint32_t>(ExitKind::kSite));
    a.jmp(leave_);

    out_.exit_indirect = here();
    a.mov(x86::r11d, static_cast<uint32_t>(ExitKind::kIndirect));

    a.bind(leave_);
    a.mov(VIREO_FRAME(exit_address), host::kAddress);
    a.mov(VIREO_FRAME(exit_kind), x86::r11);
    store_guest();
    a.jmp(return_to_host_);
  }

  void load_guest() {
    a.mov(host::kFlags, VIREO_FRAME(flags));
    a.mov(x86::r10, VIREO_FRAME(cpu));
    for (unsigned n = 0; n < 8; ++n) a.mov(host::guest32(n), cpu_gpr(x86::r10, n, 4));
  }

  void store_guest() {
    a.mov(VIREO_FRAME(flags), host::kFlags);
    a.mov(VIREO_FRAME(countdown), host::kCountdown);
    a.mov(x86::r11, VIREO_FRAME(cpu));
    for (unsigned n = 0; n < 8; ++n) a.mov(cpu_gpr(x86::r11, n, 8), x86::gpq(host::kGprOfGuest[n]));
    Label no_fpu = a.newLabel();
    a.cmp(VIREO_FRAME(fpu_ready), 0);
    a.je(no_fpu);
    a.fxsave64(frame_field(offsetof(Frame, fx), 512));
    a.emms();
    a.fldcw(VIREO_FRAME(host_fcw));
    a.ldmxcsr(VIREO_FRAME(host_mxcsr));
    a.bind(no_fpu);
  }

  const uint8_t* make_interpret(uint64_t helper) {
    const uint8_t* entry = here();
    store_guest();
    a.mov(frame_field(offsetof(Frame, saved)), x86::rsp);
    a.lea(x86::rdi, ptr(host::kFrame, -kFrameBias));
    a.mov(x86::rsi, x86::r10);
    a.mov(x86::rsp, VIREO_FRAME(host_rsp));
    a.mov(x86::r11, helper);
    a.call(x86::r11);
    Label leave = a.newLabel(), elsewhere = a.newLabel();
    a.cmp(x86::rax, 1);
    a.jb(leave);
    a.ja(elsewhere);
    a.mov(x86::rsp, frame_field(offsetof(Frame, saved)));
    a.mov(host::kCountdown, VIREO_FRAME(countdown));  // a signal may have changed it
    load_guest();
    a.ret();
    a.bind(elsewhere);
    a.mov(host::kWindow, VIREO_FRAME(window));
    a.mov(x86::r11, x86::rax);
    a.mov(x86::rsp, VIREO_FRAME(pair_rsp));
    a.mov(host::kCountdown, VIREO_FRAME(countdown));
    a.mov(host::kTlb, VIREO_FRAME(tlb));
    load_guest();
    a.jmp(x86::r11);
    a.bind(leave);
    a.mov(VIREO_FRAME(exit_kind), static_cast<uint64_t>(ExitKind::kDone));
    a.jmp(return_to_host_);
    return entry;
  }

  void make_read_across() {
    out_.read_across = here();
    constexpr size_t kRax = offsetof(Frame, saved), kR12 = kRax + 8, kCopy = offsetof(Frame, across);
    a.mov(frame_field(kRax), x86::rax);
    a.mov(frame_field(kR12), x86::r12);
    a.mov(x86::r11d, x86::r10d);
    a.shr(x86::r11d, 12);
    a.mov(x86::rax, tlb_word(Mmu::kReadDeltaOffset, x86::r11));
    a.inc(x86::r11d);
    a.and_(x86::r11d, static_cast<uint32_t>(TlbTables::kPages - 1));
    a.mov(x86::r12, tlb_word(Mmu::kReadDeltaOffset, x86::r11));
    Label none = a.newLabel(), done = a.newLabel();
    a.test(x86::rax, x86::rax);
    a.jz(none);
    a.test(x86::r12, x86::r12);
    a.jz(none);
    a.shl(x86::r11, 12);
    a.add(x86::r12, x86::r11);  // the second page
    a.mov(x86::r11d, x86::r10d);
    a.or_(x86::r11d, static_cast<uint32_t>(kPageMask));
    a.add(x86::r11, x86::rax);  // the first page's last byte
    for (int i = 0; i < 4; ++i) {
      a.mov(x86::rax, i < 2 ? ptr(x86::r11, 8 * i - 15) : ptr(x86::r12, 8 * (i - 2)));
      a.mov(frame_field(kCopy + 8 * static_cast<size_t>(i)), x86::rax);
    }
    a.mov(x86::r12d, x86::r10d);
    a.or_(x86::r12d, static_cast<uint32_t>(kPageMask));
    a.lea(x86::r11, frame_field(kCopy + 15));
    a.sub(x86::r11, x86::r12);
    a.bind(done);
    a.mov(x86::rax, frame_field(kRax));
    a.mov(x86::r12, frame_field(kR12));
    a.ret();
    a.bind(none);
    a.xor_(x86::r11d, x86::r11d);
    a.jmp(done);
  }

  static constexpr size_t kKeptValue = offsetof(Frame, saved) + 8 * 15;

  /// Looks r10 up in the DescriptorCache; leaves host::kValue in its slot, and the entry in r11.
  void find_descriptor(size_t entries, uint32_t key_bits, const Label& miss) {
    using Entry = DescriptorCache::Entry;
    const auto field = [](size_t offset) { return ptr(x86::r11, static_cast<int32_t>(offset), 8); };
    a.mov(x86::r11d, x86::r10d);
    a.and_(x86::r11d, DescriptorCache::kIndexMask);
    a.shl(x86::r11d, DescriptorCache::kIndexShift);
    a.lea(x86::r11, ptr(host::kFrame, x86::r11, 0, static_cast<int32_t>(entries) - kFrameBias));
    a.mov(frame_field(kKeptValue), host::kValue);
    a.mov(x86::r12d, x86::dword_ptr(x86::r11, offsetof(Entry, key)));
    a.xor_(x86::r12d, x86::r10d);
    a.test(x86::r12d, key_bits);
    a.jnz(miss);
    a.mov(x86::r12, VIREO_FRAME(supervisor_tlb));
    a.add(x86::r12, field(offsetof(Entry, tlb_word)));
    static_assert(Mmu::kReadDeltaOffset == 0);
    a.mov(x86::r12, ptr(x86::r12));
    a.cmp(x86::r12, field(offsetof(Entry, delta)));
    a.jne(miss);
    a.mov(x86::r12, field(offsetof(Entry, host)));
    a.mov(x86::r12, ptr(x86::r12));
    a.cmp(x86::r12, field(offsetof(Entry, raw)));
    a.jne(miss);
  }

  void make_known_segments() {
    for (const SegReg which : {SegReg::kEs, SegReg::kDs, SegReg::kFs, SegReg::kGs})
      make_load_known(static_cast<unsigned>(which));
    make_verify_known();
  }

  void make_load_known(unsigned which) {
    using Entry = DescriptorCache::Entry;
    using View = interp::Interp::SegmentView;
    const bool in_mode = which <= static_cast<unsigned>(SegReg::kDs);  // whether it is flat
    const auto segment =
        ptr(x86::r10, static_cast<int32_t>(offsetof(CpuState, seg) + which * sizeof(Segment)), 8);
    static_assert(sizeof(Segment) == 16 && offsetof(Segment, limit) == 8 &&
                  offsetof(Segment, selector) == 12 && sizeof(View) == 24);
    const auto store_view = [&](auto value) {
      a.mov(x86::r10, reinterpret_cast<uint64_t>(helpers_.views + which));
      for (size_t i = 0; i < sizeof(View); i += 8) {
        const x86::Gp v = value(i);
        a.mov(ptr(x86::r10, static_cast<int32_t>(i), 8), v);
        a.mov(frame_field(offsetof(Frame, views) + which * sizeof(View) + i), v);
      }
      a.mov(x86::r11d, 1);
    };
    Label null = a.newLabel(), miss = a.newLabel(), slow = a.newLabel();
    out_.load_known_segment[which] = here();
    a.test(x86::r10d, DescriptorCache::kNotNull);
    a.jz(null);
    find_descriptor(offsetof(Frame, descriptors) + offsetof(DescriptorCache, loads),
                    ~(DescriptorCache::kRegister | (in_mode ? 0 : DescriptorCache::kFlat)), miss);
    a.mov(x86::r10, reinterpret_cast<uint64_t>(helpers_.cpu));
    a.mov(x86::r12, ptr(x86::r11, offsetof(Entry, segment)));
    a.mov(segment, x86::r12);
    a.mov(x86::r12, ptr(x86::r11, offsetof(Entry, segment) + 8));
    a.mov(segment.cloneAdjusted(8), x86::r12);
    store_view([&](size_t i) {
      a.mov(x86::r12, ptr(x86::r11, static_cast<int32_t>(offsetof(Entry, view) + i)));
      return x86::r12;
    });
    a.mov(host::kValue, frame_field(kKeptValue));
    a.ret();
    a.bind(miss);
    a.mov(host::kValue, frame_field(kKeptValue));
    a.bind(slow);
    a.jmp(reinterpret_cast<uint64_t>(out_.load_segment));
    // A null selector: whatever it was, the register cannot be used.
    a.bind(null);
    if (in_mode) {
      a.test(x86::r10d, DescriptorCache::kFlat);
      a.jnz(slow);
    }
    a.movzx(x86::r11d, x86::r10w);
    a.shl(x86::r11, 32);
    a.mov(x86::r10, reinterpret_cast<uint64_t>(helpers_.cpu));
    a.mov(segment.cloneAdjusted(8), x86::r11);
    a.xor_(x86::r11d, x86::r11d);
    a.mov(segment, x86::r11);
    store_view([](size_t) { return x86::r11; });
    a.ret();
  }

  void make_verify_known() {
    Label miss = a.newLabel();
    out_.verify_known_segment = here();
    find_descriptor(offsetof(Frame, descriptors) + offsetof(DescriptorCache, verifications), ~0u, miss);
    a.and_(x86::eax, static_cast<uint32_t>(~(rflags::kZf << 8)));
    a.or_(x86::eax, x86::dword_ptr(x86::r11, offsetof(DescriptorCache::Entry, zf)));
    a.mov(x86::r11d, 1);
    a.mov(host::kValue, frame_field(kKeptValue));
    a.ret();
    a.bind(miss);
    a.mov(host::kValue, frame_field(kKeptValue));
    a.jmp(reinterpret_cast<uint64_t>(out_.verify_segment));
  }

  /// Calls bool helper(Frame*, r10) on the C++ stack; the units are kept, or, with `loads_fpu`, filled.
  const uint8_t* make_helper(uint64_t helper, bool loads_fpu) {
    const uint8_t* entry = here();
    if (loads_fpu) {
      // The units hold the guest's state already, and do not permit what is asked for.
      Label load = a.newLabel();
      a.xor_(x86::r11d, x86::r11d);
      a.cmp(VIREO_FRAME(fpu_ready), 0);
      a.je(load);
      a.ret();
      a.bind(load);
    }
    // What the C++ ABI does not keep.
    constexpr x86::Gp kKept[] = {x86::rax, x86::rcx, x86::rdx, x86::rsi,
                                 x86::rdi, x86::r8,  x86::r9,  x86::r10};
    static_assert(kKept[kSavedFlags].id() == x86::Gp::kIdAx &&
                  kKept[kSavedEdx].id() == host::kGprOfGuest[2] &&
                  kKept[kSavedEax].id() == host::kGprOfGuest[0]);
    static_assert(offsetof(Frame, saved) + 8 * std::size(kKept) < kKeptValue);
    const auto slot = [](size_t i) { return frame_field(offsetof(Frame, saved) + 8 * i); };
    for (size_t i = 0; i < std::size(kKept); ++i) a.mov(slot(i), kKept[i]);
    Label plain = a.newLabel();
    if (!loads_fpu) {
      a.cmp(VIREO_FRAME(fpu_ready), 0);
      a.je(plain);
      a.fxsave64(frame_field(offsetof(Frame, fx), 512));
      a.ldmxcsr(VIREO_FRAME(host_mxcsr));
      a.bind(plain);
    }
    a.mov(VIREO_FRAME(countdown), host::kCountdown);
    a.mov(slot(std::size(kKept)), x86::rsp);
    a.lea(x86::rdi, ptr(host::kFrame, -kFrameBias));
    a.mov(x86::rsi, x86::r10);
    a.mov(x86::rsp, VIREO_FRAME(host_rsp));
    a.mov(x86::r11, helper);
    a.call(x86::r11);
    a.mov(x86::rsp, slot(std::size(kKept)));
    a.mov(host::kCountdown, VIREO_FRAME(countdown));  // a signal may have changed it
    a.movzx(x86::r11d, x86::al);
    Label no_fpu = a.newLabel();
    a.cmp(VIREO_FRAME(fpu_ready), 0);
    a.je(no_fpu);
    a.fxrstor64(frame_field(offsetof(Frame, fx), 512));
    a.bind(no_fpu);
    for (size_t i = 0; i < std::size(kKept); ++i) a.mov(kKept[i], slot(i));
    a.ret();
    return entry;
  }

  const uint8_t* base_;
  const Helpers& helpers_;
  Trampolines& out_;
  CodeHolder code_;
  x86::Assembler a;
  Label leave_;
  Label return_to_host_;
};

}  // namespace

std::vector<uint8_t> make_trampolines(const uint8_t* base, const Helpers& helpers, Trampolines& out) {
  return Builder(base, helpers, out).build();
}

}  // namespace vireo::translator
