// Decoded instructions by guest-physical address and mode. A block is a run of instructions that lie in one
// page, but for the last bytes of a block's only instruction. Blocks are dropped when their bytes are
// written; the memory of a dropped block stays valid until the next make_room(), so that a block may
// overwrite itself while it runs.
#pragma once

#include <array>
#include <bitset>
#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/guest_memory.h"
#include "core/interp/interp.h"
#include "core/isa/decode.h"

namespace vireo::interp {

struct DecodedInsn {
  Handler handler;
  Insn insn;
};

/// The bytes of an instruction in a mixed page (GuestMemory::set_mixed()), in up to two pages.
struct OwnCode {
  struct Part {
    const uint8_t* host = nullptr;
    unsigned size = 0;
  };
  std::array<Part, 2> parts;
  std::array<uint8_t, isa::kMaxInsnLength> bytes;  ///< as they were decoded

  bool overlaps(const uint8_t* host, uint64_t size) const;
  bool changed() const;
};

/// Part of a block's key beside its address: what decoding depends on.
struct BlockMode {
  uint8_t value = 0;
  /// `single`: blocks of one instruction, for execution instruction by instruction.
  static BlockMode make(isa::CodeSize size, bool single) {
    return {static_cast<uint8_t>(static_cast<uint8_t>(size) | (single ? 4 : 0))};
  }
  isa::CodeSize code_size() const { return static_cast<isa::CodeSize>(value & 3); }
  bool single() const { return value & 4; }
  bool operator==(const BlockMode&) const = default;
};

struct Block {
  /// What `physical` of a dropped block is: no physical address, nor anything in the page at the very top,
  /// the page that code without a translation is looked up in.
  static constexpr uint64_t kDead = uint64_t{1} << 63;

  uint64_t physical = kDead;  ///< of the first byte, A20 applied
  uint64_t second_page = 0;   ///< physical page of the bytes beyond the first page, if `crosses`
  uint32_t bytes = 0;
  uint32_t count = 0;
  BlockMode mode;
  bool crosses = false;
  const DecodedInsn* insns = nullptr;
  Block* next_in_bucket = nullptr;
  const OwnCode* own_code =
      nullptr;  ///< of the only instruction of a block in a mixed page, which is not kept
};

class BlockCache final : private MemoryListener {
 public:
  explicit BlockCache(GuestMemory& memory);
  ~BlockCache() override;

  Block* find(uint64_t physical, BlockMode mode) const;
  /// A new block with a copy of `insns`. The caller has called make_room() since the last execution.
  Block* add(uint64_t physical, BlockMode mode, const std::vector<DecodedInsn>& insns, uint32_t bytes,
             bool crosses, uint64_t second_page);
  /// Drops everything when memory for another block is short.
  void make_room();
  void clear();
  /// Raised when blocks were dropped; the run loop takes it down.
  bool* dropped_flag = nullptr;

  uint64_t blocks_built() const { return blocks_built_; }
  uint64_t blocks_dropped() const { return blocks_dropped_; }
  uint64_t flushes() const { return flushes_; }

 private:
  static constexpr unsigned kBucketBits = 15;
  static constexpr size_t kChunkInsns = 4096;
  static constexpr size_t kMaxChunks = 128;
  static constexpr unsigned kGranuleBytes = 32;

  /// Which parts of a page hold code, so that writes beside it cost little.
  struct CodePage {
    std::bitset<kPageSize / kGranuleBytes> granules;
    std::vector<Block*> blocks;
  };

  void on_code_written(Gpa start, uint64_t size, Writer writer) override;
  void on_layout_changed() override { clear(); }
  void on_forget_code(Gpa page) override;

  static size_t bucket(uint64_t physical, BlockMode mode) {
    return ((physical ^ (physical >> kBucketBits)) + mode.value * 0x9e3u) & ((1u << kBucketBits) - 1);
  }
  void register_in_page(uint64_t page, Block* block, uint64_t first, uint64_t last);
  void drop(Block* block);
  /// A copy that stays where it is until clear().
  const DecodedInsn* keep(const std::vector<DecodedInsn>& insns);

  GuestMemory& memory_;
  const CodeOwner owner_;
  std::vector<Block*> buckets_;
  std::unordered_map<uint64_t, CodePage> pages_;
  std::vector<std::vector<DecodedInsn>> chunks_;  ///< each with room for kChunkInsns
  size_t chunks_used_ = 0;                        ///< the last of them is being filled
  std::vector<std::unique_ptr<Block[]>> block_chunks_;
  size_t blocks_used_ = 0;
  uint64_t blocks_built_ = 0, blocks_dropped_ = 0, flushes_ = 0;
};

}  // namespace vireo::interp
