#include "tests/fuzz/fuzz_machine.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstring>

#include "core/isa/cpuid.h"
#include "softmmu/soft_mmu.h"
#include "tests/engines/engines.h"
#include "tests/fuzz/fuzz_memory.h"

namespace vireo::fuzz {
namespace {

constexpr uint64_t kMib = 1 << 20;
/// The guest's RAM stands in the middle of three megabytes.
constexpr uint64_t kRamOffset = kMib, kAllRam = 3 * kMib;
constexpr uint8_t kCanary = 0xa7;

class RequestedInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return vector.has_value(); }
  uint8_t acknowledge() override {
    const uint8_t v = vector.value_or(0x2f);
    vector.reset();
    return v;
  }
  std::optional<uint8_t> vector;
};

/// Reads of ports depend on all accesses before; reads of memory only on the address, because how often code
/// is fetched, and when between the iterations of a REP instruction, is the engine's affair.
class Scrambler final : public IoRegion {
 public:
  explicit Scrambler(bool is_memory) : is_memory_(is_memory) {}
  uint64_t read(uint32_t offset, unsigned) override {
    constexpr uint64_t kFactor = 0x9e3779b97f4a7c15;
    return is_memory_ ? (offset + 1) * kFactor : state_ = (state_ + offset) * kFactor;
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    state_ = state_ * 0x9e3779b97f4a7c15 + value * 31 + offset + size;
  }
  void reset() { state_ = 1; }
  uint64_t state() const { return state_; }

 private:
  const bool is_memory_;
  uint64_t state_ = 1;
};

/// Makes a page inaccessible if nothing is there. RAM that is overrun by more than its canaries then faults.
void guard(const uint8_t* page) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;
  void* wanted = const_cast<uint8_t*>(page);
  void* got = mmap(wanted, kPageSize, PROT_NONE, kFlags, -1, 0);
  if (got != MAP_FAILED && got != wanted) munmap(got, kPageSize);
}

}  // namespace

struct FuzzMachine::Impl {
  explicit Impl(std::unique_ptr<GuestMemory> ram)
      : memory(std::move(ram)), model(find_cpu_model(kDefaultCpuModel).take()), rom(kRomBytes, kCanary) {
    std::fill(memory->ram().begin(), memory->ram().end(), kCanary);
    guard(memory->ram().data() - kPageSize);
    guard(memory->ram().data() + kAllRam);
    memory->map_ram(Gpa{0}, kRamEnd, kRamOffset, "ram");
    memory->map_mmio(Gpa{kMmio}, kMmioBytes, device, "device");
    memory->map_rom(Gpa{kRom}, rom, "rom");
    memory->set_a20(true);
    ports.map(0x40, 0x40, port_device, "device");
  }
  ~Impl() { engine.reset(); }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  CpuModel model;
  std::vector<uint8_t> rom;
  Scrambler device{true}, port_device{false};
  SoftMmu mmu{cpu, *memory};
  IoBus ports;
  RequestedInterrupts interrupts;
  FakeClock clock;
  Attention attention;
  CpuContext context{cpu, *memory, mmu, ports, interrupts, clock, attention, model, {}, {}};
  std::string name;
  std::unique_ptr<ExecutionEngine> engine;
};

Result<std::unique_ptr<FuzzMachine>> FuzzMachine::create(std::string_view engine) {
  auto ram = GuestMemory::create(kAllRam);
  if (!ram) return ram.error();
  std::unique_ptr<FuzzMachine> machine(new FuzzMachine);
  machine->impl_ = std::make_unique<Impl>(ram.take());
  machine->impl_->name = engine;
  machine->impl_->engine = testing::make_engine(engine, machine->impl_->context);
  return machine;
}

FuzzMachine::~FuzzMachine() = default;

std::string_view FuzzMachine::engine() const {
  return impl_->name;
}
const CpuState& FuzzMachine::cpu() const {
  return impl_->cpu;
}
std::span<const uint8_t> FuzzMachine::ram() const {
  return impl_->memory->ram().subspan(kRamOffset, kRamEnd);
}

void FuzzMachine::load(const FuzzCase& c, std::span<const uint8_t> initial_ram) {
  Impl& m = *impl_;
  struct Patch {
    uint32_t at;
    std::span<const uint8_t> bytes;
  };
  const auto code = c.code();
  std::vector<Patch> patches{
      {c.code_at, std::span(code).first(std::min<size_t>(code.size(), kRamEnd - c.code_at))}};
  for (const FuzzCase::PageEntry& e : c.page_entries) {
    patches.push_back({e.at, {reinterpret_cast<const uint8_t*>(&e.value), e.bytes}});
  }
  // Pages are written only if they have to change: translated code elsewhere stays.
  uint8_t patched[kPageSize];
  for (uint32_t at = 0; at < kRamEnd; at += kPageSize) {
    const uint8_t* wanted = &initial_ram[at];
    for (const Patch& p : patches) {
      const uint32_t first = std::max(p.at, at);
      const uint32_t end = std::min<uint32_t>(p.at + static_cast<uint32_t>(p.bytes.size()), at + kPageSize);
      if (first >= end) continue;
      if (wanted != patched) std::memcpy(patched, wanted, kPageSize);
      wanted = patched;
      std::memcpy(&patched[first - at], &p.bytes[first - p.at], end - first);
    }
    if (std::memcmp(&m.memory->ram()[kRamOffset + at], wanted, kPageSize) != 0)
      m.memory->write(Gpa{at}, {wanted, kPageSize});
  }
  m.cpu = c.start;
  m.mmu.control_registers_changed();
  m.mmu.flush();
  m.attention.clear(~0u);
  m.interrupts.vector.reset();
  m.device.reset();
  m.port_device.reset();
}

void FuzzMachine::raise(const FuzzCase::Event& event) {
  Impl& m = *impl_;
  switch (event.kind) {
    case FuzzCase::Event::Kind::kInterrupt:
      m.interrupts.vector = event.vector;
      m.attention.request(Attention::kInterrupt);
      break;
    case FuzzCase::Event::Kind::kNmi:
      m.attention.request(Attention::kNmi);
      break;
    case FuzzCase::Event::Kind::kExit:
      m.attention.request(Attention::kExit);
      break;
    case FuzzCase::Event::Kind::kNone:
      break;
  }
}

uint64_t FuzzMachine::device_state() const {
  return impl_->device.state() ^ impl_->port_device.state() << 1;
}

ExitReason FuzzMachine::run(uint64_t retired_limit) {
  return impl_->engine->run({retired_limit});
}

bool FuzzMachine::canaries_intact() const {
  const auto all = impl_->memory->ram();
  const auto is_canary = [](uint8_t byte) { return byte == kCanary; };
  return std::all_of(all.begin(), all.begin() + kRamOffset, is_canary) &&
         std::all_of(all.begin() + kRamOffset + kRamEnd, all.end(), is_canary) &&
         std::all_of(impl_->rom.begin(), impl_->rom.end(), is_canary);
}

}  // namespace vireo::fuzz
