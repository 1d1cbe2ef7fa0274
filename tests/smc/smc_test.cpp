// Runs every case of this folder on every engine; README.md.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <string>
#include <vector>

#include "core/isa/cpuid.h"
#include "core/isa/msr.h"
#include "softmmu/soft_mmu.h"
#include "tests/engines/engines.h"
#include "tests/engines/state_diff.h"
#include "tests/engines/watchdog.h"

namespace vireo {
namespace {

constexpr uint64_t kRamBytes = 4 << 20;
constexpr uint64_t kCode = 0x10000, kGdt = 0x1000, kTss = 0x1800;

class NoInterrupts final : public InterruptController {
 public:
  bool interrupt_pending() const override { return false; }
  uint8_t acknowledge() override { return 0xff; }
};

/// Copies physical memory; smc.inc has its ports. They read as what was written.
class DmaDevice final : public IoRegion {
 public:
  DmaDevice(GuestMemory& memory, Attention& attention) : memory_(memory), attention_(attention) {}

  uint64_t read(uint32_t offset, unsigned) override { return register_[offset / 4]; }
  void write(uint32_t offset, unsigned, uint64_t value) override {
    register_[offset / 4] = static_cast<uint32_t>(value);
    if (offset == kNow) copy();
    if (offset == kLater) attention_.request(Attention::kExit);
  }
  void copy() {
    const uint32_t size = std::max(register_[kNow / 4], register_[kLater / 4]);
    register_[kNow / 4] = register_[kLater / 4] = 0;
    std::vector<uint8_t> bytes(size);
    memory_.read(Gpa{register_[0]}, bytes);
    memory_.write(Gpa{register_[1]}, bytes);
  }

 private:
  static constexpr uint32_t kNow = 8, kLater = 12;
  GuestMemory& memory_;
  Attention& attention_;
  uint32_t register_[4] = {};
};

constexpr uint64_t descriptor(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags) {
  return (uint64_t{limit} & 0xffff) | (uint64_t{base} & 0xffffff) << 16 | uint64_t{access} << 40 |
         (uint64_t{limit} >> 16 & 15) << 48 | uint64_t{flags} << 52 | uint64_t{base >> 24} << 56;
}

class Machine {
 public:
  Machine(std::string_view engine_name, const std::vector<uint8_t>& code)
      : memory(GuestMemory::create(kRamBytes).take()), model(find_cpu_model(kDefaultCpuModel).take()) {
    memory->map_ram({0}, kRamBytes, 0, "ram");
    memory->set_a20(true);
    memory->write(Gpa{kCode}, code);
    ports.map(0xd0, 16, dma, "dma");
    constexpr uint8_t kBig = 0xc;
    const uint64_t gdt[] = {0,
                            descriptor(0, 0xfffff, 0x9b, kBig),
                            descriptor(0, 0xfffff, 0x93, kBig),
                            descriptor(kCode, 0xffff, 0x9b, 0),
                            0,
                            descriptor(0, 0xfffff, 0xfb, kBig),
                            descriptor(0, 0xfffff, 0xf3, kBig),
                            descriptor(kTss, 0x67, 0x89, 0),
                            descriptor(kCode, 0xfffff, 0x9b, kBig)};
    for (unsigned i = 0; i < std::size(gdt); i++) memory->write_value(Gpa{kGdt + 8 * i}, gdt[i]);
    memory->write_value(Gpa{kTss + 4}, uint32_t{0x70000});
    memory->write_value(Gpa{kTss + 8}, uint32_t{0x10});
    reset_cpu(cpu, model.signature);
    reset_msrs(cpu, model);
    cpu.gdtr = {.base = kGdt, .limit = sizeof gdt - 1};
    cpu.idtr = {.base = 0, .limit = 0};
    cpu.cr0 = cr0::kPe | cr0::kNe | cr0::kEt;
    for (Segment& s : cpu.seg) s = {.base = 0, .limit = 0xffffffff, .selector = 0x10, .access = 0xc093};
    cpu.segment(SegReg::kCs) = {.base = 0, .limit = 0xffffffff, .selector = 8, .access = 0xc09b};
    cpu.reg(Gpr::kRsp) = 0x80000;
    cpu.rip = kCode;
    cpu.fx.fcw = 0x37f;
    cpu.fx.ftw = 0;
    mmu.control_registers_changed();
    engine = testing::make_engine(engine_name, context);
  }

