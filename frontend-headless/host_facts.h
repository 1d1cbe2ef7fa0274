// What this host calls itself.
#pragma once

#include <string>

namespace vireo {

/// "model name" of /proc/cpuinfo; "unknown" if it has none.
std::string host_cpu_model();
/// "Linux 6.1.0".
std::string host_kernel();

}  // namespace vireo
