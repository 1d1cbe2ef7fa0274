// An ATAPI CD-ROM drive with data discs of one track.
// Source: SFF-8020i revision 2.6; INF-8090i (MMC); ATA/ATAPI-6 clause 9.7 (PACKET protocol).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "core/host_io.h"
#include "devices/ide/ata_device.h"

namespace vireo {

class AtapiCdrom final : public AtaDevice {
 public:
  static constexpr uint32_t kSectorBytes = 2048;

  /// `medium` may be null: an empty drive.
  AtapiCdrom(Scheduler& scheduler, std::unique_ptr<BlockBackend> medium, std::string serial = "VR00002");

  // --- media, from outside the guest
  // ------------------------------------------------------------------------------
  /// Closes the tray with a disc on it; the guest hears of the change. The old disc, if any, comes out.
  void insert(std::unique_ptr<BlockBackend> medium);
  /// Opens the tray and takes the disc. Null if there is none or if the guest has locked the tray and `force`
  /// is false (the guest then hears of the request).
  std::unique_ptr<BlockBackend> eject(bool force);
  bool locked() const { return locked_; }

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
  struct Sense {
    uint8_t key, asc, ascq;
  };
  struct PacketCommand;

  // --- task file commands and the PACKET protocol (atapi_cdrom.cpp)
  void identify_packet();
  void run_packet();
  void send_data();
  void packet_done();
  void packet_failed(Sense sense);
  bool fill_from_disc();

  // --- packet commands (atapi_commands.cpp); each ends in reply(), read_sectors(), packet_done(),
  // packet_failed()
  static const PacketCommand* find_packet_command(uint8_t opcode);
  void reply(std::span<const uint8_t> bytes, size_t allocation_length);
  void read_sectors(uint32_t lba, uint32_t count, uint8_t layout);
  void test_unit_ready();
  void request_sense();
  void inquiry();
  void read_capacity();
  void read_10();
  void read_12();
  void read_cd();
  void read_cd_msf();
  void read_toc();
  void read_subchannel();
  void mode_sense_6();
  void mode_sense_10();
  void mechanism_status();
  void get_event_status();
  void get_configuration();
  void prevent_allow();
  void start_stop();
  void seek();
  void read_disc_info();
  void read_track_info();
  void no_audio();
  void mode_sense(size_t header_bytes, size_t allocation_length);

  bool disc_present() const { return medium_ != nullptr && !tray_open_; }
  uint32_t disc_sectors() const;
  Sense no_disc() const;

  std::unique_ptr<BlockBackend> medium_;
  std::string serial_;

  std::array<uint8_t, 12> packet_{};
  bool dma_ = false;  ///< FEATURES bit 0 of the running PACKET
  Step step_ = Step::kPacket;
  std::vector<uint8_t> data_;  ///< reply not yet sent
  size_t data_position_ = 0;
  uint32_t lba_ = 0, sectors_left_ = 0;
  uint8_t layout_ = 0;       ///< READ CD byte 9: which parts of a sector; 0x10 is user data alone
  uint32_t bytes_left_ = 0;  ///< of the whole reply

  Sense sense_{};
  Sense unit_attention_{};   ///< reported before the next command that cares; key 0: none
  uint8_t media_event_ = 0;  ///< for GET EVENT STATUS NOTIFICATION
  bool tray_open_ = false, locked_ = false;
  uint8_t dma_mode_ = 0x22;
};

}  // namespace vireo
