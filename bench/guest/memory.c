// Rows about data: chase, copy, string.
#include "bench/guest/bench.h"
#include "bench/guest/sys.h"

static uint8_t* buffer;
static uint32_t buffer_bytes;

static void take_buffer(uint32_t bytes) {
  buffer = map_memory(bytes, 0);
  buffer_bytes = bytes;
}

void release_buffer(void) {
  unmap_memory(buffer, buffer_bytes);
}

// --- chase: one cycle through 65,536 cache lines in random order (4 MiB)
typedef struct Node {
  struct Node* next;
  uint32_t value;
  uint8_t rest_of_line[56];
} Node;
enum { kNodes = 65536 };
static uint32_t order[kNodes];

void setup_chase(void) {
  take_buffer(kNodes * sizeof(Node));
  Node* nodes = (Node*)buffer;
  uint32_t random = 3;
  for (uint32_t i = 0; i < kNodes; i++) order[i] = i;
  for (uint32_t i = kNodes - 1; i > 0; i--) {
    const uint32_t j = next_random(&random) % (i + 1);
    const uint32_t other = order[i];
    order[i] = order[j];
    order[j] = other;
  }
  for (uint32_t i = 0; i < kNodes; i++) {
    nodes[order[i]].next = &nodes[order[(i + 1) % kNodes]];
    nodes[order[i]].value = i;
  }
}

uint32_t run_chase(uint32_t units) {
  const Node* node = (const Node*)buffer;
  uint32_t sum = 0;
  for (uint32_t i = 0; i < units * 1024; i++) {
    sum += node->value;
    node = node->next;
  }
  return sum;
}

// --- copy: memcpy and memset of 4 KiB, 64 KiB and 1 MiB. A unit is 1 MiB with each size.
enum { kLargest = 1 << 20, kGap = 4096 };

void setup_copy(void) {
  take_buffer(2 * kLargest + kGap);
  uint32_t random = 5;
  for (uint32_t i = 0; i < buffer_bytes; i += 4) *(uint32_t*)(buffer + i) = next_random(&random);
}

static void copy_rep(uint8_t* to, const uint8_t* from, uint32_t bytes) {
  uint32_t count = bytes / 4;
  __asm__ volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

static void copy_bytes_rep(uint8_t* to, const uint8_t* from, uint32_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

static void fill_rep(uint8_t* to, uint32_t value, uint32_t bytes) {
  uint32_t count = bytes / 4;
  __asm__ volatile("rep stosl" : "+D"(to), "+c"(count) : "a"(value) : "memory");
}

static void copy_sse(uint8_t* to, const uint8_t* from, uint32_t bytes) {
  for (uint32_t i = 0; i < bytes; i += 64) {
    __asm__ volatile(
        "movups (%0), %%xmm0\n\tmovups 16(%0), %%xmm1\n\tmovups 32(%0), %%xmm2\n\tmovups 48(%0), %%xmm3\n\t"
        "movaps %%xmm0, (%1)\n\tmovaps %%xmm1, 16(%1)\n\tmovaps %%xmm2, 32(%1)\n\tmovaps %%xmm3, 48(%1)"
        :
        : "r"(from + i), "r"(to + i)
        : "memory");
  }
}

static uint32_t sample(void) {
  uint32_t result = 0;
  for (uint32_t i = 0; i < buffer_bytes; i += 1020) result = result * 31 + *(uint32_t*)(buffer + i);
  return result;
}

static const uint32_t kSizes[] = {4096, 65536, kLargest};

uint32_t run_copy_rep(uint32_t units) {
  uint8_t* to = buffer + kLargest + kGap;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int size = 0; size < 3; size++) {
      for (uint32_t at = 0; at < kLargest; at += kSizes[size]) copy_rep(to + at, buffer + at, kSizes[size]);
    }
    copy_bytes_rep(to + 1, buffer + 7 + unit % 64, 4001);  // the unaligned ones of a real program
  }
  return sample();
}

uint32_t run_fill_rep(uint32_t units) {
  uint8_t* to = buffer + kLargest + kGap;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int size = 0; size < 3; size++) {
      for (uint32_t at = 0; at < kLargest; at += kSizes[size]) fill_rep(to + at, unit + at, kSizes[size]);
    }
  }
  return sample();
}

uint32_t run_copy_sse(uint32_t units) {
  uint8_t* to = buffer + kLargest + kGap;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int size = 0; size < 3; size++) {
      for (uint32_t at = 0; at < kLargest; at += kSizes[size])
        copy_sse(to + at, buffer + at + 4, kSizes[size]);
    }
  }
  return sample();
}

uint32_t run_copy(uint32_t units) {
  return run_copy_rep(units) ^ run_copy_sse(units) ^ run_fill_rep(units);
}

// --- string: 2,048 strings of 3 to 66 letters; byte loops as a C compiler makes them, and SCAS and CMPS
enum { kStrings = 2048, kStringSpace = 68 };

void setup_string(void) {
  take_buffer(kStrings * kStringSpace);
  uint32_t random = 17;
  for (uint32_t i = 0; i < kStrings; i++) {
    char* text = (char*)buffer + i * kStringSpace;
    const uint32_t length = 3 + next_random(&random) % 64;
    // A common start, so that comparisons have something to do.
    for (uint32_t j = 0; j < length; j++)
      text[j] = j < length / 2 ? 'a' + j % 26 : 'a' + next_random(&random) % 26;
    text[length] = 0;
  }
}

static __attribute__((noinline)) uint32_t length_of(const char* text) {
  const char* end = text;
  while (*end) end++;
  return (uint32_t)(end - text);
}

static __attribute__((noinline)) int compare(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return (uint8_t)*a - (uint8_t)*b;
}

static __attribute__((noinline)) const char* find(const char* text, char letter, uint32_t bytes) {
  for (; bytes != 0; bytes--, text++) {
    if (*text == letter) return text;
  }
  return 0;
}

static uint32_t length_scas(const char* text) {
  uint32_t left = ~0u;
  __asm__ volatile("repne scasb" : "+D"(text), "+c"(left) : "a"(0) : "memory", "cc");
  return ~left - 1;
}

static uint32_t common_cmps(const char* a, const char* b, uint32_t bytes) {
  uint32_t left = bytes;
  __asm__ volatile("cmpl %%ecx, %%ecx\n\trepe cmpsb" : "+S"(a), "+D"(b), "+c"(left) : : "memory", "cc");
  return bytes - left;
}

uint32_t run_string(uint32_t units) {
  uint32_t result = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    const char* previous = (const char*)buffer;
    for (uint32_t i = 0; i < kStrings; i++) {
      const char* text = (const char*)buffer + i * kStringSpace;
      const uint32_t length = length_of(text);
      result = result * 31 + length + (uint32_t)compare(previous, text);
      result += find(text, 'q', length) != 0;
      if (i % 4 == 0) result += length_scas(text) + common_cmps(previous, text, length);
      previous = text;
    }
  }
  return result;
}
