#include "tests/fuzz/fuzz_runner.h"

#include <fmt/format.h>

#include <cstdio>
#include <utility>

#include "core/check.h"
#include "core/isa/disassemble.h"
#include "tests/differential/rng.h"
#include "tests/engines/state_diff.h"
#include "tests/fuzz/fuzz_memory.h"

namespace vireo::fuzz {
namespace {

/// Nothing if the engine came to look up by itself: a guest that does nothing but fault, or a REP instruction
/// without end. How far it gets until then, and what a fetch in between finds, is the engine's affair.
std::optional<ExitReason> run_on(FuzzMachine& machine, uint64_t limit, bool exit_requested) {
  ExitReason exit = machine.run(limit);
  if (exit == ExitReason::kAttention && exit_requested) exit = machine.run(limit);
  return exit == ExitReason::kAttention ? std::nullopt : std::optional(exit);
}

}  // namespace

FuzzRunner::FuzzRunner(Options options, testing::Watchdog& watchdog, uint64_t first, Counters& counters)
    : options_(std::move(options)),
      watchdog_(watchdog),
      initial_ram_(initial_ram(options_.seed)),
      machines_(make_machines()),
      first_(first),
      counters_(counters) {}

std::string FuzzRunner::alone(uint64_t number) const {
  return fmt::format("--seed {} --instructions {} --case {}", options_.seed, options_.most_instructions,
                     number);
}

std::string FuzzRunner::with_history(uint64_t number) const {
  return fmt::format("--seed {} --instructions {} --first {} --cases {}", options_.seed,
                     options_.most_instructions, first_, number - first_ + 1);
}

FuzzRunner::Machines FuzzRunner::make_machines() const {
  Machines machines;
  machines.push_back(FuzzMachine::create(options_.oracle).take());
  for (const std::string& name : options_.engines) {
    if (name != options_.oracle) machines.push_back(FuzzMachine::create(name).take());
  }
  return machines;
}

bool FuzzRunner::run_case(uint64_t number) {
  counters_.current = number;
  diff::Rng rng = diff::Rng::for_case(options_.seed, "fuzz", number);
  const FuzzCase c = generate_case(rng, options_.most_instructions);
  watchdog_.begin([this, number, &c] {
    return fmt::format("{}: {}, or with history: {}", mode_name(c.mode), alone(number), with_history(number));
  });
  if (options_.show) report(number, c, "");
  auto failure = check(machines_, c);
  counters_.cases++;
  counters_.modes[c.mode]++;
  counters_.instructions += machines_[0]->cpu().retired;
  counters_.shutdowns += machines_[0]->cpu().shutdown;
  counters_.halts += machines_[0]->cpu().halted;
  watchdog_.idle();
  if (!failure) return true;
  counters_.failures++;
  // At once: shrinking takes its time.
  fmt::print("\ndifference in a case: {}, or with history: {}\n", alone(number), with_history(number));
  std::fflush(stdout);
  FuzzCase least = c;
  if (check_fresh(c))
    shrink(least, *failure);
  else
    *failure += fmt::format("  not by itself: repeat with {}\n", with_history(number));
  report(number, least, *failure);
  machines_ = make_machines();
  first_ = number + 1;
  return false;
}

std::optional<std::string> FuzzRunner::check_fresh(const FuzzCase& c) {
  Machines machines = make_machines();
  return check(machines, c);
}

std::optional<std::string> FuzzRunner::check(Machines& machines, const FuzzCase& c) {
  FuzzMachine& oracle = *machines[0];
  for (auto& machine : machines) machine->load(c, initial_ram_);
  bool exit_requested = false;
  for (const FuzzCase::Event& event : c.events) {
    const auto wanted = run_on(oracle, event.retired, exit_requested);
    bool endless = !wanted;
    for (size_t i = 1; i < machines.size(); i++) {
      FuzzMachine& machine = *machines[i];
      const auto exit = run_on(machine, event.retired, exit_requested);
      endless |= !exit;
      if (endless) continue;
      const bool last = &event == &c.events.back();
      const auto states = testing::compare_states(oracle.cpu(), machine.cpu());
      const auto ram = last ? testing::compare_ram(oracle.ram(), machine.ram()) : decltype(states){};
      const bool same_accesses = oracle.device_state() == machine.device_state();
      if (states.empty() && ram.empty() && same_accesses && exit == wanted) continue;
      std::string text = fmt::format("  after {} instructions, run() gave {} and {}\n", event.retired,
                                     static_cast<int>(*wanted), static_cast<int>(*exit));
      text += testing::side_by_side(oracle.engine(), oracle.cpu(), machine.engine(), machine.cpu());
      if (!same_accesses) text += "  * the device has been accessed differently\n";
      for (const auto& d : ram) text += fmt::format("  * memory {}: {} {}\n", d.key, d.a, d.b);
      return text;
    }
    if (endless) {
      counters_.endless++;
      return std::nullopt;
    }
    exit_requested = event.kind == FuzzCase::Event::Kind::kExit;
    for (auto& machine : machines) machine->raise(event);
  }
  return std::nullopt;
}

void FuzzRunner::shrink(FuzzCase& c, std::string& failure) {
  constexpr unsigned kMostTries = 400;
  unsigned tries = 0;
  const auto still_fails = [&](const FuzzCase& candidate) {
    tries++;
    auto found = check_fresh(candidate);
    if (!found) return false;
    c = candidate;
    failure = std::move(*found);
    return true;
  };
  for (size_t i = c.events.size(); i > 1 && tries < kMostTries; i--) {
    FuzzCase candidate = c;
    candidate.events.erase(candidate.events.begin() + static_cast<std::ptrdiff_t>(i - 2));
    still_fails(candidate);
  }
  for (size_t size = c.pieces.size() / 2; size > 0 && tries < kMostTries;) {
    bool any = false;
    for (size_t at = 0; at < c.pieces.size() && tries < kMostTries;) {
      FuzzCase candidate = c;
      const auto first = candidate.pieces.begin() + static_cast<std::ptrdiff_t>(at);
      candidate.pieces.erase(first,
                             first + static_cast<std::ptrdiff_t>(std::min(size, c.pieces.size() - at)));
      if (!candidate.pieces.empty() && still_fails(candidate))
        any = true;
      else
        at += size;
    }
    if (!any || size > 1) size /= 2;
  }
  // Where it begins to differ.
  uint64_t passes = c.events.size() > 1 ? c.events[c.events.size() - 2].retired : 0;
  while (c.events.back().retired - passes > 1) {
    FuzzCase candidate = c;
    const uint64_t middle = passes + (c.events.back().retired - passes) / 2;
    candidate.events.back().retired = middle;
    if (!still_fails(candidate)) passes = middle;
  }
}

void FuzzRunner::report(uint64_t number, const FuzzCase& c, const std::string& failure) const {
  fmt::print("\n{}: {}\n", mode_name(c.mode), alone(number));
  for (const FuzzCase::Event& event : c.events) {
    fmt::print("  event {} (vector {:#x}) after {} instructions\n", static_cast<int>(event.kind),
               event.vector, event.retired);
  }
  const auto code = c.code();
  auto eip = static_cast<uint32_t>(c.start.rip);
  for (const auto& piece : c.pieces) {
    std::string bytes;
    for (uint8_t byte : piece) bytes += fmt::format("{:02x} ", byte);
    fmt::print("  {:08x}  {:32}{}\n", eip, bytes,
               piece.size() > 1 ? isa::disassemble(piece, c.code_size, eip) : "");
    eip += static_cast<uint32_t>(piece.size());
  }
  fmt::print("  cr0 {:08x} cr4 {:08x} eflags {:08x} esp {:08x} dr7 {:08x}\n{}", c.start.cr0, c.start.cr4,
             c.start.rflags, c.start.reg(Gpr::kRsp), c.start.dr[7], failure);
  for (const FuzzCase::PageEntry& e : c.page_entries)
    fmt::print("  page entry at {:#x}: {:#x}\n", e.at, e.value);
  std::fflush(stdout);
}

bool FuzzRunner::check_canaries(uint64_t number) {
  for (const auto& machine : machines_) {
    if (machine->canaries_intact()) continue;
    fmt::print("\n{} wrote outside the guest's RAM in one of these cases: {}\n", machine->engine(),
               with_history(number));
    counters_.failures++;
    return false;
  }
  return true;
}

}  // namespace vireo::fuzz
