// The translator: an ExecutionEngine that re-encodes guest code for the host. What it does not translate, it
// leaves to an interpreter of its own, one instruction at a time.
#pragma once

#include <array>
#include <memory>
#include <unordered_map>
#include <vector>

#include "core/engine.h"
#include "core/interp/interp.h"
#include "core/result.h"
#include "translator/options.h"

namespace vireo::translator {

class Translator final : public ExecutionEngine {
 public:
  /// Fails when the host forbids executable memory or lacks what translated code needs.
  static Result<std::unique_ptr<Translator>> create(CpuContext& context, const Options& options = {});
  ~Translator() override;

  std::string_view name() const override { return "bt"; }
  ExitReason run(const RunLimits& limits) override;
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override;

  struct Impl;

 private:
  explicit Translator(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

}  // namespace vireo::translator
