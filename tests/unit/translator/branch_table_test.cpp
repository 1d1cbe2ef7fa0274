// Indirect branches through tables remember where each entry led, and go where the guest's table says.
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/unit/interp/protected_bench.h"
#include "translator/translator.h"

namespace vireo::translator {
namespace {

using Bytes = std::vector<uint8_t>;

class BranchTableTest : public interp::ProtectedBench {
 protected:
  static constexpr uint32_t kTable = 0x80000;
  static constexpr uint32_t kTargets = kCode + 0x100;  ///< 16 bytes each
  static constexpr uint64_t kDirectory = 0x100000, kPages = 0x101000;
  static constexpr const char* kSettings[] = {
      "hot=0",
      "hot=0,no-tables",
      "hot=0,no-adapt",
      "hot=0,window-after=0",
      "hot=0,no-windows,window-after=0",
      "hot=0,no-windows,no-trust",
      "hot=0,no-windows,no-trust,no-groups",
  };

  BranchTableTest() {
    interp.reset();  // two interpreters would clear each other's marks of code
    cpu.reg(Gpr::kRcx) = 200;
    for (uint32_t i = 0; i < 4; ++i) set_entry(i, kTargets + 16 * i);
  }

  void set_entry(uint32_t index, uint32_t target) { poke<uint32_t>(kTable + 4 * index, target); }
  void write(uint64_t address, const Bytes& bytes) { memory->write({address}, bytes); }

  /// A loop over the table: next: mov eax,ecx; and eax,3; `dispatch`; `behind`; dec ecx; jnz next; hlt. The
  /// targets change EBX in different ways and end with `back`.
  void put_loop(const Bytes& dispatch, const Bytes& behind, const std::function<Bytes(uint32_t at)>& back,
                uint32_t targets = kTargets) {
    Bytes loop = {0x89, 0xc8, 0x83, 0xe0, 0x03};
    loop.insert(loop.end(), dispatch.begin(), dispatch.end());
    resume_at = static_cast<uint32_t>(kCode + loop.size());
    loop.insert(loop.end(), behind.begin(), behind.end());
    const auto to_next = static_cast<uint8_t>(0 - (loop.size() + 3));
    for (const uint8_t byte : {uint8_t{0x49}, uint8_t{0x75}, to_next, uint8_t{0xf4}}) loop.push_back(byte);
    write(kCode, loop);
    const Bytes steps[4] = {{0x83, 0xc3, 0x01},              // add ebx,1
                            {0x81, 0xf3, 0x78, 0x56, 0, 0},  // xor ebx,5678h
                            {0xc1, 0xc3, 0x03},              // rol ebx,3
                            {0x8d, 0x5c, 0x5b, 0x07}};       // lea ebx,[ebx+ebx*2+7]
    for (uint32_t i = 0; i < 4; ++i) {
      write(targets + 16 * i, steps[i]);
      const auto at = static_cast<uint32_t>(kTargets + 16 * i + steps[i].size());
      write(targets + 16 * i + steps[i].size(), back(at));
    }
  }
  /// jmp `resume_at`
  Bytes jump_back(uint32_t at) const {
    const uint32_t distance = resume_at - (at + 5);
    return {0xe9, static_cast<uint8_t>(distance), static_cast<uint8_t>(distance >> 8),
            static_cast<uint8_t>(distance >> 16), static_cast<uint8_t>(distance >> 24)};
  }
  void put_jump_loop() {
    // jmp [eax*4+kTable]
    put_loop({0xff, 0x24, 0x85, 0, 0, 0x08, 0}, {}, [&](uint32_t at) { return jump_back(at); });
  }

  /// All RAM at its address.
  void enable_paging() {
    poke<uint32_t>(kDirectory, kPages | 7);
    for (uint32_t at = 0; at < kRamBytes; at += kPageSize) map(at, at);
    cpu.cr3 = kDirectory;
    cpu.cr0 |= cr0::kPg;
  }
  void map(uint32_t linear, uint32_t physical) {
    poke<uint32_t>(kPages + linear / kPageSize * 4, physical | 7);
    mmu.invalidate_page({linear});
  }

