// Character backends: where a serial line or debug console goes on the host.
#pragma once

#include <memory>
#include <string_view>

#include "core/host_io.h"
#include "core/result.h"

namespace vireo {

/// A CharBackend that a front end's poll loop serves. Input is taken from the host in service() only.
class HostCharBackend : public CharBackend {
 public:
  /// To be called once, before the guest runs: what the output replaces goes now. A run that fails before
  /// leaves it as it was.
  virtual Result<void> start() { return {}; }
  /// Wait for this descriptor to become readable, then call service(). -1: nothing to wait for at the moment
  /// (no input, or the guest has not yet read what came before). Ask again after each service().
  virtual int poll_fd() const { return -1; }
  /// Takes what the host has ready without blocking (also connections) and calls the input hook. Calling it
  /// at any time is harmless.
  virtual void service() {}
  /// The user typed the key sequence that ends the run (stdio only: Ctrl-A x).
  virtual bool quit_requested() const { return false; }
};

/// `spec` is one of
///   none                  output dropped, no input
///   stdio                 this process's standard input and output. A terminal is set to raw mode, restored
///   when the
///                         backend goes or the process exits; Ctrl-A x asks to quit, Ctrl-A Ctrl-A sends
///                         Ctrl-A
///   file:PATH             output to PATH (created, or emptied by start() unless a drive uses it), no input
///   tcp:HOST:PORT         connects, once, now; [HOST] for an IPv6 address
///   tcp:HOST:PORT,server  listens on HOST (empty: all addresses) and serves one client at a time; output
///   without a
///                         client is dropped. Port 0 takes a free port; a notice names it
///   pty                   a new pseudo-terminal; a notice names it
/// An unknown or impossible spec is an Error with status kUsage.
Result<std::unique_ptr<HostCharBackend>> open_char_backend(std::string_view spec);

/// Puts a terminal that a stdio backend made raw back as it was; async-signal-safe, for handlers of fatal
/// signals.
void restore_terminal();

}  // namespace vireo
