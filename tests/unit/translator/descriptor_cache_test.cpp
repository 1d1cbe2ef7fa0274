// Loads of segment registers whose descriptors have changed since, or cannot be read any more. The oracle is
// the interpreter.
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/unit/interp/protected_bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

using interp::descriptor;

/// 32-bit code.
class Program {
 public:
  Program& put(std::initializer_list<uint8_t> bytes) {
    code.insert(code.end(), bytes);
    return *this;
  }
  Program& put32(uint32_t value) {
    for (unsigned i = 0; i < 4; ++i) code.push_back(static_cast<uint8_t>(value >> 8 * i));
    return *this;
  }
  Program& load(SegReg s, uint16_t selector) {  // mov eax,SELECTOR; mov SREG,ax
    return put({0xb8}).put32(selector).put(
        {0x8e, static_cast<uint8_t>(0xc0 | static_cast<unsigned>(s) << 3)});
  }
  Program& store(uint32_t address, uint32_t value) {  // mov dword [ADDRESS],VALUE
    return put({0xc7, 0x05}).put32(address).put32(value);
  }
  Program& add_from_fs(uint32_t offset) {
    return put({0x64, 0x03, 0x1d}).put32(offset);
  }  // add ebx,fs:[OFFSET]
  Program& halt() { return put({0xf4}); }

  std::vector<uint8_t> code;
};

class DescriptorCacheTest : public interp::ProtectedBench {
 protected:
  static constexpr uint32_t kDataA = 0x80000, kDataB = 0x90000, kPageDirectory = 0xc0000,
                            kPageTable = 0xc1000;
  static constexpr uint64_t kAtA = descriptor(kDataA, 0xfff, 0x93, 4),
                            kAtB = descriptor(kDataB, 0xffff, 0x93, 4);

  struct Outcome {
    CpuState cpu;
    std::vector<uint8_t> tables;
  };

  /// What run_on() and restart() start with.
  void keep_start() {
    before = cpu;
    ram.resize(kRamBytes);
    memory->read({0}, ram);
  }

  Outcome run_on(std::unique_ptr<ExecutionEngine> engine, const Program& program,
                 ExitReason end = ExitReason::kHalt) {
    restart();
    memory->write({kCode}, program.code);
    mmu.control_registers_changed();
    mmu.flush();
    EXPECT_EQ(engine->run({cpu.retired + 1000}), end);
    Outcome outcome{cpu, std::vector<uint8_t>(0x1000)};
    memory->read({kGdt}, outcome.tables);
    return outcome;
  }

  /// The program ends with HLT, or a fault.
  CpuState run(const Program& program) {
    keep_start();
    const Outcome expected = run_on(std::make_unique<interp::Interp>(context), program);
    for (const char* words : {"hot=0", "hot=0,no-windows", "hot=0,window-after=0",
                              "hot=0,no-windows,window-after=0", "hot=0,block=1", "hot=0,no-descriptors"}) {
      SCOPED_TRACE(words);
      const Outcome got = run_on(Translator::create(context, parse_options(words).take()).take(), program);
      EXPECT_EQ(got.cpu.gpr, expected.cpu.gpr);
      EXPECT_EQ(got.cpu.rip, expected.cpu.rip);
      EXPECT_EQ(got.cpu.rflags, expected.cpu.rflags);
      EXPECT_EQ(got.cpu.cr2, expected.cpu.cr2);
      EXPECT_EQ(got.cpu.cpl, expected.cpu.cpl);
      EXPECT_EQ(got.cpu.retired, expected.cpu.retired);
      EXPECT_EQ(std::memcmp(got.cpu.seg.data(), expected.cpu.seg.data(), sizeof(CpuState::seg)), 0);
      EXPECT_EQ(got.tables, expected.tables);
    }
    cpu = expected.cpu;
    return expected.cpu;
  }

  /// As at the latest keep_start().
  void restart() {
    cpu = before;
    memory->write({0}, ram);
  }

