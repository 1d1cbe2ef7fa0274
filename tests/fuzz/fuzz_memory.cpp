#include "tests/fuzz/fuzz_memory.h"

#include <cstring>
#include <initializer_list>

#include "tests/differential/rng.h"

namespace vireo::fuzz {
namespace {

constexpr uint32_t kHalting = 0x50000, kResuming = 0x51000;  ///< handlers, 16 bytes each
constexpr uint16_t kRealHalting = 0x500, kRealResuming = 0x510;
constexpr uint32_t kPaeDirectory = 0x9000;
constexpr uint32_t kTable = page_entry_at(0, false), kPaeTable = page_entry_at(0, true);
constexpr unsigned kVectors = 256;

constexpr uint64_t segment(uint32_t base, uint32_t limit, uint8_t access, uint8_t flags) {
  return (uint64_t{limit} & 0xffff) | (uint64_t{base} & 0xffffff) << 16 | uint64_t{access} << 40 |
         (uint64_t{limit} >> 16 & 15) << 48 | uint64_t{flags} << 52 | uint64_t{base >> 24} << 56;
}
constexpr uint64_t gate(uint16_t selector, uint32_t offset, uint8_t access) {
  return (uint64_t{offset} & 0xffff) | uint64_t{selector} << 16 | uint64_t{access} << 40 |
         uint64_t{offset >> 16} << 48;
}

constexpr uint8_t kBig = 0xc;  // D/B and G
constexpr uint64_t kGdtEntries[] = {
    0,
    segment(0, 0xfffff, 0x9b, kBig),
    segment(0, 0xfffff, 0x93, kBig),
    segment(kArena, 0xffff, 0x9b, 0),
    segment(kArena, 0xffff, 0x93, 0),
    segment(0, 0xfffff, 0xfb, kBig),
    segment(0, 0xfffff, 0xf3, kBig),
    segment(kTss, kTssLimit, 0x8b, 0),
    segment(kArena, 0xffff, 0xfb, 0),
    segment(kArena, 0xffff, 0xf3, 0),
    segment(kLdt, 0xff, 0x82, 0),
    segment(kOtherTss, 0x67, 0x89, 0),
    gate(kCode32, kHalting, 0xec),     // 60: call gate
    segment(kArena, 0x3fff, 0xf7, 0),  // 68: expand-down
    segment(0, 0xfffff, 0xff, kBig),   // 70: conforming code
    gate(0x58, 0, 0xe5),               // 78: task gate
    segment(kArena, 0xffff, 0xf3, 4),  // 80: data, a base and 32 bits
    segment(kArena, 0xffff, 0xfb, 4),  // 88: code, likewise
    segment(kArena, 0x7fff, 0xf1, 0),  // 90: read-only
    segment(0, 0xfffff, 0x72, kBig),   // 98: not present
};
static_assert(std::size(kGdtEntries) == kLastSelector / 8 + 1);

class Memory {
 public:
  explicit Memory(uint64_t seed) : bytes_(kRamEnd), rng_(seed) {}

  std::vector<uint8_t> build() {
    for (uint32_t i = 0; i < kArenaBytes; i++) bytes_[kArena + i] = rng_.byte();
    for (uint32_t at = 0x20000; at < 0x30000; at++) bytes_[at] = rng_.byte();
    interrupts();
    descriptors();
    page_tables();
    return std::move(bytes_);
  }

 private:
  template <class T>
  void put(uint32_t at, T value) {
    std::memcpy(&bytes_[at], &value, sizeof value);
  }
  void put_code(uint32_t at, std::initializer_list<uint8_t> code) {
    std::memcpy(&bytes_[at], code.begin(), code.size());
  }

