// An ATAPI CD-ROM drive with data discs of one track.
// Source: SFF-8020i revision 2.6; INF-8090i (MMC); ATA/ATAPI-6 clause 9.7 (PACKET protocol).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/host_io.h"
#include "devices/ide/ata_device.h"

namespace vireo {

class AtapiCdrom final : public AtaDevice {
 public:
  static constexpr uint32_t kSectorBytes = 2048;

  /// `medium` may be null: an empty drive.
  AtapiCdrom(Scheduler& scheduler, std::unique_ptr<BlockBackend> medium, std::string serial = "VR00002");

  // --- media, from outside the guest -------------------------------------------------------------
  /// Closes the tray with a disc on it; the guest hears of the change. The old disc, if any, comes out.
  void insert(std::unique_ptr<BlockBackend> medium);
  /// Opens the tray and takes the disc. Null if there is none or if the guest has locked the tray and `force`
  /// is false (the guest then hears of the request).
  std::unique_ptr<BlockBackend> eject(bool force);
  bool locked() const { return locked_; }
  bool tray_open() const { return tray_open_; }

  void state(StateArchive& ar) override;

 protected:
  void execute(uint8_t opcode) override;
  VirtualNs command_delay(uint8_t opcode) const override;
  void block_read() override;
  void block_written() override;
  void continue_command() override;
  void transfer_dma(IdeDma& dma) override;
  void on_reset(bool hardware) override;
  uint16_t signature() const override { return 0xeb14; }
  uint8_t status_after_reset() const override { return 0; }
  bool accepts_while_busy(uint8_t opcode) const override { return opcode == 0x08; }

 private:
  enum class Step : uint8_t { kPacket, kDataIn };
  enum class MediaEvent : uint8_t { kNone, kEjectRequest, kNewMedia, kRemoval };
  struct Sense {
    uint8_t key = 0, asc = 0, ascq = 0;
  };
  struct PacketCommand;
  /// What READ CD can ask for of a mode 1 sector, as bits of the packet's byte 9.
  struct SectorPart {
    uint8_t bit;
    uint16_t start, end;  ///< in the raw sector
    static constexpr uint8_t kUserData = 0x10, kAllParts = 0xb8;
    static const std::array<SectorPart, 4> kAll;
  };

  // Sense key, additional sense code and qualifier (INF-8090i, table of sense codes).
  static constexpr Sense kNoDisc{2, 0x3a, 0x01}, kNoDiscTrayOpen{2, 0x3a, 0x02};
  static constexpr Sense kUnreadable{3, 0x11, 0x00};
  static constexpr Sense kInvalidCommand{5, 0x20, 0x00}, kLbaOutOfRange{5, 0x21, 0x00},
      kInvalidField{5, 0x24, 0x00}, kIncompatibleMedium{5, 0x30, 0x00}, kSavingNotSupported{5, 0x39, 0x00},
      kRemovalPrevented{5, 0x53, 0x02}, kIllegalMode{5, 0x64, 0x00};
  static constexpr Sense kMediumChanged{6, 0x28, 0x00}, kPowerOn{6, 0x29, 0x00};

  // --- task file commands and the PACKET protocol (atapi_cdrom.cpp)
  void packet();
  void identify_packet();
  void set_features();
  void send_data();
  void send_block();
  bool take_data(std::span<uint8_t> out);
  bool next_sector();
  void packet_done();
  void packet_failed(Sense sense);

  // --- packet commands (atapi_commands.cpp); each ends in reply(), read_sectors(), packet_done() or
  // packet_failed()
  static const PacketCommand* find_packet_command(uint8_t opcode);
  void run_packet();
  void reply(std::span<const uint8_t> bytes, size_t allocation_length);
  /// `layout` is made of SectorPart bits.
  void read_sectors(uint32_t lba, uint32_t count, uint8_t layout);
  void request_sense();
  void inquiry();
  void start_stop();
  void prevent_allow();
  void mechanism_status();
  void get_event_status();
  void get_configuration();
  void mode_sense_6();
  void mode_sense_10();
  void mode_sense(size_t header_bytes, size_t allocation_length);
  void read_capacity();
  void read_10();
  void read_12();
  void read_cd();
  void read_cd_msf();
  void read_cd_range(uint32_t lba, uint32_t count);
  void seek();
  void read_header();
  void read_toc();
  void read_subchannel();
  void read_disc_info();
  void read_track_info();
  void read_dvd_structure();
  void no_audio();

  bool disc_present() const { return medium_ != nullptr && !tray_open_; }
  uint32_t disc_sectors() const;

  std::unique_ptr<BlockBackend> medium_;
  std::string serial_;

  std::array<uint8_t, 12> packet_{};
  bool dma_ = false;         ///< FEATURES bit 0 of the running PACKET
  uint32_t byte_limit_ = 2;  ///< most bytes of a PIO block
  Step step_ = Step::kPacket;
  std::vector<uint8_t> data_;  ///< made ready for the host: a reply, or the current sector
  size_t data_position_ = 0;
  uint32_t lba_ = 0, sectors_left_ = 0;
  uint8_t layout_ = 0;
  uint32_t bytes_left_ = 0;  ///< of the whole reply

  Sense sense_;
  Sense unit_attention_;  ///< reported before the next command that cares; key 0: none
  MediaEvent media_event_ = MediaEvent::kNone;
  bool tray_open_ = false, locked_ = false;
  uint8_t dma_mode_;
};

}  // namespace vireo
