// The packet commands of the CD-ROM drive.
#include <algorithm>

#include "core/log.h"
#include "devices/ide/atapi_cdrom.h"
#include "devices/ide/cd_sector.h"

namespace vireo {

namespace {

constexpr uint8_t kDataTrack = 0x14;  // ADR 1, control: data track
constexpr uint8_t kLeadOut = 0xaa;
constexpr uint32_t kLargestCdSectors = 450'000;  // 100 minutes; larger images are DVDs
constexpr uint16_t kProfileCdRom = 0x0008, kProfileDvdRom = 0x0010;
constexpr uint16_t kKilobytesPerSecond = 16 * 176;

/// Big-endian reply under construction.
class Reply {
 public:
  Reply& u8(unsigned value) {
    bytes_.push_back(static_cast<uint8_t>(value));
    return *this;
  }
  Reply& u16(unsigned value) { return u8(value >> 8).u8(value); }
  Reply& u32(uint32_t value) { return u16(value >> 16).u16(value & 0xffff); }
  Reply& zeros(size_t n) {
    bytes_.resize(bytes_.size() + n);
    return *this;
  }
  Reply& text(std::string_view text, size_t width) {
    for (size_t i = 0; i < width; ++i) u8(static_cast<uint8_t>(i < text.size() ? text[i] : ' '));
    return *this;
  }
  /// A sector address as LBA or as minute, second, frame.
  Reply& address(uint32_t lba, bool msf) {
    if (!msf) return u32(lba);
    const std::array<uint8_t, 3> m = msf_of_lba(lba);
    return u8(0).u8(m[0]).u8(m[1]).u8(m[2]);
  }
  void patch16(size_t at, size_t value) {
    bytes_[at] = static_cast<uint8_t>(value >> 8);
    bytes_[at + 1] = static_cast<uint8_t>(value);
  }
  size_t size() const { return bytes_.size(); }
  uint8_t& operator[](size_t i) { return bytes_[i]; }
  operator std::span<const uint8_t>() const { return bytes_; }

