// The engine on KVM (VMX or SVM): the host's kernel runs the guest, this side has its devices. While run()
// runs, KVM has the state; before and after it is in the CpuState.
//
// Virtual time is not possible: instructions are not counted. What KVM cannot run (A20 gate closed,
// instructions that its emulator does not know) ends with ExitReason::kCannotRun. Not kept: x87 instruction
// and operand pointers, which hosts save in another form.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/engine.h"
#include "core/result.h"
#include "hwassist/kvm_memory.h"
#include "hwassist/kvm_vm.h"

namespace vireo::hwassist {

class KvmEngine final : public ExecutionEngine {
 public:
  /// `failures`: make_kvm_calls().
  static Result<std::unique_ptr<KvmEngine>> create(CpuContext& context, std::string_view failures);

  std::string_view name() const override { return "hw"; }
  ExitReason run(const RunLimits& limits) override;
  bool counts_instructions() const override { return false; }
  std::string broken() const override { return broken_; }
  bool state_lost() const override { return state_lost_; }
  std::vector<DeviceAccess> open_accesses() const override;
  void visit_stats(const std::function<void(std::string_view, uint64_t)>& visit) const override;

 private:
  KvmEngine(CpuContext& context, std::unique_ptr<KvmVm> vm);
  Result<void> set_up();
  Result<void> set_cpuid();
  Result<void> send_msrs_here();

  /// The CpuState to KVM, if it is another than save() left.
  Result<void> load();
  /// KVM's state to the CpuState.
  Result<void> save();
  Result<void> save_registers();
  Result<void> load_msrs();
  Result<void> save_msrs();
  Result<void> correct_tsc();
  /// What the guest's TSC is ahead of the host's.
  Result<void> tsc_offset(const KvmRequest& get_or_set, uint64_t& offset);

  /// Until there is a reason to leave. Nothing if KVM_RUN failed: broken_ says how.
  std::optional<ExitReason> execute();
  /// What KVM came back for. Nothing: go on.
  std::optional<ExitReason> handle_exit();
  void access_ports();
  void access_memory();
  void write_memory(Gpa address, const uint8_t* bytes, unsigned size);
  /// To devices, which KVM_RUN has gone on after.
  void tell_waiting_writes();
  void access_msr();
  /// Shadow page tables do not follow what others than the guest write: DMA to page tables, for one.
  Result<void> forget_stale_tables();
  /// Brings the instruction that a device was accessed for to its end.
  Result<void> finish_access();
  /// An NMI that has come since load(), if there is one.
  Result<void> deliver_nmi();
  /// The instruction at CS:RIP is OUT.
  bool at_out() const;
  ExitReason fail(const Error& error);

  CpuContext& context_;
  CpuState& cpu_;
  std::unique_ptr<KvmVm> vm_;
  KvmMemory memory_;
  bool has_sync_regs_ = false, has_tsc_offset_ = false;
  const bool shadow_paging_ = !has_nested_paging();
  uint64_t writes_seen_ = 0;  ///< GuestMemory::writes() that KVM's shadow page tables know of

  std::optional<CpuState> saved_;       ///< what KVM has, while it has not run since
  bool ran_ = false;                    ///< since load()
  bool access_open_ = false;            ///< KVM waits for the end of a device access
  std::vector<DeviceAccess> accesses_;  ///< of the latest exit
  bool unfinished_ = false;             ///< which KVM could not be told the end of
  bool can_inject_ = false;
  std::optional<uint8_t> acknowledged_;  ///< the vector of an interrupt that KVM would not take
  bool not_emulated_ = false;  ///< the last exit was for an instruction that KVM's emulator does not know
  std::string broken_;
  bool state_lost_ = false;

  struct Counters {
    uint64_t runs = 0, port_accesses = 0, memory_accesses = 0, msr_accesses = 0, halts = 0,
             interrupt_windows = 0;
    uint64_t signals = 0, interrupts = 0, nmis = 0, cannot_run = 0, loads = 0, saves = 0,
             tables_forgotten = 0, waiting_writes = 0;
  };
  Counters counters_;
};

}  // namespace vireo::hwassist
