#include "tests/differential/program_runner.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <utility>

#include "core/isa/decode.h"
#include "core/isa/insn_row.h"
#include "tests/differential/arena.h"
#include "tests/differential/compare.h"
#include "tests/differential/pristine.h"
#include "tests/differential/program_generator.h"
#include "tests/differential/row_pool.h"
#include "tests/engines/state_diff.h"

namespace vireo::diff {
namespace {

using isa::Mnemonic;

constexpr uint8_t kBreakpoint = 3;
/// Longer programs are compared at this point.
constexpr uint64_t kMostInstructions = 4000;

/// To `retired` or to the end, however often the engine looks up in between.
ExitReason run_on(EngineCpu& cpu, uint64_t retired) {
  constexpr unsigned kMostExits = 1000;
  ExitReason exit = ExitReason::kAttention;
  for (unsigned i = 0; i < kMostExits && exit == ExitReason::kAttention; i++) exit = cpu.run_to(retired);
  return exit;
}

/// Its result is the host kernel's or another CPU model's affair, or enters the kernel.
bool is_the_hosts_own(const isa::Insn& insn, const CpuState& cpu) {
  switch (insn.mnemonic) {
    case Mnemonic::SYSENTER:
    case Mnemonic::SYSCALL:
    case Mnemonic::VMCALL:
    case Mnemonic::VMMCALL:
    case Mnemonic::RDTSC:
    case Mnemonic::RDTSCP:
    case Mnemonic::CPUID:
    case Mnemonic::RDPMC:
    case Mnemonic::SGDT:
    case Mnemonic::SIDT:
    case Mnemonic::SMSW:
    case Mnemonic::SLDT:
    case Mnemonic::STR:
    case Mnemonic::ENCLU:
    // They store FDP and FOP, which not all CPUs keep.
    case Mnemonic::FNSTENV:
    case Mnemonic::FNSAVE:
    case Mnemonic::FXSAVE:
      return true;
    case Mnemonic::INT:
      return (insn.imm & 0xff) == 0x80;
    case Mnemonic::IRET:
      return cpu.rflags & rflags::kNt;
    default:
      return !comparable(isa::row(insn));
  }
}

}  // namespace

ProgramRunner::ProgramRunner(EngineCpu& oracle, std::vector<EngineCpu*> engines, CompatCpu* native,
                             testing::Watchdog& watchdog, uint64_t seed)
    : oracle_(oracle),
      engines_(std::move(engines)),
      native_(native),
      watchdog_(watchdog),
      seed_(seed),
      pristine_(pristine_arena(seed)) {
  std::memcpy(oracle_.memory().data(), pristine_.data(), kMemoryBytes);
  for (EngineCpu* engine : engines_) std::memcpy(engine->memory().data(), pristine_.data(), kMemoryBytes);
  if (native_) std::memcpy(native_->memory().data(), pristine_.data(), kMemoryBytes);
}

bool ProgramRunner::run_program(uint64_t number) {
  watchdog_.begin([this, number] { return fmt::format("--seed {} --case {}", seed_, number); });
  Rng rng = Rng::for_case(seed_, "program", number);
  Program program = generate_program(rng);
  Assembly assembly = assemble(program);
  Trace result = trace(program, assembly);
  const bool faults_wanted = rng.chance(15);
  constexpr unsigned kMostPruned = 60;
  for (unsigned i = 0; i < kMostPruned && !faults_wanted && prune(program, assembly, result); i++) {
  }
  counters_.programs++;
  counters_.instructions += result.retired;
  counters_.endless += !result.ended;
  counters_.to_the_end += result.ended && result.outcome.vector == kBreakpoint;
  counters_.native += native_ && result.for_native;
  if (show) fmt::print("{}{}", listing(program, assembly), registers(program.before));
  const uint64_t check_seed = rng.next();
  auto failure = check(check_seed, program, assembly, result);
  if (failure) {
    counters_.failures++;
    watchdog_.idle();
    shrink(check_seed, program, assembly, *failure);
    report(number, program, assembly, *failure);
  }
  clear_code();
  watchdog_.idle();
  return !failure;
}

void ProgramRunner::put_code(uint32_t linear, std::span<const uint8_t> bytes) {
  const auto room = bytes.first(std::min<size_t>(bytes.size(), kCodeEnd - linear));
  oracle_.write_code(linear, room);
  for (EngineCpu* engine : engines_) engine->write_code(linear, room);
  if (native_) std::copy(room.begin(), room.end(), native_->memory().begin() + (linear - kArena));
}

void ProgramRunner::clear_code() {
  if (code_bytes_ != 0) put_code(code_linear_, std::vector<uint8_t>(code_bytes_, kTrapByte));
  code_bytes_ = 0;
}

void ProgramRunner::load(const Program& program, const Assembly& assembly) {
  clear_code();
  code_linear_ = program.code_linear;
  code_bytes_ = assembly.code.size();
  put_code(code_linear_, assembly.code);
}

void ProgramRunner::plant_data(std::span<uint8_t> memory, const Program& program,
                               const Assembly& assembly) const {
  restore_data_pages(memory, pristine_);
  for (const Patch& patch : program.patches) patch_data(memory, patch.linear, patch.bytes);
  for (const Patch& patch : assembly.tables) patch_data(memory, patch.linear, patch.bytes);
}

void ProgramRunner::start(EngineCpu& cpu, const Program& program, const Assembly& assembly) const {
  plant_data(cpu.memory(), program, assembly);
  cpu.reset_system();
  cpu.start(program.before);
}

ProgramRunner::Trace ProgramRunner::trace(const Program& program, const Assembly& assembly) {
  load(program, assembly);
  start(oracle_, program, assembly);
  Trace result;
  const CpuState& cpu = oracle_.state();
  while (cpu.cpl == 3 && cpu.retired < kMostInstructions) {
    const Segment& cs = cpu.segment(SegReg::kCs);
    result.last_linear = static_cast<uint32_t>(cs.base + cpu.rip);
    // In long mode it is a segment of 64-bit code.
    if ((cs.selector & ~3) == (kUserCode64 & ~3)) result.for_native = false;
    const uint32_t begin = result.last_linear - kArena, end = kCodeEnd - kArena;
    if (begin >= kCodeBegin - kArena && begin < end) {
      isa::Insn insn;
      const auto size = cs.big() ? isa::CodeSize::k32 : isa::CodeSize::k16;
      const auto status = isa::decode(oracle_.memory().subspan(begin, end - begin), size, insn);
      if (status == isa::DecodeStatus::kUndefined) result.for_native = false;
      if (status == isa::DecodeStatus::kOk && is_the_hosts_own(insn, cpu)) result.for_native = false;
    }
    if (run_on(oracle_, cpu.retired + 1) == ExitReason::kAttention) break;
  }
  if (cpu.cpl == 0) result.ended = run_on(oracle_, cpu.retired + 1) == ExitReason::kHalt || cpu.halted;
  result.retired = cpu.retired;
  result.outcome = oracle_.outcome();
  return result;
}

/// Takes out what keeps the program from reaching its end; false if nothing does, or nothing more can be
/// done.
bool ProgramRunner::prune(Program& program, Assembly& assembly, Trace& result) {
  if (!result.ended) {
    bool found = false;
    for (size_t i = 0; i < program.items.size(); i++) {
      ProgramItem& item = program.items[i];
      if (item.present && item.target == ProgramItem::Target::kRelative && program.labels[item.label] <= i) {
        item.present = false;
        found = true;
      }
    }
    if (!found) return false;
  } else {
    if (result.outcome.vector == kBreakpoint) return false;
    const auto item = assembly.item_at(program, result.last_linear);
    if (!item) return false;
    program.items[*item].present = false;
  }
  assembly = assemble(program);
  result = trace(program, assembly);
  return true;
}

std::optional<ProgramRunner::Failure> ProgramRunner::check(uint64_t seed, const Program& program,
                                                           const Assembly& assembly, const Trace& result) {
  Rng rng(seed);
  if (native_ && result.for_native && result.ended && !EngineCpu::faulted_in_system(result.outcome)) {
    if (auto failure = check_native(program, assembly, result)) return failure;
  }
  for (EngineCpu* engine : engines_) {
    if (auto failure = check_engine(rng, *engine, program, assembly, result)) return failure;
  }
  return std::nullopt;
}

std::optional<ProgramRunner::Failure> ProgramRunner::check_native(const Program& program,
                                                                  const Assembly& assembly,
                                                                  const Trace& result) {
  start(oracle_, program, assembly);
  run_on(oracle_, result.retired);
  Outcome native;
  // What it does only once cannot be the program's doing.
  for (unsigned tries = 0; tries < 2; tries++) {
    plant_data(native_->memory(), program, assembly);
    native = native_->run_program(program.before);
    if (same(native, result.outcome, native_->memory(), oracle_.memory())) return std::nullopt;
  }
  Failure failure{"the host CPU", side_by_side(program.before, native, result.outcome)};
  for (const Difference& d : compare(native, result.outcome, native_->memory(), oracle_.memory())) {
    failure.text += fmt::format("  * {}: native {} engine {}\n", d.key, d.native, d.engine);
  }
  return failure;
}

std::optional<ProgramRunner::Failure> ProgramRunner::compare_with_oracle(const EngineCpu& engine,
                                                                         const std::string& how) const {
  const auto states = testing::compare_states(oracle_.state(), engine.state());
  const auto ram = testing::compare_ram(oracle_.ram(), engine.ram());
  if (states.empty() && ram.empty()) return std::nullopt;
  Failure failure{fmt::format("{}, {}", engine.engine(), how),
                  testing::side_by_side(oracle_.engine(), oracle_.state(), engine.engine(), engine.state())};
  for (const auto& d : ram) {
    failure.text += fmt::format("  * memory, physical {}: {} {}, {} {}\n", d.key, oracle_.engine(), d.a,
                                engine.engine(), d.b);
  }
  return failure;
}

std::optional<ProgramRunner::Failure> ProgramRunner::check_engine(Rng& rng, EngineCpu& engine,
                                                                  const Program& program,
                                                                  const Assembly& assembly,
                                                                  const Trace& result) {
  // An ended program stands in its handler's HLT, whatever the limit.
  const uint64_t limit = result.ended ? result.retired + 100 : result.retired;
  const ExitReason wanted = result.ended ? ExitReason::kHalt : ExitReason::kRetiredLimit;
  start(oracle_, program, assembly);
  run_on(oracle_, limit);
  constexpr unsigned kRuns = 3, kCuts = 3;
  for (unsigned i = 1; i <= kRuns; i++) {
    start(engine, program, assembly);
    const ExitReason exit = run_on(engine, limit);
    if (auto failure = compare_with_oracle(engine, fmt::format("run {}", i))) return failure;
    if (exit != wanted)
      return Failure{std::string(engine.engine()), fmt::format("  run() gave {}\n", static_cast<int>(exit))};
  }
  start(engine, program, assembly);
  while (engine.state().retired < limit && !engine.state().halted) {
    run_on(engine, std::min(limit, engine.state().retired + 1 + rng.below(9)));
    if (engine.state().shutdown) break;
  }
  if (auto failure = compare_with_oracle(engine, "in small pieces")) return failure;
  for (unsigned i = 0; i < kCuts; i++) {
    const uint64_t cut = rng.below(static_cast<uint32_t>(result.retired) + 1);
    for (EngineCpu* cpu : {&oracle_, &engine}) {
      start(*cpu, program, assembly);
      run_on(*cpu, cut);
    }
    if (auto failure = compare_with_oracle(engine, fmt::format("after {} instructions", cut))) return failure;
    for (EngineCpu* cpu : {&oracle_, &engine}) run_on(*cpu, limit);
    if (auto failure = compare_with_oracle(engine, fmt::format("interrupted after {} instructions", cut)))
      return failure;
  }
  return std::nullopt;
}

/// Takes out all that the failure does not need.
void ProgramRunner::shrink(uint64_t seed, Program& program, Assembly& assembly, Failure& failure) {
  constexpr unsigned kMostTries = 2000;
  unsigned tries = 0;
  const auto still_fails = [&](Program& candidate) {
    tries++;
    Assembly code = assemble(candidate);
    watchdog_.begin([&] { return "while shrinking:\n" + listing(candidate, code); });
    auto found = check(seed, candidate, code, trace(candidate, code));
    watchdog_.idle();
    if (!found) return false;
    program = candidate;
    assembly = std::move(code);
    failure = std::move(*found);
    return true;
  };
  for (size_t size = program.items.size() / 2; size > 0 && tries < kMostTries;) {
    bool any = false;
    for (size_t at = 0; at < program.items.size() && tries < kMostTries; at += size) {
      Program candidate = program;
      bool changed = false;
      for (size_t i = at; i < std::min(at + size, program.items.size()); i++) {
        changed |= std::exchange(candidate.items[i].present, false);
      }
      if (changed) any |= still_fails(candidate);
    }
    if (!any || size > 1) size /= 2;
  }
  for (size_t i = program.patches.size(); i > 0 && tries < kMostTries; i--) {
    Program candidate = program;
    candidate.patches.erase(candidate.patches.begin() + static_cast<std::ptrdiff_t>(i - 1));
    still_fails(candidate);
  }
}

void ProgramRunner::report(uint64_t number, const Program& program, const Assembly& assembly,
                           const Failure& failure) const {
  fmt::print("\nFAILED against {}; repeat with --seed {} --case {}\n", failure.who, seed_, number);
  fmt::print("{}{}{}", listing(program, assembly), registers(program.before), failure.text);
  std::fflush(stdout);
}

}  // namespace vireo::diff
