#include "tests/differential/engine_cpu.h"

#include <array>
#include <cstring>
#include <vector>

#include "core/isa/cpuid.h"
#include "core/isa/msr.h"
#include "softmmu/soft_mmu.h"
#include "tests/differential/arena.h"
#include "tests/engines/engines.h"

namespace vireo::diff {
namespace {

// Guest-physical layout. The arena's pages come first, so that memory() is one span.
constexpr uint32_t kArenaPhysical = 0x10000;
constexpr uint32_t kTables = 0x40000;          ///< PDPT, then page directories and page tables
constexpr uint32_t kSystemPhysical = 0x60000;  ///< two supervisor pages: GDT, IDT, TSS and LDT; ring-0 stack
/// Far from every address that a test is likely to use by chance: there user code would see a protection
/// violation where the host has no page at all.
constexpr uint32_t kSystem = 0x9a5c7000;
constexpr uint32_t kGdt = kSystem;
constexpr uint32_t kLdtTable = kSystem + 0x100;
constexpr uint32_t kTss = kSystem + 0x300;
constexpr uint32_t kIdt = kSystem + 0x800;
constexpr uint32_t kStackTop = kSystem + 0x2000;
constexpr uint16_t kKernelCode = 0x08, kKernelData = 0x18, kTssSelector = 0x40, kLdtSelector = 0x50;
/// The handler of vector v is at this address + 16 * v.
constexpr uint32_t kHandlers = 0x9a5ca000;
constexpr uint32_t kHandlersPhysical = 0x62000;
constexpr unsigned kVectors = 0x80;
constexpr uint8_t kHlt = 0xf4;

constexpr uint64_t flat(uint8_t access, uint8_t flags) {
  return 0xffffull | uint64_t{access} << 40 | uint64_t{static_cast<uint8_t>(flags << 4 | 0xf)} << 48;
}
constexpr uint64_t system_descriptor(uint32_t base, uint32_t limit, uint8_t access) {
  return (limit & 0xffff) | uint64_t{base & 0xffffff} << 16 | uint64_t{access} << 40 |
         uint64_t{base >> 24} << 56;
}

class NoInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return false; }
  uint8_t acknowledge() override { return 0xff; }
};

CpuModel make_model(const isa::FeatureSet& features) {
  CpuModel model = find_cpu_model(kDefaultCpuModel).take();
  model.name = "host";
  model.features = features;
  return model;
}

}  // namespace

struct EngineCpu::Impl {
  Impl(std::unique_ptr<GuestMemory> ram, const isa::FeatureSet& features)
      : model(make_model(features)), memory(std::move(ram)) {}

  CpuModel model;
  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  SoftMmu mmu{cpu, *memory};
  IoBus ports;
  NoInterrupts interrupts;
  FakeClock clock;
  Attention attention;
  CpuContext context{cpu, *memory, mmu, ports, interrupts, clock, attention, model, {}, {}};
  std::string name;
  std::unique_ptr<ExecutionEngine> engine;
  CpuState pristine;                     ///< control registers, tables, TR, LDTR
  std::vector<uint8_t> pristine_system;  ///< RAM from kTables to kHandlersPhysical
  uint64_t gdt[16] = {};

  template <class T>
  void put(uint32_t physical, T value) {
    memory->write_value(Gpa{physical}, value);
  }

  void build_page_tables();
  void map_page(uint32_t linear, uint32_t physical, uint64_t rights);
  void build_descriptor_tables(uint32_t cpu_number_limit);
  Segment load(uint16_t selector) const;
  void undo_delivery(Outcome& out) const;

  std::array<uint32_t, 4> directories{};
  uint32_t next_table = kTables + kPage;
  std::array<std::array<uint32_t, 512>, 4> tables{};
};

