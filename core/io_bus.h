// The 64 Ki I/O port space.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/access_replay.h"
#include "core/device.h"
#include "core/time_ledger.h"

namespace vireo {

/// Ports map to regions. Wide accesses that a region does not cover whole are split into bytes. Ports that
/// nobody claims read as all ones and swallow writes.
class IoBus {
 public:
  static constexpr uint32_t kPorts = 0x10000;

  IoBus();

  /// Maps `region` at [base, base + count). Overlap with another region is a bug of the board (CHECK).
  void map(uint16_t base, uint32_t count, IoRegion& region, std::string name);
  /// Removes what map() put at `base`; for relocatable (PCI) regions.
  void unmap(uint16_t base);
  /// True if no port in the range is mapped.
  bool is_free(uint16_t base, uint32_t count) const;

  /// `size` is 1, 2 or 4. Accesses wrap at port 0xffff.
  uint32_t read(uint16_t port, unsigned size);
  void write(uint16_t port, unsigned size, uint32_t value);

  /// Where accesses are charged to the devices; null: nowhere.
  void set_time_ledger(TimeLedger* ledger) { time_ = ledger; }
  /// Accesses that need not be made any more; null: none.
  void set_replay(AccessReplay* replay) { replay_ = replay; }

 private:
  struct Mapping {
    uint16_t base = 0;
    uint32_t count = 0;
    IoRegion* region = nullptr;
    std::string name;
  };

  std::vector<uint16_t> mapping_of_port_;  ///< index into mappings_; 0: none
  std::vector<Mapping> mappings_;
  TimeLedger* time_ = nullptr;
  AccessReplay* replay_ = nullptr;
};

}  // namespace vireo
