// A front end reaches a busy machine at once, from other threads and from signal handlers.
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <atomic>
#include <stdexcept>
#include <thread>

#include "core/attention.h"
#include "core/machine/machine.h"
#include "tests/unit/memory_backend.h"

namespace vireo {
namespace {

/// Boots a sector that loops for ever. The regular polls are so far apart that none comes in the test.
class BusyMachine {
 public:
  explicit BusyMachine(const char* engine) {
    MemoryMedium diskette(1440 * 1024);
    const uint8_t loop[] = {0x41, 0xeb, 0xfd};  // inc cx; jmp $ - 1
    std::copy(std::begin(loop), std::end(loop), diskette.bytes.begin());
    diskette.bytes[510] = 0x55;
    diskette.bytes[511] = 0xaa;
    MachineConfig config;
    config.engine = engine;
    config.clock = ClockKind::kVirtual;
    config.virtual_mips = kMips;
    config.memory_mib = 16;
    MachineIo io;
    io.floppy[0] = std::make_unique<MemoryBackend>(diskette);
    auto created = Machine::create(config, std::move(io));
    if (!created) throw std::runtime_error(created.error().message);
    machine = created.take();
  }

  /// `request` has to make the n-th poll happen when called with n - 1, for n up to `times`.
  void expect_polls(int times, const std::function<void()>& request) {
    std::atomic<int> polls = 0;
    std::thread other([&] {
      for (int i = 1; i <= times; ++i) {
        while (polls < i) std::this_thread::yield();
        for (std::atomic<int> spin = 0; spin < i * 200;) ++spin;
        request();
      }
    });
    uint64_t before = 0, longest = 0;
    const MachineStop stop = machine->run(
        [&] {
          longest = std::max(longest, machine->cpu().retired - before);
          before = machine->cpu().retired;
          return ++polls <= times;
        },
        [](VirtualNs, const sigset_t&) {});
    other.join();
    EXPECT_EQ(stop, MachineStop::kAsked);
    EXPECT_LT(longest, kMips * (Machine::kPollInterval / 1000));
    EXPECT_GT(machine->cpu().retired, 0u);
  }

  static constexpr unsigned kMips = 100'000'000;
  std::unique_ptr<Machine> machine;
};

class RequestPoll : public testing::TestWithParam<const char*> {};

TEST_P(RequestPoll, FromAnotherThread) {
  BusyMachine busy(GetParam());
  busy.expect_polls(60, [&] { busy.machine->request_poll(); });
}

std::atomic<Machine*> g_signalled = nullptr;

TEST_P(RequestPoll, FromASignalHandlerOnTheMachinesThread) {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { g_signalled.load()->request_poll(); };
  action.sa_flags = SA_ONSTACK;
  sigaddset(&action.sa_mask, Attention::signal_number());
  ASSERT_EQ(sigaction(SIGUSR1, &action, &before), 0);
  BusyMachine busy(GetParam());
  g_signalled = busy.machine.get();
  const pthread_t thread = pthread_self();
  busy.expect_polls(60, [&] { pthread_kill(thread, SIGUSR1); });
  sigaction(SIGUSR1, &before, nullptr);
}

TEST_P(RequestPoll, TwoMachinesInTwoThreads) {
  const auto body = [] {
    BusyMachine busy(GetParam());
    busy.expect_polls(40, [&] { busy.machine->request_poll(); });
  };
  std::thread one(body);
  body();
  one.join();
}

TEST_P(RequestPoll, BeforeTheRunIsNotLost) {
  BusyMachine busy(GetParam());
  int polls = 0;
  busy.machine->run([&] { return ++polls < 1; }, [](VirtualNs, const sigset_t&) {});
  busy.machine->request_poll();
  const uint64_t retired = busy.machine->cpu().retired;
  EXPECT_EQ(busy.machine->run([] { return false; }, [](VirtualNs, const sigset_t&) {}), MachineStop::kAsked);
  EXPECT_EQ(busy.machine->cpu().retired, retired);
}

INSTANTIATE_TEST_SUITE_P(Engines, RequestPoll, testing::Values("interp", "bt"),
                         [](const auto& info) { return std::string(info.param); });

}  // namespace
}  // namespace vireo
