// Probes that guess which page of a table an element is in: those elsewhere are the interpreter's, wherever
// the table lies.
#include "tests/unit/translator/compared_bench.h"
#include "translator/trust_policy.h"

namespace vireo::translator {
namespace {

struct Table {
  uint32_t zeroth;         ///< linear address of the element with index 0; there are those from -4 to 3
  unsigned in_other_page;  ///< elements not in its page
};

void PrintTo(const Table& table, std::ostream* out) {
  *out << std::hex << table.zeroth;
}

class GuessingProbeTest : public ComparedBench, public testing::WithParamInterface<Table> {
 protected:
  static constexpr uint32_t kPages = 0x200000, kMask = 0x80000;

  void SetUp() override {
    if (const auto can = TrustPolicy::possible(); !can) GTEST_SKIP() << can.error().message;
    enable_paging();
    uint32_t physical = kPages;
    for (const uint32_t linear : {0x7fff'f000u, 0x8000'0000u, 0x8000'1000u, 0xffff'e000u, 0xffff'f000u}) {
      map(linear, physical);
      physical += 3 * kPageSize;  // no neighbours
    }
    for (uint32_t at = 0; at < 15 * kPageSize; at += 4) poke<uint32_t>(kPages + at, 0x9e3779b1u * (at + 1));
    for (uint32_t at = 0; at < 16; at += 4) poke<uint32_t>(at, 0x85ebca6bu * (at + 1));
    cpu.reg(Gpr::kRcx) = 8;
    cpu.reg(Gpr::kRsi) = kMask;
  }
  /// next: lea eax,[ecx-5]; movsx eax,al; stc; `before`; adc edx,[eax*4+zeroth]; dec ecx; jnz next; hlt
  void run_with(std::initializer_list<uint8_t> before, uint32_t zeroth) {
    std::vector<uint8_t> code{0x8d, 0x41, 0xfb, 0x0f, 0xbe, 0xc0, 0xf9};
    code.insert(code.end(), before);
    for (const uint8_t byte : {0x13, 0x14, 0x85}) code.push_back(byte);
    for (unsigned i = 0; i < 32; i += 8) code.push_back(static_cast<uint8_t>(zeroth >> i));
    for (const uint8_t byte : {0x49, 0x75, 0}) code.push_back(byte);
    code.back() = static_cast<uint8_t>(0 - code.size());
    code.push_back(0xf4);
    run(code);
  }
  uint64_t wrong_guesses() const { return counters.at("translated code/exits: table in several pages"); }
  /// mov bh,[esi], whose probe saves the flags
  static constexpr std::initializer_list<uint8_t> kFlagsSaved = {0x8a, 0x3e}, kFlagsInEflags = {};
};

TEST_P(GuessingProbeTest, WrongGuessesAreTheInterpreters) {
  const CpuState start = cpu;
  for (const auto& before : {kFlagsInEflags, kFlagsSaved}) {
    SCOPED_TRACE(before.size());
    engines = {"hot=0,no-windows,window-after=0,no-adapt"};
    run_with(before, GetParam().zeroth);
    EXPECT_EQ(wrong_guesses(), GetParam().in_other_page);
    cpu = start;
    engines = {"hot=0,no-windows,window-after=0"};
    run_with(before, GetParam().zeroth);
    EXPECT_EQ(wrong_guesses(), GetParam().in_other_page != 0 ? 1 : 0);
    cpu = start;
  }
}

INSTANTIATE_TEST_SUITE_P(, GuessingProbeTest,
                         testing::Values(Table{0x8000'0010, 0},    // from 80000000h on
                                         Table{0x8000'0000, 4},    // from 7ffffff0h on
                                         Table{0x7fff'fff4, 1},    // to 80000000h
                                         Table{0x8000'0ff8, 2},    // to 80001004h
                                         Table{0xffff'fff0, 0},    // to fffffffch
                                         Table{0xffff'fff8, 2},    // to 4, beyond the end
                                         Table{0xffff'f000, 4},    // from ffffeff0h on
                                         Table{0x0000'0000, 4}));  // from fffffff0h on

}  // namespace
}  // namespace vireo::translator
