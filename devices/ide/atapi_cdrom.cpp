#include "devices/ide/atapi_cdrom.h"

#include <algorithm>
#include <cstring>

#include "core/log.h"
#include "devices/ide/cd_sector.h"
#include "devices/ide/identify.h"

namespace vireo {

namespace {

constexpr VirtualNs kCommandNs = 5'000;
constexpr VirtualNs kPacketNs = 20'000;
constexpr VirtualNs kBlockNs = 10'000;
constexpr VirtualNs kAccessNs = 100'000;
constexpr uint64_t kBytesPerMicrosecond = 100;
constexpr size_t kPacketBytes = 12;
constexpr size_t kIdentifyBytes = 512;
constexpr uint32_t kMaxByteCount = 0xfffe;
constexpr size_t kBufferBytes = 0x10000;

// Interrupt reason, in the sector count register (ATA/ATAPI-6, 9.7).
constexpr uint8_t kCommandPhase = 0x01, kToHost = 0x02;

constexpr uint8_t kIllegalRequest = 5, kAbortedCommand = 0xb;

}  // namespace

const std::array<AtapiCdrom::SectorPart, 4> AtapiCdrom::SectorPart::kAll = {{
    {0x80, 0, 12},       // sync
    {0x20, 12, 16},      // header
    {0x10, 16, 2064},    // user data
    {0x08, 2064, 2352},  // error detection and correction
}};

AtapiCdrom::AtapiCdrom(Scheduler& scheduler, std::unique_ptr<BlockBackend> medium, std::string serial)
    : AtaDevice(scheduler),
      medium_(std::move(medium)),
      serial_(std::move(serial)),
      dma_mode_(kDefaultDmaMode) {
  buffer().resize(kBufferBytes);
  if (medium_) unit_attention_ = kMediumChanged;
}

void AtapiCdrom::insert(std::unique_ptr<BlockBackend> medium) {
  medium_ = std::move(medium);
  tray_open_ = false;
  unit_attention_ = kMediumChanged;
  media_event_ = MediaEvent::kNewMedia;
}

std::unique_ptr<BlockBackend> AtapiCdrom::eject(bool force) {
  if (!medium_) return nullptr;
  if (locked_ && !force) {
    media_event_ = MediaEvent::kEjectRequest;
    return nullptr;
  }
  locked_ = false;
  media_event_ = MediaEvent::kRemoval;
  return std::move(medium_);
}

uint32_t AtapiCdrom::disc_sectors() const {
  return medium_ ? static_cast<uint32_t>(std::min<uint64_t>(medium_->size() / kSectorBytes, UINT32_MAX)) : 0;
}

VirtualNs AtapiCdrom::command_delay(uint8_t) const {
  return kCommandNs;
}

void AtapiCdrom::execute(uint8_t opcode) {
  switch (opcode) {
    case 0x08:  // DEVICE RESET
      on_reset(false);
      place_signature();
      complete(false);
      status_register() = status_after_reset();
      return;
    case 0x20:  // READ SECTOR(S)
    case 0xec:  // IDENTIFY DEVICE: refused with the signature, by which hosts tell a packet device
      place_signature();
      return abort();
    case 0x94:
    case 0x95:
    case 0x96:
    case 0x97:
    case 0xe0:
    case 0xe1:
    case 0xe2:
    case 0xe3:  // STANDBY, IDLE
      return complete();
    case 0x98:
    case 0xe5:  // CHECK POWER MODE
      task().sector_count = 0xff;
      return complete();
    case 0xa0:
      return packet();
    case 0xa1:
      return identify_packet();
    case 0xef:
      return set_features();
    default:
      guest_error(LogCategory::kDisk, "ATA command {:#04x} is not one of a CD-ROM drive's", opcode);
      return abort();
  }
}

void AtapiCdrom::set_features() {
  if (task().features != 0x03) return abort();
  const std::optional<uint8_t> mode = dma_mode_after(task().sector_count, dma_mode_);
  if (!mode) return abort();
  dma_mode_ = *mode;
  complete();
}

void AtapiCdrom::identify_packet() {
  IdentifyData id;
  id.word(0, 0x85c0);  // CD-ROM, removable, 12-byte packets, DRQ within 50 us
  id.text(10, 10, serial_);
  id.text(23, 4, "1.0");
  id.text(27, 20, "VIREO CD-ROM");
  id.word(48, 1);
  id.word(49, 0x0f00);  // IORDY, LBA, DMA
  id.word(53, 6);
  id.dma_modes(dma_mode_);
  id.word(80, 0x0070);  // ATA/ATAPI-4 to 6
  id.word(82, 0x0210);  // DEVICE RESET, PACKET
  id.word(83, 0x4000);
  id.word(84, 0x4000);
  id.word(85, 0x0210);
  id.word(87, 0x4000);
  id.word(93, unit() == 0 ? 0x6001 : 0x6100);
  id.seal();
  id.copy_to(buffer());
  offer_block(kIdentifyBytes, true);
}

// --- the PACKET protocol -------------------------------------------------------------------------

void AtapiCdrom::packet() {
  if ((task().features & 0x02) != 0) return abort();  // overlap
  dma_ = (task().features & 0x01) != 0;
  byte_limit_ = task().lba_mid | static_cast<uint32_t>(task().lba_high) << 8;
  if (byte_limit_ == 0 || byte_limit_ > kMaxByteCount) byte_limit_ = kMaxByteCount;
  step_ = Step::kPacket;
  task().sector_count = kCommandPhase;
  request_block(kPacketBytes, false);
}

void AtapiCdrom::block_written() {
  std::copy_n(buffer().begin(), kPacketBytes, packet_.begin());
  trace(LogCategory::kDisk, "packet {:02x}", fmt::join(packet_, " "));
  continue_after(kPacketNs);
}

void AtapiCdrom::block_read() {
  if (opcode() == 0xa1) return complete(false);
  continue_after(kBlockNs);
}

void AtapiCdrom::continue_command() {
  if (step_ == Step::kPacket) return run_packet();
  if (bytes_left_ == 0) return packet_done();
  send_block();
}

void AtapiCdrom::send_data() {
  step_ = Step::kDataIn;
  if (bytes_left_ == 0) return packet_done();
  if (!dma_) return sectors_left_ > 0 ? continue_after(kAccessNs) : send_block();
  start_dma((sectors_left_ > 0 ? kAccessNs : 0) +
            static_cast<VirtualNs>(uint64_t{bytes_left_} * 1000 / kBytesPerMicrosecond));
}

void AtapiCdrom::send_block() {
  uint32_t n = std::min(byte_limit_, bytes_left_);
  if (n < bytes_left_ && n % 2 != 0) n = std::max(n - 1, 1u);
  if (!take_data(std::span(buffer()).first(n))) return packet_failed(kUnreadable);
  task().sector_count = kToHost;
  task().lba_mid = static_cast<uint8_t>(n);
  task().lba_high = static_cast<uint8_t>(n >> 8);
  offer_block(n, true);
}

void AtapiCdrom::transfer_dma(IdeDma& dma) {
  while (bytes_left_ > 0) {
    const std::span<uint8_t> bytes = std::span(buffer()).first(std::min<size_t>(kBufferBytes, bytes_left_));
    if (!take_data(bytes)) return packet_failed(kUnreadable);
    // Descriptors that end early leave the drive waiting, as they do a real one; the host resets it.
    if (dma.to_memory(bytes) < bytes.size()) return;
  }
  packet_done();
}

bool AtapiCdrom::take_data(std::span<uint8_t> out) {
  bytes_left_ -= static_cast<uint32_t>(out.size());
  while (!out.empty()) {
    if (data_position_ == data_.size() && !next_sector()) return false;
    const size_t n = std::min(out.size(), data_.size() - data_position_);
    std::memcpy(out.data(), data_.data() + data_position_, n);
    data_position_ += n;
    out = out.subspan(n);
  }
  return true;
}

bool AtapiCdrom::next_sector() {
  // The disc may have gone in the middle of a command.
  if (!disc_present() || lba_ >= disc_sectors()) return false;
  std::array<uint8_t, kCdRawBytes> raw;
  if (!medium_->read(uint64_t{lba_} * kSectorBytes, std::span(raw).subspan(16, kSectorBytes))) return false;
  data_.clear();
  data_position_ = 0;
  if (layout_ != SectorPart::kUserData) finish_mode1_sector(lba_, raw);
  for (const SectorPart& part : SectorPart::kAll) {
    if ((layout_ & part.bit) != 0)
      data_.insert(data_.end(), raw.begin() + part.start, raw.begin() + part.end);
  }
  ++lba_;
  --sectors_left_;
  return true;
}

void AtapiCdrom::reply(std::span<const uint8_t> bytes, size_t allocation_length) {
  data_.assign(bytes.begin(),
               bytes.begin() + static_cast<ptrdiff_t>(std::min(bytes.size(), allocation_length)));
  data_position_ = 0;
  bytes_left_ = static_cast<uint32_t>(data_.size());
  sectors_left_ = 0;
  send_data();
}

void AtapiCdrom::read_sectors(uint32_t lba, uint32_t count, uint8_t layout) {
  if (lba > disc_sectors() || count > disc_sectors() - lba) return packet_failed(kLbaOutOfRange);
  uint32_t sector_bytes = 0;
  for (const SectorPart& part : SectorPart::kAll) {
    if ((layout & part.bit) != 0) sector_bytes += static_cast<uint32_t>(part.end - part.start);
  }
  const uint64_t bytes = uint64_t{count} * sector_bytes;
  if (bytes > UINT32_MAX) return packet_failed(kInvalidField);
  data_.clear();
  data_position_ = 0;
  lba_ = lba;
  sectors_left_ = count;
  layout_ = layout;
  bytes_left_ = static_cast<uint32_t>(bytes);
  send_data();
}

void AtapiCdrom::packet_done() {
  sense_ = {};
  task().sector_count = kCommandPhase | kToHost;
  complete();
}

void AtapiCdrom::packet_failed(Sense sense) {
  sense_ = sense;
  bytes_left_ = 0;
  task().sector_count = kCommandPhase | kToHost;
  const bool aborted = sense.key == kIllegalRequest || sense.key == kAbortedCommand;
  abort(static_cast<uint8_t>(sense.key << 4 | (aborted ? kAborted : 0)));
}

void AtapiCdrom::on_reset(bool hardware) {
  bytes_left_ = sectors_left_ = 0;
  sense_ = {};
  if (!hardware) return;
  locked_ = false;
  dma_mode_ = kDefaultDmaMode;
  // A disc that was in at power-on is as new to the guest as one just put in.
  unit_attention_ = medium_ ? kMediumChanged : kPowerOn;
}

void AtapiCdrom::state(StateArchive& ar) {
  AtaDevice::state(ar);
  ar.field("packet", packet_);
  ar.field("dma", dma_);
  ar.field("byte_limit", byte_limit_);
  ar.field("step", step_);
  ar.field("data", data_);
  uint64_t position = data_position_;
  ar.field("data_position", position);
  ar.field("lba", lba_);
  ar.field("sectors_left", sectors_left_);
  ar.field("layout", layout_);
  ar.field("bytes_left", bytes_left_);
  ar.field("sense", sense_);
  ar.field("unit_attention", unit_attention_);
  ar.field("media_event", media_event_);
  ar.field("tray_open", tray_open_);
  ar.field("locked", locked_);
  ar.field("dma_mode", dma_mode_);
  if (!ar.loading()) return;
  if (position > data_.size() || buffer().size() < kBufferBytes || byte_limit_ > kMaxByteCount ||
      byte_limit_ == 0 || (bytes_left_ > data_.size() - position && layout_ == 0)) {
    throw StateError("CD-ROM drive state out of range");
  }
  data_position_ = position;
}

}  // namespace vireo