void EngineCpu::Impl::map_page(uint32_t linear, uint32_t physical, uint64_t rights) {
  const uint32_t gib = linear >> 30, mib2 = (linear >> 21) & 511, page = (linear >> 12) & 511;
  constexpr uint64_t kPresent = 1, kTableRights = 7;
  if (!directories[gib]) {
    directories[gib] = next_table;
    next_table += kPage;
    put(kTables + gib * 8, uint64_t{directories[gib]} | kPresent);
  }
  if (!tables[gib][mib2]) {
    tables[gib][mib2] = next_table;
    next_table += kPage;
    put(directories[gib] + mib2 * 8, uint64_t{tables[gib][mib2]} | kTableRights);
  }
  put(tables[gib][mib2] + page * 8, uint64_t{physical} | rights);
}

void EngineCpu::Impl::build_page_tables() {
  constexpr uint64_t kPresent = 1, kWritable = 2, kUser = 4, kNoExecute = uint64_t{1} << 63;
  for (uint32_t page = 0; page < kPages; page++) {
    const uint32_t physical = kArenaPhysical + page * kPage;
    switch (kPageRights[page]) {
      case Rights::kNone:
        break;
      case Rights::kRead:
        map_page(page_address(page), physical, kPresent | kUser | kNoExecute);
        break;
      case Rights::kReadWrite:
        map_page(page_address(page), physical, kPresent | kUser | kWritable | kNoExecute);
        break;
      case Rights::kReadExecute:
        map_page(page_address(page), physical, kPresent | kUser);
        break;
    }
  }
  map_page(kSystem, kSystemPhysical, kPresent | kWritable);
  map_page(kSystem + kPage, kSystemPhysical + kPage, kPresent | kWritable);
  map_page(kHandlers, kHandlersPhysical, kPresent);
}

void EngineCpu::Impl::build_descriptor_tables(uint32_t cpu_number_limit) {
  // As Linux has them. What is not visible to user code (DPL 0) need not be the same.
  gdt[1] = flat(0x9b, 0xc);
  gdt[2] = flat(0x9b, 0xa);
  gdt[3] = flat(0x93, 0xc);
  gdt[kUserCode32 >> 3] = flat(0xfb, 0xc);
  gdt[kUserData >> 3] = flat(0xf3, 0xc);
  gdt[kUserCode64 >> 3] = flat(0xfb, 0xa);
  gdt[kTssSelector >> 3] = system_descriptor(kTss, 0x67, 0x8b);
  gdt[kLdtSelector >> 3] = system_descriptor(kLdtTable, kLdt.size() * 8 - 1, 0x82);
  gdt[kCpuNumber >> 3] = (cpu_number_limit & 0xffff) | uint64_t{0xf5} << 40 | uint64_t{0x4} << 52;
  const auto physical = [](uint32_t linear) { return linear - kSystem + kSystemPhysical; };
  for (unsigned i = 0; i < 16; i++) put(physical(kGdt) + i * 8, gdt[i]);
  for (unsigned i = 1; i < kLdt.size(); i++) put(physical(kLdtTable) + i * 8, kLdt[i].descriptor());
  put(physical(kTss) + 4, kStackTop);
  put(physical(kTss) + 8, uint32_t{kKernelData});
  put(physical(kTss) + 0x64, uint32_t{0x68u << 16});  // no I/O bitmap
  for (unsigned vector = 0; vector < kVectors; vector++) {
    const uint32_t handler = kHandlers + 16 * vector;
    const bool user = vector == 3 || vector == 4;
    put(physical(kIdt) + vector * 8, uint64_t{handler & 0xffff} | uint64_t{kKernelCode} << 16 |
                                         uint64_t{user ? 0xeeu : 0x8eu} << 40 |
                                         uint64_t{handler >> 16} << 48);
    put(kHandlersPhysical + 16 * vector, kHlt);
  }

  reset_cpu(cpu, model.signature);
  reset_msrs(cpu, model);
  cpu.msr.efer = efer::kNxe;
  cpu.cr0 = cr0::kPe | cr0::kMp | cr0::kEt | cr0::kNe | cr0::kWp | cr0::kAm | cr0::kPg;
  cpu.cr3 = kTables;
  cpu.cr4 = cr4::kPae | cr4::kDe | cr4::kPse | cr4::kMce | cr4::kPge | cr4::kOsfxsr | cr4::kOsxmmexcpt;
  for (unsigned i = 0; i < 4; i++) cpu.pdpte[i] = memory->read_value<uint64_t>(Gpa{kTables + i * 8});
  cpu.gdtr = {kGdt, 16 * 8 - 1};
  cpu.idtr = {kIdt, kVectors * 8 - 1};
  cpu.ldtr = {kLdtTable, kLdt.size() * 8 - 1, kLdtSelector, 0x82};
  cpu.tr = {kTss, 0x67, kTssSelector, 0x8b};
  cpu.cpl = 3;
  mmu.control_registers_changed();
  pristine = cpu;
}

