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

  // --- set-up and media, from outside the guest
  // -----------------------------------------------------------------
  /// Connects a drive; before power-on.
  void connect(unsigned drive, FloppyDriveType type);
  /// Puts a diskette in (the old one, if any, comes out). The backend's size is one of kFloppyFormats
  /// (CHECK).
  void insert(unsigned drive, std::unique_ptr<BlockBackend> medium);
  /// Takes the diskette out; null if there was none.
  std::unique_ptr<BlockBackend> eject(unsigned drive);
  /// CMOS register 10h: type of drive A in bits 7 to 4, of drive B in bits 3 to 0.
  uint8_t cmos_drive_types() const;

  // --- what the board maps
  // --------------------------------------------------------------------------------------
  /// Ports 0x3f0 to 0x3f5.
  IoRegion& registers() { return registers_; }
  /// Port 0x3f7: digital input (read), configuration control (write).
  IoRegion& digital_input() { return digital_input_; }

  std::string_view name() const override { return "fdc82077"; }
  void reset() override;
  void state(StateArchive& ar) override;

 private:
  enum class Phase : uint8_t { kCommand, kExecution, kResult };
  struct Drive;
  struct Command;
  struct Address {
    uint8_t cylinder, head, sector, size_code;
  };
  enum class SectorStatus : uint8_t { kOk, kNoMark, kNotFound, kWrongCylinder, kMediumError };

  uint8_t read_register(uint32_t offset);
  void write_register(uint32_t offset, uint8_t value);
  uint8_t read_digital_input(uint32_t offset);
  void write_configuration_control(uint32_t offset, uint8_t value);

  // --- registers and phases (fdc82077.cpp)
  void write_dor(uint8_t value);
  void write_dsr(uint8_t value);
  uint8_t main_status() const;
  uint8_t read_fifo();
  void write_fifo(uint8_t value);
  void begin_software_reset();
  void finish_software_reset();
  void reset_controller();
  void update_irq();
  void set_interrupt(bool pending);
  void start_command();
  void enter_result(std::initializer_list<uint8_t> bytes, bool interrupt);
  void enter_command_phase();
  Drive& selected_drive();

  // --- commands (fdc82077_commands.cpp)
  static const Command* find_command(uint8_t opcode);
  void invalid();
  void specify();
  void sense_drive_status();
  void sense_interrupt_status();
  void recalibrate();
  void seek();
  void relative_seek();
  void configure();
  void version();
  void dump_registers();
  void perpendicular_mode();
  void lock();
  void read_id();
  void read_data();
  void write_data();
  void read_track();
  void verify();
  void format_track();
  void start_seek(unsigned drive, int target);
  void finish_seek(unsigned drive);

  // --- data transfers (fdc82077_transfer.cpp)
  enum class Transfer : uint8_t { kNone, kRead, kReadDeleted, kWrite, kReadTrack, kVerify, kFormat, kReadId };
  void begin_transfer(Transfer transfer);
  void transfer_step();
  void sector_from_medium();
  void sector_to_medium();
  void verify_sector();
  void format_next_sector();
  void report_id();
  SectorStatus find_sector(const Address& id, uint64_t& offset);
  bool data_rate_fits(const Drive& drive) const;
  bool next_sector();
  void sector_done(bool terminal_count);
  void end_transfer(uint8_t st0, uint8_t st1, uint8_t st2);
  void fail_transfer(SectorStatus status);
  bool non_dma() const { return (hlt_nd_ & 1) != 0; }
  void offer_bytes(bool interrupt);

  struct Drive {
    FloppyDriveType type = FloppyDriveType::kNone;
    std::unique_ptr<BlockBackend> medium;
    std::optional<FloppyFormat> format;
    uint8_t head_cylinder = 0;     ///< where the heads really are
    uint8_t present_cylinder = 0;  ///< PCN: where the controller believes they are
    bool changed = true;           ///< the disk change line
    bool seeking = false;
    uint8_t seek_target = 0;
    uint8_t seek_status = 0;  ///< ST0 that SENSE INTERRUPT STATUS will give
    bool seek_reported = true;

    unsigned cylinders() const;
    void state(StateArchive& ar);
  };

  IrqLine irq_;
  DmaChannel& dma_;
  std::array<Drive, kDrives> drives_;
  Timer execution_timer_;
  Timer reset_timer_;
  std::array<Timer, kDrives> seek_timers_;

  uint8_t dor_ = 0, tdr_ = 0, rate_ = 2;
  bool interrupt_pending_ = false;
  uint8_t resets_to_report_ =
      0;  ///< SENSE INTERRUPT STATUS answers left after a reset (one a drive, four in all)

  Phase phase_ = Phase::kCommand;
  std::vector<uint8_t> command_, result_;
  size_t command_length_ = 0;

  uint8_t srt_hut_ = 0, hlt_nd_ = 0;
  uint8_t configuration_ = 0, precompensation_track_ = 0, perpendicular_ = 0;
  uint8_t last_eot_or_sc_ = 0;
  bool lock_ = false;

  Transfer transfer_ = Transfer::kNone;
  uint8_t transfer_drive_ = 0;
  Address address_{};
  uint8_t transfer_head_ = 0;  ///< physical side (HDS)
  uint8_t end_of_track_ = 0;
  bool multi_track_ = false, skip_ = false, mfm_ = true;
  uint8_t sectors_left_ = 0;  ///< VERIFY with EC, FORMAT TRACK
  uint8_t fill_byte_ = 0;
  uint8_t id_rotation_ = 0;     ///< which sector READ ID finds next
  std::vector<uint8_t> bytes_;  ///< non-DMA mode: the bytes of the sector between FIFO and medium
  size_t byte_position_ = 0;
  bool host_reads_ = false, bytes_ready_ = false;

  ByteRegion<Fdc82077, &Fdc82077::read_register, &Fdc82077::write_register> registers_{*this};
  ByteRegion<Fdc82077, &Fdc82077::read_digital_input, &Fdc82077::write_configuration_control> digital_input_{
      *this};
};

}  // namespace vireo
