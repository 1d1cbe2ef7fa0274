#include "core/interp/block_cache.h"

#include <algorithm>

namespace vireo::interp {

namespace {

constexpr size_t kBlocksPerChunk = 4096;

}  // namespace

bool OwnCode::overlaps(const uint8_t* host, uint64_t size) const {
  return std::any_of(parts.begin(), parts.end(),
                     [&](const Part& p) { return host < p.host + p.size && p.host < host + size; });
}

bool OwnCode::changed() const {
  const uint8_t* decoded = bytes.data();
  for (const Part& p : parts) {
    if (!std::equal(p.host, p.host + p.size, decoded)) return true;
    decoded += p.size;
  }
  return false;
}

BlockCache::BlockCache(GuestMemory& memory)
    : memory_(memory), owner_(memory), buckets_(size_t{1} << kBucketBits, nullptr) {
  memory_.add_listener(*this);
}

BlockCache::~BlockCache() {
  clear();
  memory_.remove_listener(*this);
}

Block* BlockCache::find(uint64_t physical, BlockMode mode) const {
  for (Block* b = buckets_[bucket(physical, mode)]; b != nullptr; b = b->next_in_bucket) {
    if (b->physical == physical && b->mode == mode) return b;
  }
  return nullptr;
}

// What clear() has dropped may be executing still, so it is overwritten here and not before.
const DecodedInsn* BlockCache::keep(const std::vector<DecodedInsn>& insns) {
  if (chunks_used_ == 0 || chunks_[chunks_used_ - 1].size() + insns.size() > kChunkInsns) {
    if (chunks_used_ == chunks_.size()) chunks_.emplace_back().reserve(kChunkInsns);
    chunks_[chunks_used_++].clear();
  }
  std::vector<DecodedInsn>& chunk = chunks_[chunks_used_ - 1];
  const size_t first = chunk.size();
  chunk.insert(chunk.end(), insns.begin(), insns.end());
  return &chunk[first];
}

Block* BlockCache::add(uint64_t physical, BlockMode mode, const std::vector<DecodedInsn>& insns,
                       uint32_t bytes, bool crosses, uint64_t second_page) {
  if (blocks_used_ == block_chunks_.size() * kBlocksPerChunk) {
    block_chunks_.push_back(std::make_unique<Block[]>(kBlocksPerChunk));
  }
  Block* b = &block_chunks_[blocks_used_ / kBlocksPerChunk][blocks_used_ % kBlocksPerChunk];
  ++blocks_used_;
  ++blocks_built_;
  Block*& head = buckets_[bucket(physical, mode)];
  *b = {physical, second_page, bytes, static_cast<uint32_t>(insns.size()), mode, crosses, keep(insns), head};
  head = b;

  const uint64_t page = physical & ~kPageMask;
  const uint64_t first = physical & kPageMask;
  register_in_page(page, b, first, std::min<uint64_t>(first + bytes - 1, kPageMask));
  if (crosses) register_in_page(second_page, b, 0, first + bytes - 1 - kPageSize);
  return b;
}

void BlockCache::register_in_page(uint64_t page, Block* block, uint64_t first, uint64_t last) {
  auto [entry, inserted] = pages_.try_emplace(page);
  if (inserted) memory_.mark_code({page}, owner_);
  entry->second.blocks.push_back(block);
  for (uint64_t g = first / kGranuleBytes; g <= last / kGranuleBytes; ++g) entry->second.granules.set(g);
}

void BlockCache::drop(Block* block) {
  Block** link = &buckets_[bucket(block->physical, block->mode)];
  while (*link != block) link = &(*link)->next_in_bucket;
  *link = block->next_in_bucket;
  block->physical = Block::kDead;
  ++blocks_dropped_;
}

void BlockCache::on_code_written(Gpa start, uint64_t size, Writer) {
  const uint64_t page = start.value & ~kPageMask;
  auto found = pages_.find(page);
  if (found == pages_.end()) {
    // A mark of a layout that is gone.
    memory_.clear_code_mark({page}, owner_);
    return;
  }
  CodePage& code = found->second;
  const uint64_t first = start.page_offset();
  const uint64_t last = std::min(first + size - 1, kPageMask);
  bool touched = false;
  for (uint64_t g = first / kGranuleBytes; g <= last / kGranuleBytes; ++g) touched |= code.granules.test(g);
  if (!touched) return;

  // Blocks that overlap go, and the granules are those of what remains.
  bool any_dropped = false;
  code.granules.reset();
  std::erase_if(code.blocks, [&](Block* b) {
    if (b->physical == Block::kDead) return true;
    // Of a block across pages both parts may be in this one, mapped twice.
    const uint64_t begin = b->physical & kPageMask, end = begin + b->bytes;
    bool overlaps = false;
    const auto look_at = [&](uint64_t from, uint64_t to) { overlaps |= from <= last && first < to; };
    const auto set_granules = [&](uint64_t from, uint64_t to) {
      for (uint64_t g = from / kGranuleBytes; g <= (to - 1) / kGranuleBytes; ++g) code.granules.set(g);
    };
    const auto each_part = [&](const auto& visit) {
      if ((b->physical & ~kPageMask) == page) visit(begin, std::min<uint64_t>(end, kPageSize));
      if (b->crosses && b->second_page == page) visit(0, end - kPageSize);
    };
    each_part(look_at);
    if (overlaps) {
      drop(b);
      any_dropped = true;
      return true;
    }
    each_part(set_granules);
    return false;
  });
  if (any_dropped && dropped_flag != nullptr) *dropped_flag = true;
  if (code.blocks.empty()) {
    memory_.clear_code_mark({page}, owner_);
    pages_.erase(found);
  }
}

void BlockCache::on_forget_code(Gpa page) {
  auto found = pages_.find(page.value);
  if (found == pages_.end()) return;
  for (Block* b : found->second.blocks) {
    if (b->physical != Block::kDead) drop(b);
  }
  memory_.clear_code_mark(page, owner_);
  pages_.erase(found);
  if (dropped_flag != nullptr) *dropped_flag = true;
}

void BlockCache::make_room() {
  // One block is at most a page of one-byte instructions.
  if (chunks_used_ + 1 > kMaxChunks) clear();
}

void BlockCache::clear() {
  // After a change of the layout some marks may stand on other pages now; they go at the next write there.
  for (const auto& [page, code] : pages_) memory_.clear_code_mark({page}, owner_);
  pages_.clear();
  for (size_t i = 0; i < blocks_used_; ++i)
    block_chunks_[i / kBlocksPerChunk][i % kBlocksPerChunk].physical = Block::kDead;
  std::fill(buckets_.begin(), buckets_.end(), nullptr);
  blocks_dropped_ += blocks_used_;
  blocks_used_ = 0;
  chunks_used_ = 0;
  ++flushes_;
  if (dropped_flag != nullptr) *dropped_flag = true;
}

}  // namespace vireo::interp
