#include "tests/differential/compare.h"

#include <fmt/format.h>

#include <cstring>

#include "tests/differential/arena.h"

namespace vireo::diff {
namespace {

/// RF is how the CPU marks a fault's own frame; it is not the instruction's doing.
constexpr uint32_t kFlagsCompared = ~static_cast<uint32_t>(rflags::kRf);

constexpr const char* kGprNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
constexpr const char* kSegmentNames[] = {"es", "cs", "ss", "ds", "fs", "gs"};
constexpr struct {
  uint32_t bit;
  const char* name;
} kFlagNames[] = {
    {0, "cf"},  {2, "pf"},  {4, "af"},   {6, "zf"},    {7, "sf"},    {8, "tf"},
    {9, "if"},  {10, "df"}, {11, "of"},  {12, "iopl"}, {13, "iopl"}, {14, "nt"},
    {17, "vm"}, {18, "ac"}, {19, "vif"}, {20, "vip"},  {21, "id"},
};
constexpr const char* kStatusNames[] = {"ie", "de", "ze", "oe",  "ue",  "pe",  "sf", "es",
                                        "c0", "c1", "c2", "top", "top", "top", "c3", "b"};
constexpr const char* kMxcsrNames[] = {"ie", "de", "ze", "oe", "ue", "pe", "daz", "im",
                                       "dm", "zm", "om", "um", "pm", "rc", "rc",  "fz"};

std::string kind_text(const Outcome& o) {
  switch (o.kind) {
    case Outcome::Kind::kCompleted:
      return "completed";
    case Outcome::Kind::kHung:
      return "hung";
    case Outcome::Kind::kAstray:
      return "astray";
    case Outcome::Kind::kException:
      break;
  }
  return fmt::format("exception {} error {:#x} cr2 {:#010x}", o.vector, o.error_code, o.cr2);
}

std::string hex(const uint8_t* bytes, size_t n) {
  std::string text;
  for (size_t i = n; i > 0; i--) text += fmt::format("{:02x}", bytes[i - 1]);
  return text;
}

/// IRET, by which the kernel enters our signal handler, has made null selectors 0.
uint16_t visible_selector(uint16_t selector) {
  return selector < 4 ? 0 : selector;
}

bool same_selectors(const CpuImage& a, const CpuImage& b) {
  for (unsigned i = 0; i < 6; i++) {
    if (visible_selector(a.selector[i]) != visible_selector(b.selector[i])) return false;
  }
  return true;
}

class Comparer {
 public:
  void field(std::string key, uint64_t native, uint64_t engine) {
    if (native != engine)
      found.push_back({std::move(key), fmt::format("{:#x}", native), fmt::format("{:#x}", engine)});
  }
  void bytes(std::string key, const uint8_t* native, const uint8_t* engine, size_t n) {
    if (std::memcmp(native, engine, n) != 0)
      found.push_back({std::move(key), hex(native, n), hex(engine, n)});
  }
  template <class Names>
  void bits(const char* prefix, const Names& names, uint32_t native, uint32_t engine) {
    for (unsigned i = 0; i < std::size(names); i++) {
      if (((native ^ engine) >> i) & 1)
        field(fmt::format("{}.{}", prefix, names[i]), (native >> i) & 1, (engine >> i) & 1);
    }
  }
  std::vector<Difference> found;
};

bool same_fx(const FxState& a, const FxState& b) {
  if (a.fcw != b.fcw || a.fsw != b.fsw || a.ftw != b.ftw || a.mxcsr != b.mxcsr) return false;
  for (unsigned i = 0; i < 8; i++) {
    if (std::memcmp(a.st[i].data(), b.st[i].data(), 10) != 0) return false;
  }
  return std::memcmp(a.xmm.data(), b.xmm.data(), 8 * 16) == 0;
}

void compare_memory(Comparer& c, std::span<const uint8_t> native, std::span<const uint8_t> engine) {
  if (std::memcmp(native.data(), engine.data(), native.size()) == 0) return;
  for (size_t i = 0; i < native.size(); i++) {
    if (native[i] == engine[i]) continue;
    size_t n = 1;
    while (n < 16 && i + n < native.size() && (i + n) % kPage != 0) n++;
    const uint32_t linear = page_address(static_cast<uint32_t>(i / kPage)) + static_cast<uint32_t>(i % kPage);
    c.found.push_back({"mem", fmt::format("[{:08x}] {}", linear, hex(&native[i], n)),
                       fmt::format("[{:08x}] {}", linear, hex(&engine[i], n))});
    return;  // the first place tells enough
  }
}

}  // namespace

bool same(const Outcome& native, const Outcome& engine, std::span<const uint8_t> native_memory,
          std::span<const uint8_t> engine_memory) {
  const CpuImage &a = native.after, &b = engine.after;
  return native.kind == engine.kind && native.vector == engine.vector &&
         native.error_code == engine.error_code && native.cr2 == engine.cr2 && a.gpr == b.gpr &&
         a.eip == b.eip && ((a.eflags ^ b.eflags) & kFlagsCompared) == 0 && same_selectors(a, b) &&
         same_fx(a.fx, b.fx) && (!native.fip_known || a.fx.fip == b.fx.fip) &&
         std::memcmp(native_memory.data(), engine_memory.data(), native_memory.size()) == 0;
}

std::vector<Difference> compare(const Outcome& native, const Outcome& engine,
                                std::span<const uint8_t> native_memory,
                                std::span<const uint8_t> engine_memory) {
  Comparer c;
  const CpuImage &a = native.after, &b = engine.after;
  if (native.kind != engine.kind)
    c.found.push_back({"kind", kind_text(native), kind_text(engine)});
  else
    c.field("vector", native.vector, engine.vector);
  c.field("error", native.error_code, engine.error_code);
  c.field("cr2", native.cr2, engine.cr2);
  for (unsigned i = 0; i < 8; i++) c.field(kGprNames[i], a.gpr[i], b.gpr[i]);
  c.field("eip", a.eip, b.eip);
  const uint32_t flags = (a.eflags ^ b.eflags) & kFlagsCompared;
  for (const auto& flag : kFlagNames) {
    if ((flags >> flag.bit) & 1) c.field(flag.name, (a.eflags >> flag.bit) & 1, (b.eflags >> flag.bit) & 1);
  }
  for (unsigned i = 0; i < 6; i++) {
    c.field(kSegmentNames[i], visible_selector(a.selector[i]), visible_selector(b.selector[i]));
  }
  c.field("fcw", a.fx.fcw, b.fx.fcw);
  c.bits("fsw", kStatusNames, a.fx.fsw, b.fx.fsw);
  c.field("ftw", a.fx.ftw, b.fx.ftw);
  if (native.fip_known) c.field("fip", a.fx.fip, b.fx.fip);
  for (unsigned i = 0; i < 8; i++) c.bytes(fmt::format("st{}", i), a.fx.st[i].data(), b.fx.st[i].data(), 10);
  for (unsigned i = 0; i < 8; i++)
    c.bytes(fmt::format("xmm{}", i), a.fx.xmm[i].data(), b.fx.xmm[i].data(), 16);
  c.bits("mxcsr", kMxcsrNames, a.fx.mxcsr, b.fx.mxcsr);
  compare_memory(c, native_memory, engine_memory);
  return std::move(c.found);
}

std::string registers(const CpuImage& image) {
  std::string text = " ";
  for (unsigned i = 0; i < 8; i++) text += fmt::format(" {} {:08x}", kGprNames[i], image.gpr[i]);
  text += fmt::format("\n  eip {:08x} eflags {:08x}", image.eip, image.eflags);
  for (unsigned i = 0; i < 6; i++) text += fmt::format(" {} {:04x}", kSegmentNames[i], image.selector[i]);
  text += fmt::format("\n  fcw {:04x} fsw {:04x} ftw {:02x} mxcsr {:08x}\n", image.fx.fcw, image.fx.fsw,
                      image.fx.ftw, image.fx.mxcsr);
  return text;
}

std::string side_by_side(const CpuImage& before, const Outcome& native, const Outcome& engine) {
  std::string text = fmt::format("    {:6} {:32} {:32} {}\n", "", "before", "native", "engine");
  auto line = [&](const std::string& name, const std::string& was, const std::string& n,
                  const std::string& i) {
    const bool quiet = n == i && n == was;
    text += fmt::format("  {} {:6} {:32} {:32} {}\n", n == i ? ' ' : '*', name, was, quiet ? "" : n,
                        n == i ? "" : i);
  };
  auto word = [](uint64_t v) { return fmt::format("{:08x}", v); };
  const CpuImage &a = native.after, &b = engine.after;
  line("end", "", kind_text(native), kind_text(engine));
  for (unsigned i = 0; i < 8; i++) line(kGprNames[i], word(before.gpr[i]), word(a.gpr[i]), word(b.gpr[i]));
  line("eip", word(before.eip), word(a.eip), word(b.eip));
  line("eflags", word(before.eflags), word(a.eflags & kFlagsCompared), word(b.eflags & kFlagsCompared));
  for (unsigned i = 0; i < 6; i++)
    line(kSegmentNames[i], word(before.selector[i]), word(a.selector[i]), word(b.selector[i]));
  line("fcw", word(before.fx.fcw), word(a.fx.fcw), word(b.fx.fcw));
  line("fsw", word(before.fx.fsw), word(a.fx.fsw), word(b.fx.fsw));
  line("fip", word(before.fx.fip), word(a.fx.fip), word(b.fx.fip));
  line("ftw", word(before.fx.ftw), word(a.fx.ftw), word(b.fx.ftw));
  for (unsigned i = 0; i < 8; i++) {
    line(fmt::format("st{}", i), hex(before.fx.st[i].data(), 10), hex(a.fx.st[i].data(), 10),
         hex(b.fx.st[i].data(), 10));
  }
  for (unsigned i = 0; i < 8; i++) {
    line(fmt::format("xmm{}", i), hex(before.fx.xmm[i].data(), 16), hex(a.fx.xmm[i].data(), 16),
         hex(b.fx.xmm[i].data(), 16));
  }
  line("mxcsr", word(before.fx.mxcsr), word(a.fx.mxcsr), word(b.fx.mxcsr));
  return text;
}

}  // namespace vireo::diff
