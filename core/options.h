// What a machine is made of, as the user asks for it. Front ends fill this in; core/machine builds it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/host_io.h"
#include "core/types.h"

namespace vireo {

enum class ClockKind : uint8_t {
  kRealtime,  ///< guest time follows the host's
  kVirtual,   ///< guest time is the count of retired instructions; idle time is skipped
};

inline constexpr unsigned kMinMemoryMib = 1;
/// The PCI hole starts at 3.5 GiB; RAM above it would need PAE guests and remapping.
inline constexpr unsigned kMaxMemoryMib = 3584;
inline constexpr unsigned kDefaultMemoryMib = 256;

struct MachineConfig {
  std::string engine = "auto";
  /// What is changed about the translator: the words of translator/options.cpp, comma-separated.
  std::string translator;
  /// What is to fail of KVM, for tests: hwassist/kvm_calls.h.
  std::string hw_failures;
  /// Change the engine each time that it has come back so often; 0: never. For tests.
  uint64_t switch_every = 0;
  std::string cpu_model = "core2duo-32";
  ClockKind clock = ClockKind::kRealtime;
  unsigned memory_mib = kDefaultMemoryMib;
  /// Boot order as letters: c disk, d CD-ROM, a floppy, n network. Empty: floppy, CD, disk, whichever there
  /// are.
  std::string boot;
  /// Seconds since 1970 that the RTC shows at power-on; not set: the host's time (realtime) or a fixed date
  /// (virtual).
  std::optional<int64_t> rtc_start;
  /// With the virtual clock: retired instructions per microsecond of guest time.
  unsigned virtual_mips = 100;
  bool debug_exit = false;    ///< port 0xf4 ends the run
  bool perf_map = false;      ///< /tmp/perf-PID.map names translated code for perf
  bool measure_time = false;  ///< the counters say where the host's time goes
};

/// A kernel to start without a boot loader.
struct DirectBootFiles {
  std::vector<uint8_t> kernel;
  std::vector<uint8_t> initrd;
  std::string command_line;
  std::string kernel_name;  ///< for messages
};

/// Ends of the machine that reach outside. Null members are absent drives and unconnected lines.
struct MachineIo {
  std::unique_ptr<BlockBackend> hd[2];  ///< primary master, primary slave
  std::unique_ptr<BlockBackend> cdrom;  ///< secondary master
  bool cdrom_drive = true;              ///< a drive without a disc is there even if `cdrom` is null
  std::unique_ptr<BlockBackend> floppy[2];
  std::unique_ptr<CharBackend> serial[2];
  std::unique_ptr<CharBackend> debug_console;
  std::optional<DirectBootFiles> direct_boot;
};

}  // namespace vireo