  struct Stop {
    decltype(CpuState::gpr) gpr;
    uint64_t rip, rflags, retired;
    bool operator==(const Stop&) const = default;
  };
  using Counts = std::map<std::string, uint64_t, std::less<>>;

  /// The states after each `slice` instructions; `between` is what somebody else does then.
  template <class MakeEngine>
  std::vector<Stop> run_slices(MakeEngine make_engine, uint64_t slice,
                               const std::function<void(unsigned)>& between, Counts* counts = nullptr) {
    const CpuState before = cpu;
    std::vector<uint8_t> ram(kRamBytes);
    memory->read({0}, ram);
    mmu.control_registers_changed();
    const std::unique_ptr<ExecutionEngine> engine = make_engine();
    std::vector<Stop> stops;
    do {
      engine->run({cpu.retired + slice});
      stops.push_back({cpu.gpr, cpu.rip, cpu.rflags, cpu.retired});
      if (between) between(static_cast<unsigned>(stops.size()));
    } while (!cpu.halted && stops.size() < 1000);
    EXPECT_TRUE(cpu.halted);
    if (counts != nullptr) {
      engine->visit_stats(
          [&](std::string_view name, uint64_t value) { (*counts)[std::string(name)] = value; });
    }
    cpu = before;
    memory->write({0}, ram);
    return stops;
  }

  /// By setting.
  std::map<std::string, Counts, std::less<>> compare(uint64_t slice = 100'000,
                                                     const std::function<void(unsigned)>& between = {}) {
    const auto expected =
        run_slices([&] { return std::make_unique<interp::Interp>(context); }, slice, between);
    std::map<std::string, Counts, std::less<>> counts;
    for (const char* words : kSettings) {
      SCOPED_TRACE(words);
      const auto make = [&] { return Translator::create(context, parse_options(words).take()).take(); };
      EXPECT_TRUE(run_slices(make, slice, between, &counts[words]) == expected);
    }
    return counts;
  }
  static constexpr std::string_view kEntries = "blocks/branch table entries",
                                    kUnknown = "translated code/exits: branch table entry not known",
                                    kAdapted = "translated code/blocks adapted";
  static uint64_t count(const Counts& counts, std::string_view name) {
    const auto found = counts.find(name);
    return found == counts.end() ? 0 : found->second;
  }

