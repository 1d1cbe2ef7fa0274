// What travels on the APIC bus. Source: Intel SDM 3A 11.5.1, 11.6; 82093AA datasheet, 3.2.4.
#pragma once

#include <cstdint>

namespace vireo {

struct ApicMessage {
  enum class Delivery : uint8_t {
    kFixed = 0,
    kLowestPriority = 1,
    kSmi = 2,
    kNmi = 4,
    kInit = 5,
    kStartup = 6,
    kExtInt = 7,
  };

  uint8_t vector = 0;
  Delivery delivery = Delivery::kFixed;
  bool logical = false;     ///< `destination` is a logical one
  uint8_t destination = 0;  ///< 0xff: all
  bool level_triggered = false;
};

}  // namespace vireo
