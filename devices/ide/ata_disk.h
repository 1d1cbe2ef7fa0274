// An ATA hard disk.
// Source: ATA/ATAPI-6 (T13/1410D) clause 8; ATA-3 for CHS.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "core/host_io.h"
#include "devices/ide/ata_device.h"
#include "devices/ide/disk_geometry.h"
#include "devices/ide/identify.h"

namespace vireo {

struct AtaDiskOptions {
  std::string model = "VIREO HARDDISK";  ///< at most 40 ASCII characters
  std::string serial = "VR00001";        ///< at most 20 ASCII characters; unique on the machine
  std::optional<DiskGeometry> geometry =
      {};  ///< as IDENTIFY tells it; default: from the partition table or the size
};

class AtaDisk final : public AtaDevice {
 public:
  /// `medium` holds at least one 512-byte sector.
  AtaDisk(Scheduler& scheduler, std::unique_ptr<BlockBackend> medium, const AtaDiskOptions& options = {});

  uint64_t sectors() const { return sectors_; }
  const DiskGeometry& geometry() const { return geometry_; }
  void state(StateArchive& ar) override;

 protected:
  void execute(uint8_t opcode) override;
  VirtualNs command_delay(uint8_t opcode) const override;
  void block_read() override;
  void block_written() override;
  void continue_command() override;
  void transfer_dma(IdeDma& dma) override;
  void on_reset(bool hardware) override;
  uint16_t signature() const override { return 0; }
  uint8_t status_after_reset() const override { return kReady | kSeekDone; }

 private:
  static constexpr uint32_t kSectorBytes = 512;
  enum class Addressing : uint8_t { kChs, kLba28, kLba48 };

  // Each command below ends in complete(), abort() or a data phase.
  void identify();
  void set_features();
  void set_multiple();
  void initialize_parameters();
  void set_standby(bool standby);
  void check_power();
  void read_native_max(bool ext);
  void flush();
  void seek();
  void verify(bool ext);
  void start_pio(bool ext, bool write, unsigned sectors_per_block);
  void start_disk_dma(bool ext, bool write);

  bool decode_address(bool ext);
  void store_address(uint64_t lba);
  void fail_at(uint64_t lba, uint8_t error_bits);
  void read_block();
  unsigned block_sectors() const;
  bool is_identify() const { return opcode() == 0xec; }

  std::unique_ptr<BlockBackend> medium_;
  AtaDiskOptions options_;
  uint64_t sectors_;
  DiskGeometry geometry_;  ///< default translation
  DiskGeometry current_;   ///< INITIALIZE DEVICE PARAMETERS

  Addressing addressing_ = Addressing::kChs;
  uint64_t lba_ = 0;   ///< next sector of the running command
  uint32_t left_ = 0;  ///< sectors of it
  uint32_t sectors_per_block_ = 1;
  bool writing_ = false;

  uint8_t multiple_ = 0;                ///< SET MULTIPLE MODE; 0: off
  uint8_t dma_mode_ = kDefaultDmaMode;  ///< SET FEATURES subcommand 3 value: 0x20 + multiword, 0x40 + ultra
  bool write_cache_ = true, look_ahead_ = true;
  bool revert_on_reset_ = true;  ///< SET FEATURES CCh: a software reset restores the power-on settings
  bool standby_ = false, asleep_ = false;
};

}  // namespace vireo