  uint32_t resume_at = 0;
};

TEST_F(BranchTableTest, EachEntryIsLearnedOnce) {
  put_jump_loop();
  for (const auto& [words, counts] : compare()) {
    SCOPED_TRACE(words);
    const uint64_t expected = words == "hot=0,no-tables" ? 0 : 4;
    EXPECT_EQ(count(counts, kEntries), expected);
    EXPECT_EQ(count(counts, kUnknown), expected);
  }
}

TEST_F(BranchTableTest, JumpsByARegisterThatWasJustLoaded) {
  // mov eax,[eax*4+kTable]; jmp eax. Then the same with EDX.
  put_loop({0x8b, 0x04, 0x85, 0, 0, 0x08, 0, 0xff, 0xe0}, {}, [&](uint32_t at) { return jump_back(at); });
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
  put_loop({0x8b, 0x14, 0x85, 0, 0, 0x08, 0, 0xff, 0xe2}, {}, [&](uint32_t at) { return jump_back(at); });
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
}

TEST_F(BranchTableTest, PositionIndependentCode) {
  const auto jump = [&](uint32_t at) { return jump_back(at); };
  cpu.reg(Gpr::kRsi) = kTable - 0x100;
  // jmp [esi+eax*4+100h]
  put_loop({0xff, 0xa4, 0x86, 0, 1, 0, 0}, {}, jump);
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
  cpu.reg(Gpr::kRdi) = 0x1234'5678;
  for (uint32_t i = 0; i < 4; ++i) set_entry(i, kTargets + 16 * i - 0x1234'5678);
  const Bytes adds[] = {{0x01, 0xf8}, {0x03, 0xc7}};  // add eax,edi, both ways to write it
  for (const Bytes& add : adds) {
    // mov eax,[esi+eax*4+100h]; add eax,edi; jmp eax
    put_loop({0x8b, 0x84, 0x86, 0, 1, 0, 0, add[0], add[1], 0xff, 0xe0}, {}, jump);
    EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
  }
  // The same by EDX, and what is added changes: mov edx,[esi+eax*4+100h]; add edx,edi; jmp edx
  put_loop({0x8b, 0x94, 0x86, 0, 1, 0, 0, 0x01, 0xfa, 0xff, 0xe2}, {}, jump);
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
  compare(97, [&](unsigned stop) {
    cpu.reg(Gpr::kRdi) = 0x1234'5678 + stop;
    for (uint32_t i = 0; i < 4; ++i) set_entry(i, kTargets + 16 * ((i + stop) % 4) - reg(Gpr::kRdi));
  });
}

TEST_F(BranchTableTest, WhatIsAddedIsTheTargetItself) {
  // mov eax,[eax*4+kTable]; add eax,eax; jmp eax
  for (uint32_t i = 0; i < 4; ++i) set_entry(i, (kTargets + 16 * i) / 2);
  put_loop({0x8b, 0x04, 0x85, 0, 0, 0x08, 0, 0x01, 0xc0, 0xff, 0xe0}, {},
           [&](uint32_t at) { return jump_back(at); });
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 0u);
}

TEST_F(BranchTableTest, Calls) {
  const auto ret = [](uint32_t) { return Bytes{0xc3}; };
  const Bytes pops = {0x5a, 0x5a};
  // push ecx; push ebx; call [eax*4+kTable]; pop edx; pop edx
  put_loop({0x51, 0x53, 0xff, 0x14, 0x85, 0, 0, 0x08, 0}, pops, ret);
  for (const auto& [words, counts] : compare())
    EXPECT_EQ(count(counts, kEntries), words == "hot=0,no-tables" ? 0u : 4u) << words;
  // push ecx; push ebx; mov eax,[eax*4+kTable]; call eax; pop edx; pop edx
  put_loop({0x51, 0x53, 0x8b, 0x04, 0x85, 0, 0, 0x08, 0, 0xff, 0xd0}, pops, ret);
  for (const auto& [words, counts] : compare())
    EXPECT_EQ(count(counts, kEntries), words == "hot=0,no-tables" ? 0u : 4u) << words;
}

TEST_F(BranchTableTest, ACallOfTheStackPointer) {
  // mov ebp,esp; mov esp,[eax*4+kTable]; call esp pushes below the code that it calls; mov esp,ebp
  put_loop({0x89, 0xe5, 0x8b, 0x24, 0x85, 0, 0, 0x08, 0, 0xff, 0xd4}, {0x89, 0xec},
           [&](uint32_t at) { return jump_back(at); });
  compare();
}

TEST_F(BranchTableTest, TheGuestsTableChanges) {
  put_jump_loop();
  const auto between = [&](unsigned stop) {
    for (uint32_t i = 0; i < 4; ++i) set_entry(i, kTargets + 16 * ((i + stop) % 4));
  };
  compare(97, between);
}

TEST_F(BranchTableTest, ATableThatKeepsChangingIsLookedUp) {
  // xor dword [eax*4+kTable],30h; jmp [eax*4+kTable]
  put_loop({0x83, 0x34, 0x85, 0, 0, 0x08, 0, 0x30, 0xff, 0x24, 0x85, 0, 0, 0x08, 0}, {},
           [&](uint32_t at) { return jump_back(at); });
  cpu.reg(Gpr::kRcx) = 1000;
  const auto counts = compare();
  EXPECT_LT(count(counts.at("hot=0"), kUnknown), 100u);
  EXPECT_EQ(count(counts.at("hot=0"), kAdapted), 1u);
}

TEST_F(BranchTableTest, TheCodeOfATargetChanges) {
  put_jump_loop();
  // sub ebx,9 in place of add ebx,1, and the other way round
  compare(97, [&](unsigned stop) {
    write(kTargets, stop % 2 != 0 ? Bytes{0x83, 0xeb, 0x09} : Bytes{0x83, 0xc3, 0x01});
  });
}

TEST_F(BranchTableTest, TheBranchItselfChanges) {
  put_jump_loop();
  // and eax,3 or 1
  compare(97, [&](unsigned stop) { poke<uint8_t>(kCode + 4, stop % 2 != 0 ? 1 : 3); });
}

TEST_F(BranchTableTest, IndicesBeyondWhatWasCompared) {
  // cmp eax,3; ja resume (not taken: the index grows behind it); or eax,edx; jmp [eax*4+kTable]
  put_loop({0x83, 0xf8, 0x03, 0x77, 0x09, 0x09, 0xd0, 0xff, 0x24, 0x85, 0, 0, 0x08, 0}, {},
           [&](uint32_t at) { return jump_back(at); });
  for (uint32_t i = 4; i < 8; ++i) set_entry(i, kTargets + 16 * (7 - i));
  cpu.reg(Gpr::kRdx) = 4;
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 0u);
  // An index whose product wraps around.
  cpu.reg(Gpr::kRdx) = 0x4000'0000;
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 0u);
  cpu.reg(Gpr::kRdx) = 0;
  EXPECT_EQ(count(compare().at("hot=0"), kEntries), 4u);
}