Segment EngineCpu::Impl::load(uint16_t selector) const {
  Segment s;
  s.selector = selector;
  if ((selector & ~3) == 0) return s;
  const uint64_t d = selector & 4 ? kLdt[selector >> 3].descriptor() : gdt[selector >> 3];
  s.base = ((d >> 16) & 0xffffff) | ((d >> 56) << 24);
  const uint32_t limit = static_cast<uint32_t>((d & 0xffff) | ((d >> 32) & 0xf0000));
  s.access = static_cast<uint16_t>((d >> 40) & 0xf0ff);
  s.limit = s.access & Segment::kG ? limit << 12 | 0xfff : limit;
  return s;
}

/// Takes the user code's state back from the frame on the handler's stack.
void EngineCpu::Impl::undo_delivery(Outcome& out) const {
  uint32_t frame[6];  // error code (not always), EIP, CS, EFLAGS, ESP, SS
  const uint32_t used = kStackTop - static_cast<uint32_t>(cpu.reg(Gpr::kRsp));
  const uint32_t bare = 5 * sizeof frame[0];
  const bool ours = cpu.rip - kHandlers < 16 * kVectors && (used == bare || used == sizeof frame);
  if (!ours) {
    out.kind = Outcome::Kind::kAstray;
    return;
  }
  frame[0] = 0;
  memory->read(Gpa{kSystemPhysical + 2 * kPage - used},
               {reinterpret_cast<uint8_t*>(frame) + sizeof frame - used, used});
  constexpr uint8_t kPageFault = 14;
  out.kind = Outcome::Kind::kException;
  out.vector = static_cast<uint8_t>((cpu.rip - kHandlers) / 16);
  out.error_code = frame[0];
  if (out.vector == kPageFault) out.cr2 = static_cast<uint32_t>(cpu.cr2);
  out.after.eip = frame[1];
  out.after.segment(SegReg::kCs) = static_cast<uint16_t>(frame[2]);
  out.after.eflags = frame[3];
  out.after.reg(Gpr::kRsp) = frame[4];
  out.after.segment(SegReg::kSs) = static_cast<uint16_t>(frame[5]);
}

Result<std::unique_ptr<EngineCpu>> EngineCpu::create(std::string_view engine, uint32_t cpu_number_limit,
                                                     const isa::FeatureSet& features) {
  auto ram = GuestMemory::create(1 << 20);
  if (!ram) return ram.error();
  ram.value()->map_ram(Gpa{0}, 1 << 20, 0, "ram");
  ram.value()->set_a20(true);
  std::unique_ptr<EngineCpu> cpu(new EngineCpu);
  cpu->impl_ = std::make_unique<Impl>(ram.take(), features);
  Impl& impl = *cpu->impl_;
  impl.build_page_tables();
  impl.build_descriptor_tables(cpu_number_limit);
  const auto system = impl.memory->ram().subspan(kTables, kHandlersPhysical - kTables);
  impl.pristine_system.assign(system.begin(), system.end());
  impl.name = engine;
  impl.engine = testing::make_engine(engine, impl.context);
  // Engines that catch signals begin with it at their first run, and NativeCpu must come after them.
  const uint8_t nop = 0x90;
  cpu->write_code(kCodeBegin, {&nop, 1});
  CpuImage image;
  image.eip = kCodeBegin;
  image.segment(SegReg::kCs) = kUserCode32;
  image.segment(SegReg::kSs) = kUserData;
  cpu->run(image);
  cpu->write_code(kCodeBegin, {&kTrapByte, 1});
  return cpu;
}

