#include "core/code_snapshot.h"

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace vireo {
namespace {

/// RAM of 4 MiB with code in two pages; the guest's stores are made through ram(), past everybody.
class CodeSnapshotTest : public testing::Test, public MemoryListener {
 protected:
  static constexpr uint64_t kCode = 0x3000, kMoreCode = 0x200000, kData = 0x5000;

  struct Written {
    uint64_t start, size;
    bool operator==(const Written&) const = default;
  };

  CodeSnapshotTest() : memory_(GuestMemory::create(4 << 20).take()) {
    memory_->map_ram({0}, 0xa0000, 0, "low");
    memory_->map_ram({0x100000}, 0x300000, 0x100000, "high");
    owner_ = std::make_unique<CodeOwner>(*memory_);
    snapshot_ = std::make_unique<CodeSnapshot>(*memory_);
    memory_->mark_code({kCode}, *owner_);
    memory_->mark_code({kMoreCode}, *owner_);
    memory_->add_listener(*this);
  }
  ~CodeSnapshotTest() override { memory_->remove_listener(*this); }

  void on_code_written(Gpa start, uint64_t size, Writer writer) override {
    EXPECT_EQ(writer, Writer::kOther);
    written_.push_back({start.value, size});
    if (on_written_) on_written_();
  }
  void on_layout_changed() override {}
  void store(uint64_t at, uint8_t value) { memory_->ram()[at] = value; }
  std::vector<Written> changes() {
    written_.clear();
    snapshot_->tell_of_changes();
    return written_;
  }

  std::unique_ptr<GuestMemory> memory_;
  std::unique_ptr<CodeOwner> owner_;
  std::unique_ptr<CodeSnapshot> snapshot_;
  std::vector<Written> written_;
  std::function<void()> on_written_;
};

TEST_F(CodeSnapshotTest, TellsOfWhatIsDifferentFromTheFirstByteToTheLast) {
  snapshot_->take();
  EXPECT_EQ(snapshot_->pages(), 2u);
  store(kData, 1);
  EXPECT_TRUE(changes().empty()) << "where no code is";
  snapshot_->take();
  store(kCode + 0x10, 1);
  store(kCode + 0x1f, 2);
  EXPECT_EQ(changes(), (std::vector<Written>{{kCode + 0x10, 0x10}}));
  snapshot_->take();
  EXPECT_TRUE(changes().empty()) << "told already";
  snapshot_->take();
  store(kMoreCode, 1);
  store(kMoreCode + 0xfff, 1);
  EXPECT_EQ(changes(), (std::vector<Written>{{kMoreCode, 0x1000}}));
}

TEST_F(CodeSnapshotTest, KnowsStoresThatHaveBeenToldBefore) {
  snapshot_->take();
  EXPECT_TRUE(changes().empty());
  store(kCode, 7);
  memory_->code_written({kCode}, 1, Writer::kOther);
  snapshot_->take();
  EXPECT_TRUE(changes().empty());
}

TEST_F(CodeSnapshotTest, APageThatDevicesWriteMeanwhileMayBeAnotherAnywhere) {
  snapshot_->take();
  store(kCode + 0x800, 1);
  memory_->write_value<uint8_t>({kCode}, 9);
  EXPECT_EQ(written_, (std::vector<Written>{{kCode, 1}}));
  EXPECT_EQ(changes(), (std::vector<Written>{{kCode, 0x1000}}));
}

TEST_F(CodeSnapshotTest, WhatAPageHeldBeforeItsMarkWasGoneIsNoMeasure) {
  store(kCode, 1);
  snapshot_->take();
  EXPECT_TRUE(changes().empty());
  memory_->clear_code_mark({kCode}, *owner_);
  store(kCode, 2);  // need not be told
  memory_->mark_code({kCode}, *owner_);
  snapshot_->take();
  store(kCode, 1);
  EXPECT_EQ(changes(), (std::vector<Written>{{kCode, 1}}));
}

TEST_F(CodeSnapshotTest, NorBeforeItWasMarkedForItsPageTablesAlone) {
  store(kCode, 1);
  snapshot_->take();
  EXPECT_TRUE(changes().empty());
  memory_->mark_tables({kCode});
  memory_->clear_code_mark({kCode}, *owner_);
  memory_->write_value<uint8_t>({kCode}, 2);
  memory_->mark_code({kCode}, *owner_);
  snapshot_->take();
  store(kCode, 1);
  EXPECT_EQ(changes(), (std::vector<Written>{{kCode, 1}}));
}

TEST_F(CodeSnapshotTest, NorWhatItHeldWhenItsMarkWentBeforeItsTurn) {
  store(kMoreCode, 1);
  snapshot_->take();
  store(kCode, 2);
  store(kMoreCode, 2);
  on_written_ = [&] {  // a block that crosses pages has died, and all others
    memory_->clear_code_mark({kCode}, *owner_);
    memory_->clear_code_mark({kMoreCode}, *owner_);
  };
  EXPECT_EQ(changes().size(), 1u);
  on_written_ = {};
  memory_->mark_code({kCode}, *owner_);
  memory_->mark_code({kMoreCode}, *owner_);
  snapshot_->take();
  store(kMoreCode, 1);
  EXPECT_EQ(changes(), (std::vector<Written>{{kMoreCode, 1}}));
}

TEST_F(CodeSnapshotTest, ForgetsPagesWithoutCodeAndOtherLayouts) {
  snapshot_->take();
  memory_->clear_code_mark({kCode}, *owner_);
  memory_->set_mixed({kMoreCode}, true);
  snapshot_->take();
  EXPECT_EQ(snapshot_->pages(), 0u) << "code in mixed pages is compared by who runs it";
  memory_->mark_code({kCode}, *owner_);
  snapshot_->take();
  EXPECT_EQ(snapshot_->pages(), 1u);
  memory_->contents_replaced();
  store(kCode, 1);
  EXPECT_TRUE(changes().empty());
}

TEST_F(CodeSnapshotTest, NothingRunsWhileTheA20GateIsClosed) {
  memory_->set_a20(false);
  snapshot_->take();
  EXPECT_EQ(snapshot_->pages(), 0u);
  EXPECT_TRUE(changes().empty());
}

}  // namespace
}  // namespace vireo
