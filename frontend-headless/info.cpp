#include "frontend-headless/info.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>

#include "core/log.h"
#include "core/machine/engine_factory.h"
#include "core/machine/engine_probe.h"
#include "core/types.h"
#include "frontend-headless/host_facts.h"

namespace vireo {

int info_command() {
  struct sysinfo memory {};
  sysinfo(&memory);
  const EngineChoice choice = choose_engine({}).take();
  std::string text;
  text += fmt::format("host CPU      {}\n", host_cpu_model());
  text += fmt::format("host kernel   {}\n", host_kernel());
  text += fmt::format("host memory   {} MiB, {} MiB free\n", memory.totalram * memory.mem_unit >> 20,
                      memory.freeram * memory.mem_unit >> 20);
  text += fmt::format("KVM           {}\n", judge_hardware_assist({}).sentence);
  text += fmt::format("engines       {}\n", engine_names());
  text += fmt::format("auto picks    {} ({})\n", choice.name, choice.reason);
  std::fwrite(text.data(), 1, text.size(), stdout);
  if (std::fflush(stdout) != 0) {
    notice(fmt::format("cannot write to standard output: {}", std::strerror(errno)));
    return static_cast<int>(ExitStatus::kUsage);
  }
  return 0;
}

}  // namespace vireo