EngineCpu::~EngineCpu() = default;

std::span<uint8_t> EngineCpu::memory() {
  return impl_->memory->ram().subspan(kArenaPhysical, kMemoryBytes);
}

void EngineCpu::write_code(uint32_t linear, std::span<const uint8_t> bytes) {
  impl_->memory->write(Gpa{kArenaPhysical + linear - kArena}, bytes);
}

std::string_view EngineCpu::engine() const {
  return impl_->name;
}

std::span<const uint8_t> EngineCpu::ram() const {
  return impl_->memory->ram();
}

bool EngineCpu::faulted_in_system(const Outcome& outcome) {
  constexpr uint8_t kPageFault = 14;
  return outcome.kind == Outcome::Kind::kException && outcome.vector == kPageFault &&
         (outcome.cr2 - kSystem < 2 * kPage || outcome.cr2 - kHandlers < kPage);
}

const CpuState& EngineCpu::state() const {
  return impl_->cpu;
}

void EngineCpu::start(const CpuImage& before) {
  Impl& impl = *impl_;
  CpuState& cpu = impl.cpu;
  cpu = impl.pristine;
  for (unsigned i = 0; i < 8; i++) cpu.gpr[i] = before.gpr[i];
  cpu.rip = before.eip;
  cpu.rflags = before.eflags;
  for (unsigned i = 0; i < 6; i++) cpu.seg[i] = impl.load(before.selector[i]);
  cpu.fx = before.fx;
  impl.attention.clear(~0u);
}

void EngineCpu::reset_system() {
  Impl& impl = *impl_;
  const auto now = impl.memory->ram().subspan(kTables, impl.pristine_system.size());
  for (size_t at = 0; at < now.size(); at += kPage) {
    const std::span wanted(&impl.pristine_system[at], kPage);
    if (std::memcmp(&now[at], wanted.data(), kPage) != 0) impl.memory->write(Gpa{kTables + at}, wanted);
  }
  impl.mmu.flush();
}

ExitReason EngineCpu::run_to(uint64_t retired) {
  return impl_->engine->run({retired});
}

Outcome EngineCpu::outcome() const {
  const CpuState& cpu = impl_->cpu;
  Outcome out;
  out.kind = cpu.shutdown ? Outcome::Kind::kAstray : Outcome::Kind::kCompleted;
  for (unsigned i = 0; i < 8; i++) out.after.gpr[i] = static_cast<uint32_t>(cpu.gpr[i]);
  out.after.eip = static_cast<uint32_t>(cpu.rip);
  out.after.eflags = static_cast<uint32_t>(cpu.rflags);
  for (unsigned i = 0; i < 6; i++) out.after.selector[i] = cpu.seg[i].selector;
  out.after.fx = cpu.fx;
  if (cpu.cpl == 0) impl_->undo_delivery(out);
  return out;
}

Outcome EngineCpu::run(const CpuImage& before) {
  start(before);
  // The instruction itself, or if it faults the handler's HLT.
  const ExitReason exit = run_to(1);
  Outcome out = outcome();
  if (exit == ExitReason::kAttention) out.kind = Outcome::Kind::kHung;
  if (exit == ExitReason::kShutdown || state().retired > 1) out.kind = Outcome::Kind::kAstray;
  return out;
}

}  // namespace vireo::diff
