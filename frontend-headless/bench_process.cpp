#include "frontend-headless/bench_process.h"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>

extern char** environ;

namespace vireo {

Result<int> run_program(const std::vector<std::string>& command, double silence_s,
                        const std::function<void(std::string_view)>& on_line) {
  int ends[2];
  if (pipe(ends) != 0)
    return Error{fmt::format("no pipe: {}", std::strerror(errno)), ExitStatus::kHostCannot};
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
  posix_spawn_file_actions_addclose(&actions, ends[0]);
  posix_spawn_file_actions_addclose(&actions, ends[1]);
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", 0, 0);
  std::vector<char*> words;
  for (const std::string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  pid_t child = 0;
  const int error = posix_spawnp(&child, words[0], &actions, nullptr, words.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  close(ends[1]);
  if (error != 0) {
    close(ends[0]);
    return Error{fmt::format("{} cannot be started: {}", command[0], std::strerror(error)),
                 ExitStatus::kHostCannot};
  }
  std::string line;
  for (;;) {
    pollfd readable{ends[0], POLLIN, 0};
    if (poll(&readable, 1, static_cast<int>(silence_s * 1000)) <= 0) {
      kill(child, SIGKILL);
      break;
    }
    char buffer[4096];
    const ssize_t count = read(ends[0], buffer, sizeof buffer);
    if (count <= 0) break;
    for (const char c : std::string_view(buffer, static_cast<size_t>(count))) {
      if (c == '\n') {
        on_line(line);
        line.clear();
      } else if (c != '\r') {
        line += c;
      }
    }
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

std::vector<std::string> qemu_command(const std::string& accelerator, unsigned memory_mib) {
  return {"qemu-system-i386",
          "-accel",
          accelerator,
          "-cpu",
          accelerator == "kvm" ? "host" : "core2duo",
          "-m",
          std::to_string(memory_mib),
          "-display",
          "none",
          "-nic",
          "none",
          "-no-reboot",
          "-monitor",
          "none",
          "-serial",
          "stdio"};
}

Result<TemporaryFile> TemporaryFile::create(std::string_view contents) {
  std::error_code none;
  std::string path = (std::filesystem::temp_directory_path(none) / "vireo-bench-XXXXXX").string();
  const int fd = mkstemp(path.data());
  const auto failed = [&] {
    return Error{fmt::format("no temporary file {}: {}; set TMPDIR", path, std::strerror(errno)),
                 ExitStatus::kHostCannot};
  };
  if (fd < 0) return failed();
  TemporaryFile file(path);
  const bool written = write(fd, contents.data(), contents.size()) == static_cast<ssize_t>(contents.size());
  close(fd);
  if (!written) return failed();
  return file;
}

TemporaryFile::~TemporaryFile() {
  if (!path_.empty()) unlink(path_.c_str());
}

}  // namespace vireo
