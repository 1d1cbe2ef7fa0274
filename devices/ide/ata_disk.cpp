#include "devices/ide/ata_disk.h"

#include <algorithm>

#include "core/check.h"
#include "core/log.h"
#include "devices/ide/identify.h"

namespace vireo {

namespace {

constexpr uint32_t kMaxLba28 = 0x0fffffff;
constexpr uint8_t kMaxMultiple = 16;
constexpr uint8_t kLbaBit = 0x40, kHeadMask = 0x0f;

constexpr VirtualNs kCommandNs = 5'000;
constexpr VirtualNs kAccessNs = 30'000;  ///< to the first sector
constexpr VirtualNs kBlockNs = 5'000;    ///< between PIO blocks
constexpr VirtualNs kFlushNs = 100'000;
constexpr uint64_t kDmaBytesPerMicrosecond = 400;
constexpr size_t kDmaChunkBytes = 64 * 1024;

}  // namespace

AtaDisk::AtaDisk(Scheduler& scheduler, std::unique_ptr<BlockBackend> medium, const AtaDiskOptions& options)
    : AtaDevice(scheduler),
      medium_(std::move(medium)),
      options_(options),
      sectors_(medium_->size() / kSectorBytes),
      geometry_(options.geometry ? *options.geometry : default_geometry(*medium_)),
      current_(geometry_) {
  CHECK(sectors_ > 0);
  buffer().resize(kDmaChunkBytes);
}

VirtualNs AtaDisk::command_delay(uint8_t opcode) const {
  switch (opcode) {
    case 0x20:
    case 0x21:
    case 0x24:
    case 0x29:
    case 0xc4:
      return kAccessNs;
    case 0xe7:
    case 0xea:
      return kFlushNs;
    default:
      return kCommandNs;
  }
}

void AtaDisk::execute(uint8_t opcode) {
  if (asleep_) return abort();  // SLEEP: only a reset wakes the drive
  switch (opcode) {
    // clang-format off
    case 0x20: case 0x21: return start_pio(false, false, 1);            // READ SECTOR(S)
    case 0x24:            return start_pio(true, false, 1);             // READ SECTOR(S) EXT
    case 0x25:            return start_disk_dma(true, false);           // READ DMA EXT
    case 0x27:            return read_native_max(true);                 // READ NATIVE MAX ADDRESS EXT
    case 0x29:            return start_pio(true, false, multiple_);     // READ MULTIPLE EXT
    case 0x30: case 0x31: case 0x3c: return start_pio(false, true, 1);  // WRITE SECTOR(S), WRITE VERIFY
    case 0x34:            return start_pio(true, true, 1);              // WRITE SECTOR(S) EXT
    case 0x35:            return start_disk_dma(true, true);            // WRITE DMA EXT
    case 0x39:            return start_pio(true, true, multiple_);      // WRITE MULTIPLE EXT
    case 0x40: case 0x41: return verify(false);                         // READ VERIFY SECTOR(S)
    case 0x42:            return verify(true);                          // READ VERIFY SECTOR(S) EXT
    case 0x91:            return initialize_parameters();
    case 0x94: case 0xe0: return set_standby(true);                     // STANDBY IMMEDIATE
    case 0x95: case 0xe1: return set_standby(false);                    // IDLE IMMEDIATE
    case 0x96: case 0xe2: return set_standby(true);                     // STANDBY
    case 0x97: case 0xe3: return set_standby(false);                    // IDLE
    case 0x98: case 0xe5: return check_power();                         // CHECK POWER MODE
    case 0x99: case 0xe6: asleep_ = true; return complete();            // SLEEP
    case 0xc4:            return start_pio(false, false, multiple_);    // READ MULTIPLE
    case 0xc5:            return start_pio(false, true, multiple_);     // WRITE MULTIPLE
    case 0xc6:            return set_multiple();
    case 0xc8: case 0xc9: return start_disk_dma(false, false);          // READ DMA
    case 0xca: case 0xcb: return start_disk_dma(false, true);           // WRITE DMA
    case 0xe7: case 0xea: return flush();                               // FLUSH CACHE (EXT)
    case 0xec:            return identify();
    case 0xef:            return set_features();
    case 0xf8:            return read_native_max(false);                // READ NATIVE MAX ADDRESS
    // clang-format on
    default:
      if ((opcode & 0xf0) == 0x10) {  // RECALIBRATE
        store_address(0);
        return complete();
      }
      if ((opcode & 0xf0) == 0x70) return seek();
      if (opcode != 0)
        guest_error(LogCategory::kDisk, "ATA command {:#04x} is not one of this drive's", opcode);
      return abort();  // also NOP, which always ends so
  }
}

// --- addresses -----------------------------------------------------------------------------------

bool AtaDisk::decode_address(bool ext) {
  const TaskFile& low = task();
  const TaskFile& high = previous_task();
  const uint8_t device = device_register();
  const uint64_t lba24 = low.lba_low | low.lba_mid << 8 | low.lba_high << 16;
  if (ext) {
    addressing_ = Addressing::kLba48;
    lba_ = lba24 | static_cast<uint64_t>(high.lba_low | high.lba_mid << 8 | high.lba_high << 16) << 24;
    left_ = low.sector_count | static_cast<uint32_t>(high.sector_count) << 8;
    if (left_ == 0) left_ = 0x10000;
  } else {
    left_ = low.sector_count == 0 ? 256 : low.sector_count;
    if ((device & kLbaBit) != 0) {
      addressing_ = Addressing::kLba28;
      lba_ = lba24 | static_cast<uint64_t>(device & kHeadMask) << 24;
    } else {
      addressing_ = Addressing::kChs;
      const uint32_t cylinder = low.lba_mid | static_cast<uint32_t>(low.lba_high) << 8;
      const uint32_t head = device & kHeadMask;
      if (low.lba_low == 0 || low.lba_low > current_.sectors_per_track || head >= current_.heads ||
          cylinder >= current_.cylinders) {
        return false;
      }
      lba_ = (uint64_t{cylinder} * current_.heads + head) * current_.sectors_per_track + low.lba_low - 1;
    }
  }
  return lba_ < sectors_;
}

void AtaDisk::store_address(uint64_t lba) {
  TaskFile& low = task();
  uint8_t& device = device_register();
  if (addressing_ == Addressing::kChs) {
    const uint32_t track = static_cast<uint32_t>(lba / current_.sectors_per_track);
    const uint32_t cylinder = track / current_.heads;
    low.lba_low = static_cast<uint8_t>(lba % current_.sectors_per_track + 1);
    low.lba_mid = static_cast<uint8_t>(cylinder);
    low.lba_high = static_cast<uint8_t>(cylinder >> 8);
    device = static_cast<uint8_t>((device & ~kHeadMask) | track % current_.heads);
    return;
  }
  low.lba_low = static_cast<uint8_t>(lba);
  low.lba_mid = static_cast<uint8_t>(lba >> 8);
  low.lba_high = static_cast<uint8_t>(lba >> 16);
  if (addressing_ == Addressing::kLba28) {
    device = static_cast<uint8_t>((device & ~kHeadMask) | (lba >> 24 & kHeadMask));
  } else {
    TaskFile& high = previous_task();
    high.lba_low = static_cast<uint8_t>(lba >> 24);
    high.lba_mid = static_cast<uint8_t>(lba >> 32);
    high.lba_high = static_cast<uint8_t>(lba >> 40);
  }
}

void AtaDisk::fail_at(uint64_t lba, uint8_t error_bits) {
  store_address(lba);
  task().sector_count = static_cast<uint8_t>(left_);
  // A write that the host refuses is a fault of the device, not of one sector.
  abort(error_bits, writing_ && error_bits == kAborted ? kFault : 0);
}

// --- PIO -----------------------------------------------------------------------------------------

void AtaDisk::start_pio(bool ext, bool write, unsigned sectors_per_block) {
  if (sectors_per_block == 0) return abort();  // READ/WRITE MULTIPLE without SET MULTIPLE MODE
  writing_ = write;
  sectors_per_block_ = sectors_per_block;
  standby_ = false;
  if (!decode_address(ext)) return fail_at(lba_, kIdNotFound);
  if (write) return request_block(block_sectors() * kSectorBytes, false);
  read_block();
}

unsigned AtaDisk::block_sectors() const {
  return std::min(sectors_per_block_, left_);
}

void AtaDisk::read_block() {
  const unsigned sectors = block_sectors();
  if (lba_ + sectors > sectors_) return fail_at(std::max(lba_, sectors_), kIdNotFound);
  const size_t bytes = size_t{sectors} * kSectorBytes;
  if (!medium_->read(lba_ * kSectorBytes, std::span(buffer()).first(bytes)))
    return fail_at(lba_, kUncorrectable);
  lba_ += sectors;
  left_ -= sectors;
  offer_block(bytes, true);
}

void AtaDisk::block_read() {
  if (is_identify()) return complete(false);
  if (left_ > 0) return continue_after(kBlockNs);
  store_address(lba_ - 1);
  task().sector_count = 0;
  complete(false);  // the last block's interrupt was the last
}

void AtaDisk::block_written() {
  continue_after(kBlockNs);
}

void AtaDisk::continue_command() {
  if (!writing_) return read_block();
  const unsigned sectors = block_sectors();
  if (lba_ + sectors > sectors_) return fail_at(std::max(lba_, sectors_), kIdNotFound);
  const size_t bytes = size_t{sectors} * kSectorBytes;
  if (!medium_->write(lba_ * kSectorBytes, std::span(buffer()).first(bytes))) return fail_at(lba_, kAborted);
  lba_ += sectors;
  left_ -= sectors;
  if (left_ > 0) return request_block(block_sectors() * kSectorBytes, true);
  store_address(lba_ - 1);
  task().sector_count = 0;
  complete();
}

// --- DMA -----------------------------------------------------------------------------------------

void AtaDisk::start_disk_dma(bool ext, bool write) {
  writing_ = write;
  standby_ = false;
  if (!decode_address(ext)) return fail_at(lba_, kIdNotFound);
  start_dma(kAccessNs +
            static_cast<VirtualNs>(uint64_t{left_} * kSectorBytes * 1000 / kDmaBytesPerMicrosecond));
}

void AtaDisk::transfer_dma(IdeDma& dma) {
  while (left_ > 0) {
    const uint32_t sectors = static_cast<uint32_t>(
        std::min<uint64_t>(std::min<uint64_t>(left_, kDmaChunkBytes / kSectorBytes), sectors_ - lba_));
    if (sectors == 0) return fail_at(sectors_, kIdNotFound);
    const std::span<uint8_t> bytes = std::span(buffer()).first(size_t{sectors} * kSectorBytes);
    const uint64_t offset = lba_ * kSectorBytes;
    size_t moved;
    if (writing_) {
      moved = dma.from_memory(bytes);
      const size_t whole = moved / kSectorBytes * kSectorBytes;
      if (whole > 0 && !medium_->write(offset, bytes.first(whole))) return fail_at(lba_, kAborted);
    } else {
      if (!medium_->read(offset, bytes)) return fail_at(lba_, kUncorrectable);
      moved = dma.to_memory(bytes);
    }
    lba_ += moved / kSectorBytes;
    left_ -= static_cast<uint32_t>(moved / kSectorBytes);
    // The descriptors ended before the data: like the real drive, wait for more until the host resets it.
    if (moved < bytes.size()) return;
  }
  store_address(lba_ - 1);
  task().sector_count = 0;
  complete();
}

// --- commands without data -----------------------------------------------------------------------

void AtaDisk::verify(bool ext) {
  writing_ = false;
  standby_ = false;
  if (!decode_address(ext)) return fail_at(lba_, kIdNotFound);
  while (left_ > 0) {
    const uint32_t sectors = static_cast<uint32_t>(
        std::min<uint64_t>(std::min<uint64_t>(left_, kDmaChunkBytes / kSectorBytes), sectors_ - lba_));
    if (sectors == 0) return fail_at(sectors_, kIdNotFound);
    const std::span<uint8_t> bytes = std::span(buffer()).first(size_t{sectors} * kSectorBytes);
    if (!medium_->read(lba_ * kSectorBytes, bytes)) return fail_at(lba_, kUncorrectable);
    lba_ += sectors;
    left_ -= sectors;
  }
  store_address(lba_ - 1);
  task().sector_count = 0;
  complete();
}

void AtaDisk::seek() {
  writing_ = false;
  if (!decode_address(false)) return fail_at(lba_, kIdNotFound);
  complete();
}

void AtaDisk::flush() {
  if (medium_->flush()) return complete();
  abort(kAborted, kFault);
}

void AtaDisk::read_native_max(bool ext) {
  if ((device_register() & kLbaBit) == 0) return abort();
  addressing_ = ext ? Addressing::kLba48 : Addressing::kLba28;
  store_address(ext ? sectors_ - 1 : std::min<uint64_t>(sectors_, kMaxLba28) - 1);
  complete();
}

void AtaDisk::initialize_parameters() {
  const uint8_t sectors = task().sector_count;
  const uint8_t heads = (device_register() & kHeadMask) + 1;
  if (sectors == 0 || sectors > 63) return abort();
  const uint64_t cylinders = std::min<uint64_t>(sectors_ / (uint64_t{sectors} * heads), 65535);
  if (cylinders == 0) return abort();
  current_ = {static_cast<uint16_t>(cylinders), heads, sectors};
  complete();
}

void AtaDisk::set_multiple() {
  const uint8_t sectors = task().sector_count;
  if (sectors > kMaxMultiple || (sectors & (sectors - 1)) != 0) {
    multiple_ = 0;
    return abort();
  }
  multiple_ = sectors;
  complete();
}

void AtaDisk::set_standby(bool standby) {
  if (standby && !medium_->flush()) return abort(kAborted, kFault);
  standby_ = standby;
  complete();
}

void AtaDisk::check_power() {
  task().sector_count = standby_ ? 0x00 : 0xff;
  complete();
}

void AtaDisk::set_features() {
  switch (task().features) {
    case 0x02:
      write_cache_ = true;
      return complete();
    case 0x82:
      write_cache_ = false;
      return flush();
    case 0x03: {
      const std::optional<uint8_t> mode = dma_mode_after(task().sector_count, dma_mode_);
      if (!mode) return abort();
      dma_mode_ = *mode;
      return complete();
    }
    case 0x55:
    case 0xaa:
      look_ahead_ = task().features == 0xaa;
      return complete();
    case 0x66:  // keep settings over a software reset
    case 0xcc:
      revert_on_reset_ = task().features == 0xcc;
      return complete();
    default:
      return abort();
  }
}

void AtaDisk::on_reset(bool hardware) {
  left_ = 0;
  asleep_ = standby_ = false;
  if (!hardware && !revert_on_reset_) return;
  multiple_ = 0;
  write_cache_ = look_ahead_ = true;
  current_ = geometry_;
  if (hardware) {
    dma_mode_ = kDefaultDmaMode;
    revert_on_reset_ = false;
  }
}

// --- IDENTIFY DEVICE -----------------------------------------------------------------------------

void AtaDisk::identify() {
  IdentifyData id;
  const DiskGeometry& g = geometry_;
  id.word(0, 0x0040);  // fixed drive
  id.word(1, g.cylinders);
  id.word(3, g.heads);
  id.word(4, static_cast<uint16_t>(kSectorBytes * g.sectors_per_track));
  id.word(5, kSectorBytes);
  id.word(6, g.sectors_per_track);
  id.text(10, 10, options_.serial);
  id.word(20, 3);    // buffer: dual ported with look-ahead
  id.word(21, 512);  // buffer sectors
  id.word(22, 4);    // ECC bytes of READ LONG
  id.text(23, 4, "1.0");
  id.text(27, 20, options_.model);
  id.word(47, 0x8000 | kMaxMultiple);
  id.word(48, 1);       // 32-bit data port accesses
  id.word(49, 0x0f00);  // IORDY, LBA, DMA
  id.word(50, 0x4000);
  id.word(51, 0x0200);
  id.word(52, 0x0200);
  id.word(53, 7);  // words 54-58, 64-70 and 88 are valid
  const uint32_t chs_sectors = uint32_t{current_.cylinders} * current_.heads * current_.sectors_per_track;
  id.word(54, current_.cylinders);
  id.word(55, current_.heads);
  id.word(56, current_.sectors_per_track);
  id.dword(57, chs_sectors);
  id.word(59, multiple_ != 0 ? 0x0100 | multiple_ : 0);
  id.dword(60, static_cast<uint32_t>(std::min<uint64_t>(sectors_, kMaxLba28)));
  id.dma_modes(dma_mode_);
  id.word(80, 0x007e);  // ATA-1 to ATA/ATAPI-6
  id.word(82, 0x4068);  // NOP, look-ahead, write cache, power management
  id.word(83, 0x7400);  // FLUSH CACHE (EXT), 48-bit addresses
  id.word(84, 0x4000);
  id.word(85, static_cast<uint16_t>(0x4008 | (look_ahead_ ? 0x40 : 0) | (write_cache_ ? 0x20 : 0)));
  id.word(86, 0x3400);
  id.word(87, 0x4000);
  id.word(93, unit() == 0 ? 0x6001 : 0x6100);  // 80-conductor cable, this drive passed its tests
  id.dword(100, static_cast<uint32_t>(sectors_));
  id.dword(102, static_cast<uint32_t>(sectors_ >> 32));
  id.seal();
  id.copy_to(buffer());
  offer_block(kSectorBytes, true);
}

void AtaDisk::state(StateArchive& ar) {
  AtaDevice::state(ar);
  ar.field("current", current_);
  ar.field("addressing", addressing_);
  ar.field("lba", lba_);
  ar.field("left", left_);
  ar.field("sectors_per_block", sectors_per_block_);
  ar.field("writing", writing_);
  ar.field("multiple", multiple_);
  ar.field("dma_mode", dma_mode_);
  ar.field("write_cache", write_cache_);
  ar.field("look_ahead", look_ahead_);
  ar.field("revert_on_reset", revert_on_reset_);
  ar.field("standby", standby_);
  ar.field("asleep", asleep_);
  uint64_t sectors = sectors_;
  ar.field("sectors", sectors);
  if (sectors != sectors_) throw StateError("the state was saved with a disk of another size");
  if (ar.loading() &&
      (buffer().size() < kDmaChunkBytes || lba_ > sectors_ || sectors_per_block_ > kMaxMultiple ||
       current_.heads == 0 || current_.sectors_per_track == 0)) {
    throw StateError("ATA disk state out of range");
  }
}

}  // namespace vireo
