#include "tests/isa/throughput.h"

#include <fmt/format.h>
#include <link.h>
#include <time.h>

#include <algorithm>
#include <string>
#include <vector>

#include "core/isa/decode.h"

namespace vireo::isa {
namespace {

struct Code {
  std::string name;
  std::span<const uint8_t> bytes;
};

int add_segments(dl_phdr_info* info, size_t, void* out) {
  for (unsigned i = 0; i < info->dlpi_phnum; i++) {
    const ElfW(Phdr)& segment = info->dlpi_phdr[i];
    if (segment.p_type != PT_LOAD || !(segment.p_flags & PF_X) || segment.p_memsz < 0x10000) continue;
    const auto* const start = reinterpret_cast<const uint8_t*>(info->dlpi_addr + segment.p_vaddr);
    const std::string path = info->dlpi_name;
    static_cast<std::vector<Code>*>(out)->push_back(
        {path.empty() ? "this program" : path.substr(path.rfind('/') + 1), {start, segment.p_memsz}});
  }
  return 0;
}

/// CPU time of this thread: what others do on the machine does not count.
double cpu_seconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

struct Sweep {
  uint64_t instructions = 0, undefined = 0;
};

Sweep sweep(std::span<const uint8_t> code) {
  Sweep result;
  Insn insn;
  for (size_t at = 0; at < code.size();) {
    if (decode(code.subspan(at), CodeSize::k64, insn) == DecodeStatus::kOk) {
      result.instructions++;
      at += insn.length;
    } else {
      result.undefined++;
      at++;
    }
  }
  return result;
}

}  // namespace

void print_throughput() {
  std::vector<Code> codes;
  dl_iterate_phdr(add_segments, &codes);
  for (const Code& code : codes) {
    Sweep total;
    double best_seconds = 1e9;
    for (unsigned round = 0; round < 10; round++) {
      const double start = cpu_seconds();
      total = sweep(code.bytes);
      best_seconds = std::min(best_seconds, cpu_seconds() - start);
    }
    fmt::print("{:24} {:9} instructions, {:6} bytes that are none, {:6.1f} million instructions/s\n",
               code.name, total.instructions, total.undefined,
               static_cast<double>(total.instructions) / best_seconds / 1e6);
  }
}

}  // namespace vireo::isa
