#include "frontend-headless/report.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

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

std::pair<std::string_view, std::string_view> split_name(std::string_view name) {
  const size_t slash = name.find('/');
  return {name.substr(0, slash), name.substr(slash + 1)};
}

/// The machine's counters and the process's.
void visit_counters(Machine& machine, const std::function<void(std::string_view, uint64_t)>& visit) {
  machine.visit_stats(visit);
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto ms = [](const timeval& t) {
    return static_cast<uint64_t>(t.tv_sec) * 1000 + static_cast<uint64_t>(t.tv_usec) / 1000;
  };
  visit("process/user ms", ms(usage.ru_utime));
  visit("process/system ms", ms(usage.ru_stime));
  visit("process/most resident KiB", static_cast<uint64_t>(usage.ru_maxrss));
}

Result<void> write_stats(const RunOptions& o, Machine& machine, double seconds) {
  const double mips = seconds > 0 ? static_cast<double>(machine.cpu().retired) / seconds / 1e6 : 0;
  const double guest_seconds = static_cast<double>(machine.now()) / 1e9;
  if (!o.stats_file().empty()) {
    nlohmann::json json = {{"engine", machine.engine_name()},
                           {"engine_reason", machine.engine_reason()},
                           {"retired_instructions", machine.cpu().retired},
                           {"host_seconds", seconds},
                           {"guest_seconds", guest_seconds},
                           {"guest_mips", mips}};
    visit_counters(machine, [&](std::string_view name, uint64_t value) {
      const auto [group, counter] = split_name(name);
      json["counters"][std::string(group)][std::string(counter)] = value;
    });
    return write_text(o.stats_file(), "--stats", json.dump(2) + "\n");
  }
  std::string text = fmt::format("engine {}: {}\n", machine.engine_name(), machine.engine_reason());
  text += fmt::format("{:<42} {:>16}\n{:<42} {:>16.3f}\n{:<42} {:>16.3f}\n{:<42} {:>16.1f}\n",
                      "retired instructions", machine.cpu().retired, "host seconds", seconds, "guest seconds",
                      guest_seconds, "guest MIPS", mips);
  std::string last_group;
  visit_counters(machine, [&](std::string_view name, uint64_t value) {
    const auto [group, counter] = split_name(name);
    if (group != last_group) text += fmt::format("{}\n", group);
    last_group = group;
    text += fmt::format("  {:<40} {:>16}\n", counter, value);
  });
  std::fwrite(text.data(), 1, text.size(), stderr);
  return {};
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
    keep_first(write_stats(o, machine, elapsed.count()));
  }
  return result;
}

}  // namespace vireo
