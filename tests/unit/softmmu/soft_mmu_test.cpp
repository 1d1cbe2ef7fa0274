#include "softmmu/soft_mmu.h"

#include <gtest/gtest.h>

#include <memory>
#include <string_view>

namespace vireo {
namespace {

constexpr uint32_t kP = 1, kW = 2, kU = 4, kA = 0x20, kD = 0x40, kPs = 0x80, kG = 0x100;
constexpr uint64_t kMiB = 1 << 20;

struct CountingRegion final : IoRegion {
  uint64_t read(uint32_t offset, unsigned size) override {
    last_offset = offset;
    last_size = size;
    return 0x8877665544332211;
  }
  void write(uint32_t offset, unsigned size, uint64_t value) override {
    last_offset = offset;
    last_size = size;
    last_value = value;
  }
  uint32_t last_offset = 0;
  unsigned last_size = 0;
  uint64_t last_value = 0;
};

struct CodeWatcher final : MemoryListener {
  void on_code_written(Gpa start, uint64_t size, Writer by) override {
    writer = by;
    written = start;
    written_size = size;
  }
  void on_layout_changed() override {}
  Writer writer = Writer::kOther;
  Gpa written;
  uint64_t written_size = 0;
};

class SoftMmuTest : public testing::Test {
 protected:
  static constexpr uint64_t kDirectory = 0x1000, kTable = 0x2000, kPdpt = 0x3000;

  SoftMmuTest() : memory(std::move(GuestMemory::create(16 * kMiB).value())) {
    reset_cpu(cpu, 0);
    memory->map_ram({0}, 16 * kMiB, 0, "ram");
    mmu = std::make_unique<SoftMmu>(cpu, *memory);
  }

  void set(uint64_t table, unsigned index, uint32_t entry) {
    memory->write_value({table + 4 * index}, entry);
  }
  uint32_t get(uint64_t table, unsigned index) { return memory->read_value<uint32_t>({table + 4 * index}); }
  void set64(uint64_t table, unsigned index, uint64_t entry) {
    memory->write_value({table + 8 * index}, entry);
  }

  /// 32-bit paging; linear 0 to 4 MiB through kTable.
  void enable_paging(uint64_t cr4_bits = 0) {
    set(kDirectory, 0, kTable | kP | kW | kU);
    cpu.cr3 = kDirectory;
    cpu.cr4 = cr4_bits;
    cpu.cr0 |= cr0::kPe | cr0::kPg;
    mmu->control_registers_changed();
  }
  void enable_pae(uint64_t cr4_bits = 0) {
    cpu.pdpte[0] = kDirectory | kP;
    set64(kDirectory, 0, kTable | kP | kW | kU);
    cpu.cr3 = kPdpt;
    cpu.cr4 = cr4::kPae | cr4_bits;
    cpu.cr0 |= cr0::kPe | cr0::kPg;
    mmu->control_registers_changed();
  }

  /// Error code of the access, or -1 if it succeeds.
  int code(uint64_t address, Access access, Privilege privilege) {
    auto fault = mmu->fill({address}, access, privilege);
    if (!fault) return -1;
    EXPECT_EQ(fault->address.value, address);
    return static_cast<int>(fault->error_code);
  }
  int user(uint64_t address, Access access) { return code(address, access, Privilege::kUser); }
  int system(uint64_t address, Access access) { return code(address, access, Privilege::kSupervisor); }
  /// Physical page that the TLB has for instruction fetches.
  uint64_t physical(uint64_t address, Privilege privilege = Privilege::kSupervisor) {
    return (uint64_t{mmu->exec_frame({address}, privilege)} - 1) * kPageSize;
  }
  bool readable(uint64_t address, Privilege privilege = Privilege::kSupervisor) {
    return mmu->fast_read({address}, 1, privilege) != nullptr;
  }
  uint64_t counter(std::string_view name) {
    uint64_t found = ~uint64_t{0};
    mmu->visit_stats([&](std::string_view n, uint64_t value) {
      if (n == name) found = value;
    });
    return found;
  }