 private:
  std::vector<uint8_t> bytes_;
};

uint32_t be16(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 8 | p[1];
}
uint32_t be24(const uint8_t* p) {
  return static_cast<uint32_t>(p[0]) << 16 | be16(p + 1);
}
uint32_t be32(const uint8_t* p) {
  return be16(p) << 16 | be16(p + 2);
}

}  // namespace

struct AtapiCdrom::PacketCommand {
  uint8_t opcode;
  void (AtapiCdrom::*run)();
  bool needs_disc = false;
  bool reports_unit_attention = true;
};

const AtapiCdrom::PacketCommand* AtapiCdrom::find_packet_command(uint8_t opcode) {
  using C = AtapiCdrom;
  static constexpr PacketCommand kCommands[] = {
      {0x00, &C::packet_done, true},  // TEST UNIT READY
      {0x03, &C::request_sense, false, false},
      {0x12, &C::inquiry, false, false},
      {0x1a, &C::mode_sense_6},
      {0x1b, &C::start_stop},
      {0x1e, &C::prevent_allow},
      {0x25, &C::read_capacity, true},
      {0x28, &C::read_10, true},
      {0x2b, &C::seek, true},  // SEEK(10)
      {0x2f, &C::seek, true},  // VERIFY(10)
      {0x42, &C::read_subchannel, true},
      {0x43, &C::read_toc, true},
      {0x44, &C::read_header, true},
      {0x45, &C::no_audio, true},  // PLAY AUDIO(10)
      {0x46, &C::get_configuration, false, false},
      {0x47, &C::no_audio, true},  // PLAY AUDIO MSF
      {0x4a, &C::get_event_status, false, false},
      {0x4b, &C::no_audio, true},  // PAUSE/RESUME
      {0x4e, &C::packet_done},     // STOP PLAY/SCAN: nothing plays
      {0x51, &C::read_disc_info, true},
      {0x52, &C::read_track_info, true},
      {0x5a, &C::mode_sense_10},
      {0xa5, &C::no_audio, true},  // PLAY AUDIO(12)
      {0xa8, &C::read_12, true},
      {0xad, &C::read_dvd_structure, true},
      {0xb9, &C::read_cd_msf, true},
      {0xbb, &C::packet_done},  // SET CD SPEED
      {0xbd, &C::mechanism_status, false, false},
      {0xbe, &C::read_cd, true},
  };
  const auto* found = std::find_if(std::begin(kCommands), std::end(kCommands),
                                   [&](const PacketCommand& command) { return command.opcode == opcode; });
  return found == std::end(kCommands) ? nullptr : found;
}

void AtapiCdrom::run_packet() {
  const PacketCommand* command = find_packet_command(packet_[0]);
  if (command == nullptr) {
    guest_error(LogCategory::kDisk, "packet command {:#04x} is not one of this drive's", packet_[0]);
    return packet_failed(kInvalidCommand);
  }
  if (command->reports_unit_attention && unit_attention_.key != 0) {
    return packet_failed(std::exchange(unit_attention_, Sense{}));
  }
  if (command->needs_disc && !disc_present()) return packet_failed(tray_open_ ? kNoDiscTrayOpen : kNoDisc);
  (this->*command->run)();
}

// --- the drive -----------------------------------------------------------------------------------

void AtapiCdrom::request_sense() {
  Sense sense = std::exchange(sense_, Sense{});
  if (sense.key == 0) sense = std::exchange(unit_attention_, Sense{});
  Reply r;
  r.u8(0x70).u8(0).u8(sense.key).zeros(4).u8(10).zeros(4).u8(sense.asc).u8(sense.ascq).zeros(4);
  reply(r, packet_[4]);
}

void AtapiCdrom::inquiry() {
  if ((packet_[1] & 1) != 0 || packet_[2] != 0) return packet_failed(kInvalidField);  // vital product data
  Reply r;
  r.u8(0x05).u8(0x80).u8(0).u8(0x21).u8(31).zeros(3);
  r.text("VIREO", 8).text("CD-ROM", 16).text("1.0", 4);
  reply(r, packet_[4]);
}

void AtapiCdrom::start_stop() {
  const bool load_or_eject = (packet_[4] & 2) != 0, start = (packet_[4] & 1) != 0;
  if (!load_or_eject)
    return start && !disc_present() ? packet_failed(tray_open_ ? kNoDiscTrayOpen : kNoDisc) : packet_done();
  if (!start) {
    if (locked_) return packet_failed(kRemovalPrevented);
    if (!tray_open_) media_event_ = MediaEvent::kRemoval;
    tray_open_ = true;
  } else if (tray_open_) {
    tray_open_ = false;
    if (medium_) {
      media_event_ = MediaEvent::kNewMedia;
      unit_attention_ = kMediumChanged;
    }
  }
  packet_done();
}

void AtapiCdrom::prevent_allow() {
  locked_ = (packet_[4] & 1) != 0;
  packet_done();
}

void AtapiCdrom::mechanism_status() {
  Reply r;
  r.u8(0).u8(tray_open_ ? 0x10 : 0).zeros(3).u8(1).u16(0);
  reply(r, be16(&packet_[8]));
}

void AtapiCdrom::get_event_status() {
  constexpr uint8_t kMediaClass = 4;
  if ((packet_[1] & 1) == 0) return packet_failed(kInvalidField);  // only polled operation
  Reply r;
  if ((packet_[4] & 1 << kMediaClass) == 0) {
    r.u16(2).u8(0x80).u8(1 << kMediaClass);  // no event available
  } else {
    r.u16(6).u8(kMediaClass).u8(1 << kMediaClass);
    r.u8(static_cast<uint8_t>(std::exchange(media_event_, MediaEvent::kNone)));
    r.u8((tray_open_ ? 1 : 0) | (disc_present() ? 2 : 0)).u16(0);
  }
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::get_configuration() {
  const bool dvd = disc_present() && disc_sectors() > kLargestCdSectors;
  const bool cd = disc_present() && !dvd;
  struct Feature {
    uint16_t code;
    bool persistent, current;
    std::vector<uint8_t> data;
  };
  const Feature features[] = {
      {0x0000, true, true, {0, 0x10, dvd, 0, 0, 0x08, cd, 0}},  // profile list
      {0x0001, true, true, {0, 0, 0, 2, 1, 0, 0, 0}},           // core: ATAPI
      {0x0003, true, true, {0x29, 0, 0, 0}},                    // removable medium: tray, eject, lock
      {0x0010, false, cd || dvd, {0, 0, 8, 0, 0, 1, 0, 0}},     // random readable, 2048-byte blocks
      {0x001e, false, cd, {0, 0, 0, 0}},                        // CD read
      {0x001f, false, dvd, {}},                                 // DVD read
  };
  const unsigned requested = packet_[1] & 3;
  const uint32_t first = be16(&packet_[2]);
  if (requested == 3) return packet_failed(kInvalidField);
  Reply r;
  r.u32(0).u16(0).u16(dvd ? kProfileDvdRom : cd ? kProfileCdRom : 0);
  for (const Feature& feature : features) {
    if (requested == 2 ? feature.code != first : feature.code < first) continue;
    if (requested == 1 && !feature.current) continue;
    r.u16(feature.code)
        .u8((feature.persistent ? 2 : 0) | (feature.current ? 1 : 0))
        .u8(static_cast<unsigned>(feature.data.size()));
    for (const uint8_t byte : feature.data) r.u8(byte);
  }
  r.patch16(2, r.size() - 4);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::mode_sense_6() {
  mode_sense(4, packet_[4]);
}
void AtapiCdrom::mode_sense_10() {
  mode_sense(8, be16(&packet_[7]));
}

void AtapiCdrom::mode_sense(size_t header_bytes, size_t allocation_length) {
  const unsigned page_control = packet_[2] >> 6;
  const uint8_t page = packet_[2] & 0x3f;
  if (page_control == 3) return packet_failed(kSavingNotSupported);

  Reply r;
  r.zeros(header_bytes);
  const auto add_page = [&](uint8_t code, std::initializer_list<uint8_t> body) {
    if (page != code && page != 0x3f) return;
    r.u8(code).u8(static_cast<unsigned>(body.size()));
    for (const uint8_t byte : body) r.u8(page_control == 1 ? 0 : byte);  // nothing is changeable
  };
  constexpr uint8_t kSpeedHigh = kKilobytesPerSecond >> 8, kSpeedLow = kKilobytesPerSecond & 0xff;
  add_page(0x01, {0, 5, 0, 0, 0, 0});    // error recovery: five retries
  add_page(0x0d, {0, 0, 0, 60, 0, 75});  // seconds a minute, frames a second
  add_page(0x0e, {4, 0, 0, 0, 0, 0, 1, 0xff, 2, 0xff, 0, 0, 0, 0});
  // Capabilities: reads CD-R(W) and DVD-ROM, mode 2 and multi-session; tray with lock and eject.
  const uint8_t lock_bits = static_cast<uint8_t>(0x29 | (locked_ ? 0x02 : 0));
  add_page(0x2a, {0x0b, 0, 0x70, 0, lock_bits, 0, kSpeedHigh, kSpeedLow, 0, 2, 0x02, 0, kSpeedHigh, kSpeedLow,
                  0, 0, 0, 0});
  if (r.size() == header_bytes) return packet_failed(kInvalidField);

  const uint8_t medium_type = tray_open_ ? 0x71 : medium_ ? 0x01 : 0x70;
  if (header_bytes == 4) {
    r[0] = static_cast<uint8_t>(r.size() - 1);
    r[1] = medium_type;
  } else {
    r.patch16(0, r.size() - 2);
    r[2] = medium_type;
  }
  reply(r, allocation_length);
}

// --- the disc ------------------------------------------------------------------------------------

void AtapiCdrom::read_capacity() {
  Reply r;
  r.u32(disc_sectors() - 1).u32(kSectorBytes);
  reply(r, r.size());
}

void AtapiCdrom::read_10() {
  read_sectors(be32(&packet_[2]), be16(&packet_[7]), SectorPart::kUserData);
}
void AtapiCdrom::read_12() {
  read_sectors(be32(&packet_[2]), be32(&packet_[6]), SectorPart::kUserData);
}

void AtapiCdrom::read_cd() {
  read_cd_range(be32(&packet_[2]), be24(&packet_[6]));
}

void AtapiCdrom::read_cd_msf() {
  const auto lba = [](const uint8_t* msf) { return (int{msf[0]} * 60 + msf[1]) * 75 + msf[2] - 150; };
  const int start = lba(&packet_[3]), end = lba(&packet_[6]);
  if (start < 0 || end < start) return packet_failed(kInvalidField);
  read_cd_range(static_cast<uint32_t>(start), static_cast<uint32_t>(end - start));
}

void AtapiCdrom::read_cd_range(uint32_t lba, uint32_t count) {
  constexpr unsigned kAnyType = 0, kMode1 = 2;
  const unsigned type = packet_[1] >> 2 & 7;
  if (type != kAnyType && type != kMode1) return packet_failed(kIllegalMode);
  if ((packet_[9] & 0x06) != 0 || (packet_[10] & 7) != 0)
    return packet_failed(kInvalidField);  // C2, sub-channel
  read_sectors(lba, count, packet_[9] & SectorPart::kAllParts);
}

void AtapiCdrom::seek() {
  if (be32(&packet_[2]) >= disc_sectors()) return packet_failed(kLbaOutOfRange);
  packet_done();
}

void AtapiCdrom::read_header() {
  const uint32_t lba = be32(&packet_[2]);
  if (lba >= disc_sectors()) return packet_failed(kLbaOutOfRange);
  Reply r;
  r.u8(1).zeros(3).address(lba, (packet_[1] & 2) != 0);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::read_toc() {
  const bool msf = (packet_[1] & 2) != 0;
  const uint8_t first = packet_[6];
  // SFF-8020i has the format in the control byte, MMC in byte 2.
  const unsigned format = (packet_[2] & 0x0f) != 0 ? packet_[2] & 0x0f : packet_[9] >> 6;
  Reply r;
  r.u16(0).u8(1).u8(1);
  switch (format) {
    case 0:
      if (first > 1 && first != kLeadOut) return packet_failed(kInvalidField);
      if (first <= 1) r.u8(0).u8(kDataTrack).u8(1).u8(0).address(0, msf);
      r.u8(0).u8(kDataTrack).u8(kLeadOut).u8(0).address(disc_sectors(), msf);
      break;
    case 1:
      r.u8(0).u8(kDataTrack).u8(1).u8(0).address(0, msf);
      break;
    case 2: {
      const auto point = [&](uint8_t number, std::array<uint8_t, 3> p) {
        r.u8(1).u8(kDataTrack).u8(0).u8(number).zeros(4).u8(p[0]).u8(p[1]).u8(p[2]);
      };
      point(0xa0, {1, 0, 0});  // first track, disc type CD-ROM
      point(0xa1, {1, 0, 0});  // last track
      point(0xa2, msf_of_lba(disc_sectors()));
      point(1, msf_of_lba(0));
      break;
    }
    default:
      return packet_failed(kInvalidField);
  }
  r.patch16(0, r.size() - 2);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::read_subchannel() {
  const bool msf = (packet_[1] & 2) != 0;
  Reply r;
  r.u8(0).u8(0x15).u16(0);  // no audio status
  if ((packet_[2] & 0x40) != 0) {
    switch (packet_[3]) {
      case 1:  // current position
        r.u8(1).u8(kDataTrack).u8(1).u8(1).address(0, msf).address(0, msf);
        break;
      case 2:  // media catalogue number: none
        r.u8(2).zeros(19);
        break;
      case 3:  // ISRC: none
        r.u8(3).u8(kDataTrack).u8(1).zeros(17);
        break;
      default:
        return packet_failed(kInvalidField);
    }
  }
  r.patch16(2, r.size() - 4);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::read_disc_info() {
  Reply r;
  r.u16(32).u8(0x0e).u8(1).u8(1).u8(1).u8(1).u8(0x20).u8(0).zeros(7);  // finalised, one session, one track
  r.u32(0xffffffff).u32(0xffffffff).zeros(10);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::read_track_info() {
  const unsigned kind = packet_[1] & 3;
  const uint32_t number = be32(&packet_[2]);
  const bool by_lba = kind == 0;
  if (kind == 3 || (by_lba ? number >= disc_sectors() : number != 1)) return packet_failed(kInvalidField);
  Reply r;
  r.u16(34).u8(1).u8(1).u8(0).u8(0x04).u8(0x01).u8(0);  // track 1 of session 1, data, mode 1
  r.u32(0).zeros(12).u32(disc_sectors()).zeros(8);
  reply(r, be16(&packet_[7]));
}

void AtapiCdrom::read_dvd_structure() {
  if (disc_sectors() <= kLargestCdSectors) return packet_failed(kIncompatibleMedium);
  Reply r;
  switch (packet_[7]) {
    case 0: {  // physical format: DVD-ROM, one layer
      constexpr uint32_t kFirstDataSector = 0x30000;
      r.u16(2050).u16(0).u8(0x01).u8(0x0f).u8(0x01).u8(0);
      r.u32(kFirstDataSector).u32(kFirstDataSector + disc_sectors() - 1).u32(0);
      r.zeros(4 + 2048 - r.size());
      break;
    }
    case 1:  // copyright: not protected
      r.u16(6).u16(0).u32(0);
      break;
    default:
      return packet_failed(kInvalidField);
  }
  reply(r, be16(&packet_[8]));
}

void AtapiCdrom::no_audio() {
  packet_failed(kIllegalMode);
}

}  // namespace vireo
