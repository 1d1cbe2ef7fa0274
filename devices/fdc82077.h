// Intel 82077AA floppy disk controller in PC/AT mode, with two drives on it.
// Source: Intel 82077AA datasheet (order 290166), chapters 2 (registers), 4 (controller phases), 5
// (commands).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/device.h"
#include "core/host_io.h"
#include "core/irq_line.h"
#include "core/scheduler.h"
#include "devices/dma_channel.h"
#include "devices/floppy_format.h"

namespace vireo {

class Fdc82077 final : public Device {
 public:
  static constexpr unsigned kDrives = 2;

  /// `irq` is wired to IRQ6, `dma` is channel 2 of the first 8237.
  Fdc82077(Scheduler& scheduler, IrqLine irq, DmaChannel& dma);

  // --- set-up and media, from outside the guest --------------------------------------------------
  /// Connects a drive; before power-on.
  void connect(unsigned drive, FloppyDriveType type);
  /// Puts a diskette in (the old one, if any, comes out). The backend's size is one of kFloppyFormats
  /// (CHECK).
  void insert(unsigned drive, std::unique_ptr<BlockBackend> medium);
  /// Takes the diskette out; null if there was none.
  std::unique_ptr<BlockBackend> eject(unsigned drive);

  // --- what the board maps -----------------------------------------------------------------------
  /// Ports 0x3f0 to 0x3f5.
  IoRegion& registers() { return registers_; }
  /// Port 0x3f7: digital input (read), configuration control (write).
  IoRegion& digital_input() { return digital_input_; }

  std::string_view name() const override { return "fdc82077"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  static constexpr unsigned kSelects = 4;  ///< what the two select bits can name
  static constexpr unsigned kSectorBytes = FloppyFormat::kSectorBytes;

  enum class Phase : uint8_t { kCommand, kExecution, kResult };
  enum class Transfer : uint8_t { kRead, kReadDeleted, kWrite, kReadTrack, kVerify, kFormat, kReadId };
  enum class SectorStatus : uint8_t { kFound, kNoAddressMark, kNoData, kWrongCylinder };
  struct Command;
  /// The sector ID field (C, H, R, N).
  struct SectorId {
    uint8_t cylinder = 0, head = 0, sector = 0, size_code = 0;
  };
  struct Drive {
    FloppyDriveType type = FloppyDriveType::kNone;
    std::unique_ptr<BlockBackend> medium;
    std::optional<FloppyFormat> format;
    uint8_t head_cylinder = 0;     ///< where the heads are
    uint8_t present_cylinder = 0;  ///< PCN: where the controller believes they are
    bool changed = true;           ///< the disk change line
    bool seeking = false;
    uint8_t seek_target = 0;
    bool recalibrating = false;
    bool seek_ended = false;  ///< SENSE INTERRUPT STATUS has not told yet
    uint8_t seek_status = 0;  ///< ST0 that it will tell

    bool there() const { return type != FloppyDriveType::kNone; }
    uint8_t last_cylinder() const;
    /// Which cylinder of the medium is below the heads.
    uint8_t medium_cylinder() const;
    bool double_steps() const;
    void move_heads(int steps);
    void state(StateArchive& ar);
  };

  uint8_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint8_t value);
  uint8_t read_digital_input(uint32_t offset);
  void write_configuration_control(uint32_t offset, uint8_t value);

  // --- registers and phases (fdc82077.cpp)
  bool in_reset() const;
  void write_dor(uint8_t value);
  uint8_t main_status() const;
  uint8_t read_fifo();
  void write_fifo(uint8_t value);
  void begin_software_reset();
  void end_software_reset();
  void set_interrupt(bool pending);
  void enter_command_phase();
  void enter_result_phase(std::initializer_list<uint8_t> bytes, bool interrupt);

  // --- commands without data (fdc82077_commands.cpp)
  static const Command* find_command(uint8_t opcode);
  void invalid_command();
  void specify();
  void sense_drive_status();
  void sense_interrupt_status();
  void recalibrate();
  void seek();
  void relative_seek();
  void start_seek(unsigned select, uint8_t target, bool recalibrate);
  void end_seek(unsigned select);
  void configure();
  void version();
  void dump_registers();
  void perpendicular_mode();
  void lock();

  // --- commands with data (fdc82077_transfer.cpp)
  void read_data() { begin_transfer(Transfer::kRead); }
  void read_deleted_data() { begin_transfer(Transfer::kReadDeleted); }
  void write_data() { begin_transfer(Transfer::kWrite); }
  void read_track() { begin_transfer(Transfer::kReadTrack); }
  void verify() { begin_transfer(Transfer::kVerify); }
  void read_id();
  void format_track();
  void begin_transfer(Transfer transfer);
  void transfer_step();
  void read_sector();
  void request_bytes(size_t count);
  void bytes_exchanged(bool terminal_count);
  void store_sector(bool terminal_count);
  void format_sector(bool terminal_count);
  void sector_done(bool terminal_count);
  bool next_sector();
  bool transfer_by_dma(bool to_host, bool& terminal_count);
  bool data_rate_fits(const Drive& drive) const;
  SectorStatus find_sector(const SectorId& id, uint64_t& offset);
  void end_transfer(uint8_t st0, uint8_t st1, uint8_t st2);
  void fail_transfer(SectorStatus status);
  bool non_dma() const { return (hlt_nd_ & 1) != 0; }
  Drive& transfer_drive() { return drives_[transfer_select_]; }

  IrqLine irq_;
  DmaChannel& dma_;
  std::array<Drive, kSelects> drives_;
  Timer execution_timer_;
  Timer reset_timer_;
  std::array<Timer, kSelects> seek_timers_;

  uint8_t dor_ = 0, tdr_ = 0;
  FloppyRate rate_ = FloppyRate::k250;
  bool interrupt_pending_ = false;
  uint8_t resets_to_tell_ = 0;  ///< SENSE INTERRUPT STATUS answers due after a reset, one for each select

  Phase phase_ = Phase::kCommand;
  std::vector<uint8_t> command_;  ///< bytes so far
  std::vector<uint8_t> result_;   ///< bytes to come, last one first

  // What SPECIFY, CONFIGURE, PERPENDICULAR MODE and LOCK have set; all as in their bytes.
  uint8_t srt_hut_ = 0, hlt_nd_ = 0;
  uint8_t configuration_ = 0, precompensation_track_ = 0, perpendicular_ = 0;
  bool locked_ = false;
  uint8_t sc_or_eot_ = 0;  ///< for DUMPREG

  Transfer transfer_ = Transfer::kRead;
  uint8_t transfer_select_ = 0;
  uint8_t transfer_head_ = 0;  ///< side (HDS)
  SectorId id_;
  uint8_t end_of_track_ = 0;
  bool multi_track_ = false, skip_ = false, mfm_ = true;
  uint8_t sectors_left_ = 0;  ///< VERIFY with EC, FORMAT TRACK
  uint8_t fill_byte_ = 0;
  uint8_t ids_passed_ = 0;      ///< READ ID: sectors that have gone by
  std::vector<uint8_t> bytes_;  ///< of the sector (or FORMAT's ID) between host and medium
  size_t byte_position_ = 0;
  bool bytes_ready_ = false;  ///< non-DMA mode: the FIFO wants service

  ByteRegion<Fdc82077, &Fdc82077::read_register, &Fdc82077::write_register> registers_{*this};
  ByteRegion<Fdc82077, &Fdc82077::read_digital_input, &Fdc82077::write_configuration_control> digital_input_{
      *this};
};

}  // namespace vireo