  CpuState cpu;
  std::unique_ptr<GuestMemory> memory;
  std::unique_ptr<SoftMmu> mmu;
};

TEST_F(SoftMmuTest, WithoutPagingLinearIsPhysical) {
  EXPECT_EQ(system(0x5123, Access::kWrite), -1);
  EXPECT_EQ(physical(0x5123), 0x5000u);
  EXPECT_EQ(mmu->fast_write({0x5123}, 4, Privilege::kSupervisor), memory->ram().data() + 0x5123);
  EXPECT_EQ(mmu->fast_write({0x5ffd}, 4, Privilege::kSupervisor), nullptr) << "crosses the page";
}

TEST_F(SoftMmuTest, WithoutPagingNeighboursComeWithAPage) {
  ASSERT_EQ(user(0x425000, Access::kWrite), -1);
  EXPECT_EQ(counter("tlb/entries"), 16u);
  for (uint64_t page = 0x420000; page < 0x430000; page += kPageSize) {
    EXPECT_EQ(physical(page, Privilege::kUser), page);
    EXPECT_NE(mmu->fast_write({page}, 1, Privilege::kUser), nullptr);
    EXPECT_FALSE(readable(page)) << "of the other privilege";
  }
  EXPECT_FALSE(readable(0x41f000, Privilege::kUser));
  EXPECT_FALSE(readable(0x430000, Privilege::kUser));
  mmu->invalidate_page({0x421000});
  EXPECT_FALSE(readable(0x421000, Privilege::kUser));
  EXPECT_TRUE(readable(0x422000, Privilege::kUser)) << "not pieces of one page";
}

TEST_F(SoftMmuTest, ErrorCodesOfEveryRefusal) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP);       // supervisor, read-only
  set(kTable, 2, 0x6000 | kP | kW);  // supervisor
  set(kTable, 3, 0x7000 | kP | kU);  // user, read-only
  EXPECT_EQ(user(0x8000, Access::kRead), 4);
  EXPECT_EQ(system(0x8000, Access::kWrite), 2);
  EXPECT_EQ(user(0x1000, Access::kRead), 5);
  EXPECT_EQ(user(0x2000, Access::kWrite), 7);
  EXPECT_EQ(user(0x3000, Access::kRead), -1);
  EXPECT_EQ(user(0x3000, Access::kWrite), 7);
  EXPECT_EQ(system(0x1000, Access::kWrite), -1) << "CR0.WP is clear";
  EXPECT_EQ(user(0x400000, Access::kExecute), 4) << "no fetch bit without NXE";
}

TEST_F(SoftMmuTest, WriteProtectAppliesToCachedTranslations) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP);
  ASSERT_EQ(system(0x1000, Access::kWrite), -1);
  ASSERT_NE(mmu->fast_write({0x1000}, 1, Privilege::kSupervisor), nullptr);
  cpu.cr0 |= cr0::kWp;
  mmu->control_registers_changed();
  EXPECT_EQ(mmu->fast_write({0x1000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_NE(mmu->fast_read({0x1000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_EQ(system(0x1000, Access::kWrite), 3);
}

TEST_F(SoftMmuTest, DirectoryRightsRestrictTableRights) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW | kU);
  set(kDirectory, 0, kTable | kP | kU);
  EXPECT_EQ(user(0x1000, Access::kRead), -1);
  EXPECT_EQ(user(0x1000, Access::kWrite), 7);
  set(kDirectory, 0, kTable | kP | kW);
  mmu->cr3_loaded();
  EXPECT_EQ(user(0x1000, Access::kRead), 5);
}

TEST_F(SoftMmuTest, AccessedAndDirtyBits) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW | kU);
  set(kTable, 2, 0x6000 | kP | kU);
  EXPECT_EQ(user(0x2000, Access::kWrite), 7);
  EXPECT_EQ(get(kTable, 2) & (kA | kD), 0u) << "a fault sets nothing";
  EXPECT_EQ(user(0x1000, Access::kRead), -1);
  EXPECT_EQ(get(kTable, 1) & (kA | kD), kA);
  EXPECT_EQ(get(kDirectory, 0) & (kA | kD), kA);
  EXPECT_EQ(mmu->fast_write({0x1000}, 1, Privilege::kUser), nullptr) << "the first write must set D";
  EXPECT_EQ(user(0x1000, Access::kWrite), -1);
  EXPECT_EQ(get(kTable, 1) & (kA | kD), kA | kD);
  EXPECT_EQ(get(kDirectory, 0) & kD, 0u);
  EXPECT_NE(mmu->fast_write({0x1000}, 1, Privilege::kUser), nullptr);
}

TEST_F(SoftMmuTest, StaleTranslationsStayUntilInvalidated) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW | kU | kD);
  ASSERT_EQ(user(0x1000, Access::kWrite), -1);
  set(kTable, 1, 0);
  EXPECT_EQ(user(0x1000, Access::kWrite), -1);
  mmu->invalidate_page({0x1abc});
  EXPECT_EQ(user(0x1000, Access::kWrite), 6);
}

