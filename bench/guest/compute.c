// Rows that stay in registers, caches and branches: integer, indirect, switch.
#include "bench/guest/bench.h"

// --- integer: checksum, sort and hash table over 4 KiB of random words
enum { kWords = 1024, kSlots = 2048 };

static uint32_t crc_table[256];
static uint32_t words[kWords];
static uint32_t slots[kSlots];

static void fill_crc_table(void) {
  for (uint32_t i = 0; i < 256; i++) {
    uint32_t value = i;
    for (int bit = 0; bit < 8; bit++) value = (value >> 1) ^ (value & 1 ? 0xEDB88320u : 0);
    crc_table[i] = value;
  }
}

static uint32_t crc32(const uint8_t* bytes, uint32_t count) {
  uint32_t crc = ~0u;
  for (uint32_t i = 0; i < count; i++) crc = crc_table[(crc ^ bytes[i]) & 0xFF] ^ (crc >> 8);
  return ~crc;
}

static void shell_sort(uint32_t* values, uint32_t count) {
  static const uint32_t kGaps[] = {301, 132, 57, 23, 10, 4, 1};
  for (uint32_t round = 0; round < sizeof(kGaps) / sizeof(kGaps[0]); round++) {
    const uint32_t gap = kGaps[round];
    for (uint32_t i = gap; i < count; i++) {
      const uint32_t value = values[i];
      uint32_t j = i;
      for (; j >= gap && values[j - gap] > value; j -= gap) values[j] = values[j - gap];
      values[j] = value;
    }
  }
}

static uint32_t slot_of(uint32_t key) {
  uint32_t slot = (key * 0x9E3779B1u) % kSlots;
  while (slots[slot] != 0 && slots[slot] != key) slot = (slot + 1) % kSlots;
  return slot;
}

static uint32_t hash_words(void) {
  for (uint32_t i = 0; i < kSlots; i++) slots[i] = 0;
  for (uint32_t i = 0; i < kWords; i += 2) slots[slot_of(words[i])] = words[i];
  uint32_t found = 0;
  for (uint32_t i = 0; i < kWords; i++) found += slots[slot_of(words[i])] != 0;
  return found;
}

uint32_t run_integer(uint32_t units) {
  fill_crc_table();
  uint32_t random = 1;
  uint32_t result = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (uint32_t i = 0; i < kWords; i++) words[i] = next_random(&random);
    result = result * 31 + hash_words();
    shell_sort(words, kWords);
    result ^= crc32((const uint8_t*)words, sizeof(words));
  }
  return result;
}

// --- indirect: calls through a table of functions, in an order too long for a branch predictor to learn. The
// functions are small steps of hashes and checksums: they work in registers on their two arguments.
static uint32_t rotate(uint32_t value, int bits) {
  return value << bits | value >> (32 - bits);
}

// MurmurHash3's block step and its finalizer.
static uint32_t multiply_rotate(uint32_t a, uint32_t b) {
  b = rotate(b * 0xCC9E2D51u, 15) * 0x1B873593u;
  a = rotate(a ^ b, 13) * 5 + 0xE6546B64u;
  a = (a ^ a >> 16) * 0x85EBCA6Bu;
  a = (a ^ a >> 13) * 0xC2B2AE35u;
  return a ^ a >> 16;
}
static uint32_t shift_xor(uint32_t a, uint32_t b) {
  for (int i = 0; i < 4; i++) {
    a ^= a << 13;
    a ^= a >> 17;
    a ^= a << 5;
    a += b;
  }
  return a;
}
static uint32_t add_rotate_xor(uint32_t a, uint32_t b) {
  uint32_t c = 0x61707865u;
  for (int i = 0; i < 2; i++) {
    a += b;
    c = rotate(c ^ a, 16);
    b = rotate(b ^ c, 12);
    a += b;
    c = rotate(c ^ a, 8);
    b = rotate(b ^ c, 7);
  }
  return a ^ b ^ c;
}
static uint32_t block_cipher(uint32_t a, uint32_t b) {
  uint32_t sum = 0;
  for (int i = 0; i < 3; i++) {
    a += ((b << 4 ^ b >> 5) + b) ^ sum;
    sum += 0x9E3779B9u;
    b += ((a << 4 ^ a >> 5) + a) ^ sum;
  }
  return a ^ b;
}
static uint32_t bytes_hashed(uint32_t a, uint32_t b) {
  for (int i = 0; i < 4; i++, b >>= 8) a = (a ^ (b & 0xFF)) * 0x01000193u;
  return a;
}
static uint32_t bytes_summed(uint32_t a, uint32_t b) {
  uint32_t low = a & 0xFFFF, high = a >> 16;
  for (int i = 0; i < 4; i++, b >>= 8) {
    low += b & 0xFF;
    high += low;
  }
  return high << 16 | (low & 0xFFFF);
}
static uint32_t bits_reversed(uint32_t a, uint32_t b) {
  a = (a >> 1 & 0x55555555u) | (a & 0x55555555u) << 1;
  a = (a >> 2 & 0x33333333u) | (a & 0x33333333u) << 2;
  a = (a >> 4 & 0x0F0F0F0Fu) | (a & 0x0F0F0F0Fu) << 4;
  a = (a >> 8 & 0x00FF00FFu) | (a & 0x00FF00FFu) << 8;
  return rotate(a, 16) - b;
}
static uint32_t bits_counted(uint32_t a, uint32_t b) {
  uint32_t bits = a ^ b;
  bits -= bits >> 1 & 0x55555555u;
  bits = (bits & 0x33333333u) + (bits >> 2 & 0x33333333u);
  bits = (bits + (bits >> 4)) & 0x0F0F0F0Fu;
  return rotate(a, 11) + ((bits * 0x01010101u) >> 24);
}

