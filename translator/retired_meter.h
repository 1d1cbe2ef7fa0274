// For policies that judge by what each privilege executes: how much has been since they were told last.
#pragma once

#include <cstdint>

namespace vireo::translator {

class RetiredMeter {
 public:
  /// `retired`: instructions so far. Returns those since the last call; who has been running has executed
  /// them.
  uint64_t since_last(uint64_t retired) {
    const uint64_t executed = retired > seen_ ? retired - seen_ : 0;  // a snapshot may set it back
    seen_ = retired;
    return executed;
  }

 private:
  uint64_t seen_ = 0;
};

}  // namespace vireo::translator
