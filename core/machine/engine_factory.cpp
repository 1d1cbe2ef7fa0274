#include "core/machine/engine_factory.h"

#include <fmt/format.h>

#include <vector>

#include "core/interp/interp.h"
#include "core/log.h"
#include "core/machine/engine_probe.h"
#include "core/machine/engine_switch.h"
#include "hwassist/kvm_engine.h"
#include "translator/translator.h"

namespace vireo {

namespace {

using Made = Result<std::unique_ptr<ExecutionEngine>>;

Made make_translator(CpuContext& context, const MachineConfig& config) {
  auto options = translator::parse_options(config.translator);
  if (!options) return options.error();
  options.value().perf_map = config.perf_map;
  auto engine = translator::Translator::create(context, options.value());
  if (!engine) return engine.error();
  return std::unique_ptr<ExecutionEngine>(engine.take());
}

Made make_interpreter(CpuContext& context, const MachineConfig&) {
  return std::unique_ptr<ExecutionEngine>(std::make_unique<interp::Interp>(context));
}

/// The translator does what KVM cannot.
Made make_assisted(CpuContext& context, const MachineConfig& config) {
  auto software = make_translator(context, config);
  if (!software) return software.error();
  auto hardware = hwassist::KvmEngine::create(context, config.hw_failures);
  const bool keep_going = config.engine == "auto";
  if (!hardware && keep_going) {
    notice(fmt::format("hardware assist cannot be had ({}); the machine runs under bt",
                       hardware.error().message));
    return software;
  }
  if (!hardware) return hardware.error();
  return std::unique_ptr<ExecutionEngine>(
      std::make_unique<AssistedEngine>(context, hardware.take(), software.take(), keep_going));
}

struct EngineRow {
  std::string_view name;
  Made (*make)(CpuContext&, const MachineConfig&);
};
constexpr EngineRow kEngines[] = {
    {"bt", make_translator}, {"interp", make_interpreter}, {"hw", make_assisted}};

bool assist_possible(const MachineConfig& config) {
  return config.clock == ClockKind::kRealtime && judge_hardware_assist(config.hw_failures).usable;
}

Made make_rotating(CpuContext& context, const MachineConfig& config) {
  std::vector<std::unique_ptr<ExecutionEngine>> engines;
  for (const EngineRow& row : kEngines) {
    if (row.name == "hw" && !assist_possible(config)) continue;
    auto engine = row.make(context, config);
    if (!engine) return engine;
    engines.push_back(engine.take());
  }
  return std::unique_ptr<ExecutionEngine>(
      std::make_unique<RotatingEngine>(context, std::move(engines), config.switch_every));
}

EngineChoice choice(std::string_view name, std::string reason) {
  for (const EngineRow& row : kEngines) {
    if (row.name == name) return {std::string(name), std::move(reason), row.make};
  }
  return {};
}

Result<EngineChoice> choose_hardware(const MachineConfig& config) {
  if (config.clock == ClockKind::kVirtual) {
    return Error{
        "--engine hw cannot count instructions, which --clock virtual needs; use --clock realtime, or "
        "--engine bt",
        ExitStatus::kUsage};
  }
  const AssistVerdict& kvm = judge_hardware_assist(config.hw_failures);
  if (!kvm.usable) {
    return Error{fmt::format("--engine hw: KVM is {}; use --engine bt, which needs no KVM", kvm.sentence),
                 ExitStatus::kHostCannot};
  }
  return choice("hw", kvm.good ? "as asked for" : fmt::format("as asked for; KVM is {}", kvm.sentence));
}

EngineChoice choose_automatically(const MachineConfig& config) {
  if (config.clock == ClockKind::kVirtual)
    return choice("bt", "virtual time counts instructions, which hardware assist does not");
  const AssistVerdict& kvm = judge_hardware_assist(config.hw_failures);
  return choice(kvm.good ? "hw" : "bt", fmt::format("KVM is {}", kvm.sentence));
}

}  // namespace

Result<EngineChoice> choose_engine(const MachineConfig& config) {
  if (auto options = translator::parse_options(config.translator); !options) return options.error();
  if (auto calls = hwassist::make_kvm_calls(config.hw_failures); !calls) return calls.error();
  if (config.switch_every != 0) {
    return EngineChoice{"all in turn", fmt::format("--switch-every {}", config.switch_every), make_rotating};
  }
  if (config.engine == "auto") return choose_automatically(config);
  if (config.engine == "hw") return choose_hardware(config);
  if (EngineChoice found = choice(config.engine, "as asked for"); found.make != nullptr) return found;
  return Error{fmt::format("--engine {}: this version has auto, {}", config.engine, engine_names()),
               ExitStatus::kUsage};
}

std::string engine_names() {
  std::string names;
  for (const EngineRow& row : kEngines) names += (names.empty() ? "" : ", ") + std::string(row.name);
  return names;
}

}  // namespace vireo
