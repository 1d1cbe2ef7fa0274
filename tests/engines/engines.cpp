#include "tests/engines/engines.h"

#include <fmt/format.h>

#include <algorithm>

#include "core/check.h"
#include "core/interp/interp.h"
#include "tests/engines/step_engine.h"
#include "translator/translator.h"
#include "translator/trust_policy.h"
#include "translator/window_policy.h"

namespace vireo::testing {
namespace {

constexpr std::string_view kNames[] = {"step",      "interp", "bt",        "bt-warm",
                                       "bt-single", "bt-off", "bt-window", "bt-trust"};

std::unique_ptr<ExecutionEngine> make_translator(CpuContext& context, translator::Options options,
                                                 uint64_t cache_mib = 4) {
  options.code_cache_bytes = cache_mib << 20;
  return translator::Translator::create(context, options).take();
}

}  // namespace

std::span<const std::string_view> engine_names() {
  return kNames;
}

bool is_engine(std::string_view name) {
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames);
}

std::string engine_name_list() {
  std::string list;
  for (std::string_view name : kNames) list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

Result<void> engine_possible(std::string_view name) {
  if (name == "bt-trust") return translator::TrustPolicy::possible();
  return {};
}

void drop_impossible_engines(std::vector<std::string>& names) {
  std::erase_if(names, [](const std::string& name) {
    const auto can = engine_possible(name);
    if (!can) fmt::print("engine {} is not run: {}\n", name, can.error().message);
    return !can;
  });
}

std::unique_ptr<ExecutionEngine> make_engine(std::string_view name, CpuContext& context) {
  CHECK(is_engine(name));
  CHECK(engine_possible(name));
  if (name == "step") return std::make_unique<StepEngine>(context);
  if (name == "bt") return make_translator(context, {.hot_threshold = 0});
  if (name == "bt-warm") return make_translator(context, {.hot_threshold = 2}, 1);
  if (name == "bt-single") return make_translator(context, {.hot_threshold = 0, .max_block_insns = 1});
  if (name == "bt-off") return make_translator(context, translator::parse_options("all-off,hot=0").take());
  if (name == "bt-window")
    return make_translator(context, translator::parse_options("hot=0,window-after=0").take());
  if (name == "bt-trust")
    return make_translator(context, translator::parse_options("hot=0,no-windows,window-after=0").take());
  return std::make_unique<interp::Interp>(context);
}

}  // namespace vireo::testing
