#include "tests/differential/values.h"

#include <cstring>

namespace vireo::diff {
namespace {

uint32_t random_float(Rng& rng) {
  const uint32_t sign = rng.next32() & 0x80000000;
  const uint32_t fraction = rng.next32() & 0x7fffff;
  switch (rng.below(12)) {
    case 0:
      return sign;  // zero
    case 1:
      return sign | 0x3f800000;  // one
    case 2:
      return sign | 0x7f800000;  // infinity
    case 3:
      return sign | 0x7fc00000 | fraction;  // quiet NaN
    case 4:
      return sign | 0x7f800000 | (fraction & 0x3fffff) | 1;  // signalling NaN
    case 5:
      return sign | fraction;  // denormal
    case 6:
      return sign | (rng.chance(50) ? 0x7f7fffff : 0x00800000);  // greatest, least normal
    case 7:
    case 8:
      return sign | (0x3f800000 + (rng.below(40) << 23)) | (rng.chance(50) ? fraction & 0x7f0000 : fraction);
    case 9:
      return sign | (0x3f800000 - (rng.below(30) << 23)) | fraction;
    default:
      return rng.next32();
  }
}

uint64_t random_double(Rng& rng) {
  const uint64_t sign = rng.next() & (uint64_t{1} << 63);
  const uint64_t fraction = rng.next() >> 12;
  constexpr uint64_t kExponentOne = uint64_t{0x3ff} << 52;
  constexpr uint64_t kInfinity = uint64_t{0x7ff} << 52;
  constexpr uint64_t kQuiet = uint64_t{1} << 51;
  switch (rng.below(14)) {
    case 0:
      return sign;
    case 1:
      return sign | kExponentOne;
    case 2:
      return sign | kInfinity;
    case 3:
      return sign | kInfinity | kQuiet | fraction;
    case 4:
      return sign | kInfinity | (fraction & (kQuiet - 1)) | 1;
    case 5:
      return sign | fraction;
    case 6:
      return sign | (rng.chance(50) ? kInfinity - 1 : uint64_t{1} << 52);
    case 7:
    case 8:
    case 9:
      return sign | (kExponentOne + (uint64_t{rng.below(70)} << 52)) |
             (rng.chance(50) ? fraction & ~0xffffffffull : fraction);
    case 10:
      return sign | (kExponentOne - (uint64_t{rng.below(60)} << 52)) | fraction;
    case 11:  // about where conversion to single overflows or becomes denormal
      return sign |
             (kExponentOne + (uint64_t{rng.below(6)} << 52) +
              ((rng.chance(50) ? uint64_t{125} : ~uint64_t{127}) << 52)) |
             fraction;
    default:
      return rng.next();
  }
}

void random_bcd(Rng& rng, uint8_t out[10]) {
  for (unsigned i = 0; i < 9; i++) {
    out[i] = rng.chance(97) ? static_cast<uint8_t>(rng.below(10) << 4 | rng.below(10)) : rng.byte();
  }
  out[9] = rng.chance(90) ? static_cast<uint8_t>(rng.byte() & 0x80) : rng.byte();
}

template <class T>
void put(void* out, unsigned offset, T value) {
  std::memcpy(static_cast<uint8_t*>(out) + offset, &value, sizeof value);
}

}  // namespace

uint64_t random_integer(Rng& rng, unsigned bytes) {
  const unsigned bits = bytes * 8;
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  const uint64_t sign = (mask >> 1) + 1;  // 1 for no bytes, of which the caller takes none
  switch (rng.below(12)) {
    case 0:
      return rng.below(4);
    case 1:
      return mask - rng.below(4);
    case 2:
      return sign;
    case 3:
      return sign - 1;
    case 4:
      return uint64_t{1} << rng.below(bits);
    case 5:
      return rng.below(0x100);
    case 6:
      return static_cast<uint64_t>(-static_cast<int64_t>(rng.below(0x100))) & mask;
    default:
      return rng.next() & mask;
  }
}

void random_real80(Rng& rng, uint8_t out[10]) {
  constexpr uint64_t kInteger = uint64_t{1} << 63;
  uint64_t significand = rng.next() | kInteger;
  if (rng.chance(30)) significand &= ~uint64_t{0} << rng.below(64);
  uint32_t exponent = 0x3fff;
  switch (rng.below(22)) {
    case 0:
      exponent = 0, significand = 0;
      break;
    case 1:
      significand = kInteger;  // one
      break;
    case 2:
      exponent = 0x7fff, significand = kInteger;  // infinity
      break;
    case 3:
      exponent = 0x7fff, significand |= kInteger >> 1;  // quiet NaN
      break;
    case 4:
      exponent = 0x7fff, significand = (significand & ~(kInteger >> 1)) | 1;  // signalling NaN
      break;
    case 5:
      exponent = 0, significand &= ~kInteger;  // denormal
      break;
    case 6:
      exponent = 0;  // pseudo-denormal
      break;
    case 7:
      exponent = 1 + rng.below(0x7ffe), significand &= ~kInteger;  // unnormal: unsupported
      break;
    case 8:
      exponent = 0x7fff, significand &= ~kInteger;  // pseudo-NaN, pseudo-infinity: unsupported
      if (rng.chance(50)) significand = 0;
      break;
    case 9:
      exponent = rng.chance(50) ? 0x7ffe : 1;
      break;
    case 10:
    case 11:
    case 12:
    case 13:
      exponent = 0x3fff + rng.below(66);  // integers and mixed numbers that fit in 64 bits, or just do not
      break;
    case 14:
    case 15:
    case 16:
      exponent = 0x3fff - rng.below(70);
      break;
    case 17:  // about the ends of the range of double and single
      exponent = rng.pick(std::array<uint32_t, 4>{0x3fff + 1020, 0x3fff - 1026, 0x3fff + 124, 0x3fff - 150}) +
                 rng.below(8);
      break;
    case 18:
      exponent = 0x3ffe, significand = 0xc90fdaa22168c235;  // pi/4
      break;
    default:
      exponent = rng.below(0x8000);
      break;
  }
  put(out, 0, significand);
  put(out, 8, static_cast<uint16_t>(exponent | (rng.next32() & 0x8000)));
}

void random_operand(Rng& rng, void* out, unsigned bytes) {
  switch (bytes) {
    case 1:
      put(out, 0, static_cast<uint8_t>(random_integer(rng, 1)));
      return;
    case 2:
      put(out, 0, static_cast<uint16_t>(random_integer(rng, 2)));
      return;
    case 4:
      put(out, 0, rng.chance(60) ? static_cast<uint32_t>(random_integer(rng, 4)) : random_float(rng));
      return;
    case 8:
      switch (rng.below(4)) {
        case 0:
          put(out, 0, random_integer(rng, 8));
          return;
        case 1:
          put(out, 0, random_float(rng));
          put(out, 4, random_float(rng));
          return;
        case 2:
          for (unsigned i = 0; i < 4; i++) put(out, 2 * i, static_cast<uint16_t>(random_integer(rng, 2)));
          return;
        default:
          put(out, 0, random_double(rng));
          return;
      }
    case 10:
      if (rng.chance(70))
        random_real80(rng, static_cast<uint8_t*>(out));
      else
        random_bcd(rng, static_cast<uint8_t*>(out));
      return;
    case 16: {
      const unsigned lane = 1u << rng.below(4);
      const bool real = lane >= 4 && rng.chance(70);
      for (unsigned i = 0; i < 16; i += lane) {
        if (real && lane == 4) {
          put(out, i, random_float(rng));
        } else if (real) {
          put(out, i, random_double(rng));
        } else {
          const uint64_t value = random_integer(rng, lane);
          std::memcpy(static_cast<uint8_t*>(out) + i, &value, lane);
        }
      }
      return;
    }
    default:
      for (unsigned i = 0; i < bytes; i++) put(out, i, rng.byte());
      return;
  }
}

uint32_t random_mxcsr(Rng& rng) {
  constexpr uint32_t kRounding = 0x6000, kFlushToZero = 0x8000, kDenormalsAreZero = 0x40;
  uint32_t value = 0x1f80 | (rng.next32() & kRounding);
  if (rng.chance(20)) value |= kFlushToZero;
  if (rng.chance(20)) value |= kDenormalsAreZero;
  if (rng.chance(30)) value |= rng.below(64);
  if (rng.chance(30)) value &= ~(rng.next32() & 0x1f80);
  return value;
}

void random_fx(Rng& rng, FxState& fx) {
  std::memset(&fx, 0, sizeof fx);
  constexpr uint16_t kReserved1 = 0x40;
  constexpr uint16_t kRoundingAndPrecision = 0xf00;
  fx.fcw = static_cast<uint16_t>(0x37f | kReserved1);
  if (rng.chance(50))
    fx.fcw =
        static_cast<uint16_t>((fx.fcw & ~kRoundingAndPrecision) | (rng.next32() & kRoundingAndPrecision));
  if (rng.chance(25)) fx.fcw = static_cast<uint16_t>(fx.fcw & ~rng.below(64));
  fx.fsw = static_cast<uint16_t>(rng.below(8) << 11 | (rng.next32() & 0x4700));  // TOP, C0 to C3
  if (rng.chance(15)) fx.fsw = static_cast<uint16_t>(fx.fsw | rng.below(128));
  // ES and B say whether an unmasked exception is pending.
  if (fx.fsw & ~fx.fcw & 0x3f) fx.fsw |= 0x8080;
  fx.ftw = rng.chance(65) ? 0xff : rng.chance(20) ? 0 : rng.byte();
  // Pointers of an earlier instruction. Selectors are 0: newer CPUs do not keep them.
  if (rng.chance(30)) {
    fx.fip = rng.next32();
    fx.fdp = rng.next32();
    fx.fop = static_cast<uint16_t>(rng.below(0x800));
  }
  fx.mxcsr = random_mxcsr(rng);
  const bool mmx = rng.chance(30);
  for (auto& st : fx.st) {
    if (mmx) {
      random_operand(rng, st.data(), 8);
      st[8] = st[9] = 0xff;
    } else {
      random_real80(rng, st.data());
    }
  }
  for (unsigned i = 0; i < 8; i++) random_operand(rng, fx.xmm[i].data(), 16);
}

}  // namespace vireo::diff