TEST_F(SoftMmuTest, AddedRightsNeedNoInvalidation) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kU);
  ASSERT_EQ(user(0x1000, Access::kRead), -1);
  set(kTable, 1, 0x9000 | kP | kU | kW);
  EXPECT_EQ(user(0x1000, Access::kWrite), -1);
  EXPECT_EQ(physical(0x1000, Privilege::kUser), 0x9000u);
}

TEST_F(SoftMmuTest, PageFaultDropsTheCachedTranslation) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kU | kD);
  ASSERT_EQ(user(0x1000, Access::kRead), -1);
  ASSERT_EQ(user(0x1000, Access::kWrite), 7);
  EXPECT_EQ(mmu->fast_read({0x1000}, 1, Privilege::kUser), nullptr);
}

TEST_F(SoftMmuTest, GlobalPagesOutliveCr3Loads) {
  enable_paging(cr4::kPge);
  set(kTable, 1, 0x5000 | kP | kW | kG);
  set(kTable, 2, 0x6000 | kP | kW);
  ASSERT_EQ(system(0x1000, Access::kRead), -1);
  ASSERT_EQ(system(0x2000, Access::kRead), -1);
  mmu->cr3_loaded();
  EXPECT_NE(mmu->fast_read({0x1000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_EQ(mmu->fast_read({0x2000}, 1, Privilege::kSupervisor), nullptr);
  mmu->cr3_loaded();
  EXPECT_NE(mmu->fast_read({0x1000}, 1, Privilege::kSupervisor), nullptr);
  cpu.cr4 = 0;
  mmu->control_registers_changed();
  EXPECT_EQ(mmu->fast_read({0x1000}, 1, Privilege::kSupervisor), nullptr);
}

TEST_F(SoftMmuTest, GlobalBitIsIgnoredWithoutPge) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW | kG);
  ASSERT_EQ(system(0x1000, Access::kRead), -1);
  mmu->cr3_loaded();
  EXPECT_EQ(mmu->fast_read({0x1000}, 1, Privilege::kSupervisor), nullptr);
}

TEST_F(SoftMmuTest, GlobalTranslationsHaveTablesOfTheirOwn) {
  const CodeOwner owner(*memory);
  enable_paging(cr4::kPge);
  for (unsigned i = 1; i < 8; ++i) set(kTable, i, (0x5000 + i * 0x1000) | kP | kW | (i % 2 != 0 ? kG : 0));
  for (unsigned i = 1; i < 6; ++i) ASSERT_EQ(system(i * kPageSize, Access::kWrite), -1);
  const TlbTables& all = mmu->global_tables(Privilege::kSupervisor);
  const TlbMirror& mirror = mmu->global_mirror(Privilege::kSupervisor);
  const TlbTables& current = mmu->tables(Privilege::kSupervisor);
  ASSERT_EQ(system(0x6000, Access::kWrite), -1);
  ASSERT_EQ(system(0x7000, Access::kRead), -1);
  for (unsigned i = 1; i < 8; ++i) {
    EXPECT_EQ(mmu->is_global({i * kPageSize}, Privilege::kSupervisor), i % 2 != 0);
    EXPECT_EQ(all.read_delta[i], i % 2 != 0 ? current.read_delta[i] : 0) << i;
    EXPECT_EQ(all.write_delta[i], i % 2 != 0 ? current.write_delta[i] : 0) << i;
    mirror.pages[i] = i % 2 != 0 ? TlbMirror::kRead | TlbMirror::kWrite : 0;
  }
  EXPECT_EQ(all.write_delta[7], 0u) << "clean";

  mmu->cr3_loaded();
  EXPECT_TRUE(mirror.lost.empty());
  memory->mark_code({0x6000}, owner);
  EXPECT_EQ(all.write_delta[1], 0u);
  EXPECT_NE(all.read_delta[1], 0u);
  EXPECT_EQ(mirror.lost, std::vector<uint32_t>{1});
  set(kTable, 3, 0x9000 | kP | kW);
  mmu->invalidate_page({0x3000});
  ASSERT_EQ(system(0x3000, Access::kRead), -1);
  EXPECT_EQ(all.read_delta[3], 0u) << "no longer global";
  EXPECT_EQ(mirror.pages[3], 0);
  set(kTable, 5, 0xa000 | kP | kG);
  mmu->invalidate_page({0x5000});
  ASSERT_EQ(system(0x5000, Access::kWrite), -1);
  EXPECT_NE(all.write_delta[5], 0u) << "CR0.WP is clear";
  mirror.pages[5] = TlbMirror::kRead | TlbMirror::kWrite;
  cpu.cr0 |= cr0::kWp;
  mmu->control_registers_changed();
  EXPECT_EQ(all.write_delta[5], 0u);
  EXPECT_EQ(mirror.pages[5], 0);
  mmu->flush();
  for (unsigned i = 1; i < 8; ++i) EXPECT_EQ(all.read_delta[i], 0u) << i;
}

TEST_F(SoftMmuTest, LargePagesAndPse36) {
  enable_paging(cr4::kPse);
  set(kDirectory, 1, 0x800000 | kPs | kP | kW);
  EXPECT_EQ(system(0x412345, Access::kWrite), -1);
  EXPECT_EQ(physical(0x412345), 0x812000u);
  EXPECT_EQ(get(kDirectory, 1) & (kA | kD), kA | kD);
  set(kDirectory, 2, 0x0001e000 | kPs | kP);  // address bits 32 to 35
  EXPECT_EQ(system(0x800000, Access::kRead), -1);
  EXPECT_EQ(mmu->probe({0x800000})->value, 0xf'0000'0000u);
  EXPECT_EQ(mmu->exec_frame({0x800000}, Privilege::kSupervisor), 0u) << "nothing is there";
  set(kDirectory, 3, 0x00020000 | kPs | kP);
  EXPECT_EQ(system(0xc00000, Access::kRead), 9) << "bit 17 is reserved with 36 address bits";
}

TEST_F(SoftMmuTest, PagesNextToOneOfTheSameLargePageComeWithIt) {
  enable_paging(cr4::kPse);
  set(kDirectory, 1, 0x800000 | kPs | kP | kW);
  ASSERT_EQ(system(0x425000, Access::kRead), -1);
  EXPECT_EQ(counter("tlb/entries"), 16u);
  for (uint64_t page = 0x420000; page < 0x430000; page += kPageSize) {
    EXPECT_EQ(physical(page), page + 0x400000);
    EXPECT_TRUE(readable(page));
    EXPECT_EQ(mmu->fast_write({page}, 1, Privilege::kSupervisor), nullptr) << "clean";
  }
  EXPECT_FALSE(readable(0x41f000));
  EXPECT_FALSE(readable(0x430000));
  EXPECT_FALSE(readable(0x425000, Privilege::kUser));
  EXPECT_EQ(get(kDirectory, 1) & (kA | kD), kA);
  ASSERT_EQ(system(0x42f000, Access::kWrite), -1);
  EXPECT_EQ(get(kDirectory, 1) & (kA | kD), kA | kD);
  ASSERT_EQ(system(0x43f000, Access::kRead), -1);
  EXPECT_NE(mmu->fast_write({0x430000}, 1, Privilege::kSupervisor), nullptr) << "one dirty bit for all";
  mmu->invalidate_page({0x420000});
  EXPECT_EQ(counter("tlb/entries"), 0u);
}

TEST_F(SoftMmuTest, PsBitWithoutPseIsATable) {
  enable_paging();
  set(kDirectory, 1, kTable | kPs | kP | kW);
  set(kTable, 0x12, 0x9000 | kP);
  EXPECT_EQ(system(0x412000, Access::kRead), -1);
  EXPECT_EQ(physical(0x412000), 0x9000u);
}

TEST_F(SoftMmuTest, InvlpgInALargePageDropsAllOfIt) {
  enable_paging(cr4::kPse);
  set(kDirectory, 1, 0x800000 | kPs | kP | kW);
  ASSERT_EQ(system(0x400000, Access::kRead), -1);
  ASSERT_EQ(system(0x7ff000, Access::kRead), -1);
  mmu->invalidate_page({0x555000});
  EXPECT_EQ(mmu->fast_read({0x400000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_EQ(mmu->fast_read({0x7ff000}, 1, Privilege::kSupervisor), nullptr);
}

TEST_F(SoftMmuTest, InvlpgSparesTheNeighboursOfALargePage) {
  enable_paging(cr4::kPse);
  set(kDirectory, 1, 0x800000 | kPs | kP | kW | kU);
  set(kTable, 1, 0x5000 | kP | kW);
  ASSERT_EQ(system(0x1000, Access::kRead), -1);
  ASSERT_EQ(system(0x400000, Access::kRead), -1);
  ASSERT_EQ(user(0x401000, Access::kRead), -1);
  mmu->invalidate_page({0x2000});
  EXPECT_TRUE(readable(0x1000));
  EXPECT_TRUE(readable(0x400000));
  mmu->invalidate_page({0x7ff000});
  EXPECT_TRUE(readable(0x1000));
  EXPECT_FALSE(readable(0x400000));
  EXPECT_FALSE(readable(0x401000, Privilege::kUser));
  EXPECT_EQ(counter("tlb/entries"), 1u);
}

TEST_F(SoftMmuTest, InvlpgInATwoMiBPageSparesTheOtherHalf) {
  enable_pae(cr4::kPge);
  set64(kDirectory, 2, 0x800000 | kPs | kP | kG);
  set64(kDirectory, 3, 0xa00000 | kPs | kP | kG);
  ASSERT_EQ(system(0x4ff000, Access::kRead), -1);
  ASSERT_EQ(system(0x6ff000, Access::kRead), -1);
  mmu->invalidate_page({0x600000});
  EXPECT_TRUE(readable(0x4ff000));
  EXPECT_FALSE(readable(0x6ff000));
}

TEST_F(SoftMmuTest, PaeWithExecuteDisable) {
  enable_pae();
  const uint64_t kXd = uint64_t{1} << 63;
  set64(kTable, 1, 0x5000 | kP | kU | kXd);
  EXPECT_EQ(user(0x1000, Access::kRead), 0xd) << "XD is reserved without NXE";
  cpu.msr.efer = efer::kNxe;
  mmu->control_registers_changed();
  EXPECT_EQ(user(0x1000, Access::kRead), -1);
  EXPECT_EQ(user(0x1000, Access::kExecute), 0x15);
  EXPECT_EQ(user(0x5000, Access::kExecute), 0x14);
  EXPECT_EQ(user(0x4000'0000, Access::kRead), 4) << "PDPTE 1 is not present";
}

TEST_F(SoftMmuTest, PaeLargePageAndReservedBits) {
  enable_pae();
  set64(kDirectory, 1, 0xa00000 | kPs | kP | kW);
  EXPECT_EQ(system(0x2abcde, Access::kRead), -1);
  EXPECT_EQ(physical(0x2abcde), 0xaab000u);
  set64(kDirectory, 2, 0xa02000 | kPs | kP | kW);
  EXPECT_EQ(system(0x400000, Access::kRead), 9);
  set64(kTable, 3, (uint64_t{1} << 36) | kP);
  EXPECT_EQ(system(0x3000, Access::kWrite), 0xb);
}

TEST_F(SoftMmuTest, CodeMarksSendWritesTheSlowWay) {
  const CodeOwner owner(*memory);
  CodeWatcher watcher;
  memory->add_listener(watcher);
  ASSERT_EQ(system(0x5000, Access::kWrite), -1);
  ASSERT_NE(mmu->fast_write({0x5000}, 1, Privilege::kSupervisor), nullptr);
  memory->mark_code({0x5000}, owner);
  EXPECT_EQ(mmu->fast_write({0x5000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_NE(mmu->fast_read({0x5000}, 1, Privilege::kSupervisor), nullptr);
  ASSERT_EQ(system(0x5000, Access::kWrite), -1);
  EXPECT_EQ(mmu->fast_write({0x5000}, 1, Privilege::kSupervisor), nullptr);
  const uint32_t value = 0x11223344;
  mmu->write_slow({0x5010}, Privilege::kSupervisor, &value, 4);
  EXPECT_EQ(watcher.written.value, 0x5010u);
  EXPECT_EQ(watcher.written_size, 4u);
  EXPECT_EQ(watcher.writer, MemoryListener::Writer::kStore);
  EXPECT_EQ(memory->read_value<uint32_t>({0x5010}), value);
  memory->clear_code_mark({0x5000}, owner);
  ASSERT_EQ(system(0x5000, Access::kWrite), -1);
  EXPECT_NE(mmu->fast_write({0x5000}, 1, Privilege::kSupervisor), nullptr);
  memory->remove_listener(watcher);
}

TEST_F(SoftMmuTest, CodeMarksReachEveryLinearPageOfTheFrame) {
  const CodeOwner owner(*memory);
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW | kU);
  set(kTable, 2, 0x5000 | kP | kW | kU);
  set(kTable, 3, 0x6000 | kP | kW);
  ASSERT_EQ(user(0x1000, Access::kWrite), -1);
  ASSERT_EQ(system(0x2000, Access::kWrite), -1);
  ASSERT_EQ(system(0x3000, Access::kWrite), -1);
  memory->mark_code({0x5000}, owner);
  EXPECT_EQ(mmu->fast_write({0x1000}, 1, Privilege::kUser), nullptr);
  EXPECT_EQ(mmu->fast_write({0x2000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_NE(mmu->fast_write({0x3000}, 1, Privilege::kSupervisor), nullptr);
  EXPECT_EQ(mmu->code_bytes({0x2004}, Privilege::kSupervisor), memory->ram().data() + 0x5004);
}

TEST_F(SoftMmuTest, WriteOnlyShadowIsNotDirect) {
  memory->set_shadow({0xc0000}, 0x1000, GuestMemory::Shadow::kWriteRam);
  memory->unmap({0});
  ASSERT_EQ(system(0xc0000, Access::kWrite), -1);
  EXPECT_EQ(mmu->fast_write({0xc0000}, 1, Privilege::kSupervisor), nullptr);
  const uint8_t value = 0x5a;
  mmu->write_slow({0xc0000}, Privilege::kSupervisor, &value, 1);
  EXPECT_EQ(memory->ram()[0xc0000], 0x5a);
  EXPECT_FALSE(readable(0xc0000)) << "reads go elsewhere";
}

TEST_F(SoftMmuTest, LinearAddressesFrom4GiBGoTheSlowWay) {
  // PML4, PDPT, directory, table: linear 0xffff'8000'0000'0000 up; a 1-GiB page in the next PDPT entry.
  constexpr uint64_t kPml4 = 0x4000, kHigh = 0xffff'8000'0000'0000, kGiB = uint64_t{1} << 30;
  set64(kPml4, 256, kPdpt | kP | kW);
  set64(kPdpt, 0, kDirectory | kP | kW);
  set64(kPdpt, 1, 0 | kPs | kP | kW);
  set64(kDirectory, 0, kTable | kP | kW);
  set64(kTable, 1, 0x5000 | kP | kW | kD);
  cpu.cr3 = kPml4;
  cpu.cr4 = cr4::kPae;
  cpu.cr0 |= cr0::kPe | cr0::kPg;
  cpu.msr.efer = efer::kLme | efer::kLma;
  mmu->control_registers_changed();
  ASSERT_EQ(system(kHigh + 0x1000, Access::kWrite), -1);
  EXPECT_FALSE(readable(kHigh + 0x1000));
  EXPECT_EQ(mmu->exec_frame({kHigh + 0x1000}, Privilege::kSupervisor), 0u);
  const uint32_t value = 0x11223344;
  mmu->write_slow({kHigh + 0x1010}, Privilege::kSupervisor, &value, 4);
  uint32_t back = 0;
  mmu->read_slow({kHigh + 0x1010}, Privilege::kSupervisor, &back, 4);
  EXPECT_EQ(back, value);
  EXPECT_EQ(memory->read_value<uint32_t>({0x5010}), value);

  set64(kTable, 1, 0);
  EXPECT_EQ(system(kHigh + 0x1000, Access::kRead), -1) << "cached";
  mmu->invalidate_page({kHigh + 0x1000});
  EXPECT_EQ(system(kHigh + 0x1000, Access::kRead), 0);

  ASSERT_EQ(system(kHigh + kGiB, Access::kRead), -1);
  ASSERT_EQ(system(kHigh + kGiB + 0x7ff000, Access::kRead), -1);
  EXPECT_EQ(counter("tlb/entries"), 2u);
  mmu->invalidate_page({kHigh + kGiB + 0x123000});
  EXPECT_EQ(counter("tlb/entries"), 0u);
}

TEST_F(SoftMmuTest, TheBoundFlushesEverythingGlobalPagesToo) {
  enable_paging(cr4::kPse | cr4::kPge);
  // 4-MiB pages, all of the same memory; the first is global.
  for (unsigned i = 1; i < 1024; ++i) set(kDirectory, i, 0x400000 | kPs | kP | kW | (i == 1 ? kG : 0));
  constexpr uint64_t kBound = 64 * 1024;
  for (uint64_t i = 0; i < kBound; ++i) ASSERT_EQ(system(0x400000 + i * kPageSize, Access::kRead), -1);
  EXPECT_EQ(counter("tlb/entries"), kBound);
  EXPECT_TRUE(readable(0x400000));
  EXPECT_EQ(system(0x400000, Access::kWrite), -1) << "replaces the clean translation";
  EXPECT_EQ(counter("tlb/overflows"), 1u) << "whether it is there already does not matter";
  EXPECT_EQ(counter("tlb/entries"), 16u) << "and the same large page's next ones";
  EXPECT_TRUE(readable(0x400000));
  EXPECT_FALSE(readable(0x410000));
  EXPECT_EQ(system(0x410000, Access::kRead), -1);
  EXPECT_TRUE(readable(0x400000));
}

TEST_F(SoftMmuTest, ManyFillsAndFlushesKeepTheTablesTrue) {
  enable_paging(cr4::kPge);
  mmu->keep_spaces_after(0);
  for (unsigned i = 0; i < 1024; ++i)
    set(kTable, i, (0x400000 + i % 64 * 0x1000) | kP | kW | (i % 3 ? 0 : kG));
  for (unsigned round = 0; round < 4; ++round) {
    for (unsigned i = 0; i < 1024; ++i) ASSERT_EQ(system(i * kPageSize, Access::kWrite), -1);
    for (unsigned i = round; i < 1024; i += 7) mmu->invalidate_page({i * kPageSize});
    for (unsigned i = 0; i < 1024; ++i) EXPECT_EQ(readable(i * kPageSize), i % 7 != round) << i;
    mmu->cr3_loaded();
    uint64_t left = 0;
    for (unsigned i = 0; i < 1024; ++i) {
      const bool kept = i % 3 == 0 && i % 7 != round;
      EXPECT_EQ(readable(i * kPageSize), kept) << i;
      EXPECT_EQ(mmu->tables(Privilege::kSupervisor).exec_frame[i], kept ? 0x400 + i % 64 + 1 : 0) << i;
      left += kept;
    }
    EXPECT_EQ(counter("tlb/entries"), left);
  }
  mmu->flush();
  EXPECT_EQ(counter("tlb/entries"), 0u);
}

TEST_F(SoftMmuTest, MmioIsSplitIntoPowersOfTwo) {
  CountingRegion region;
  memory->map_mmio({0xe0000000}, 0x1000, region, "mmio");
  ASSERT_EQ(system(0xe0000010, Access::kWrite), -1);
  EXPECT_EQ(mmu->fast_read({0xe0000010}, 4, Privilege::kSupervisor), nullptr);
  EXPECT_EQ(mmu->fast_write({0xe0000010}, 4, Privilege::kSupervisor), nullptr);
  uint32_t value = 0xdeadbeef;
  mmu->write_slow({0xe0000010}, Privilege::kSupervisor, &value, 4);
  EXPECT_EQ(region.last_offset, 0x10u);
  EXPECT_EQ(region.last_value, 0xdeadbeefu);
  uint8_t bytes[10] = {};
  mmu->read_slow({0xe0000020}, Privilege::kSupervisor, bytes, 10);
  EXPECT_EQ(region.last_offset, 0x28u);
  EXPECT_EQ(region.last_size, 2u);
  EXPECT_EQ(bytes[7], 0x88);
  EXPECT_EQ(bytes[9], 0x22);
}

TEST_F(SoftMmuTest, MmioThatComesOrGoesIsSeenAndLeavesTranslationsAlone) {
  CountingRegion region;
  enable_paging();
  set(kTable, 1, 0x5000 | kP | kW);
  set(kTable, 2, 0xfe000000 | kP | kW);
  ASSERT_EQ(system(0x1000, Access::kRead), -1);
  const auto read = [&] {
    uint32_t value = 0;
    mmu->read_slow({0x2004}, Privilege::kSupervisor, &value, 4);
    return value;
  };
  EXPECT_EQ(read(), 0xffffffffu);
  memory->map_mmio({0xfe000000}, kPageSize, region, "bar");
  EXPECT_EQ(read(), 0x44332211u);
  EXPECT_EQ(region.last_offset, 4u);
  memory->unmap({0xfe000000});
  EXPECT_EQ(read(), 0xffffffffu);
  EXPECT_TRUE(readable(0x1000));
  EXPECT_EQ(counter("tlb/flushes"), 1u) << "of enable_paging()";
}

TEST_F(SoftMmuTest, A20AppliesToPhysicalAddresses) {
  memory->set_a20(false);
  ASSERT_EQ(system(0x100000, Access::kWrite), -1);
  EXPECT_EQ(mmu->fast_write({0x100000}, 1, Privilege::kSupervisor), memory->ram().data());
  memory->set_a20(true);
  EXPECT_EQ(mmu->fast_write({0x100000}, 1, Privilege::kSupervisor), nullptr) << "layout changes flush";
}

TEST_F(SoftMmuTest, A20AppliesToNeighboursToo) {
  memory->set_a20(false);
  ASSERT_EQ(system(0x305000, Access::kWrite), -1);
  for (uint64_t page = 0x300000; page < 0x310000; page += kPageSize) {
    EXPECT_EQ(mmu->fast_write({page}, 1, Privilege::kSupervisor),
              memory->ram().data() + (page & ~uint64_t{0x100000}));
  }
}

TEST_F(SoftMmuTest, ProbeChangesNothing) {
  enable_paging();
  set(kTable, 1, 0x5000 | kP);
  EXPECT_EQ(mmu->probe({0x1234})->value, 0x5234u);
  EXPECT_FALSE(mmu->probe({0x2000}).has_value());
  EXPECT_EQ(get(kTable, 1) & kA, 0u);
}

}  // namespace
}  // namespace vireo
