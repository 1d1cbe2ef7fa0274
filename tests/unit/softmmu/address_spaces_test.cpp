// Keeping address spaces must not be seen: one SoftMmu that keeps them and one that never does see the same
// loads of CR3, writes to page tables with the invalidations that they need, and accesses, and must answer
// the same.
#include "softmmu/address_spaces.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>
#include <string_view>

#include "softmmu/soft_mmu.h"

namespace vireo {
namespace {

constexpr uint64_t kMiB = 1 << 20;
constexpr uint64_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100;

/// A machine's memory and MMU, with the page tables of a few address spaces at its start.
class Machine {
 public:
  explicit Machine(uint32_t keep_after) : memory(std::move(GuestMemory::create(8 * kMiB).value())) {
    reset_cpu(cpu, 0);
    memory->map_ram({0}, 8 * kMiB, 0, "ram");
    mmu = std::make_unique<SoftMmu>(cpu, *memory);
    mmu->keep_spaces_after(keep_after);
  }

  void load_cr3(uint64_t value) {
    cpu.cr3 = value;
    if (cpu.cr4 & cr4::kPae) {
      for (unsigned i = 0; i < 4; ++i) cpu.pdpte[i] = memory->read_value<uint64_t>({value + 8 * i});
    }
    mmu->cr3_loaded();
  }
  /// As a guest's store would: directly where the tables say so, else the slow way.
  int store(uint64_t linear, uint32_t value) {
    if (uint8_t* host = mmu->fast_write({linear}, 4, Privilege::kSupervisor)) {
      std::memcpy(host, &value, 4);
      return -1;
    }
    if (const auto fault = mmu->fill({linear}, Access::kWrite, Privilege::kSupervisor))
      return static_cast<int>(fault->error_code);
    mmu->write_slow({linear}, Privilege::kSupervisor, &value, 4);
    return -1;
  }
  int touch(uint64_t linear, Access access, Privilege privilege) {
    const auto fault = mmu->fill({linear}, access, privilege);
    return fault ? static_cast<int>(fault->error_code) : -1;
  }
  uint64_t counter(std::string_view name) const {
    uint64_t found = 0;
    mmu->visit_stats([&](std::string_view n, uint64_t value) { found = n == name ? value : found; });
    return found;
  }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<SoftMmu> mmu;
};

class AddressSpacesTest : public testing::TestWithParam<bool> {
 protected:
  bool pae() const { return GetParam(); }
  static constexpr uint64_t kRoots = 0x10000, kMiddles = 0x20000, kTables = 0x40000, kData = 0x200000;
  static constexpr unsigned kRootCount = 20;  // more than there are spaces
  static constexpr unsigned kTableCount = 6;
  static constexpr unsigned kTableEntries = 8;  // that are used

  uint64_t root(unsigned i) const { return kRoots + i * (pae() ? 32 : kPageSize); }
  uint64_t table(unsigned i) const { return kTables + i * kPageSize; }
  unsigned entry_size() const { return pae() ? 8 : 4; }
  unsigned table_shift() const { return pae() ? 21 : 22; }

  template <class F>
  void both(F f) {
    f(keeping_);
    f(plain_);
  }
  void write_entry(Machine& m, uint64_t at, uint64_t value) {
    if (pae()) {
      m.memory->write_value<uint64_t>({at}, value);
    } else {
      m.memory->write_value<uint32_t>({at}, static_cast<uint32_t>(value));
    }
  }
  /// Where the entry for table `slot` of an address space is.
  uint64_t directory_entry(unsigned space, unsigned slot) const {
    return (pae() ? kMiddles + space * kPageSize : root(space)) + slot * entry_size();
  }

