#include "translator/perf_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>

#include "translator/code_names.h"

namespace vireo::translator {

Result<std::unique_ptr<PerfMap>> PerfMap::create() {
  const std::string path = fmt::format("/tmp/perf-{}.map", getpid());  // where perf looks
  const int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
  std::FILE* file = fd < 0 ? nullptr : fdopen(fd, "w");
  if (file == nullptr) {
    return Error{fmt::format("--perf-map '{}': {}", path, std::strerror(errno)), ExitStatus::kHostCannot};
  }
  return std::unique_ptr<PerfMap>(new PerfMap(file));
}

void PerfMap::add(const uint8_t* start, uint64_t bytes, std::string_view name) {
  fmt::print(file_.get(), "{:x} {:x} {}\n", reinterpret_cast<uint64_t>(start), bytes, name);
}

void PerfMap::add(const Trampolines& trampolines) {
  const std::vector<NamedCode> named = named_trampolines(trampolines);
  const uint8_t* end = named.front().start + trampolines.bytes;
  for (size_t i = 0; i < named.size(); ++i) {
    const uint8_t* next = i + 1 < named.size() ? named[i + 1].start : end;
    add(named[i].start, static_cast<uint64_t>(next - named[i].start), fmt::format("vireo_{}", named[i].name));
  }
}

void PerfMap::add(const Block& block) {
  std::string name = "guest_" + block_name(block);
  std::replace(name.begin(), name.end(), ' ', '_');
  add(block.code, block.code_bytes, name);
}

}  // namespace vireo::translator
