#include "translator/host_flags.h"

#include <cstdint>

namespace vireo::translator {

namespace {

/// AH as LAHF, AL = OF, after the instruction; before it the flags are `flags`, in the same form.
using Probe = uint16_t (*)(uint32_t value, uint32_t other, uint16_t flags);

#define VIREO_PROBE(text)                                           \
  [](uint32_t value, uint32_t other, uint16_t flags) -> uint16_t {  \
    asm("addb $0x7f, %%al\n\tsahf\n\t" text "\n\tlahf\n\tseto %%al" \
        : "+a"(flags), "+c"(value)                                  \
        : "d"(other)                                                \
        : "cc");                                                    \
    return flags;                                                   \
  }

// By 1, by less than the operand has bits, and by more.
constexpr Probe kShifts[] = {
    VIREO_PROBE("shll $1, %%ecx"), VIREO_PROBE("shll $13, %%ecx"), VIREO_PROBE("shlw $1, %%cx"),
    VIREO_PROBE("shlw $20, %%cx"), VIREO_PROBE("shlb $1, %%cl"),   VIREO_PROBE("shlb $20, %%cl"),
    VIREO_PROBE("shrl $1, %%ecx"), VIREO_PROBE("shrl $13, %%ecx"), VIREO_PROBE("shrw $1, %%cx"),
    VIREO_PROBE("shrw $20, %%cx"), VIREO_PROBE("shrb $1, %%cl"),   VIREO_PROBE("shrb $20, %%cl"),
    VIREO_PROBE("sarl $1, %%ecx"), VIREO_PROBE("sarl $13, %%ecx"), VIREO_PROBE("sarw $1, %%cx"),
    VIREO_PROBE("sarw $20, %%cx"), VIREO_PROBE("sarb $1, %%cl"),   VIREO_PROBE("sarb $20, %%cl"),
};
constexpr Probe kMultiplies[] = {
    VIREO_PROBE("imull %%edx, %%ecx"),        VIREO_PROBE("imulw %%dx, %%cx"),
    VIREO_PROBE("imull $100, %%edx, %%ecx"),  VIREO_PROBE("imull $0x12345678, %%edx, %%ecx"),
    VIREO_PROBE("imulw $0x1234, %%dx, %%cx"),
};
#undef VIREO_PROBE

template <typename Probes>
bool by_operands_alone(const Probes& probes) {
  constexpr uint32_t kValues[] = {0,          1,          2,          0x7f,       0x80,       0xff,
                                  0x7fff,     0x8000,     0xffff,     0x12345678, 0x5555aaaa, 0x7fffffff,
                                  0x80000000, 0xdeadbeef, 0xfffffffe, 0xffffffff};
  constexpr uint16_t kAllSet = 0xd501, kAllClear = 0;
  for (const Probe probe : probes) {
    for (const uint32_t value : kValues) {
      for (const uint32_t other : kValues) {
        if (probe(value, other, kAllSet) != probe(value, other, kAllClear)) return false;
      }
    }
  }
  return true;
}

}  // namespace

HostFlags find_host_flags() {
  static const HostFlags found{by_operands_alone(kShifts), by_operands_alone(kMultiplies)};
  return found;
}

}  // namespace vireo::translator