  void interrupts() {
    put_code(kRealHalting, {0xf4});
    // PUSH BP; MOV BP, SP; INC WORD [BP + 2]; POP BP; IRET
    put_code(kRealResuming, {0x55, 0x89, 0xe5, 0xff, 0x46, 0x02, 0x5d, 0xcf});
    for (unsigned v = 0; v < kVectors; v++) {
      put(kIvtHalting + 4 * v, uint32_t{kRealHalting});
      put(kIvtResuming + 4 * v, uint32_t{kRealResuming});
      const bool for_users = v == 3 || v == 4 || (v >= 0x20 && v < 0x40) || v == 0x80;
      const uint8_t access = for_users ? 0xee : 0x8e;
      put(kIdtHalting + 8 * v, gate(kCode32, kHalting + 16 * v, access));
      put(kIdtResuming + 8 * v, gate(kCode32, kResuming + 16 * v, access));
      put_code(kHalting + 16 * v, {0xf4});
      const bool has_error_code = v == 8 || (v >= 10 && v <= 14) || v == 17;
      // ADD ESP, 4 or so; INC DWORD [ESP]; IRET
      put_code(kResuming + 16 * v,
               {0x83, 0xc4, static_cast<uint8_t>(has_error_code ? 4 : 0), 0xff, 0x04, 0x24, 0xcf});
    }
    constexpr unsigned kDoubleFault = 8;
    put_code(kResuming + 16 * kDoubleFault, {0xf4});
  }

  void descriptors() {
    std::memcpy(&bytes_[kGdt], kGdtEntries, sizeof kGdtEntries);
    for (unsigned i = 1; i < 32; i++) put(kLdt + 8 * i, kGdtEntries[1 + i % 10]);
    put(kTss + 4, kRing0StackTop);
    put(kTss + 8, uint32_t{kData32});
    put(kTss + 12, kRing0StackTop - 0x1000);
    put(kTss + 16, uint32_t{kData32 | 1});
    put(kTss + 0x1c, kDirectory);
    put(kTss + 0x64, uint32_t{0x88u << 16});
    for (uint32_t i = 0x68; i <= kTssLimit; i++) bytes_[kTss + i] = rng_.chance(50) ? 0 : rng_.byte();
    bytes_[kTss + kTssLimit] = 0xff;
    put(kOtherTss + 0x1c, kDirectory);
    put(kOtherTss + 0x20, kHalting);
    put(kOtherTss + 0x24, uint32_t{2});
    put(kOtherTss + 0x38, kRing0StackTop - 0x800);
    for (uint32_t at : {0x48, 0x50, 0x54, 0x58, 0x5c}) put(kOtherTss + at, uint32_t{kData32});
    put(kOtherTss + 0x4c, uint32_t{kCode32});
  }

  void page_tables() {
    constexpr uint32_t kPresent = 1, kWritable = 2, kUser = 4, kLarge = 0x80, kAll = 7;
    constexpr uint64_t kNoExecute = uint64_t{1} << 63;
    for (uint32_t page = 0; page < 512; page++) {
      uint64_t entry = uint64_t{page} << 12 | kPresent | kWritable;
      const uint32_t address = page << 12;
      if (address >= kArena && address < 0x40000) entry |= kUser;
      if (address >= kMmio) entry |= kUser;
      if (page == 0x16) entry &= ~uint64_t{kWritable};
      if (page == 0x17) entry = 0;
      if (page == 0x18) entry &= ~uint64_t{kUser};
      put(page_entry_at(page, false), static_cast<uint32_t>(entry));
      if (page == 0x19) entry |= kNoExecute;
      put(page_entry_at(page, true), entry);
    }
    put(kDirectory, kTable | kAll);
    put(kDirectory + 4 * (kAlias >> 22), kLarge | kAll);
    put(kPaePointers, uint64_t{kPaeDirectory} | kPresent);
    put(kPaeDirectory, uint64_t{kPaeTable} | kAll);
    put(kPaeDirectory + 8 * (kAlias >> 21), uint64_t{kLarge | kAll});
  }

  std::vector<uint8_t> bytes_;
  diff::Rng rng_;
};

}  // namespace

std::vector<uint8_t> initial_ram(uint64_t seed) {
  return Memory(seed).build();
}

uint64_t descriptor_of(uint16_t selector) {
  return selector <= kLastSelector + 3 ? kGdtEntries[selector >> 3] : 0;
}

}  // namespace vireo::fuzz
