// Repeatable random numbers (SplitMix64).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace vireo::diff {

class Rng {
 public:
  explicit Rng(uint64_t seed) : state_(seed) {}
  /// A stream of its own for each case of each row, so that one case can be repeated alone.
  static Rng for_case(uint64_t seed, std::string_view row, uint64_t number) {
    uint64_t hash = seed ^ 0xcbf29ce484222325;
    for (char c : row) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001b3;
    Rng mixed(hash);
    // Through next() again: states that differ by the increment would give the same numbers, shifted.
    Rng again(mixed.next() ^ number);
    return Rng(again.next());
  }

  uint64_t next() {
    uint64_t z = state_ += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  uint32_t next32() { return static_cast<uint32_t>(next() >> 32); }
  uint8_t byte() { return static_cast<uint8_t>(next() >> 56); }
  /// 0 to n - 1.
  uint32_t below(uint32_t n) { return static_cast<uint32_t>((uint64_t{next32()} * n) >> 32); }
  bool chance(unsigned percent) { return below(100) < percent; }
  template <class Container>
  const auto& pick(const Container& from) {
    return from[below(static_cast<uint32_t>(std::size(from)))];
  }

 private:
  uint64_t state_;
};

}  // namespace vireo::diff
