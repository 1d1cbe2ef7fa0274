// What ATA disks and ATAPI drives have in common: the command block registers, the PIO and DMA protocols,
// resets. Source: ATA/ATAPI-6 (T13/1410D), clauses 7 (registers), 9 (protocols).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "core/scheduler.h"
#include "core/state_archive.h"

namespace vireo {

/// What moves data between a drive and memory while a DMA command runs: the bus master.
class IdeDma {
 public:
  virtual ~IdeDma() = default;
  /// How many bytes went through. Less than asked: the host's descriptors end here, or the channel is
  /// stopped.
  virtual size_t to_memory(std::span<const uint8_t> bytes) = 0;
  virtual size_t from_memory(std::span<uint8_t> bytes) = 0;
};

/// The cable, as a drive sees it.
class IdeCable {
 public:
  virtual ~IdeCable() = default;
  /// The drive's interrupt() changed.
  virtual void interrupt_changed() = 0;
  /// The drive entered a DMA data phase; the cable answers with AtaDevice::dma_start() now or later.
  virtual void dma_requested() = 0;
  virtual IdeDma& dma() = 0;
};

/// The register file and protocol state machine of one drive. A command runs as: write of the command
/// register -> BSY for a while of virtual time -> execute() -> any of the data phases -> complete() or
/// abort().
class AtaDevice {
 public:
  explicit AtaDevice(Scheduler& scheduler);
  virtual ~AtaDevice() = default;

  enum Register : uint8_t {
    kErrorFeatures = 1,
    kSectorCount,
    kLbaLow,
    kLbaMid,
    kLbaHigh,
    kDevice,
    kStatusCommand
  };

  static constexpr uint8_t kBusy = 0x80, kReady = 0x40, kFault = 0x20, kSeekDone = 0x10, kDataRequest = 0x08,
                           kError = 0x01;
  static constexpr uint8_t kUncorrectable = 0x40, kIdNotFound = 0x10, kAborted = 0x04;

  // --- the cable's side --------------------------------------------------------------------------
  /// `unit` 0 is the master.
  void connect(IdeCable& cable, unsigned unit);
  /// kErrorFeatures to kDevice; `previous` selects the high-order bytes (device control bit HOB).
  uint8_t read_register(unsigned reg, bool previous) const;
  void write_register(unsigned reg, uint8_t value);
  uint8_t status() const { return status_; }
  void command(uint8_t opcode);
  /// `size` 1, 2 or 4 bytes of the data register.
  uint32_t read_data(unsigned size);
  void write_data(unsigned size, uint32_t value);
  /// INTRQ before the gate nIEN.
  bool interrupt() const { return interrupt_; }
  void acknowledge_interrupt();
  /// Device control bit SRST.
  void set_software_reset(bool asserted);
  void hardware_reset();
  /// EXECUTE DEVICE DIAGNOSTIC, which both drives obey. The master answers for both.
  void diagnose();
  /// The bus master is (or stops being) ready to move data.
  void dma_start();
  void dma_stop();
  bool dma_waiting() const { return phase_ == Phase::kDmaWait; }

  virtual void state(StateArchive& ar);

 protected:
  // --- for commands ------------------------------------------------------------------------------
  struct TaskFile {
    uint8_t features, sector_count, lba_low, lba_mid, lba_high;
  };

  /// Runs the command in opcode(), after its delay. Ends in one of the calls below.
  virtual void execute(uint8_t opcode) = 0;
  /// How long the drive thinks before execute().
  virtual VirtualNs command_delay(uint8_t opcode) const = 0;
  /// The host has read the block offered by offer_block().
  virtual void block_read() = 0;
  /// The host has written the block asked for by request_block().
  virtual void block_written() = 0;
  /// continue_after() has passed.
  virtual void continue_command() = 0;
  /// The bus master is ready and the time of start_dma() has passed: move the data, then complete() or
  /// abort().
  virtual void transfer_dma(IdeDma& dma) = 0;
  /// Stops what is running; settings that the reset changes go back.
  virtual void on_reset(bool hardware) = 0;
  /// What the signature leaves in LBA mid and high, and the status after a reset.
  virtual uint16_t signature() const = 0;
  virtual uint8_t status_after_reset() const = 0;
  /// Commands that a device accepts while busy (DEVICE RESET).
  virtual bool accepts_while_busy(uint8_t) const { return false; }

  /// Data for the host: bytes [0, size) of buffer(). Sets DRQ; `interrupt` as the protocol has it.
  void offer_block(size_t size, bool interrupt);
  void request_block(size_t size, bool interrupt);
  void continue_after(VirtualNs delay);
  /// Enters the DMA data phase; once the bus master is ready, transfer_dma() runs after `delay`.
  void start_dma(VirtualNs delay);
  /// Back to idle without error.
  void complete(bool interrupt = true);
  /// Back to idle with ERR (and `extra_status`, as DF) and `error_bits`.
  void abort(uint8_t error_bits = kAborted, uint8_t extra_status = 0);
  void place_signature();

  std::vector<uint8_t>& buffer() { return buffer_; }
  TaskFile& task() { return task_; }
  TaskFile& previous_task() { return previous_task_; }
  uint8_t& device_register() { return device_; }
  uint8_t& error_register() { return error_; }
  uint8_t& status_register() { return status_; }
  uint8_t opcode() const { return opcode_; }
  unsigned unit() const { return unit_; }

 private:
  enum class Phase : uint8_t {
    kIdle,
    kCommandDelay,
    kDataIn,
    kDataOut,
    kContinueDelay,
    kDmaWait,
    kDmaDelay,
    kReset
  };

  void on_timer();
  void set_interrupt(bool level);
  void go_idle(uint8_t status);
  void begin_reset(bool hardware);

  Timer timer_;
  IdeCable* cable_ = nullptr;
  unsigned unit_ = 0;

  Phase phase_ = Phase::kIdle;
  TaskFile task_{}, previous_task_{};
  uint8_t device_ = 0, error_ = 0, status_ = 0, opcode_ = 0;
  bool interrupt_ = false;
  VirtualNs dma_delay_ = 0;
  std::vector<uint8_t> buffer_;
  size_t position_ = 0, end_ = 0;
};

}  // namespace vireo
