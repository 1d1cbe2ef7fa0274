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

// --- indirect: calls through a table of functions, in an order that repeats after 251 calls
typedef struct {
  uint32_t a, b, calls;
} Figures;

static void add_ab(Figures* f) {
  f->a += f->b;
}
static void xor_ab(Figures* f) {
  f->a ^= f->b;
}
static void rotate_a(Figures* f) {
  f->a = f->a << 7 | f->a >> 25;
}
static void scale_b(Figures* f) {
  f->b = f->b * 69069 + 1;
}
static void swap_ab(Figures* f) {
  const uint32_t a = f->a;
  f->a = f->b;
  f->b = a;
}
static void count_odd(Figures* f) {
  f->calls += f->a & 1;
}
static void larger(Figures* f) {
  f->b = f->a > f->b ? f->a - f->b : f->b + 3;
}
static void shift_b(Figures* f) {
  f->b = (f->b >> 3) + f->calls;
}

static void (*volatile const kActions[])(Figures*) = {add_ab,  xor_ab,    rotate_a, scale_b,
                                                      swap_ab, count_odd, larger,   shift_b};

uint32_t run_indirect(uint32_t units) {
  enum { kPeriod = 251 };
  uint8_t order[kPeriod];
  uint32_t random = 7;
  for (uint32_t i = 0; i < kPeriod; i++) order[i] = next_random(&random) >> 13 & 7;
  Figures figures = {1, 2, 0};
  for (uint32_t unit = 0; unit < units; unit++) {
    for (uint32_t i = 0; i < kPeriod; i++) kActions[order[i]](&figures);
  }
  return figures.a ^ figures.b ^ figures.calls;
}

// --- switch: an interpreter of a small register machine, which runs a sieve and then Collatz sequences
typedef enum {
  kStop,
  kSet,
  kMove,
  kAdd,
  kAddNumber,
  kSub,
  kMul,
  kAnd,
  kShiftRight,
  kLoad,
  kStore,
  kJump,
  kLess,
  kOdd
} Op;
typedef struct {
  uint8_t op, a, b;
  int8_t c;
} Code;

enum { kCells = 1024 };
static uint8_t cells[kCells];

static uint32_t interpret(const Code* code, uint32_t* r) {
  for (;;) {
    const Code at = *code++;
    switch ((Op)at.op) {
      case kStop:
        return r[at.a];
      case kSet:
        r[at.a] = at.b;
        break;
      case kMove:
        r[at.a] = r[at.b];
        break;
      case kAdd:
        r[at.a] += r[at.b];
        break;
      case kAddNumber:
        r[at.a] += (uint32_t)(int32_t)at.c;
        break;
      case kSub:
        r[at.a] -= r[at.b];
        break;
      case kMul:
        r[at.a] *= r[at.b];
        break;
      case kAnd:
        r[at.a] &= r[at.b];
        break;
      case kShiftRight:
        r[at.a] >>= at.b;
        break;
      case kLoad:
        r[at.a] = cells[r[at.b] % kCells];
        break;
      case kStore:
        cells[r[at.b] % kCells] = (uint8_t)r[at.a];
        break;
      case kJump:
        code += at.c;
        break;
      case kLess:
        code += r[at.a] < r[at.b] ? at.c : 0;
        break;
      case kOdd:
        code += r[at.a] & 1 ? at.c : 0;
        break;
    }
  }
}

// Registers: 0 the number of cells, 1 index, 2 multiple, 3 a mark, 4 primes, 5 the number 1.
static const Code kSieve[] = {
    {kSet, 1, 2, 0},        // outer:
    {kLoad, 3, 1, 0},       //
    {kOdd, 3, 0, 7},        //   marked: next
    {kAddNumber, 4, 0, 1},  //
    {kMove, 2, 1, 0},       //
    {kAdd, 2, 1, 0},        // inner:
    {kLess, 0, 2, 3},       //   past the end: next
    {kStore, 5, 2, 0},      //
    {kJump, 0, 0, -4},      //
    {kJump, 0, 0, 0},       //
    {kAddNumber, 1, 0, 1},  // next:
    {kLess, 1, 0, -11},     //
    {kStop, 4, 0, 0},
};

// Registers: 0 the last start, 1 start, 2 value, 3 the number 3, 4 steps, 5 the number 2.
static const Code kCollatz[] = {
    {kMove, 2, 1, 0},        // start:
    {kAddNumber, 4, 0, 1},   // step:
    {kOdd, 2, 0, 2},         //
    {kShiftRight, 2, 1, 0},  //
    {kJump, 0, 0, 2},        //
    {kMul, 2, 3, 0},         //
    {kAddNumber, 2, 0, 1},   //
    {kLess, 2, 5, 1},        //   value 1: done
    {kJump, 0, 0, -8},       //
    {kAddNumber, 1, 0, 1},   //
    {kLess, 1, 0, -11},      //
    {kStop, 4, 0, 0},
};

uint32_t run_switch(uint32_t units) {
  uint32_t result = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (uint32_t i = 0; i < kCells; i++) cells[i] = 0;
    uint32_t sieve[8] = {kCells, 0, 0, 0, 0, 1};
    uint32_t collatz[8] = {96, 2, 0, 3, 0, 2};
    result = result * 31 + interpret(kSieve, sieve) + interpret(kCollatz, collatz);
  }
  return result;
}
