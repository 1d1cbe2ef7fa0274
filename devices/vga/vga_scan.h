// One scan line of a picture, as the CRT controller walks through memory.
#pragma once

#include "devices/vga/vga.h"

namespace vireo {

struct Vga::ScanLine {
  const CrtcGeometry& geometry;
  unsigned row_address;  ///< address counter at the row's first character
  unsigned row_scan;     ///< scan line within the row
};

}  // namespace vireo
