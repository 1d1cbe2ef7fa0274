#include "tests/engines/state_diff.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

namespace vireo::testing {
namespace {

constexpr const char* kGprNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
constexpr const char* kSegmentNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};

std::string hex(std::span<const uint8_t> bytes) {
  std::string text;
  for (size_t i = bytes.size(); i > 0; i--) text += fmt::format("{:02x}", bytes[i - 1]);
  return text;
}

class Comparer {
 public:
  void field(std::string key, uint64_t a, uint64_t b) {
    if (a != b) found.push_back({std::move(key), fmt::format("{:#x}", a), fmt::format("{:#x}", b)});
  }
  void bytes(std::string key, std::span<const uint8_t> a, std::span<const uint8_t> b) {
    if (!std::equal(a.begin(), a.end(), b.begin())) found.push_back({std::move(key), hex(a), hex(b)});
  }
  template <class T>
  void array(const char* prefix, const T& a, const T& b) {
    for (size_t i = 0; i < a.size(); i++) field(fmt::format("{}{}", prefix, i), a[i], b[i]);
  }
  void segment(const std::string& name, const Segment& a, const Segment& b) {
    field(name + ".selector", a.selector, b.selector);
    field(name + ".base", a.base, b.base);
    field(name + ".limit", a.limit, b.limit);
    field(name + ".access", a.access, b.access);
  }
  void table(const std::string& name, const DescriptorTableRegister& a, const DescriptorTableRegister& b) {
    field(name + ".base", a.base, b.base);
    field(name + ".limit", a.limit, b.limit);
  }
  std::vector<StateDifference> found;
};

void compare_fx(Comparer& c, const FxState& a, const FxState& b) {
  c.field("fx.fcw", a.fcw, b.fcw);
  c.field("fx.fsw", a.fsw, b.fsw);
  c.field("fx.ftw", a.ftw, b.ftw);
  c.field("fx.fop", a.fop, b.fop);
  c.field("fx.fip", a.fip, b.fip);
  c.field("fx.fcs", a.fcs, b.fcs);
  c.field("fx.fdp", a.fdp, b.fdp);
  c.field("fx.fds", a.fds, b.fds);
  c.field("fx.mxcsr", a.mxcsr, b.mxcsr);
  for (unsigned i = 0; i < 8; i++) {
    c.bytes(fmt::format("fx.st{}", i), std::span(a.st[i]).first(10), std::span(b.st[i]).first(10));
  }
  for (unsigned i = 0; i < 16; i++) c.bytes(fmt::format("fx.xmm{}", i), a.xmm[i], b.xmm[i]);
  // What is left: reserved fields, the unused bytes of ST, MXCSR_MASK.
  if (c.found.empty() && std::memcmp(&a, &b, sizeof a) != 0) c.field("fx.reserved", 0, 1);
}

}  // namespace

std::vector<StateDifference> compare_states(const CpuState& a, const CpuState& b) {
  Comparer c;
  for (unsigned i = 0; i < 8; i++) c.field(kGprNames[i], a.gpr[i], b.gpr[i]);
  for (unsigned i = 8; i < 16; i++) c.field(fmt::format("r{}", i), a.gpr[i], b.gpr[i]);
  c.field("eip", a.rip, b.rip);
  c.field("eflags", a.rflags, b.rflags);
  for (unsigned i = 0; i < 6; i++) c.segment(kSegmentNames[i], a.seg[i], b.seg[i]);
  c.segment("ldtr", a.ldtr, b.ldtr);
  c.segment("tr", a.tr, b.tr);
  c.table("gdtr", a.gdtr, b.gdtr);
  c.table("idtr", a.idtr, b.idtr);
  c.field("cr0", a.cr0, b.cr0);
  c.field("cr2", a.cr2, b.cr2);
  c.field("cr3", a.cr3, b.cr3);
  c.field("cr4", a.cr4, b.cr4);
  c.field("cr8", a.cr8, b.cr8);
  c.array("dr", a.dr, b.dr);
  c.array("pdpte", a.pdpte, b.pdpte);
  c.field("msr", 0, std::memcmp(&a.msr, &b.msr, sizeof a.msr) != 0);
  c.field("xcr0", a.xcr0, b.xcr0);
  c.field("cpl", a.cpl, b.cpl);
  c.field("interrupt_shadow", static_cast<uint64_t>(a.interrupt_shadow),
          static_cast<uint64_t>(b.interrupt_shadow));
  c.field("halted", a.halted, b.halted);
  c.field("nmi_blocked", a.nmi_blocked, b.nmi_blocked);
  c.field("nmi_pending", a.nmi_pending, b.nmi_pending);
  c.field("shutdown", a.shutdown, b.shutdown);
  c.field("pending_dr6", a.pending_dr6, b.pending_dr6);
  c.field("tsc_offset", a.tsc_offset, b.tsc_offset);
  c.field("retired", a.retired, b.retired);
  if (std::memcmp(&a.fx, &b.fx, sizeof a.fx) != 0) {
    Comparer fx;
    compare_fx(fx, a.fx, b.fx);
    std::move(fx.found.begin(), fx.found.end(), std::back_inserter(c.found));
  }
  return std::move(c.found);
}

std::vector<StateDifference> compare_ram(std::span<const uint8_t> a, std::span<const uint8_t> b,
                                         uint64_t base) {
  if (std::memcmp(a.data(), b.data(), a.size()) == 0) return {};
  const size_t at = static_cast<size_t>(std::mismatch(a.begin(), a.end(), b.begin()).first - a.begin());
  const size_t n = std::min<size_t>(16, a.size() - at);
  return {{fmt::format("[{:08x}]", base + at), hex(a.subspan(at, n)), hex(b.subspan(at, n))}};
}

std::string side_by_side(std::string_view a_name, const CpuState& a, std::string_view b_name,
                         const CpuState& b) {
  std::string text = fmt::format("    {:6} {:12} {:12}\n", "", a_name, b_name);
  const auto line = [&](const char* name, uint64_t x, uint64_t y) {
    text += fmt::format("  {} {:6} {:08x}     {:08x}\n", x == y ? ' ' : '*', name, x, y);
  };
  for (unsigned i = 0; i < 8; i++) line(kGprNames[i], a.gpr[i], b.gpr[i]);
  line("eip", a.rip, b.rip);
  line("eflags", a.rflags, b.rflags);
  for (unsigned i = 0; i < 6; i++) line(kSegmentNames[i], a.seg[i].selector, b.seg[i].selector);
  for (const StateDifference& d : compare_states(a, b)) {
    text += fmt::format("  * {}: {} {}, {} {}\n", d.key, a_name, d.a, b_name, d.b);
  }
  return text;
}

}  // namespace vireo::testing
