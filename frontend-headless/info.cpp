#include "frontend-headless/info.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/kvm.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>

#include "core/log.h"
#include "core/machine/engine_factory.h"
#include "core/types.h"

namespace vireo {

namespace {

std::string host_cpu_model() {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("model name", 0) == 0) {
      const size_t colon = line.find(": ");
      if (colon != std::string::npos) return line.substr(colon + 2);
    }
  }
  return "unknown";
}

std::string kvm_sentence() {
  const int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
  if (fd < 0) {
    if (errno == ENOENT) return "absent (no /dev/kvm)";
    if (errno == EACCES) return "no permission for /dev/kvm (join the group that owns it, usually kvm)";
    return fmt::format("/dev/kvm cannot be opened: {}", std::strerror(errno));
  }
  const int version = ioctl(fd, KVM_GET_API_VERSION, 0);
  close(fd);
  if (version != KVM_API_VERSION)
    return fmt::format("/dev/kvm has API version {}, not {}", version, KVM_API_VERSION);
  return "present, not used: this version has no hardware engine yet";
}

}  // namespace

int info_command() {
  utsname kernel{};
  uname(&kernel);
  struct sysinfo memory {};
  sysinfo(&memory);
  const EngineChoice choice = choose_engine({}).take();
  std::string text;
  text += fmt::format("host CPU      {}\n", host_cpu_model());
  text += fmt::format("host kernel   {} {}\n", kernel.sysname, kernel.release);
  text += fmt::format("host memory   {} MiB, {} MiB free\n", memory.totalram * memory.mem_unit >> 20,
                      memory.freeram * memory.mem_unit >> 20);
  text += fmt::format("KVM           {}\n", kvm_sentence());
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
