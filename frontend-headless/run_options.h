// The options of `vireo run`.
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

#include "core/options.h"
#include "devices/backends/char_backend.h"

namespace vireo {

struct RunOptions {
  MachineConfig machine;
  std::string hda, hdb, fda, fdb, cdrom;
  bool snapshot = false;
  std::string kernel, initrd, append;
  std::string serial = "none";
  std::string serial2 = "none";
  std::string debug_console;
  std::string display = "none";
  std::string clock = "realtime";
  std::string rtc;
  bool no_reboot = false;
  double timeout_s = 0;  ///< 0: none
  std::string stats;     ///< empty: none; "true": as text; else "json:FILE"
  std::string trace;
  std::string until_text;
  std::string screen_text;
  std::string final_state;
  std::vector<std::string> send_text;
  std::vector<std::string> send_when;

  /// Where --stats=json:FILE goes; empty otherwise.
  std::string stats_file() const { return stats.rfind("json:", 0) == 0 ? stats.substr(5) : ""; }
};

void add_run_options(CLI::App& app, RunOptions& options);

/// Checks the options that CLI11 cannot, and completes options.machine.
Result<void> complete(RunOptions& options);

/// The opened files of a run; `serial` is also owned by MachineIo through wrappers that run.cpp makes.
struct OpenedFiles {
  MachineIo io;
  std::unique_ptr<HostCharBackend> serial[2];
  std::unique_ptr<HostCharBackend> debug_console;
};

/// Opens images, kernel and serial lines, in that order; nothing has been changed on the host when it fails.
Result<OpenedFiles> open_files(const RunOptions& options);

}  // namespace vireo
