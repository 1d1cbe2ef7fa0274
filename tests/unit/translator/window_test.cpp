// What a window shows, and what it no longer shows.
#include "translator/window.h"

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <memory>
#include <string>

namespace vireo::translator {
namespace {

constexpr uint64_t kRam = uint64_t{4} << 20;
constexpr uint8_t kReadWrite = TlbMirror::kRead | TlbMirror::kWrite;

class WindowTest : public testing::Test {
 protected:
  WindowTest()
      : memory_(GuestMemory::create(kRam).take()), tables_(new TlbTables()), shown_(TlbTables::kPages) {
    mirror_.pages = shown_;
    window_ = Window::create(*memory_, *tables_, mirror_).take();
  }
  /// The TLB permits this linear page to reach this page of RAM.
  void permit(uint64_t linear_page, uint64_t ram_page, bool write) {
    const uint64_t delta =
        reinterpret_cast<uint64_t>(memory_->ram().data()) + (ram_page - linear_page) * kPageSize;
    tables_->read_delta[linear_page] = delta;
    tables_->write_delta[linear_page] = write ? delta : 0;
  }
  uint8_t* host(uint64_t linear) { return reinterpret_cast<uint8_t*>(window_->base() + linear); }
  /// Whether the program could access this byte: the kernel says, without a signal.
  bool readable(uint64_t linear) {
    uint8_t byte;
    const iovec to{&byte, 1}, from{host(linear), 1};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == 1;
  }
  bool writable(uint64_t linear) {
    uint8_t byte = 0x77;
    const iovec from{&byte, 1}, to{host(linear), 1};
    return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == 1;
  }
  uint8_t& ram(uint64_t page, uint64_t offset) { return memory_->ram()[page * kPageSize + offset]; }

