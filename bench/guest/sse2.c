// Row sse2: the work of row x87 in scalar SSE2, and packed integers: blending two pictures, and their
// distance.
#include "bench/guest/float_work.h"

typedef int16_t Words __attribute__((vector_size(16)));
typedef int32_t Doublewords __attribute__((vector_size(16)));
typedef int64_t Quadwords __attribute__((vector_size(16)));
typedef char Bytes __attribute__((vector_size(16)));

enum { kVectors = 512 };
static Words first[kVectors], second[kVectors], blend[kVectors];

static uint32_t packed_work(int16_t weight) {
  const Words weights = (Words){0} + weight;
  const Words opposite = (Words){0} + (int16_t)(256 - weight);
  Doublewords energy = {0};
  Quadwords distance = {0};
  for (int i = 0; i < kVectors; i++) {
    blend[i] = (first[i] * weights + second[i] * opposite) >> 8;
    energy += __builtin_ia32_pmaddwd128(blend[i], first[i]);
    distance += (Quadwords)__builtin_ia32_psadbw128((Bytes)blend[i], (Bytes)second[i]);
  }
  return (uint32_t)(energy[0] + energy[1] + energy[2] + energy[3]) ^ (uint32_t)(distance[0] + distance[1]);
}

uint32_t run_sse2(uint32_t units) {
  uint32_t random = 13;
  for (int i = 0; i < kVectors; i++) {
    for (int lane = 0; lane < 8; lane++) {
      first[i][lane] = next_random(&random) >> 8 & 0x7F;
      second[i][lane] = next_random(&random) >> 8 & 0x7F;
    }
  }
  uint32_t result = float_work(units);
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int16_t weight = 0; weight < 256; weight += 4) result = result * 31 + packed_work(weight);
  }
  return result;
}