  void set_up() {
    // The tables are identity-mapped for the supervisor through the last directory entry used, as a global
    // large page, so that stores through linear addresses can change them.
    both([&](Machine& m) {
      for (unsigned space = 0; space < kRootCount; ++space) {
        if (pae()) write_entry(m, root(space), (kMiddles + space * kPageSize) | kP);
        for (unsigned slot = 0; slot < 4; ++slot)
          write_entry(m, directory_entry(space, slot), table((space + slot) % kTableCount) | kP | kW | kU);
        write_entry(m, directory_entry(space, 4), kPs | kP | kW | kG | kA | kD);
      }
      for (unsigned t = 0; t < kTableCount; ++t) {
        for (unsigned e = 0; e < kTableEntries; ++e)
          write_entry(m, table(t) + e * entry_size(),
                      (kData + (t * kTableEntries + e) * kPageSize) | kP | kW | kU);
      }
      m.cpu.cr4 = cr4::kPse | cr4::kPge | (pae() ? cr4::kPae : 0);
      m.cpu.cr0 |= cr0::kPe | cr0::kPg;
      m.load_cr3(root(0));
      m.mmu->control_registers_changed();
    });
  }
  /// What the tables of global translations say of a page is what the current space says, if the page is
  /// global and the current space says anything.
  void expect_global_words_true(uint64_t linear, Privilege privilege) {
    const uint64_t page = linear / kPageSize;
    const TlbTables& all = keeping_.mmu->global_tables(privilege);
    const TlbTables& current = keeping_.mmu->tables(privilege);
    if (!keeping_.mmu->is_global({linear}, privilege)) {
      EXPECT_EQ(all.read_delta[page], 0u) << page;
      EXPECT_EQ(all.write_delta[page], 0u) << page;
    } else if (current.read_delta[page] != 0) {
      EXPECT_EQ(all.read_delta[page], current.read_delta[page]) << page;
      EXPECT_EQ(all.write_delta[page], current.write_delta[page]) << page;
    }
  }
  uint64_t linear_of_physical(uint64_t physical) const { return (uint64_t{4} << table_shift()) + physical; }

