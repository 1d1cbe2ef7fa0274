// Row smc: a function whose constant is rewritten before each call.
#include "bench/guest/bench.h"
#include "bench/guest/sys.h"

enum { kConstantAt = 5 };
static uint8_t* code;

void setup_smc(void) {
  static const uint8_t kFunction[] = {
#ifdef __x86_64__
      0x89, 0xF8, 0x66, 0x90,  // mov eax, edi; a NOP of two bytes
#else
      0x8B, 0x44, 0x24, 0x04,  // mov eax, [esp+4]
#endif
      0x05, 0,    0,    0,    0,  // add eax, the constant
      0xC1, 0xC0, 0x05,           // rol eax, 5
      0xC3,                       // ret
  };
  if (code == 0) code = map_memory(4096, 1);
  for (uint32_t i = 0; i < sizeof(kFunction); i++) code[i] = kFunction[i];
}

uint32_t run_smc(uint32_t units) {
  uint32_t (*volatile const function)(uint32_t) = (uint32_t(*)(uint32_t))code;
  volatile uint32_t* const constant = (volatile uint32_t*)(code + kConstantAt);
  uint32_t value = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    *constant = unit * 0x01000193u;
    value = function(value);
  }
  return value;
}