  void SetUp() override {
    set_gdt(kOther, kAtA);
    set_gdt(kOther2, kAtB);
    for (uint32_t i = 0; i < 0x10000; i += 4) {
      poke<uint32_t>(kDataA + i, 0x1000 + i);
      poke<uint32_t>(kDataB + i, 0x2000000 + i);
    }
  }

  /// Maps the RAM one to one, user pages that may be written.
  void enable_paging() {
    poke<uint32_t>(kPageDirectory, kPageTable | 7);
    for (uint32_t page = 0; page < kRamBytes / kPageSize; ++page)
      poke<uint32_t>(kPageTable + 4 * page, page << 12 | 7);
    cpu.cr3 = kPageDirectory;
    cpu.cr0 |= cr0::kPg;
  }

  static uint32_t gdt_at(uint16_t selector) { return static_cast<uint32_t>(kGdt + (selector & ~7u)); }

  CpuState before;
  std::vector<uint8_t> ram;
};

TEST_F(DescriptorCacheTest, EditedBetweenTwoLoadsOfTheSameSelector) {
  Program p;
  for (const uint64_t value : {kAtA, kAtB, kAtB, kAtA}) {
    p.store(gdt_at(kOther), static_cast<uint32_t>(value))
        .store(gdt_at(kOther) + 4, static_cast<uint32_t>(value >> 32));
    p.load(SegReg::kFs, kOther).add_from_fs(8).load(SegReg::kFs, kOther).add_from_fs(8);
  }
  const CpuState after = run(p.halt());
  EXPECT_EQ(after.segment(SegReg::kFs).base, kDataA);
  EXPECT_EQ(static_cast<uint32_t>(after.reg(Gpr::kRbx)), 4 * 0x1008 + 4 * 0x2000008u);
}

TEST_F(DescriptorCacheTest, AnotherLimitFaultsAnotherTypeDoesNotLoad) {
  const uint32_t high = static_cast<uint32_t>(kAtA >> 32);
  Program p;
  p.load(SegReg::kFs, kOther).load(SegReg::kFs, kOther).add_from_fs(0x10);
  Program limit = p, absent = p, gate = p;
  limit.store(gdt_at(kOther), 0xf).load(SegReg::kFs, kOther).add_from_fs(0x10).halt();
  run(limit);
  EXPECT_EQ(vector(), 13);
  restart();
  absent.store(gdt_at(kOther) + 4, high & ~0x8000u).load(SegReg::kFs, kOther).halt();
  run(absent);
  EXPECT_EQ(vector(), 11);
  restart();
  gate.store(gdt_at(kOther) + 4, high & ~0x1000u).load(SegReg::kFs, kOther).halt();
  run(gate);
  EXPECT_EQ(vector(), 13);
}

TEST_F(DescriptorCacheTest, TheAccessedBitIsSetAgain) {
  const uint32_t high = static_cast<uint32_t>(kAtA >> 32);
  Program p;
  for (int i = 0; i < 3; ++i)
    p.store(gdt_at(kOther) + 4, high & ~0x100u).load(SegReg::kGs, kOther).load(SegReg::kGs, kOther);
  run(p.halt());
  EXPECT_EQ(get_gdt(kOther), kAtA);
}

TEST_F(DescriptorCacheTest, AnotherTable) {
  constexpr uint32_t kTable = 0x6000, kOperands = 0x7000;
  for (uint16_t s = 8; s < 0x100; s = static_cast<uint16_t>(s + 8)) poke<uint64_t>(kTable + s, get_gdt(s));
  poke<uint64_t>(kTable + kOther, kAtB);
  poke<uint16_t>(kOperands, 0xff);
  poke<uint32_t>(kOperands + 2, kTable);
  poke<uint16_t>(kOperands + 8, kOther + 6);  // the descriptor's last byte is beyond it
  poke<uint32_t>(kOperands + 10, kTable);
  Program p;
  p.load(SegReg::kFs, kOther).load(SegReg::kFs, kOther).add_from_fs(0);
  p.put({0x0f, 0x01, 0x15}).put32(kOperands);  // lgdt
  p.load(SegReg::kFs, kOther).add_from_fs(0).load(SegReg::kFs, kOther).add_from_fs(0);
  p.put({0x0f, 0x01, 0x15}).put32(kOperands + 8).load(SegReg::kFs, kOther).halt();
  const CpuState after = run(p);
  EXPECT_EQ(after.segment(SegReg::kFs).base, kDataB);
  EXPECT_EQ(vector(), 13);
}