static uint32_t (*volatile const kSteps[])(uint32_t, uint32_t) = {
    multiply_rotate, shift_xor,    add_rotate_xor, block_cipher,
    bytes_hashed,    bytes_summed, bits_reversed,  bits_counted};

enum { kCalls = 16384 };
static uint8_t call_order[kCalls];

uint32_t run_indirect(uint32_t units) {
  uint32_t random = 7;
  for (uint32_t i = 0; i < kCalls; i++) call_order[i] = next_random(&random) >> 13 & 7;
  uint32_t value = 1;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (uint32_t i = 0; i < kCalls; i++) value = kSteps[call_order[i]](value, i + unit);
  }
  return value;
}

// --- switch: an interpreter of a machine with an accumulator and two registers, all in registers of the CPU.
// It runs Collatz sequences and a long program without loops, whose instructions no branch predictor
// foresees.
typedef enum {
  kStop,
  // from here to kSkipIfOdd: the instructions of the long program
  kSet,
  kFromX,
  kToX,
  kFromY,
  kToY,
  kAddX,
  kAddNumber,
  kTripleAndOne,
  kHalve,
  kRandomY,
  kMix,
  kReduce,
  kSpread,
  kSkipIfOdd,
  kSkipIfOne,
  kJump,
  kCount
} Op;
/// `number` is an operand: a constant, or a distance from the next instruction.
typedef struct {
  uint8_t op;
  int8_t number;
} Code;

static uint32_t interpret(const Code* code, uint32_t seed, uint32_t count) {
  uint32_t a = 0, x = 0, y = seed;
  for (;;) {
    const int32_t number = code->number;
    switch ((Op)code++->op) {
      case kStop:
        return x + y;
      case kSet:
        a = (uint32_t)number;
        break;
      case kFromX:
        a = x;
        break;
      case kToX:
        x = a;
        break;
      case kFromY:
        a = y;
        break;
      case kToY:
        y = a;
        break;
      case kAddX:
        a += x;
        break;
      case kAddNumber:
        a += (uint32_t)number;
        break;
      case kTripleAndOne:
        a = a * 3 + 1;
        break;
      case kHalve:
        a >>= 1;
        break;
      case kRandomY:
        y ^= y << 13;
        y ^= y >> 17;
        y ^= y << 5;
        break;
      case kMix:
        a = (a ^ y) * 0x85EBCA6Bu;
        a ^= a >> 13;
        a = rotate(a, 9) + x;
        a ^= a >> 7;
        break;
      case kReduce:
        a = (a & 0xFFFF) + (a >> 16) * 15;
        a = (a & 0xFFFF) + (a >> 16) * 15;
        break;
      case kSpread:
        a = (a | a << 8) & 0x00FF00FFu;
        a = (a | a << 4) & 0x0F0F0F0Fu;
        a = (a | a << 2) & 0x33333333u;
        a = (a | a << 1) & 0x55555555u;
        break;
      case kSkipIfOdd:
        code += a & 1 ? number : 0;
        break;
      case kSkipIfOne:
        code += a == 1 ? number : 0;
        break;
      case kJump:
        code += number;
        break;
      case kCount:
        code += --count ? number : 0;
        break;
    }
  }
}

// The count's random numbers, each followed to 1.
static const Code kCollatz[] = {
    {kRandomY, 0},       // start:
    {kFromY, 0},         //
    {kReduce, 0},        //
    {kSkipIfOdd, 2},     // step:
    {kHalve, 0},         //
    {kJump, 1},          //
    {kTripleAndOne, 0},  //
    {kSkipIfOne, 1},     //
    {kJump, -6},         //
    {kAddX, 0},          //
    {kToX, 0},           //
    {kCount, -12},       //
    {kStop, 0},
};

enum { kLongProgram = 16384, kCollatzCount = 8 };
static Code long_program[kLongProgram + 2];  // the last instruction may skip one

uint32_t run_switch(uint32_t units) {
  uint32_t random = 11;
  for (uint32_t i = 0; i < kLongProgram; i++) {
    const uint32_t op = kSet + (next_random(&random) >> 8) % (kSkipIfOdd - kSet + 1);
    long_program[i] = (Code){(uint8_t)op, op == kSkipIfOdd ? 1 : (int8_t)(random >> 3)};
  }
  uint32_t result = 0;
  for (uint32_t unit = 1; unit <= units; unit++)
    result = result * 31 + interpret(kCollatz, unit, kCollatzCount) + interpret(long_program, unit, 0);
  return result;
}
