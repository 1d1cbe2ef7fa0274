// All blocks: by key, by physical page (for invalidation), by host address (for exits and faults). Code
// memory is a ring of regions; the oldest region's blocks make room for new ones.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "core/guest_memory.h"
#include "translator/block.h"
#include "translator/code_buffer.h"
#include "translator/mixed_pages.h"

namespace vireo::translator {

class BlockCache final : private MemoryListener {
 public:
  /// Bytes at the buffer's start are the trampolines'. `retired` counts instructions; null: no page is ever
  /// mixed.
  BlockCache(GuestMemory& memory, CodeBuffer& code, JumpCache& jumps, uint64_t reserved_bytes,
             const uint64_t* retired = nullptr);
  ~BlockCache() override;
  BlockCache(const BlockCache&) = delete;
  BlockCache& operator=(const BlockCache&) = delete;

  /// The block of this key; a cold one is made if there is none.
  Block* find_or_add(uint64_t physical, uint32_t rip, Mode mode);
  /// Where the next block's code of up to `bytes` goes; evicts the blocks of the oldest region when needed.
  const uint8_t* reserve(uint64_t bytes);
  /// Enters a block whose code has been written at reserve()'s address.
  void publish(Block* block);
  /// The published block (dead or alive) whose code contains the host address, or null. Signal-safe.
  Block* find_by_host(const uint8_t* host) const;

  void link(Block* from, unsigned exit, Block* target, uint32_t exec_frame);
  /// Entry `index` of the table of `from` leads to `target`, in a page with that exec_frame.
  void learn(Block* from, unsigned index, Block* target, uint32_t exec_frame);
  /// A cold block in place of this one, for another translation.
  Block* replace(Block* block);
  void clear();
  /// A self-checking block has found that it is out of date.
  void drop_changed(Block* block);
  /// Nothing translated is running.
  void look_at_mixed_pages() {
    if (retired_ != nullptr && *retired_ >= mixed_.next_due()) protect_again();
  }
  const MixedPages& mixed() const { return mixed_; }
  /// Frees blocks that died; no pointer to a dead block may be held. Nothing translated is running.
  void collect();
  /// Grows with each invalidation.
  uint64_t epoch() const { return epoch_; }
  /// A write that kills the block sets the flag.
  struct {
    const Block* block = nullptr;
    bool* flag = nullptr;
  } watch;

  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const;

 private:
  static constexpr unsigned kBucketBits = 16;
  static constexpr unsigned kRegions = 16;
  static constexpr size_t kMaxCold = 200'000;

  struct Region {
    const uint8_t* start = nullptr;
    uint64_t bytes = 0;
    uint64_t used = 0;
    std::vector<Block*> blocks;  ///< by host address, dead ones too
  };

  void on_code_written(Gpa start, uint64_t size, Writer writer) override;
  void on_layout_changed() override;
  void on_forget_code(Gpa page) override;
  void protect_again();
  /// An instruction has written to a page with translated code; so many translations were for nothing.
  void note_store(uint64_t page, unsigned wasted);
  bool translated_recently(const Block& block) const;
  /// Tells mixed_ in which bytes a self-checking block differs from what it was made of.
  void note_changes(const Block& block);

  static size_t bucket(uint64_t physical, uint32_t rip, Mode mode) {
    const uint64_t x = (physical ^ (uint64_t{rip} << 20) ^ (uint64_t{mode.bits} << 44)) * 0x9e3779b97f4a7c15;
    return x >> (64 - kBucketBits);
  }
  void remove_from_bucket(Block* block);
  /// Takes a block out of everything but its region.
  void kill(Block* block);
  void unlink_page(uint64_t page, Block* block);
  void forget_cold();

  GuestMemory& memory_;
  const CodeOwner owner_;
  CodeBuffer& code_;
  JumpCache& jumps_;
  std::vector<Block*> buckets_;
  std::unordered_map<uint64_t, std::vector<Block*>> pages_;
  std::array<Region, kRegions> regions_;
  unsigned current_ = 0;
  size_t cold_ = 0;
  std::vector<Block*> graveyard_;  ///< dead and in no region
  uint64_t epoch_ = 0;
  const uint64_t* retired_;
  MixedPages mixed_;
  uint64_t pages_forgotten_ = 0, pages_mixed_ = 0, pages_protected_again_ = 0, self_checking_ = 0,
           checks_failed_ = 0;
  uint64_t translated_ = 0, invalidated_ = 0, evicted_ = 0, guest_bytes_ = 0, host_bytes_ = 0, links_ = 0,
           table_entries_ = 0;
};

}  // namespace vireo::translator
