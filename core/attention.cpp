#include "core/attention.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "core/check.h"

namespace vireo {

namespace {

thread_local const Attention::Running* t_running = nullptr;
thread_local pid_t t_thread = 0;

pid_t this_thread() {
  if (t_thread == 0) t_thread = static_cast<pid_t>(syscall(SYS_gettid));
  return t_thread;
}

/// The mask may come from a parent process.
void accept_signal() {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, Attention::signal_number());
  pthread_sigmask(SIG_UNBLOCK, &only, nullptr);
}

}  // namespace

int Attention::signal_number() {
  static const int number = [] {
    const int chosen = SIGRTMIN + 4;
    struct sigaction action {};
    action.sa_sigaction = Running::on_signal;
    // Translated code's stack is no place for a handler.
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART;
    sigemptyset(&action.sa_mask);
    CHECK(sigaction(chosen, &action, nullptr) == 0);
    return chosen;
  }();
  return number;
}

void Attention::signal_other_thread() {
  const pid_t thread = thread_.load();
  if (thread != 0 && thread != this_thread()) syscall(SYS_tgkill, getpid(), thread, signal_number());
}

void Attention::request_in_handler(Bit bit) {
  const int error = errno;
  bits_.fetch_or(bit);
  const pid_t thread = thread_.load();
  if (thread != 0) syscall(SYS_tgkill, getpid(), thread, signal_number());
  errno = error;
}

void Attention::Running::on_signal(int, siginfo_t* info, void* context) {
  const int error = errno;
  if (info->si_code == SI_TIMER) static_cast<Attention*>(info->si_value.sival_ptr)->request(kExit);
  if (t_running != nullptr) t_running->leave_soon_(t_running->owner_, *static_cast<ucontext_t*>(context));
  errno = error;
}

Attention::Running::Running(Attention& attention, LeaveSoon leave_soon, void* owner)
    : attention_(attention), leave_soon_(leave_soon), owner_(owner), outer_(t_running) {
  thread_local const bool accepted = (accept_signal(), true);
  static_cast<void>(accepted);
  t_running = this;
  attention_.thread_.store(this_thread());
}

Attention::Running::~Running() {
  attention_.thread_.store(0, std::memory_order_release);
  t_running = outer_;
}

Attention::Sleeping::Sleeping(Attention& attention) : attention_(attention) {
  sigset_t only;
  sigemptyset(&only);
  sigaddset(&only, signal_number());
  pthread_sigmask(SIG_BLOCK, &only, &mask_);
  sigdelset(&mask_, signal_number());
  attention_.thread_.store(this_thread());
}

Attention::Sleeping::~Sleeping() {
  attention_.thread_.store(0, std::memory_order_release);
  pthread_sigmask(SIG_SETMASK, &mask_, nullptr);
}

}  // namespace vireo