  Machine keeping_{1}, plain_{0};
};

INSTANTIATE_TEST_SUITE_P(Paging, AddressSpacesTest, testing::Bool(),
                         [](const auto& info) { return info.param ? "Pae" : "ThirtyTwoBit"; });

TEST_P(AddressSpacesTest, TranslationsOutliveALoadOfCr3) {
  set_up();
  ASSERT_EQ(keeping_.touch(0x1000, Access::kRead, Privilege::kUser), -1);
  keeping_.load_cr3(root(1));
  EXPECT_EQ(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
  keeping_.load_cr3(root(0));
  EXPECT_NE(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
}

TEST_P(AddressSpacesTest, AWriteWhileAwayIsSeenOnReturn) {
  set_up();
  keeping_.load_cr3(root(0));
  ASSERT_EQ(keeping_.touch(0x1000, Access::kRead, Privilege::kUser), -1);
  ASSERT_EQ(keeping_.touch(0x2000, Access::kRead, Privilege::kUser), -1);
  keeping_.load_cr3(root(1));
  write_entry(keeping_, table(0) + entry_size(), 0);
  keeping_.load_cr3(root(0));
  EXPECT_EQ(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
  EXPECT_NE(keeping_.mmu->fast_read({0x2000}, 1, Privilege::kUser), nullptr);
}

TEST_P(AddressSpacesTest, AStaleTranslationOfThisLoadStaysUntilTheNext) {
  set_up();
  keeping_.load_cr3(root(0));
  ASSERT_EQ(keeping_.touch(0x1000, Access::kRead, Privilege::kUser), -1);
  write_entry(keeping_, table(0) + entry_size(), 0);
  EXPECT_NE(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
  keeping_.load_cr3(root(0));
  EXPECT_EQ(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
}

TEST_P(AddressSpacesTest, AStaleTranslationOfAnEarlierLoadGoes) {
  set_up();
  keeping_.load_cr3(root(0));
  ASSERT_EQ(keeping_.touch(0x1000, Access::kRead, Privilege::kUser), -1);
  keeping_.load_cr3(root(0));
  const uint64_t generation = keeping_.mmu->exec_generation(Privilege::kUser);
  write_entry(keeping_, table(0) + entry_size(), 0);
  EXPECT_EQ(keeping_.mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
  EXPECT_NE(keeping_.mmu->exec_generation(Privilege::kUser), generation);
}

TEST_P(AddressSpacesTest, AStaleTableOfThisLoadStaysUntilTheNext) {
  set_up();
  keeping_.load_cr3(root(0));
  const uint64_t other = uint64_t{1} << table_shift();
  const auto readable = [&](uint64_t linear) {
    return keeping_.mmu->fast_read({linear}, 1, Privilege::kUser) != nullptr;
  };
  for (const uint64_t linear : {uint64_t{0x1000}, uint64_t{0x7000}, other})
    ASSERT_EQ(keeping_.touch(linear, Access::kRead, Privilege::kUser), -1);
  write_entry(keeping_, directory_entry(0, 0), table(2) | kP | kW | kU);
  EXPECT_TRUE(readable(0x1000));
  EXPECT_TRUE(readable(0x7000));
  keeping_.load_cr3(root(0));
  EXPECT_FALSE(readable(0x1000));
  EXPECT_FALSE(readable(0x7000));
  EXPECT_TRUE(readable(other));
}

TEST_P(AddressSpacesTest, PagesThatBecomePresentMakeNothingStale) {
  set_up();
  constexpr unsigned kFirst = kTableEntries, kPages = 300;  // more than the stale ranges that are remembered
  keeping_.load_cr3(root(0));
  for (unsigned i = kFirst; i < kFirst + kPages; ++i) {
    const uint64_t linear = i * kPageSize;
    ASSERT_EQ(keeping_.touch(linear, Access::kRead, Privilege::kUser), 4);
    write_entry(keeping_, table(0) + i * entry_size(), (kData + i * kPageSize) | kP | kU);
    ASSERT_EQ(keeping_.touch(linear, Access::kRead, Privilege::kUser), -1);
  }
  keeping_.load_cr3(root(0));
  for (unsigned i = kFirst; i < kFirst + kPages; ++i)
    EXPECT_NE(keeping_.mmu->fast_read({i * kPageSize}, 1, Privilege::kUser), nullptr) << i;
  // What has a translation that stays is remembered still, beside what has none.
  write_entry(keeping_, table(0) + (kFirst + kPages) * entry_size(), kData | kP | kU);
  ASSERT_EQ(keeping_.touch(kFirst * kPageSize, Access::kRead, Privilege::kUser), -1);
  ASSERT_EQ(keeping_.touch((kFirst + kPages) * kPageSize, Access::kRead, Privilege::kUser), -1);
  write_entry(keeping_, table(0) + (kFirst + kPages) * entry_size(), 0);
  keeping_.load_cr3(root(0));
  EXPECT_EQ(keeping_.mmu->fast_read({(kFirst + kPages) * kPageSize}, 1, Privilege::kUser), nullptr);
  EXPECT_NE(keeping_.mmu->fast_read({kFirst * kPageSize}, 1, Privilege::kUser), nullptr);
}

TEST_P(AddressSpacesTest, AWriteRightToATableGoesWhenItIsWatched) {
  set_up();
  keeping_.load_cr3(root(0));
  const uint64_t place = linear_of_physical(table(0) + entry_size());
  ASSERT_EQ(keeping_.store(place, 0), -1);
  ASSERT_NE(keeping_.mmu->fast_write({place}, 4, Privilege::kSupervisor), nullptr);
  const uint64_t generation = keeping_.mmu->exec_generation(Privilege::kUser);
  ASSERT_EQ(keeping_.touch(0x2000, Access::kRead, Privilege::kUser), -1);
  EXPECT_EQ(keeping_.mmu->fast_write({place}, 4, Privilege::kSupervisor), nullptr);
  EXPECT_NE(keeping_.mmu->exec_generation(Privilege::kUser), generation);
}

TEST_P(AddressSpacesTest, OneWhoseTablesAreUsedAgainIsKeptLaterEachTime) {
  set_up();
  Machine& m = plain_;
  m.mmu = std::make_unique<SoftMmu>(m.cpu, *m.memory);  // which decides by itself
  // Loads until a translation outlives one.
  const auto loads_until_kept = [&] {
    for (unsigned loads = 1; loads < 100; ++loads) {
      m.load_cr3(root(0));
      EXPECT_EQ(m.touch(0x1000, Access::kRead, Privilege::kUser), -1);
      m.load_cr3(root(1));
      m.load_cr3(root(0));
      ++loads;
      if (m.mmu->fast_read({0x1000}, 1, Privilege::kUser) != nullptr) return loads;
      m.load_cr3(root(1));
    }
    return 100u;
  };
  const unsigned first = loads_until_kept();
  EXPECT_LT(first, 10u);
  const uint64_t serial = m.mmu->space_serial();
  m.load_cr3(root(1));
  for (unsigned i = 0; i < 100; ++i)
    write_entry(m, table(0) + entry_size(), (kData + i * kPageSize) | kP | kU);
  EXPECT_EQ(m.counter("address spaces/gone"), 1u);
  m.load_cr3(root(0));
  EXPECT_NE(m.mmu->space_serial(), serial) << "what was known of it is about another one";
  m.load_cr3(root(1));
  const unsigned second = loads_until_kept();
  EXPECT_GT(second, first);
  EXPECT_LT(second, 20u);
}

TEST_P(AddressSpacesTest, OneWhoseTablesChangeMoreThanItIsWalkedIsNotKept) {
  set_up();
  Machine& m = plain_;
  m.mmu = std::make_unique<SoftMmu>(m.cpu, *m.memory);  // which decides by itself
  // One walk finds the large page, whose pieces come into the TLB by sixteen.
  write_entry(m, directory_entry(0, 1), kPs | kP | kW | kU);
  m.load_cr3(root(0));
  unsigned loads = 0;
  for (; loads < 100 && m.counter("address spaces/given up") == 0; ++loads) {
    m.load_cr3(root(1));
    m.load_cr3(root(0));
    EXPECT_EQ(m.touch(uint64_t{1} << table_shift(), Access::kRead, Privilege::kUser), -1);
    for (unsigned i = 0; i < 4; ++i) write_entry(m, directory_entry(0, 2), table(i) | kP | kU);
  }
  EXPECT_LT(loads, 30u);
  EXPECT_GT(m.counter("address spaces/loads of kept ones"), 0u);
}

TEST_P(AddressSpacesTest, NobodyCanTell) {
  set_up();
  std::mt19937 random(20);
  const auto below = [&](unsigned n) { return static_cast<unsigned>(random() % n); };
  for (unsigned step = 0; step < 200'000; ++step) {
    const unsigned what = below(100);
    if (what < 10) {
      const unsigned space = below(4) != 0 ? below(4) : below(kRootCount);
      both([&](Machine& m) { m.load_cr3(root(space)); });
    } else if (what < 25) {
      // A guest's store to an entry, mostly of a table, sometimes of a directory.
      const bool directory = below(8) == 0;
      const uint64_t at = directory ? directory_entry(below(kRootCount), below(4))
                                    : table(below(kTableCount)) + below(kTableEntries) * entry_size();
      uint64_t value = directory ? table(below(kTableCount)) : kData + below(64) * kPageSize;
      value |= (below(8) != 0 ? kP : 0) | (below(3) != 0 ? kW : 0) | (below(3) != 0 ? kU : 0);
      if (!directory) value |= (below(4) == 0 ? kA | kD : 0) | (below(10) == 0 ? kG : 0);
      int results[2], i = 0;
      both([&](Machine& m) { results[i++] = m.store(linear_of_physical(at), static_cast<uint32_t>(value)); });
      ASSERT_EQ(results[0], results[1]) << step;
      // Every linear page that it may concern; or all.
      if (directory) {
        const uint64_t cr3 = root(below(4));
        both([&](Machine& m) { m.load_cr3(cr3); });
      } else {
        for (uint64_t slot = 0; slot < 4; ++slot) {
          const Gla page{(slot << table_shift()) + at % kPageSize / entry_size() * kPageSize};
          both([&](Machine& m) { m.mmu->invalidate_page(page); });
        }
      }
    } else if (what < 30) {
      const Gla page{(uint64_t{below(4)} << table_shift()) + below(kTableEntries) * kPageSize};
      both([&](Machine& m) { m.mmu->invalidate_page(page); });
    } else if (what < 31) {
      both([&](Machine& m) {
        m.cpu.cr0 ^= cr0::kWp;
        m.mmu->control_registers_changed();
      });
    } else if (below(2000) == 0) {
      both([&](Machine& m) { m.mmu->flush(); });
    } else {
      const uint64_t linear = (uint64_t{below(4)} << table_shift()) + below(kTableEntries) * kPageSize;
      const auto access = static_cast<Access>(below(3));
      const auto privilege = static_cast<Privilege>(below(2));
      int results[2], i = 0;
      std::ptrdiff_t offsets[2];  // into RAM
      both([&](Machine& m) {
        results[i] = m.touch(linear, access, privilege);
        const uint8_t* host = access == Access::kWrite ? m.mmu->fast_write({linear}, 4, privilege)
                                                       : m.mmu->fast_read({linear}, 4, privilege);
        offsets[i++] = host != nullptr ? host - m.memory->ram().data() : -1;
      });
      ASSERT_EQ(results[0], results[1]) << step;
      ASSERT_EQ(offsets[0], offsets[1]) << step;
    }
    if (step % 16 == 0) {
      for (const Privilege privilege : {Privilege::kSupervisor, Privilege::kUser}) {
        for (uint64_t slot = 0; slot < 4; ++slot) {
          for (uint64_t entry = 0; entry < kTableEntries; ++entry)
            expect_global_words_true((slot << table_shift()) + entry * kPageSize, privilege);
        }
      }
      ASSERT_FALSE(HasFailure()) << step;
    }
    if (step % 64 == 0) {
      // A and D bits are in it.
      ASSERT_EQ(std::memcmp(keeping_.memory->ram().data(), plain_.memory->ram().data(), kData), 0) << step;
    }
  }
  EXPECT_GT(keeping_.counter("address spaces/translations kept"), 10'000u);
  EXPECT_EQ(plain_.counter("address spaces/translations kept"), 0u);
}

}  // namespace
}  // namespace vireo
