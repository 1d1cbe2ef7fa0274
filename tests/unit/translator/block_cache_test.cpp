#include "translator/block_cache.h"

#include <gtest/gtest.h>

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace vireo::translator {
namespace {

constexpr uint64_t kRam = uint64_t{1} << 20;
constexpr uint64_t kCodeBytes = uint64_t{1} << 20;
constexpr uint32_t kJump = 1, kStub = 64, kArrays = 80, kCheck = 32;  ///< offsets in a block's code

class BlockCacheTest : public testing::Test {
 protected:
  BlockCacheTest() { memory->map_ram({0}, kRam, 0, "ram"); }

  /// A published block of so many guest bytes, with one exit.
  Block* add(uint64_t physical, uint32_t guest_bytes = 16, uint32_t code_bytes = 128, Mode mode = {}) {
    Block* block = cache->find_or_add(physical, static_cast<uint32_t>(physical), mode);
    EXPECT_EQ(block->state, Block::State::kCold);
    block->code = cache->reserve(code_bytes);
    block->code_bytes = code_bytes;
    block->guest_bytes = guest_bytes;
    block->insn_count = 1;
    block->entry[0] = 0;
    block->entry[1] = 8;
    block->exits = {BlockExit{}};
    block->exits[0].jump = kJump;
    block->exits[0].stub = kStub;
    buffer->patch_relative(block->code + kJump, block->code + kStub);
    cache->publish(block);
    return block;
  }

  /// Where the jump of a block's exit leads.
  static const uint8_t* leads_to(const Block* block) {
    const uint8_t* place = block->code + block->exits[0].jump;
    int32_t distance;
    std::memcpy(&distance, place, sizeof distance);
    return place + 4 + distance;
  }
  static const uint8_t* stub(const Block* block) { return block->code + kStub; }

  /// The same with a table of two entries.
  Block* add_with_table(uint64_t physical) {
    Block* block = add(physical);
    block->table = std::make_unique<BranchTable>();
    block->table->size = 2;
    block->table->arrays = kArrays;
    block->table->unknown = kStub;
    block->table->targets.resize(2);
    block->table->known.resize(2);
    return block;
  }
  template <class T>
  static T value_at(const Block* block, uint32_t offset) {
    T value;
    std::memcpy(&value, block->code + offset, sizeof value);
    return value;
  }
  static const uint8_t* entry_leads_to(const Block* block, unsigned index) {
    return value_at<const uint8_t*>(block, block->table->address_of(index));
  }

  void guest_writes(uint64_t physical, uint64_t size) {
    const std::vector<uint8_t> bytes(size, 0x90);
    memory->write({physical}, bytes);
  }

  uint64_t counter(std::string_view name) const {
    uint64_t found = ~uint64_t{0};
    cache->visit_stats([&](std::string_view n, uint64_t value) {
      if (n == name) found = value;
    });
    return found;
  }

  std::unique_ptr<GuestMemory> memory = GuestMemory::create(kRam).take();
  std::unique_ptr<CodeBuffer> buffer = CodeBuffer::create(kCodeBytes).take();
  std::unique_ptr<JumpCache> jumps = std::make_unique<JumpCache>();
  std::unique_ptr<BlockCache> cache = std::make_unique<BlockCache>(*memory, *buffer, *jumps, 4096);
};

TEST_F(BlockCacheTest, TheKeyIsAddressEipAndMode) {
  Block* block = cache->find_or_add(0x1000, 0x400, {Mode::kCode32});
  EXPECT_EQ(cache->find_or_add(0x1000, 0x400, {Mode::kCode32}), block);
  EXPECT_NE(cache->find_or_add(0x2000, 0x400, {Mode::kCode32}), block);
  EXPECT_NE(cache->find_or_add(0x1000, 0x1400, {Mode::kCode32}), block);
  EXPECT_NE(cache->find_or_add(0x1000, 0x400, {Mode::kCode32 | Mode::kUser}), block);
  EXPECT_EQ(cache->find_or_add(0x1000, 0x400, {Mode::kCode32}), block);
}

TEST_F(BlockCacheTest, CodeIsBehindTheTrampolinesAndFoundByHostAddress) {
  Block* first = add(0x1000);
  Block* second = add(0x1010, 16, 100);
  EXPECT_GE(first->code, buffer->executable() + 4096);
  EXPECT_GE(second->code, first->code + 128);
  EXPECT_EQ(cache->find_by_host(first->code), first);
  EXPECT_EQ(cache->find_by_host(first->code + 127), first);
  EXPECT_EQ(cache->find_by_host(second->code + 99), second);
  EXPECT_EQ(cache->find_by_host(buffer->executable()), nullptr);
}

TEST_F(BlockCacheTest, LinkedExitsLeadToTheEntryForTheirFlags) {
  Block* from = add(0x1000);
  Block* target = add(0x2000);
  from->exits[0].flags = FlagState::kSaved;
  cache->link(from, 0, target, 0);
  EXPECT_EQ(leads_to(from), target->entry_address(FlagState::kSaved));
  from->exits[0].flags = FlagState::kEflags;
  cache->link(from, 0, target, 0);
  EXPECT_EQ(leads_to(from), target->entry_address(FlagState::kEflags));
  EXPECT_EQ(target->incoming.size(), 1u) << "linked again, not twice";
}

TEST_F(BlockCacheTest, LinkingFillsInThePageCheck) {
  Block* from = add(0x1000);
  Block* target = add(0x2000);
  from->exits[0].check = kCheck;
  cache->link(from, 0, target, 0x12345);
  uint32_t value;
  std::memcpy(&value, from->code + kCheck, sizeof value);
  EXPECT_EQ(value, 0x12345u);
}

TEST_F(BlockCacheTest, AnExitMovesOnToAnotherTarget) {
  Block* from = add(0x1000);
  Block* before = add(0x2000);
  Block* now = add(0x3000);
  cache->link(from, 0, before, 0);
  cache->link(from, 0, now, 0);
  EXPECT_TRUE(before->incoming.empty());
  guest_writes(0x2000, 1);
  EXPECT_EQ(leads_to(from), now->entry_address(FlagState::kEflags)) << "the old target is no business of it";
}

TEST_F(BlockCacheTest, AnEntryOfATableLeadsToItsTargetUntilThatDies) {
  Block* from = add_with_table(0x1000);
  Block* first = add(0x2000);
  Block* second = add(0x3000);
  cache->learn(from, 0, first, 0x12);
  cache->learn(from, 1, second, 0x13);
  EXPECT_EQ(entry_leads_to(from, 0), first->entry_address(FlagState::kSaved));
  EXPECT_EQ(entry_leads_to(from, 1), second->entry_address(FlagState::kSaved));
  EXPECT_EQ(value_at<uint32_t>(from, from->table->rip_of(1)), second->rip);
  EXPECT_EQ(value_at<uint32_t>(from, from->table->frame_of(1)), 0x13u);
  guest_writes(0x3000, 1);
  EXPECT_EQ(entry_leads_to(from, 0), first->entry_address(FlagState::kSaved));
  EXPECT_EQ(entry_leads_to(from, 1), stub(from));
  EXPECT_EQ(from->table->learned_anew, 0u);
  cache->learn(from, 1, first, 0x12);
  EXPECT_EQ(from->table->learned_anew, 1u);
  guest_writes(0x1000, 1);
  EXPECT_TRUE(first->incoming.empty());
}

TEST_F(BlockCacheTest, AnEntryMovesOnToAnotherTarget) {
  Block* from = add_with_table(0x1000);
  Block* before = add(0x2000);
  Block* now = add(0x3000);
  cache->learn(from, 1, before, 0);
  cache->learn(from, 1, now, 0);
  EXPECT_TRUE(before->incoming.empty());
  guest_writes(0x2000, 1);
  EXPECT_EQ(entry_leads_to(from, 1), now->entry_address(FlagState::kSaved));
}

TEST_F(BlockCacheTest, AWriteKillsTheBlocksItOverlaps) {
  Block* before = add(0x1000, 0x10);
  Block* hit = add(0x1010, 0x10);
  Block* behind = add(0x1020, 0x10);
  cache->link(before, 0, hit, 0);
  cache->link(hit, 0, behind, 0);
  const uint64_t epoch = cache->epoch();
  guest_writes(0x101f, 1);
  EXPECT_EQ(hit->state, Block::State::kDead);
  EXPECT_TRUE(before->translated());
  EXPECT_TRUE(behind->translated());
  EXPECT_GT(cache->epoch(), epoch);
  EXPECT_EQ(leads_to(before), stub(before));
  EXPECT_EQ(before->exits[0].target, nullptr);
  EXPECT_TRUE(behind->incoming.empty());
  EXPECT_EQ(counter("blocks/invalidated"), 1u);
  EXPECT_NE(cache->find_or_add(0x1010, 0x1010, {}), hit);
  EXPECT_EQ(cache->find_by_host(hit->code), hit) << "an exit may still be under way from it";
}

TEST_F(BlockCacheTest, ABlockThatJumpsToItselfDies) {
  Block* loop = add(0x1000);
  cache->link(loop, 0, loop, 0);
  guest_writes(0x1000, 4);
  EXPECT_EQ(loop->state, Block::State::kDead);
  EXPECT_EQ(leads_to(loop), stub(loop));
}

TEST_F(BlockCacheTest, PagesAreMarkedWhileTheyHoldBlocks) {
  add(0x1000, 8);
  add(0x1800, 8);
  EXPECT_TRUE(memory->has_code_mark({0x1000}));
  guest_writes(0x1100, 8);
  EXPECT_EQ(counter("blocks/invalidated"), 0u);
  guest_writes(0x1000, 1);
  EXPECT_TRUE(memory->has_code_mark({0x1000}));
  guest_writes(0x1807, 1);
  EXPECT_FALSE(memory->has_code_mark({0x1000}));
}

TEST_F(BlockCacheTest, ABlockAcrossPagesDiesByAWriteToEither) {
  for (uint64_t written : {uint64_t{0x1ffe}, uint64_t{0x5002}}) {
    Block* block = cache->find_or_add(0x1ffc, 0x1ffc, {});
    block->crosses = true;
    block->second_page = 0x5000;
    block->guest_bytes = 7;
    block->code = cache->reserve(64);
    block->code_bytes = 64;
    cache->publish(block);
    EXPECT_TRUE(memory->has_code_mark({0x5000}));
    guest_writes(0x5003, 1);
    guest_writes(0x2000, 8);
    EXPECT_TRUE(block->translated());
    guest_writes(written, 1);
    EXPECT_EQ(block->state, Block::State::kDead) << written;
    EXPECT_FALSE(memory->has_code_mark({0x1000}));
    EXPECT_FALSE(memory->has_code_mark({0x5000}));
    cache->collect();
  }
}

TEST_F(BlockCacheTest, TheOldestCodeMakesRoom) {
  Block* oldest = add(0x1000, 16, 4096);
  const uint8_t* oldest_code = oldest->code;
  Block* youngest = nullptr;  // of those that stay
  Block* next = oldest;
  uint64_t physical = 0x2000;
  while (counter("blocks/evicted") == 0) {
    ASSERT_LT(physical, 0x2000 + kCodeBytes / 4096 * 16) << "never full";
    youngest = next;
    if (youngest != oldest) cache->link(youngest, 0, oldest, 0);
    next = add(physical, 16, 4096);
    physical += 16;
  }
  EXPECT_EQ(oldest->state, Block::State::kDead);
  EXPECT_EQ(next->code, oldest_code) << "the ring starts anew";
  EXPECT_TRUE(next->translated());
  EXPECT_TRUE(youngest->translated());
  EXPECT_EQ(leads_to(youngest), stub(youngest));
  EXPECT_EQ(cache->find_by_host(oldest_code), next);
  cache->collect();
  EXPECT_EQ(cache->find_or_add(0x1000, 0x1000, {})->state, Block::State::kCold);
  EXPECT_LE(counter("blocks/code cache bytes in use"), kCodeBytes);
}

TEST_F(BlockCacheTest, NoCodeLiesOutsideOfTheBuffer) {
  for (uint64_t physical = 0x1000; physical < 0x1000 + 16 * 1000; physical += 16) {
    const Block* block = add(physical, 16, 3000);
    ASSERT_GE(block->code, buffer->executable() + 4096);
    ASSERT_LE(block->code + block->code_bytes, buffer->executable() + buffer->bytes());
    cache->collect();
  }
}

TEST_F(BlockCacheTest, ADeadBlockLeavesTheJumpCache) {
  Block* block = add(0x1000);
  const unsigned slot = JumpCache::slot(block->rip, block->mode.promoted());
  jumps->entries[slot] = {{block->rip, 1},
                          reinterpret_cast<uint64_t>(block->entry_address(FlagState::kSaved))};
  guest_writes(0x1000, 1);
  EXPECT_EQ(jumps->entries[slot].tag, JumpCache::Tag{});
}

TEST_F(BlockCacheTest, AReplacedBlockStartsCold) {
  Block* from = add(0x1000);
  Block* old = add(0x2000);
  cache->link(from, 0, old, 0);
  Block* fresh = cache->replace(old);
  EXPECT_EQ(old->state, Block::State::kDead);
  EXPECT_EQ(fresh->state, Block::State::kCold);
  EXPECT_EQ(leads_to(from), stub(from));
  EXPECT_EQ(cache->find_or_add(0x2000, 0x2000, {}), fresh);
}

TEST_F(BlockCacheTest, ClearLeavesNothing) {
  Block* translated = add(0x1000);
  cache->find_or_add(0x3000, 0x3000, {});
  cache->clear();
  EXPECT_EQ(translated->state, Block::State::kDead);
  EXPECT_FALSE(memory->has_code_mark({0x1000}));
  EXPECT_EQ(counter("blocks/not translated (yet)"), 0u);
  cache->collect();
  EXPECT_EQ(cache->find_or_add(0x1000, 0x1000, {})->state, Block::State::kCold);
}

class MixedPageTest : public BlockCacheTest {
 protected:
  MixedPageTest() {
    cache = std::make_unique<BlockCache>(*memory, *buffer, *jumps, 4096, &retired);
    host = memory->page({0x1000}).read;
  }

  void guest_stores(uint64_t physical, uint8_t value) {
    retired += 10;
    const GuestMemory::Page page = memory->page({physical});
    page.write[physical & 0xfff] = value;
    if (*page.code_mark != 0) memory->code_written({physical}, 1, MemoryListener::Writer::kStore);
  }
  /// A page with a block at its start is executed and written to in turns, 1000 times.
  void take_turns(const std::function<void(unsigned)>& write) {
    Block* block = nullptr;
    for (unsigned i = 0; i < 1000 && !memory->is_mixed(host); ++i) {
      if (block == nullptr || !block->translated()) block = add(0x1000);
      write(i);
    }
  }
  void mix() {
    take_turns([this](unsigned) { guest_stores(0x1800, 1); });
    ASSERT_TRUE(memory->is_mixed(host));
  }

  uint64_t retired = 1'000'000;
  const uint8_t* host;
};

TEST_F(MixedPageTest, CodeBesideDataThatIsStoredToOften) {
  mix();
  EXPECT_EQ(counter("code pages/mixed now"), 1u);
  EXPECT_EQ(cache->find_or_add(0x1000, 0x1000, {})->state, Block::State::kCold);
  EXPECT_FALSE(memory->has_code_mark({0x1000}));
}

TEST_F(MixedPageTest, CodeThatIsPatchedOften) {
  take_turns([this](unsigned i) { guest_stores(0x1000, static_cast<uint8_t>(i)); });
  EXPECT_TRUE(memory->is_mixed(host));
}

TEST_F(MixedPageTest, NotForWhatDevicesOrTheHostWrite) {
  take_turns([this](unsigned i) { guest_writes(i % 2 != 0 ? 0x1000 : 0x1800, 16); });
  EXPECT_FALSE(memory->is_mixed(host));
}

TEST_F(MixedPageTest, NotForOtherCodeLoadedAgainAndAgain) {
  take_turns([this](unsigned i) {
    retired += 30'000;
    for (unsigned offset = 0; offset < 0x200; ++offset)
      guest_stores(0x1200 - offset, static_cast<uint8_t>(i + offset));
  });
  EXPECT_FALSE(memory->is_mixed(host));
  EXPECT_GT(counter("code pages/forgotten"), 0u);
}

TEST_F(MixedPageTest, WritesAreDirectButThoseThatAreToldOfKillBlocks) {
  mix();
  Block* checking = add(0x1000);
  checking->self_checking = true;
  Block* beside = add(0x1100);
  beside->self_checking = true;
  EXPECT_FALSE(memory->has_code_mark({0x1000}));
  const uint64_t epoch = cache->epoch();
  guest_writes(0x1000, 1);
  EXPECT_EQ(checking->state, Block::State::kDead);
  EXPECT_GT(cache->epoch(), epoch) << "translated code must be left";
  EXPECT_TRUE(beside->translated());
}

TEST_F(MixedPageTest, AfterATimeItIsProtectedAgain) {
  mix();
  Block* checking = add(0x1000);
  checking->self_checking = true;
  retired += MixedPages::kFirstPeriod;
  cache->look_at_mixed_pages();
  EXPECT_FALSE(memory->is_mixed(host));
  EXPECT_EQ(checking->state, Block::State::kDead);
  add(0x1000);
  EXPECT_TRUE(memory->has_code_mark({0x1000}));
}

TEST_F(MixedPageTest, AChangeOfTheLayoutEndsIt) {
  mix();
  memory->contents_replaced();
  EXPECT_FALSE(memory->is_mixed(host));
  EXPECT_EQ(counter("code pages/mixed now"), 0u);
}

}  // namespace
}  // namespace vireo::translator
