#include "core/machine/engine_factory.h"

#include <fmt/format.h>

#include "core/interp/interp.h"
#include "translator/translator.h"

namespace vireo {

namespace {

struct EngineRow {
  std::string_view name;
  std::string_view reason;  ///< why auto takes it when it comes to it
  Result<std::unique_ptr<ExecutionEngine>> (*make)(CpuContext&, const MachineConfig&);
};

/// In auto's order of preference.
constexpr EngineRow kEngines[] = {
    {"bt", "translation is the fastest engine of this version",
     [](CpuContext& context, const MachineConfig& config) -> Result<std::unique_ptr<ExecutionEngine>> {
       auto options = translator::parse_options(config.translator);
       if (!options) return options.error();
       options.value().perf_map = config.perf_map;
       auto engine = translator::Translator::create(context, options.value());
       if (!engine) return engine.error();
       return std::unique_ptr<ExecutionEngine>(engine.take());
     }},
    {"interp", "it runs on every host",
     [](CpuContext& context, const MachineConfig&) -> Result<std::unique_ptr<ExecutionEngine>> {
       return std::unique_ptr<ExecutionEngine>(std::make_unique<interp::Interp>(context));
     }},
};

}  // namespace

Result<EngineChoice> choose_engine(const MachineConfig& config) {
  if (auto options = translator::parse_options(config.translator); !options) return options.error();
  const std::string_view requested = config.engine;
  for (const EngineRow& row : kEngines) {
    if (requested == "auto") return EngineChoice{std::string(row.name), std::string(row.reason), row.make};
    if (requested == row.name) return EngineChoice{std::string(row.name), "as asked for", row.make};
  }
  const std::string sentence =
      fmt::format("--engine {}: this version has auto, {}", requested, engine_names());
  const bool known = requested == "hw";
  return Error{sentence, known ? ExitStatus::kHostCannot : ExitStatus::kUsage};
}

std::string engine_names() {
  std::string names;
  for (const EngineRow& row : kEngines) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

}  // namespace vireo
