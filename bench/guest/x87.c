// Row x87; CMakeLists.txt has this file compiled for the x87 unit.
#include "bench/guest/float_work.h"

uint32_t run_x87(uint32_t units) {
  return float_work(units);
}
