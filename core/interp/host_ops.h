// Arithmetic by the host's own instructions: the guest's instruction set is the host's, so results and flags,
// also those that the SDM leaves undefined, come out as on silicon. Every operation takes the guest's RFLAGS,
// loads the arithmetic flags that matter and stores all six back; other bits are kept.
#pragma once

#include <cstdint>

#include "core/cpu_state.h"

namespace vireo::interp::host {

// Flags travel in AX: AH as LAHF leaves it (SF ZF AF PF CF), AL = OF. Unlike PUSHF this does not touch the
// stack, whose red zone belongs to the compiler.
inline uint32_t pack_flags(uint64_t flags) {
  return static_cast<uint32_t>((flags & 0xff) << 8 | ((flags >> 11) & 1));
}
inline void store_flags(uint64_t& flags, uint32_t ax) {
  flags = (flags & ~(rflags::kArithmetic)) | ((ax >> 8) & 0xff) | (ax & 0xff) << 11;
}

// OF first: ADD gives it back (0x7f + 1 overflows), SAHF leaves it alone.
#define VIREO_LOAD_FLAGS "addb $0x7f, %%al\n\tsahf\n\t"
#define VIREO_SAVE_FLAGS "\n\tlahf\n\tseto %%al"

// Operations that neither read flags nor leave any unchanged.
#define VIREO_BINARY(NAME, MNEMONIC)                                                             \
  struct NAME {                                                                                  \
    template <class T>                                                                           \
    static T run(T a, T b, uint64_t& flags) {                                                    \
      uint32_t ax;                                                                               \
      asm(MNEMONIC " %[b], %[a]" VIREO_SAVE_FLAGS : [a] "+r"(a), "=&a"(ax) : [b] "r"(b) : "cc"); \
      store_flags(flags, ax);                                                                    \
      return a;                                                                                  \
    }                                                                                            \
  }
VIREO_BINARY(Add, "add");
VIREO_BINARY(Sub, "sub");
VIREO_BINARY(And, "and");
VIREO_BINARY(Or, "or");
VIREO_BINARY(Xor, "xor");
#undef VIREO_BINARY

#define VIREO_COMPARE(NAME, MNEMONIC)                                                           \
  struct NAME {                                                                                 \
    template <class T>                                                                          \
    static void run(T a, T b, uint64_t& flags) {                                                \
      uint32_t ax;                                                                              \
      asm(MNEMONIC " %[b], %[a]" VIREO_SAVE_FLAGS : "=&a"(ax) : [a] "r"(a), [b] "r"(b) : "cc"); \
      store_flags(flags, ax);                                                                   \
    }                                                                                           \
  }
VIREO_COMPARE(Cmp, "cmp");
VIREO_COMPARE(Test, "test");
#undef VIREO_COMPARE

// CF in, all flags out.
#define VIREO_WITH_CARRY(NAME, MNEMONIC)                              \
  struct NAME {                                                       \
    template <class T>                                                \
    static T run(T a, T b, uint64_t& flags) {                         \
      uint32_t ax;                                                    \
      asm("bt $0, %k[in]\n\t" MNEMONIC " %[b], %[a]" VIREO_SAVE_FLAGS \
          : [a] "+r"(a), "=&a"(ax)                                    \
          : [b] "r"(b), [in] "r"(flags)                               \
          : "cc");                                                    \
      store_flags(flags, ax);                                         \
      return a;                                                       \
    }                                                                 \
  }
VIREO_WITH_CARRY(Adc, "adc");
VIREO_WITH_CARRY(Sbb, "sbb");
#undef VIREO_WITH_CARRY

// INC and DEC keep CF; NEG is happy with it.
#define VIREO_UNARY(NAME, MNEMONIC)                             \
  struct NAME {                                                 \
    template <class T>                                          \
    static T run(T a, uint64_t& flags) {                        \
      uint32_t ax;                                              \
      asm("bt $0, %k[in]\n\t" MNEMONIC " %[a]" VIREO_SAVE_FLAGS \
          : [a] "+r"(a), "=&a"(ax)                              \
          : [in] "r"(flags)                                     \
          : "cc");                                              \
      store_flags(flags, ax);                                   \
      return a;                                                 \
    }                                                           \
  }
VIREO_UNARY(Inc, "inc");
VIREO_UNARY(Dec, "dec");
VIREO_UNARY(Neg, "neg");
#undef VIREO_UNARY

struct Not {
  template <class T>
  static T run(T a, uint64_t&) {
    return static_cast<T>(~a);
  }
};

// Shifts and rotates by CL. The host masks the count; masked to 0 it changes no flag.
#define VIREO_SHIFT(NAME, MNEMONIC)                                                              \
  struct NAME {                                                                                  \
    template <class T>                                                                           \
    static T run(T a, uint8_t count, uint64_t& flags) {                                          \
      uint32_t ax = pack_flags(flags);                                                           \
      asm(VIREO_LOAD_FLAGS MNEMONIC " %%cl, %[a]" VIREO_SAVE_FLAGS                               \
          : [a] "+r"(a), "+&a"(ax)                                                               \
          : "c"(count)                                                                           \
          : "cc");                                                                               \
      store_flags(flags, ax);                                                                    \
      return a;                                                                                  \
    }                                                                                            \
    template <class T>                                                                           \
    static T by_one(T a, uint64_t& flags) {                                                      \
      uint32_t ax = pack_flags(flags);                                                           \
      asm(VIREO_LOAD_FLAGS MNEMONIC " %[a]" VIREO_SAVE_FLAGS : [a] "+r"(a), "+&a"(ax) : : "cc"); \
      store_flags(flags, ax);                                                                    \
      return a;                                                                                  \
    }                                                                                            \
  }
VIREO_SHIFT(Shl, "shl");
VIREO_SHIFT(Shr, "shr");
VIREO_SHIFT(Sar, "sar");
VIREO_SHIFT(Rol, "rol");
VIREO_SHIFT(Ror, "ror");
VIREO_SHIFT(Rcl, "rcl");
VIREO_SHIFT(Rcr, "rcr");
#undef VIREO_SHIFT

#define VIREO_DOUBLE_SHIFT(NAME, MNEMONIC)                               \
  struct NAME {                                                          \
    template <class T>                                                   \
    static T run(T a, T b, uint8_t count, uint64_t& flags) {             \
      uint32_t ax = pack_flags(flags);                                   \
      asm(VIREO_LOAD_FLAGS MNEMONIC " %%cl, %[b], %[a]" VIREO_SAVE_FLAGS \
          : [a] "+r"(a), "+&a"(ax)                                       \
          : [b] "r"(b), "c"(count)                                       \
          : "cc");                                                       \
      store_flags(flags, ax);                                            \
      return a;                                                          \
    }                                                                    \
  }
VIREO_DOUBLE_SHIFT(Shld, "shld");
VIREO_DOUBLE_SHIFT(Shrd, "shrd");
#undef VIREO_DOUBLE_SHIFT

// Two register operands, the first also an input (BSF and BSR leave it alone when the source is 0; BT reads
// it).
#define VIREO_FULL_FLAGS_BINARY(NAME, MNEMONIC)                    \
  struct NAME {                                                    \
    template <class T>                                             \
    static T run(T a, T b, uint64_t& flags) {                      \
      uint32_t ax = pack_flags(flags);                             \
      asm(VIREO_LOAD_FLAGS MNEMONIC " %[b], %[a]" VIREO_SAVE_FLAGS \
          : [a] "+r"(a), "+&a"(ax)                                 \
          : [b] "r"(b)                                             \
          : "cc");                                                 \
      store_flags(flags, ax);                                      \
      return a;                                                    \
    }                                                              \
  }
VIREO_FULL_FLAGS_BINARY(Bsf, "bsf");
VIREO_FULL_FLAGS_BINARY(Bsr, "bsr");
VIREO_FULL_FLAGS_BINARY(Popcnt, "popcnt");
VIREO_FULL_FLAGS_BINARY(Bt, "bt");
VIREO_FULL_FLAGS_BINARY(Bts, "bts");
VIREO_FULL_FLAGS_BINARY(Btr, "btr");
VIREO_FULL_FLAGS_BINARY(Btc, "btc");
VIREO_FULL_FLAGS_BINARY(Imul2, "imul");
#undef VIREO_FULL_FLAGS_BINARY

// One-operand multiply and divide on the accumulator pair: `low` and `high` are rAX and rDX; with bytes `low`
// is all of AX, and `high` is not used. The caller has made sure that a division cannot trap.
#define VIREO_ACCUMULATOR(NAME, MNEMONIC)                                                  \
  struct NAME {                                                                            \
    template <class T>                                                                     \
    static void run(T& low, T& high, T b, uint64_t& flags) {                               \
      uint32_t ax = pack_flags(flags);                                                     \
      T result = low;                                                                      \
      /* AX carries the flags and rAX is an operand, so they swap around the operation. */ \
      uint64_t scratch = static_cast<uint64_t>(result);                                    \
      asm(VIREO_LOAD_FLAGS "mov %[s], %%rax\n\t" MNEMONIC                                  \
                           " %[b]\n\t"                                                     \
                           "mov %%rax, %[s]\n\tlahf\n\tseto %%al"                          \
          : "+&a"(ax), "+&d"(high), [s] "+&r"(scratch)                                     \
          : [b] "r"(b)                                                                     \
          : "cc");                                                                         \
      low = static_cast<T>(scratch);                                                       \
      store_flags(flags, ax);                                                              \
    }                                                                                      \
    static void run_byte(uint16_t& accumulator, uint8_t b, uint64_t& flags) {              \
      uint16_t unused = 0;                                                                 \
      uint64_t scratch = accumulator;                                                      \
      uint32_t ax = pack_flags(flags);                                                     \
      asm(VIREO_LOAD_FLAGS "mov %[s], %%rax\n\t" MNEMONIC                                  \
                           " %[b]\n\t"                                                     \
                           "mov %%rax, %[s]\n\tlahf\n\tseto %%al"                          \
          : "+&a"(ax), "+&d"(unused), [s] "+&r"(scratch)                                   \
          : [b] "r"(b)                                                                     \
          : "cc");                                                                         \
      accumulator = static_cast<uint16_t>(scratch);                                        \
      store_flags(flags, ax);                                                              \
    }                                                                                      \
  }
VIREO_ACCUMULATOR(Mul, "mul");
VIREO_ACCUMULATOR(Imul, "imul");
VIREO_ACCUMULATOR(Div, "div");
VIREO_ACCUMULATOR(Idiv, "idiv");
#undef VIREO_ACCUMULATOR

#undef VIREO_LOAD_FLAGS
#undef VIREO_SAVE_FLAGS

/// Whether condition code `cc` (SDM 1 appendix B) holds.
template <unsigned cc>
bool condition(uint64_t flags) {
  constexpr uint64_t kMask[8] = {rflags::kOf, rflags::kCf, rflags::kZf, rflags::kCf | rflags::kZf,
                                 rflags::kSf, rflags::kPf, 0,           0};
  bool holds;
  if constexpr (cc / 2 < 6) {
    holds = flags & kMask[cc / 2];
  } else {
    holds = (flags ^ (flags >> 4)) & rflags::kSf;
    if constexpr (cc / 2 == 7) holds |= (flags & rflags::kZf) != 0;
  }
  return holds != static_cast<bool>(cc & 1);
}

}  // namespace vireo::interp::host
