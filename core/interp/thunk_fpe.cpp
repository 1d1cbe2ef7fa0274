#include "core/interp/thunk_fpe.h"

#include <signal.h>
#include <ucontext.h>

#include <cstring>

#include "core/attention.h"
#include "core/check.h"

namespace vireo::interp {

namespace {

uint64_t range_start, range_end;
struct sigaction previous;

void pass_on(int signal, siginfo_t* info, void* context) {
  if (previous.sa_flags & SA_SIGINFO) {
    previous.sa_sigaction(signal, info, context);
  } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
    previous.sa_handler(signal);
  } else {
    // Returning runs the instruction again, now with the default action.
    sigaction(signal, &previous, nullptr);
  }
}

void on_fpe(int signal, siginfo_t* info, void* context) {
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const uint64_t rip = static_cast<uint64_t>(registers[REG_RIP]);
  if (rip < range_start || rip >= range_end) {
    pass_on(signal, info, context);
    return;
  }
  const auto* stack = reinterpret_cast<const uint64_t*>(registers[REG_RSP]);
  registers[REG_RIP] = static_cast<greg_t>(*stack);
  registers[REG_RSP] += 8;
  registers[REG_RAX] = 1;
}

}  // namespace

void catch_thunk_fpe(const uint8_t* start, size_t bytes) {
  CHECK(range_start == 0);
  range_start = reinterpret_cast<uint64_t>(start);
  range_end = range_start + bytes;
  struct sigaction action;
  std::memset(&action, 0, sizeof action);
  action.sa_sigaction = on_fpe;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaddset(&action.sa_mask, Attention::signal_number());  // the signal may be one of translated code
  CHECK(sigaction(SIGFPE, &action, &previous) == 0);
}

}  // namespace vireo::interp