  ExitReason run() {
    constexpr uint64_t kMostInstructions = 20'000'000;
    for (;;) {
      const ExitReason exit = engine->run({kMostInstructions});
      if (exit != ExitReason::kAttention) return exit;
      dma.copy();
    }
  }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  CpuModel model;
  SoftMmu mmu{cpu, *memory};
  IoBus ports;
  NoInterrupts interrupts;
  FakeClock clock;
  Attention attention;
  DmaDevice dma{*memory, attention};
  CpuContext context{cpu, *memory, mmu, ports, interrupts, clock, attention, model, {}, {}};
  std::unique_ptr<ExecutionEngine> engine;
};

struct Expectation {
  std::string register_name;
  uint32_t value;
};

/// "EXPECT eax=10 ebx=-1 ecx=1fh".
std::vector<Expectation> expectations(const std::filesystem::path& source) {
  std::vector<Expectation> found;
  std::ifstream file(source);
  for (std::string line; std::getline(file, line);) {
    const std::string_view marker = "; EXPECT ";
    if (!line.starts_with(marker)) continue;
    std::istringstream words(line.substr(marker.size()));
    for (std::string word; words >> word;) {
      const size_t equals = word.find('=');
      const bool hex = word.ends_with('h');
      found.push_back({word.substr(0, equals),
                       static_cast<uint32_t>(std::stoll(word.substr(equals + 1), nullptr, hex ? 16 : 10))});
    }
  }
  return found;
}

/// "MIXED": a translator that is allowed to has a mixed page; "NOT MIXED": it never had one.
bool has_line(const std::filesystem::path& source, std::string_view wanted) {
  std::ifstream file(source);
  for (std::string line; std::getline(file, line);) {
    if (line == wanted) return true;
  }
  return false;
}

uint64_t counter(const ExecutionEngine& engine, std::string_view name) {
  uint64_t found = 0;
  engine.visit_stats([&](std::string_view n, uint64_t value) {
    if (n == name) found = value;
  });
  return found;
}

uint32_t register_of(const CpuState& cpu, const std::string& name) {
  constexpr std::string_view kNames[] = {"eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"};
  const auto at = std::find(std::begin(kNames), std::end(kNames), name);
  EXPECT_NE(at, std::end(kNames)) << name;
  return static_cast<uint32_t>(cpu.gpr[static_cast<size_t>(at - std::begin(kNames)) % 8]);
}

std::vector<std::string> case_names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(VIREO_SMC_SOURCES)) {
    if (entry.path().extension() == ".asm") names.push_back(entry.path().stem());
  }
  std::sort(names.begin(), names.end());
  return names;
}

class SelfModifyingCode : public ::testing::TestWithParam<std::tuple<std::string, std::string_view>> {};

TEST_P(SelfModifyingCode, EndsAsExpected) {
  const auto& [name, engine] = GetParam();
  if (const auto can = testing::engine_possible(engine); !can) GTEST_SKIP() << can.error().message;
  const std::filesystem::path sources(VIREO_SMC_SOURCES), binaries(VIREO_SMC_BINARIES);
  std::ifstream file(binaries / (name + ".bin"), std::ios::binary);
  const std::vector<uint8_t> code{std::istreambuf_iterator<char>(file), {}};
  ASSERT_FALSE(code.empty());
  const auto expected = expectations(sources / (name + ".asm"));
  ASSERT_FALSE(expected.empty());

  testing::Watchdog watchdog(60);
  watchdog.begin([&name = name, &engine = engine] { return std::string(engine) + ": " + name; });
  Machine machine(engine, code);
  EXPECT_EQ(machine.run(), ExitReason::kHalt) << "EIP " << std::hex << machine.cpu.rip;
  for (const Expectation& e : expected) {
    EXPECT_EQ(register_of(machine.cpu, e.register_name), e.value) << e.register_name;
  }
  const std::filesystem::path source = sources / (name + ".asm");
  if (has_line(source, "; NOT MIXED")) {
    EXPECT_EQ(counter(*machine.engine, "code pages/mixed"), 0u);
  }
  if (has_line(source, "; MIXED") && engine.starts_with("bt") && engine != "bt-off") {
    EXPECT_GT(counter(*machine.engine, "code pages/mixed now"), 0u);
    EXPECT_GT(counter(*machine.engine, "blocks/self-checking"), 0u);
  }
  Machine oracle(testing::engine_names()[0], code);
  oracle.run();
  for (const auto& d : testing::compare_states(oracle.cpu, machine.cpu)) {
    ADD_FAILURE() << d.key << ": step " << d.a << ", " << engine << " " << d.b;
  }
  for (const auto& d : testing::compare_ram(oracle.memory->ram(), machine.memory->ram())) {
    ADD_FAILURE() << "memory " << d.key << ": step " << d.a << ", " << engine << " " << d.b;
  }
}

std::string test_name(const ::testing::TestParamInfo<SelfModifyingCode::ParamType>& info) {
  std::string name = std::get<0>(info.param) + "_" + std::string(std::get<1>(info.param));
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, SelfModifyingCode,
                         ::testing::Combine(::testing::ValuesIn(case_names()),
                                            ::testing::ValuesIn(testing::engine_names().begin(),
                                                                testing::engine_names().end())),
                         test_name);

}  // namespace
}  // namespace vireo
