// Why an engine must look up from guest code, and how its thread comes to look within microseconds.
#pragma once

#include <signal.h>
#include <sys/types.h>

#include <atomic>
#include <cstdint>

namespace vireo {

/// Set from any thread and from signal handlers, or by devices during a guest's I/O access. The engine looks
/// after every instruction, or has a Running tell it when to look.
class Attention {
 public:
  enum Bit : uint32_t {
    kInterrupt = 1,  ///< the INTR pin may have gone up, or IF or the interrupt shadow changed while it is up
    kNmi = 2,        ///< NMI edge
    kExit = 4,  ///< leave run() with ExitReason::kAttention: deadline moved, reset, power-off, host request
  };
  /// What the requester has written before is visible to whoever sees the bit.
  void request(Bit bit) {
    if ((bits_.fetch_or(bit) & bit) == 0 && thread_.load() != 0) signal_other_thread();
  }
  /// For handlers of signals, too, which may have interrupted the engine's own thread. They must have
  /// signal_number() in their sa_mask, so that it comes when they have returned.
  void request_in_handler(Bit bit);
  void clear(uint32_t bits) { bits_.fetch_and(~bits); }
  uint32_t bits() const { return bits_.load(std::memory_order_acquire); }
  /// For translated code that tests the word itself.
  const std::atomic<uint32_t>* word() const { return &bits_; }

  /// The real-time signal that requests and alarms come with. Its handler does nothing on a thread that has
  /// no Running. From a POSIX timer, it first requests kExit of the Attention that sigev_value.sival_ptr
  /// points to. System calls go on (SA_RESTART); those that never do, such as poll(), fail with EINTR.
  static int signal_number();

  class Running;
  class Sleeping;

 private:
  void signal_other_thread();

  std::atomic<uint32_t> bits_{0};
  /// Whom a request has to signal; 0: nobody, because this is looked at before anything else happens.
  std::atomic<pid_t> thread_{0};
};

/// While it lives, this thread runs guest code that does not look at `attention` itself: when another thread
/// requests something, or an alarm goes off, `leave_soon` is called in signal context, on the signal stack if
/// there is one. What was requested before shows in the bits only.
class Attention::Running {
 public:
  using LeaveSoon = void (*)(void* owner, ucontext_t& context);
  Running(Attention& attention, LeaveSoon leave_soon, void* owner);
  ~Running();
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  static void on_signal(int number, siginfo_t* info, void* context);
  friend class Attention;

  Attention& attention_;
  const LeaveSoon leave_soon_;
  void* const owner_;
  const Running* const outer_;
};

/// While it lives, requests do not get lost between a look at the bits and a sleep: sleep in ppoll(),
/// pselect() or the like with mask(), if the bits are 0 now. A request then ends it with EINTR.
class Attention::Sleeping {
 public:
  explicit Sleeping(Attention& attention);
  ~Sleeping();
  Sleeping(const Sleeping&) = delete;
  Sleeping& operator=(const Sleeping&) = delete;

  const sigset_t& mask() const { return mask_; }

 private:
  Attention& attention_;
  sigset_t mask_;
};

}  // namespace vireo