/// Targets in a page of their own.
class OtherPageTest : public BranchTableTest {
 protected:
  static constexpr uint32_t kElsewhere = 0x40000, kOther = 0x50000, kShift = kElsewhere - kTargets;

  void put_far_loop() {
    for (uint32_t i = 0; i < 4; ++i) set_entry(i, kElsewhere + 16 * i);
    put_loop(
        {0xff, 0x24, 0x85, 0, 0, 0x08, 0}, {}, [&](uint32_t at) { return jump_back(at + kShift); },
        kElsewhere);
  }
};

TEST_F(OtherPageTest, EachEntryIsLearnedOnce) {
  put_far_loop();
  for (const auto& [words, counts] : compare()) {
    SCOPED_TRACE(words);
    EXPECT_EQ(count(counts, kUnknown), words == "hot=0,no-tables" ? 0u : 4u);
  }
}

TEST_F(OtherPageTest, MappedAnew) {
  enable_paging();
  put_far_loop();
  std::vector<uint8_t> page(kPageSize);
  memory->read({kElsewhere}, page);
  memory->write({kOther}, page);
  poke<uint8_t>(kOther + 2, 0x55);  // add ebx,55h
  compare(97, [&](unsigned stop) { map(kElsewhere, stop % 2 != 0 ? kOther : kElsewhere); });
}

TEST_F(OtherPageTest, KilledWhileItsPageStays) {
  put_far_loop();
  compare(97, [&](unsigned stop) { poke<uint8_t>(kElsewhere + 2, static_cast<uint8_t>(stop)); });
}

TEST_F(OtherPageTest, OneEntryElsewhere) {
  // cmp eax,3; ja resume; jmp [eax*4+kTable]: all in the branch's page at first; then one leaves it.
  put_loop({0x83, 0xf8, 0x03, 0x77, 0x07, 0xff, 0x24, 0x85, 0, 0, 0x08, 0}, {},
           [&](uint32_t at) { return jump_back(at); });
  const auto between = [&](unsigned stop) {
    if (stop == 1) set_entry(2, kElsewhere);
  };
  write(kElsewhere, {0x83, 0xc3, 0x11});
  write(kElsewhere + 3, jump_back(kElsewhere + 3));
  const auto counts = compare(97, between);
  EXPECT_LT(count(counts.at("hot=0"), kUnknown), 20u);
  EXPECT_EQ(count(counts.at("hot=0"), kAdapted), 1u);
}

}  // namespace
}  // namespace vireo::translator
