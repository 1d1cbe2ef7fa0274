// /tmp/perf-PID.map: what `perf report` calls translated code.
#pragma once

#include <cstdint>
#include <cstdio>
#include <memory>
#include <string_view>

#include "core/result.h"
#include "translator/block.h"
#include "translator/trampolines.h"

namespace vireo::translator {

class PerfMap {
 public:
  /// Fails when the file cannot be made.
  static Result<std::unique_ptr<PerfMap>> create();

  /// "vireo_NAME".
  void add(const Trampolines& trampolines);
  /// "guest_EIP_MODE". Where code is replaced by other code, perf takes one of them for both.
  void add(const Block& block);

 private:
  struct Close {
    void operator()(std::FILE* file) const { std::fclose(file); }
  };
  explicit PerfMap(std::FILE* file) : file_(file) {}
  void add(const uint8_t* start, uint64_t bytes, std::string_view name);

  std::unique_ptr<std::FILE, Close> file_;
};

}  // namespace vireo::translator