  /// Window::mappings() as the kernel counts, but for the first and the last page.
  uint64_t mappings_by_kernel() {
    std::ifstream maps("/proc/self/maps");
    uint64_t in_window = 0;
    for (std::string line; std::getline(maps, line);) {
      uint64_t start = 0, end = 0;
      if (std::sscanf(line.c_str(), "%" SCNx64 "-%" SCNx64, &start, &end) != 2) continue;
      if (end > window_->base() && start < window_->base() + (uint64_t{1} << 32)) ++in_window;
    }
    return in_window - 1;
  }

  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<TlbTables> tables_;
  std::vector<uint8_t> shown_;
  TlbMirror mirror_;
  std::unique_ptr<Window> window_;
};

TEST_F(WindowTest, ShowsRamWhereTheTlbPermits) {
  permit(0xc0000, 3, true);
  EXPECT_FALSE(readable(0xc0000000));
  ASSERT_TRUE(window_->map(0xc0000123, true));
  ram(3, 5) = 0x42;
  EXPECT_EQ(host(0xc0000000)[5], 0x42);
  host(0xc0000000)[6] = 0x43;
  EXPECT_EQ(ram(3, 6), 0x43);
  EXPECT_FALSE(readable(0xc0001000));
}

TEST_F(WindowTest, AReadDoesNotMakeAPageWritable) {
  permit(8, 3, false);
  ASSERT_TRUE(window_->map(8 * kPageSize, false));
  EXPECT_TRUE(readable(8 * kPageSize));
  EXPECT_FALSE(writable(8 * kPageSize));
  EXPECT_FALSE(window_->map(8 * kPageSize, true));
  permit(8, 3, true);  // it is dirty now
  ASSERT_TRUE(window_->map(8 * kPageSize, true));
  EXPECT_TRUE(writable(8 * kPageSize));
}

TEST_F(WindowTest, MapsNeighboursThatAreNeighboursInRam) {
  permit(15, 2, true);
  permit(16, 3, true);
  permit(17, 4, false);  // not alike
  permit(14, 9, true);   // elsewhere
  ASSERT_TRUE(window_->map(16 * kPageSize, false));
  EXPECT_TRUE(writable(15 * kPageSize));
  EXPECT_FALSE(readable(17 * kPageSize));
  EXPECT_FALSE(readable(14 * kPageSize));
  EXPECT_EQ(window_->counters().maps, 1u);
  EXPECT_EQ(window_->counters().pages, 2u);
}

TEST_F(WindowTest, NothingWithoutPermissionNorOutsideRam) {
  EXPECT_FALSE(window_->map(0x5000, false));
  permit(5, kRam / kPageSize, true);  // behind its end
  EXPECT_FALSE(window_->map(0x5000, false));
}

TEST_F(WindowTest, WhatTheTlbTakesAwayGoes) {
  permit(1, 1, true);
  permit(2, 2, true);
  ASSERT_TRUE(window_->map(0x1000, true));
  mirror_.restrict(1, TlbMirror::kRead);  // less than is shown
  mirror_.restrict(2, kReadWrite);        // as much
  mirror_.restrict(3, 0);                 // nothing was shown
  EXPECT_EQ(mirror_.lost.size(), 1u);
  window_->settle();
  EXPECT_FALSE(readable(0x1000));
  EXPECT_TRUE(readable(0x2000));
  EXPECT_TRUE(mirror_.lost.empty());
  ASSERT_TRUE(window_->map(0x1000, false));
  EXPECT_TRUE(readable(0x1000));
}

TEST_F(WindowTest, ManyAtOnceAndAll) {
  for (uint64_t page = 0; page < 200; ++page) {
    permit(page, 2 * page, true);  // no neighbours
    ASSERT_TRUE(window_->map(page * kPageSize, true));
  }
  for (uint64_t page = 0; page < 30; ++page) mirror_.restrict(page, 0);
  mirror_.restrict(100, 0);
  for (uint64_t page = 70; page >= 30; --page) mirror_.restrict(page, 0);
  window_->settle();
  EXPECT_FALSE(readable(0));
  EXPECT_FALSE(readable(70 * kPageSize));
  EXPECT_FALSE(readable(100 * kPageSize));
  EXPECT_TRUE(readable(99 * kPageSize));
  EXPECT_EQ(window_->counters().unmaps, 2u) << "one for a run of pages";
  EXPECT_EQ(window_->counters().clears, 0u);
  for (uint64_t page = 0; page < 199; page += 2) mirror_.restrict(page, 0);
  window_->settle();
  EXPECT_EQ(window_->counters().clears, 0u) << "many are gone already";
  for (uint64_t page = 0; page < 200; ++page) ASSERT_TRUE(window_->map(page * kPageSize, true));
  for (uint64_t page = 0; page < 199; page += 2) mirror_.restrict(page, 0);
  window_->settle();
  EXPECT_EQ(window_->counters().clears, 1u);
  EXPECT_FALSE(readable(199 * kPageSize)) << "more than is worth single steps goes with all the rest";
  EXPECT_EQ(shown_[199], 0);
  ASSERT_TRUE(window_->map(199 * kPageSize, true));
  EXPECT_TRUE(readable(199 * kPageSize));
  window_->clear();
  EXPECT_FALSE(readable(199 * kPageSize));
}

TEST_F(WindowTest, KnowsTheHostsMappings) {
  const uint64_t others = Window::mappings_of_process() - window_->mappings();
  EXPECT_EQ(mappings_by_kernel(), 0u);
  uint64_t random = 1;
  const auto any = [&](uint64_t below) {
    random = random * 6364136223846793005 + 1442695040888963407;
    return (random >> 33) % below;
  };
  for (unsigned i = 0; i < 2000; ++i) {
    const uint64_t page = 1 + any(60);
    if (any(3) == 0) {
      mirror_.restrict(page, 0);
      tables_->read_delta[page] = tables_->write_delta[page] = 0;
    } else if (tables_->read_delta[page] == 0) {
      permit(page, any(2) == 0 ? page : any(kRam / kPageSize), any(2) == 0);
    }
    window_->map(page * kPageSize, false);
    if (i % 1000 == 999) window_->clear();
    ASSERT_EQ(window_->mappings(), mappings_by_kernel()) << i;
    ASSERT_EQ(Window::mappings_of_process(), others + window_->mappings()) << i;
  }
  permit(1, 1, true);
  ASSERT_TRUE(window_->map(1 * kPageSize, true));
  window_.reset();
  EXPECT_EQ(Window::mappings_of_process(), others);
}

/// As if the process had all the mappings that it may have.
class NoMoreMappings {
 public:
  NoMoreMappings() {
    start_ = static_cast<uint8_t*>(mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    for (uint64_t at = kPageSize; at < kBytes && !full_; at += 2 * kPageSize)
      full_ = mprotect(start_ + at, kPageSize, PROT_READ) != 0;
    // The latest may have been one too few for two.
    for (uint64_t at = 0; full_ && at < 8; ++at)
      last_[at] =
          mmap(nullptr, kPageSize, at % 2 == 0 ? PROT_READ : PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  }
  ~NoMoreMappings() {
    munmap(start_, kBytes);
    for (void* page : last_) {
      if (page != nullptr && page != MAP_FAILED) munmap(page, kPageSize);
    }
  }
  bool full() const { return full_; }

 private:
  static constexpr uint64_t kBytes = uint64_t{1} << 30;
  uint8_t* start_;
  bool full_ = false;
  std::array<void*, 8> last_{};
};

TEST_F(WindowTest, WhatIsLostGoesEvenWhereTheHostHasNoMappingLeft) {
  for (uint64_t page = 1; page <= 4; ++page) permit(page, page, true);
  permit(1000, 5, true);
  ASSERT_TRUE(window_->map(2 * kPageSize, true));
  ASSERT_TRUE(window_->map(1000 * kPageSize, true));
  {
    const NoMoreMappings limit;
    if (!limit.full()) GTEST_SKIP() << "the host permits too many";
    mirror_.restrict(2, 0);
    window_->settle();
    EXPECT_FALSE(readable(2 * kPageSize));
  }
  EXPECT_EQ(window_->mappings(), mappings_by_kernel());
  ASSERT_TRUE(window_->map(3 * kPageSize, true));
  ASSERT_TRUE(window_->map(1000 * kPageSize, true));
  EXPECT_TRUE(writable(3 * kPageSize)) << "it shows what it says that it shows";
  EXPECT_TRUE(writable(1000 * kPageSize));
}

}  // namespace
}  // namespace vireo::translator
