#include "translator/block_cache.h"

#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "translator/code_names.h"

namespace vireo::translator {

namespace {

void trace_end(const Block& block, std::string_view why) {
  if (!log_enabled(LogCategory::kBlocks)) return;
  trace(LogCategory::kBlocks, "{} {}: physical {:08x}", why, block_name(block), block.physical);
}

}  // namespace

BlockCache::BlockCache(GuestMemory& memory, CodeBuffer& code, JumpCache& jumps, uint64_t reserved_bytes,
                       const uint64_t* retired)
    : memory_(memory),
      owner_(memory),
      code_(code),
      jumps_(jumps),
      buckets_(size_t{1} << kBucketBits),
      retired_(retired) {
  const uint64_t each = (code.bytes() - reserved_bytes) / kRegions & ~uint64_t{15};
  const uint8_t* start = code.executable() + reserved_bytes;
  for (Region& region : regions_) {
    region.start = start;
    region.bytes = each;
    start += each;
  }
  memory_.add_listener(*this);
}

BlockCache::~BlockCache() {
  for (const uint64_t page : mixed_.mixed()) memory_.set_mixed({page}, false);
  memory_.remove_listener(*this);
  clear();
  for (Region& region : regions_) {
    for (Block* block : region.blocks) delete block;
  }
  collect();
}

Block* BlockCache::find_or_add(uint64_t physical, uint32_t rip, Mode mode) {
  Block*& head = buckets_[bucket(physical, rip, mode)];
  for (Block* b = head; b != nullptr; b = b->next_in_bucket) {
    if (b->physical == physical && b->rip == rip && b->mode == mode) return b;
  }
  if (cold_ >= kMaxCold) forget_cold();
  ++cold_;
  auto* block = new Block;
  block->physical = physical;
  block->rip = rip;
  block->mode = mode;
  block->next_in_bucket = head;
  head = block;
  return block;
}

void BlockCache::forget_cold() {
  for (Block*& head : buckets_) {
    Block** place = &head;
    while (*place != nullptr) {
      Block* b = *place;
      if (b->state == Block::State::kCold || b->state == Block::State::kInterpret) {
        *place = b->next_in_bucket;
        b->state = Block::State::kDead;
        graveyard_.push_back(b);
      } else {
        place = &b->next_in_bucket;
      }
    }
  }
  cold_ = 0;
}

const uint8_t* BlockCache::reserve(uint64_t bytes) {
  Region* region = &regions_[current_];
  if (region->used + bytes > region->bytes) {
    current_ = (current_ + 1) % kRegions;
    region = &regions_[current_];
    CHECK(bytes <= region->bytes);
    for (Block* block : region->blocks) {
      if (block->state != Block::State::kDead) {
        ++evicted_;
        trace_end(*block, "evicted");
        kill(block);
      }
      graveyard_.push_back(block);
    }
    region->blocks.clear();
    region->used = 0;
  }
  return region->start + region->used;
}

void BlockCache::publish(Block* block) {
  Region& region = regions_[current_];
  region.used += (block->code_bytes + 15) & ~uint64_t{15};
  region.blocks.push_back(block);
  block->state = Block::State::kTranslated;
  --cold_;
  ++translated_;
  self_checking_ += block->self_checking;
  if (retired_ != nullptr) block->translated_at = *retired_;
  guest_bytes_ += block->guest_bytes;
  host_bytes_ += block->code_bytes;
  const uint64_t page = block->physical & ~kPageMask;
  pages_[page].push_back(block);
  memory_.mark_code({page}, owner_);
  // Two linear pages may be one physical page.
  if (block->crosses && block->second_page != page) {
    pages_[block->second_page].push_back(block);
    memory_.mark_code({block->second_page}, owner_);
  }
}

Block* BlockCache::find_by_host(const uint8_t* host) const {
  for (const Region& region : regions_) {
    if (host < region.start || host >= region.start + region.bytes) continue;
    auto after = std::upper_bound(region.blocks.begin(), region.blocks.end(), host,
                                  [](const uint8_t* h, const Block* b) { return h < b->code; });
    return after == region.blocks.begin() ? nullptr : *(after - 1);
  }
  return nullptr;
}

void BlockCache::link(Block* from, unsigned index, Block* target, uint32_t exec_frame) {
  BlockExit& exit = from->exits[index];
  // A check that failed because the page is mapped elsewhere now: the exit moves on to the new target.
  if (exit.target != nullptr) {
    std::erase(exit.target->incoming, Block::Incoming{from, static_cast<uint16_t>(index)});
  }
  exit.target = target;
  target->incoming.push_back({from, static_cast<uint16_t>(index)});
  code_.patch_relative(from->code + exit.jump, target->entry_address(exit.flags));
  if (exit.check != 0) code_.patch_value(from->code + exit.check, exec_frame);
  ++links_;
}

void BlockCache::learn(Block* from, unsigned index, Block* target, uint32_t exec_frame) {
  BranchTable& table = *from->table;
  const Block::Incoming edge{from, static_cast<uint16_t>(index), true};
  if (table.targets[index] != nullptr) std::erase(table.targets[index]->incoming, edge);
  table.targets[index] = target;
  target->incoming.push_back(edge);
  code_.patch_address(from->code + table.address_of(index), target->entry_address(FlagState::kSaved));
  code_.patch_value(from->code + table.rip_of(index), target->rip);
  if (!table.near) code_.patch_value(from->code + table.frame_of(index), exec_frame);
  table.learned_anew += table.known[index];
  table.known[index] = true;
  ++table_entries_;
}

void BlockCache::remove_from_bucket(Block* block) {
  Block** place = &buckets_[bucket(block->physical, block->rip, block->mode)];
  while (*place != block) place = &(*place)->next_in_bucket;
  *place = block->next_in_bucket;
}

void BlockCache::unlink_page(uint64_t page, Block* block) {
  auto found = pages_.find(page);
  if (found == pages_.end()) return;
  std::erase(found->second, block);
  if (found->second.empty()) {
    pages_.erase(found);
    memory_.clear_code_mark({page}, owner_);
  }
}

void BlockCache::kill(Block* block) {
  remove_from_bucket(block);
  unlink_page(block->physical & ~kPageMask, block);
  if (block->crosses) unlink_page(block->second_page, block);
  for (const Block::Incoming& in : block->incoming) {
    if (in.in_table) {
      BranchTable& table = *in.from->table;
      table.targets[in.exit] = nullptr;
      code_.patch_address(in.from->code + table.address_of(in.exit), in.from->code + table.unknown);
      continue;
    }
    BlockExit& exit = in.from->exits[in.exit];
    exit.target = nullptr;
    code_.patch_relative(in.from->code + exit.jump, in.from->code + exit.stub);
  }
  block->incoming.clear();
  for (unsigned i = 0; i < block->exits.size(); ++i) {
    if (Block* target = block->exits[i].target)
      std::erase(target->incoming, Block::Incoming{block, static_cast<uint16_t>(i)});
  }
  for (unsigned i = 0; block->table != nullptr && i < block->table->size; ++i) {
    if (Block* target = block->table->targets[i])
      std::erase(target->incoming, Block::Incoming{block, static_cast<uint16_t>(i), true});
  }
  const unsigned slot = JumpCache::slot(block->rip, block->mode.promoted());
  const auto entry = reinterpret_cast<uint64_t>(block->entry_address(FlagState::kSaved));
  if (jumps_.entries[slot].code == entry) jumps_.entries[slot] = {};
  block->state = Block::State::kDead;
  ++epoch_;
  if (block == watch.block) *watch.flag = true;
}

void BlockCache::on_code_written(Gpa start, uint64_t size, Writer writer) {
  const uint64_t page = start.value & ~kPageMask;
  std::vector<Block*> hit;
  const auto written = [&](uint64_t first, uint64_t end) {
    return start.value < end && first < start.value + size;
  };
  const auto found = pages_.find(page);
  const std::span<Block* const> blocks =
      found == pages_.end() ? std::span<Block* const>() : std::span<Block* const>(found->second);
  for (Block* b : blocks) {
    const uint64_t end = b->physical + b->guest_bytes, page_end = (b->physical | kPageMask) + 1;
    if (written(b->physical, std::min(end, page_end)) ||
        (b->crosses && b->second_page == page && written(page, page + (end - page_end)))) {
      hit.push_back(b);
    }
  }
  unsigned wasted = 0;
  for (Block* b : hit) {
    ++invalidated_;
    wasted += translated_recently(*b);
    trace_end(*b, "written to");
    kill(b);
  }
  if (writer == Writer::kStore && retired_ != nullptr) note_store(page, wasted);
}

void BlockCache::note_store(uint64_t page, unsigned wasted) {
  if (!mixed_.note_store(page, wasted, *retired_)) return;
  std::vector<MixedPages::Piece> code;
  if (const auto found = pages_.find(page); found != pages_.end()) {
    for (const Block* b : found->second) {
      // Of a block that begins in the page before, the rest is left out.
      const uint64_t start = b->physical - page;
      if (start < kPageSize) code.push_back({start, std::min<uint64_t>(b->guest_bytes, kPageSize - start)});
    }
  }
  switch (mixed_.end_round(page, {memory_.page({page}).read, kPageSize}, code, *retired_)) {
    case MixedPages::Advice::kForget:
      ++pages_forgotten_;
      memory_.forget_code({page});
      break;
    case MixedPages::Advice::kMix:
      ++pages_mixed_;
      trace(LogCategory::kBlocks, "mixed page: physical {:08x}", page);
      memory_.set_mixed({page}, true);
      break;
  }
}

void BlockCache::on_forget_code(Gpa page) {
  const auto found = pages_.find(page.value);
  if (found == pages_.end()) return;
  for (Block* b : std::vector<Block*>(found->second)) {
    ++invalidated_;
    trace_end(*b, "page written to");
    kill(b);
  }
}

void BlockCache::protect_again() {
  for (const uint64_t page : mixed_.take_due(*retired_)) {
    ++pages_protected_again_;
    trace(LogCategory::kBlocks, "mixed no longer: physical {:08x}", page);
    memory_.set_mixed({page}, false);
  }
}

bool BlockCache::translated_recently(const Block& block) const {
  constexpr uint64_t kRecently = 20'000;
  return retired_ != nullptr && *retired_ - block.translated_at < kRecently;
}

void BlockCache::note_changes(const Block& block) {
  // A block that has been of use is worth another translation.
  if (!translated_recently(block)) return;
  const uint64_t size = block.made_of.size();
  const uint64_t in_first = std::min(size, kPageSize - (block.physical & kPageMask));
  for (uint64_t i = 0; i < size; ++i) {
    const bool first = i < in_first;
    const uint8_t now = first ? block.guest_code[0][i] : block.guest_code[1][i - in_first];
    if (now != block.made_of[i])
      mixed_.note_change(first ? block.physical + i : block.second_page + i - in_first);
  }
}

void BlockCache::drop_changed(Block* block) {
  ++checks_failed_;
  ++invalidated_;
  trace_end(*block, "changed");
  note_changes(*block);
  kill(block);
}

void BlockCache::on_layout_changed() {
  mixed_.clear();
  trace(LogCategory::kBlocks, "all invalidated: where RAM and ROM lie has changed");
  clear();
}

Block* BlockCache::replace(Block* block) {
  trace_end(*block, "replaced");
  kill(block);
  return find_or_add(block->physical, block->rip, block->mode);
}

void BlockCache::clear() {
  ++epoch_;
  for (Region& region : regions_) {
    for (Block* b : region.blocks) {
      if (b->state != Block::State::kDead) {
        ++invalidated_;
        kill(b);
      }
    }
  }
  forget_cold();
}

void BlockCache::collect() {
  for (Block* b : graveyard_) delete b;
  graveyard_.clear();
}

void BlockCache::visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const {
  uint64_t in_use = 0;
  for (const Region& region : regions_) in_use += region.used;
  visit("blocks/translated", translated_);
  visit("blocks/invalidated", invalidated_);
  visit("blocks/evicted", evicted_);
  visit("blocks/not translated (yet)", cold_);
  visit("blocks/jumps linked", links_);
  visit("blocks/branch table entries", table_entries_);
  visit("blocks/self-checking", self_checking_);
  visit("blocks/self-checks failed", checks_failed_);
  visit("code pages/forgotten", pages_forgotten_);
  visit("code pages/mixed", pages_mixed_);
  visit("code pages/mixed now", mixed_.mixed().size());
  visit("code pages/protected again", pages_protected_again_);
  visit("blocks/guest bytes", guest_bytes_);
  visit("blocks/host bytes", host_bytes_);
  visit("blocks/host bytes per 100 guest bytes", guest_bytes_ == 0 ? 0 : host_bytes_ * 100 / guest_bytes_);
  visit("blocks/code cache bytes in use", in_use);
}

}  // namespace vireo::translator
