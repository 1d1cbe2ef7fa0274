// vireo: the command-line program.
#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdio>
#include <exception>
#include <new>
#include <string>

#include "core/log.h"
#include "core/types.h"
#include "frontend-headless/bench.h"
#include "frontend-headless/info.h"
#include "frontend-headless/run.h"
#include "frontend-headless/run_options.h"

namespace {

using vireo::ExitStatus;

constexpr const char* kExamples = R"(
Examples:
  vireo run --kernel vmlinuz --initrd initrd.img --append console=ttyS0 --serial stdio
  vireo run --hda disk.img -m 512 --serial stdio
  vireo run --fda dos.img --send-when 'A:.>' --send-text 'dir\n' --until-text 'bytes free' --screen-text -
  vireo run --cdrom grub.iso --clock virtual --until-text 'grub>' --timeout 60
  vireo bench --suite nano --json figures.json --chart figures.svg
  vireo info

Exit status of run: 0 the guest powered off, or --until-text matched; 2 bad usage or input file; 3 the host cannot
run this; 4 the guest died, or ended before --until-text matched; 5 timeout; 7 an internal error of Vireo; with
--debug-exit (V << 1) | 1.)";

/// Descriptors 0 to 2 that are closed would be taken by the next file opened, a disk image for instance, and
/// messages would be written into it.
bool occupy_standard_descriptors() {
  bool stdout_was_closed = false;
  for (int fd = 0; fd <= 2; ++fd) {
    if (fcntl(fd, F_GETFD) != -1) continue;
    if (fd == STDOUT_FILENO) stdout_was_closed = true;
    if (open("/dev/null", fd == STDIN_FILENO ? O_RDONLY : O_WRONLY) != fd)
      _exit(static_cast<int>(ExitStatus::kHostCannot));
  }
  return stdout_was_closed;
}

std::string one_sentence(std::string text) {
  if (const size_t end = text.find('\n'); end != std::string::npos) text.resize(end);
  return text;
}

int usage_error(const std::string& sentence) {
  vireo::notice(sentence);
  return static_cast<int>(ExitStatus::kUsage);
}

int dispatch(int argc, char** argv, bool stdout_is_closed) {
  CLI::App app{"Vireo: a full-system x86 PC emulator and VM player"};
  app.name("vireo");
  app.footer(kExamples);
  app.set_version_flag("--version", "vireo " VIREO_VERSION);
  app.require_subcommand(1);
  app.option_defaults()->delimiter('\0');

  vireo::RunOptions run_options;
  CLI::App* run = app.add_subcommand("run", "Run a machine");
  run->footer(kExamples);
  vireo::add_run_options(*run, run_options);
  vireo::BenchOptions bench_options;
  CLI::App* bench = app.add_subcommand("bench", "Run the same guests on every engine and compare");
  vireo::add_bench_options(*bench, bench_options);
  CLI::App* info = app.add_subcommand("info", "Tell what this host offers, which engine auto picks, and why");

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& success) {  // --help, --version
    return app.exit(success);
  } catch (const CLI::RequiredError&) {
    return usage_error(
        "give a subcommand: vireo run, vireo bench or vireo info; vireo --help shows examples");
  } catch (const CLI::ParseError& error) {
    return usage_error(one_sentence(error.what()) + "; see vireo --help");
  }
  if (bench->parsed()) return vireo::bench_command(bench_options);
  if (info->parsed()) return vireo::info_command();
  return vireo::run_command(run_options, stdout_is_closed);
}

}  // namespace

int main(int argc, char** argv) {
  const bool stdout_is_closed = occupy_standard_descriptors();
  std::signal(SIGPIPE, SIG_IGN);
  try {
    return dispatch(argc, argv, stdout_is_closed);
  } catch (const std::bad_alloc&) {
    vireo::notice("this host has not enough free memory for the machine; give a smaller -m");
    return static_cast<int>(ExitStatus::kHostCannot);
  } catch (const std::exception& error) {
    vireo::notice(fmt::format("internal error: {}; please report this", error.what()));
    return static_cast<int>(ExitStatus::kInternalError);
  }
}
