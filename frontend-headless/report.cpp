#include "frontend-headless/report.h"

#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <nlohmann/json.hpp>

namespace vireo {

namespace {

Result<void> write_text(const std::string& path, std::string_view option, const std::string& text) {
  const bool to_stdout = path == "-";
  std::FILE* file = to_stdout ? stdout : std::fopen(path.c_str(), "wb");
  bool ok = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  ok = ok && std::fflush(file) == 0;
  const int error = errno;
  if (file != nullptr && !to_stdout) ok = std::fclose(file) == 0 && ok;
  if (!ok) {
    return Error{fmt::format("{}: cannot write {}: {}", option,
                             to_stdout ? "standard output" : "'" + path + "'", std::strerror(error))};
  }
  return {};
}

template <class Visit>
void visit_file_line(std::string_view option, const std::string& spec, Visit visit) {
  if (spec.rfind("file:", 0) == 0) visit(option, spec.substr(std::strlen("file:")));
}

/// Visits (option, path) of every file that the run writes to, images aside.
template <class Visit>
void visit_report_files(const RunOptions& o, Visit visit) {
  if (!o.screen_text.empty()) visit("--screen-text", o.screen_text);
  if (!o.final_state.empty()) visit("--final-state", o.final_state);
  if (!o.stats_file().empty()) visit("--stats", o.stats_file());
  visit_file_line("--serial", o.serial, visit);
  visit_file_line("--serial2", o.serial2, visit);
  visit_file_line("--debug-console", o.debug_console, visit);
}

}  // namespace

Result<void> check_report_files(const RunOptions& o) {
  Result<void> result;
  visit_report_files(o, [&](std::string_view option, const std::string& path) {
    if (path == "-" || !result) return;
    struct stat info {};
    const bool exists = stat(path.c_str(), &info) == 0;
    if (exists && S_ISDIR(info.st_mode)) {
      result = Error{fmt::format("{} '{}': is a directory; give a file name", option, path)};
      return;
    }
    for (const std::string* image : {&o.hda, &o.hdb, &o.fda, &o.fdb, &o.cdrom, &o.kernel, &o.initrd}) {
      struct stat image_info {};
      if (exists && !image->empty() && stat(image->c_str(), &image_info) == 0 &&
          image_info.st_dev == info.st_dev && image_info.st_ino == info.st_ino) {
        result = Error{fmt::format("{} '{}': this is one of the run's own input files; give another name",
                                   option, path)};
        return;
      }
    }
    const size_t slash = path.rfind('/');
    const std::string target = exists ? path : slash == std::string::npos ? "." : path.substr(0, slash + 1);
    if (access(target.c_str(), W_OK) != 0) {
      result = Error{fmt::format("{} '{}': {}", option, path, std::strerror(errno))};
    }
  });
  return result;
}

Result<void> write_reports(const RunOptions& o, Machine& machine, std::chrono::duration<double> elapsed) {
  Result<void> result;
  const auto keep_first = [&](Result<void> r) {
    if (!r && result) result = r;
  };
  if (!o.screen_text.empty()) {
    keep_first(write_text(o.screen_text, "--screen-text", machine.video().text_screen().to_utf8()));
  }
  if (!o.final_state.empty()) {
    const nlohmann::json json = {
        {"engine", machine.engine_name()},
        {"retired_instructions", machine.cpu().retired},
        {"virtual_time_ns", machine.now()},
        {"sha256", machine.state_hash()},
    };
    keep_first(write_text(o.final_state, "--final-state", json.dump(2) + "\n"));
  }
  if (!o.stats.empty()) {
    const double seconds = elapsed.count();
    const double mips = seconds > 0 ? static_cast<double>(machine.cpu().retired) / seconds / 1e6 : 0;
    if (o.stats_file().empty()) {
      std::string text =
          fmt::format("{:<32} {:>16}\n{:<32} {:>16.3f}\n{:<32} {:>16.3f}\n{:<32} {:>16.1f}\n",
                      "retired instructions", machine.cpu().retired, "host seconds", seconds, "guest seconds",
                      static_cast<double>(machine.now()) / 1e9, "guest MIPS", mips);
      machine.visit_stats([&](std::string_view name, uint64_t value) {
        text += fmt::format("{:<32} {:>16}\n", name, value);
      });
      std::fwrite(text.data(), 1, text.size(), stderr);
    } else {
      nlohmann::json json = {{"engine", machine.engine_name()},
                             {"retired_instructions", machine.cpu().retired},
                             {"host_seconds", seconds},
                             {"guest_seconds", static_cast<double>(machine.now()) / 1e9},
                             {"guest_mips", mips}};
      machine.visit_stats(
          [&](std::string_view name, uint64_t value) { json["counters"][std::string(name)] = value; });
      keep_first(write_text(o.stats_file(), "--stats", json.dump(2) + "\n"));
    }
  }
  return result;
}

}  // namespace vireo
