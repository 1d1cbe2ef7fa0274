#include "frontend-headless/host_facts.h"

#include <fmt/format.h>
#include <sys/utsname.h>

#include <fstream>

namespace vireo {

std::string host_cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const size_t colon = line.find(": ");
    if (line.rfind("model name", 0) == 0 && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "unknown";
}

std::string host_kernel() {
  utsname kernel{};
  uname(&kernel);
  return fmt::format("{} {}", kernel.sysname, kernel.release);
}

}  // namespace vireo
