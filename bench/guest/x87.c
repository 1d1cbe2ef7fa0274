// Row x87; CMakeLists.txt has this file compiled for the x87 unit.
#include "bench/guest/float_work.h"

// Results of 53 bits: what the compiler keeps in registers is rounded like what it puts into memory, so i386
// code and 64-bit code have one result. SDM vol. 1, 8.1.5.2.
enum { kExtendedPrecision = 0x37f, kDoublePrecision = 0x27f };

static void set_control_word(uint16_t word) {
  __asm__ volatile("fldcw %0" : : "m"(word) : "memory");
}

uint32_t run_x87(uint32_t units) {
  set_control_word(kDoublePrecision);
  const uint32_t result = float_work(units);
  set_control_word(kExtendedPrecision);
  return result;
}