TEST_F(DescriptorCacheTest, AnotherLocalTable) {
  constexpr uint32_t kTable = 0x6000;
  poke<uint64_t>(kLdt + 8, kAtA);
  poke<uint64_t>(kTable + 8, kAtB);
  set_gdt(0x70, descriptor(kTable, 0x7f, 0x82, 0));
  Program p;
  for (const uint16_t table : {kLdtSelector, uint16_t{0x70}, kLdtSelector}) {
    p.put({0xb8}).put32(table).put({0x0f, 0x00, 0xd0});  // mov eax,TABLE; lldt ax
    p.load(SegReg::kFs, 0xc).load(SegReg::kFs, 0xc).add_from_fs(0);
  }
  p.put({0x31, 0xc0, 0x0f, 0x00, 0xd0});  // xor eax,eax; lldt ax
  const CpuState after = run(p.load(SegReg::kFs, 0xc).halt());
  EXPECT_EQ(static_cast<uint32_t>(after.reg(Gpr::kRbx)), 2 * 0x1000u + 0x2000000);
  EXPECT_EQ(vector(), 13);
}

TEST_F(DescriptorCacheTest, ItsPageHasGone) {
  enable_paging();
  for (const bool invlpg : {true, false}) {
    Program p;
    p.load(SegReg::kFs, kOther).load(SegReg::kFs, kOther).add_from_fs(4);
    p.store(kPageTable + 4 * (kGdt / kPageSize), 0);
    p.load(SegReg::kFs, kOther).add_from_fs(4);  // the TLB still has it
    if (invlpg) {
      p.put({0x0f, 0x01, 0x3d}).put32(gdt_at(kOther));
    } else {
      p.put({0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8});  // mov eax,cr3; mov cr3,eax
    }
    p.load(SegReg::kFs, kOther).halt();
    // The handler's own segment is in that table, too: there is no way but shutdown.
    keep_start();
    const auto shuts_down = [&](std::unique_ptr<ExecutionEngine> engine) {
      return run_on(std::move(engine), p, ExitReason::kShutdown).cpu;
    };
    const CpuState expected = shuts_down(std::make_unique<interp::Interp>(context));
    EXPECT_NE(static_cast<uint32_t>(expected.reg(Gpr::kRbx)), 0u);
    for (const char* words : {"hot=0", "hot=0,no-windows", "hot=0,window-after=0"}) {
      SCOPED_TRACE(words);
      const CpuState got = shuts_down(Translator::create(context, parse_options(words).take()).take());
      EXPECT_EQ(got.cr2, expected.cr2);
      EXPECT_EQ(got.rip, expected.rip);
      EXPECT_EQ(got.retired, expected.retired);
      EXPECT_EQ(got.reg(Gpr::kRbx), expected.reg(Gpr::kRbx));
    }
    restart();
  }
}

TEST_F(DescriptorCacheTest, ItsPageIsAnother) {
  constexpr uint32_t kCopy = 0x6000;
  enable_paging();
  for (uint32_t i = 0; i < kPageSize; i += 8) poke<uint64_t>(kCopy + i, peek<uint64_t>(kGdt + i));
  poke<uint64_t>(kCopy + kOther, kAtB);
  Program p;
  p.load(SegReg::kFs, kOther).load(SegReg::kFs, kOther).add_from_fs(0);
  p.store(kPageTable + 4 * (kGdt / kPageSize), kCopy | 7);
  p.put({0x0f, 0x20, 0xd8, 0x0f, 0x22, 0xd8});
  p.load(SegReg::kFs, kOther).add_from_fs(0).load(SegReg::kFs, kOther).add_from_fs(0).halt();
  const CpuState after = run(p);
  EXPECT_EQ(static_cast<uint32_t>(after.reg(Gpr::kRbx)), 0x1000 + 2 * 0x2000000u);
}

TEST_F(DescriptorCacheTest, NullSelectors) {
  Program p;
  p.load(SegReg::kFs, kOther).load(SegReg::kFs, 3).load(SegReg::kFs, kOther).add_from_fs(0);
  p.load(SegReg::kGs, 0)
      .load(SegReg::kEs, 2)
      .load(SegReg::kEs, 1)
      .load(SegReg::kEs, kData0)
      .load(SegReg::kEs, kOther);
  p.load(SegReg::kEs, kOther2).load(SegReg::kEs, 0).load(SegReg::kFs, 2);
  Program used = p;
  const CpuState after = run(p.halt());
  EXPECT_EQ(after.segment(SegReg::kFs).selector, 2);
  EXPECT_EQ(after.segment(SegReg::kFs).access, 0);
  restart();
  run(used.add_from_fs(0).halt());
  EXPECT_EQ(vector(), 13);
}

/// A flat segment in DS makes other code than one that is not.
TEST_F(DescriptorCacheTest, FlatAndNot) {
  Program p;
  for (int i = 0; i < 3; ++i) {
    for (const uint16_t selector : {kOther, kData0, kData0, kOther2, kOther2, kData0}) {
      p.load(SegReg::kDs, selector).put({0x03, 0x1d}).put32(0x20);  // add ebx,[20h]
      p.load(SegReg::kFs, selector).add_from_fs(0x24);
    }
  }
  run(p.halt());
}

TEST_F(DescriptorCacheTest, TheSameSelectorInAnOuterRing) {
  set_gdt(0x70, descriptor(0, 0xfffff, 0xf3, kFlat));
  Program p;
  for (const SegReg s : {SegReg::kEs, SegReg::kFs, SegReg::kGs})
    p.load(s, kOther).load(s, kOther).load(s, 0x70);
  // push kData3; push kRing3Stack; pushfd; push kCode3; push next; iretd
  p.put({0x6a, kData3, 0x68}).put32(kRing3Stack).put({0x9c, 0x6a, kCode3, 0x68});
  p.put32(static_cast<uint32_t>(kCode + p.code.size() + 5)).put({0xcf});
  p.load(SegReg::kFs, 0x70).load(SegReg::kFs, 0x73).load(SegReg::kFs, 0x70).load(SegReg::kFs, 0x73);
  p.add_from_fs(kDataA).load(SegReg::kFs, kOther).halt();
  const CpuState after = run(p);
  EXPECT_EQ(vector(), 13);
  EXPECT_EQ(static_cast<uint32_t>(after.reg(Gpr::kRbx)), 0x1000u);
}

TEST_F(DescriptorCacheTest, VerifiesAnewWhatWasEdited) {
  const uint32_t high = static_cast<uint32_t>(kAtA >> 32);
  Program p;
  p.put({0xb8}).put32(kOther);
  for (const uint32_t value : {high, high & ~0x200u, high, high | 0x800u}) {
    p.store(gdt_at(kOther) + 4, value);
    for (int i = 0; i < 2; ++i) {
      // verw ax; adc ebx,ebx; setz cl; verr ax; setz ch; add edx,ecx; rol edx,2
      p.put({0x0f, 0x00, 0xe8, 0x11, 0xdb, 0x0f, 0x94, 0xc1, 0x0f, 0x00, 0xe0, 0x0f, 0x94, 0xc5});
      p.put({0x01, 0xca, 0xc1, 0xc2, 0x02});
    }
  }
  run(p.halt());
}

}  // namespace
}  // namespace vireo::translator
