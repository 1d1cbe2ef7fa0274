// vireo-bench-guest: see kUsage. As the first process of a guest it powers the machine off at the end.
#include "bench/guest/bench.h"
#include "bench/guest/sys.h"

static const char kUsage[] =
    "vireo-bench-guest run [-n REPETITIONS] [-s SCALE] [-b BUDGET_MS] [-r FOLDER] [NAME,NAME...]\n"
    "    prints ROW NAME, then BENCH NAME NS CPU_NS CHECK for each repetition: time passed, this system's\n"
    "    account of CPU time, result. SCALE divides the work, and the result depends on it only; a row is\n"
    "    not repeated further once it has taken BUDGET_MS. In FOLDER is what the rows with programs need.\n"
    "vireo-bench-guest list   names, one a line; parts of other rows are indented\n"
    "vireo-bench-guest off    nothing but the power-off\n"
    "vireo-bench-guest true   nothing\n";

char* program_path;

#ifndef __x86_64__
extern const char int80_entry[];
__asm__(
    "int80_entry:\n"
    "  int $0x80\n"
    "  ret\n");
uint32_t system_call_entry = 0;

/// AT_SYSINFO of the auxiliary vector, which follows the environment.
static void find_system_call_entry(char** environment) {
  enum { kAtSysinfo = 32 };
  system_call_entry = word(int80_entry);
  while (*environment) environment++;
  for (const uint32_t* pair = (const uint32_t*)(environment + 1); pair[0] != 0; pair += 2) {
    if (pair[0] == kAtSysinfo) system_call_entry = pair[1];
  }
}
#endif

// --- output
static char line[512];
static uint32_t used;

static void put_text(const char* text) {
  for (; *text && used < sizeof(line); text++) line[used++] = *text;
}

/// *value /= 10; returns the remainder. There is no library for 64-bit division.
static uint32_t divide_by_10(uint64_t* value) {
  const uint32_t high = (uint32_t)(*value >> 32);
  uint32_t low, remainder;
  __asm__("divl %4" : "=a"(low), "=d"(remainder) : "a"((uint32_t)*value), "d"(high % 10), "r"(10u) : "cc");
  *value = (uint64_t)(high / 10) << 32 | low;
  return remainder;
}

static void put_number(uint64_t value) {
  char digits[24];
  char* at = digits + sizeof(digits);
  *--at = 0;
  do *--at = (char)('0' + divide_by_10(&value));
  while (value != 0);
  put_text(at);
}

static void put_line_end(void) {
  enum { kTcsbrk = 0x5409 };
  put_text("\n");
  syscall3(kSysWrite, 1, word(line), used);
  used = 0;
  // tcdrain: a serial line must not interrupt what is timed next.
  syscall3(kSysIoctl, 1, kTcsbrk, 1);
}

// --- the end
static _Noreturn void leave(int status) {
  if (syscall0(kSysGetpid) == 1) {
    syscall0(kSysSync);
    syscall3(kSysReboot, 0xFEE1DEAD, 672274793, 0x4321FEDC);
  }
  syscall1(kSysExit, (uint32_t)status);
  __builtin_unreachable();
}

_Noreturn void fail(const char* what, int code) {
  put_text("FAIL ");
  put_text(what);
  put_text(" ");
  put_number((uint64_t)(code < 0 ? -code : code));
  put_line_end();
  leave(1);
}

// --- memory
void* map_memory(uint32_t bytes, int executable) {
  enum { kReadWrite = 3, kExecute = 4, kPrivateAnonymous = 0x22, kBelow2GiB = 0x40 };
  const uint32_t protection = kReadWrite | (executable ? kExecute : 0);
#ifdef __x86_64__
  const int32_t address =
      syscall6(kSysMmap, 0, bytes, protection, kPrivateAnonymous | kBelow2GiB, ~UINT64_C(0), 0);
#else
  // The sixth parameter, the offset, is in EBP; the kernel ignores it for anonymous memory.
  const int32_t address = syscall5(kSysMmap2, 0, bytes, protection, kPrivateAnonymous, ~0u);
#endif
  if (address < 0 && address > -4096) fail("mmap", address);
  return (void*)address;
}

void unmap_memory(void* memory, uint32_t bytes) {
  syscall2(kSysMunmap, word(memory), bytes);
}

// Compilers may call these for structures.
void* memset(void* to, int value, size_t bytes) {
  uint8_t* at = to;
  __asm__ volatile("rep stosb" : "+D"(at), "+c"(bytes) : "a"(value) : "memory");
  return to;
}

void* memcpy(void* to, const void* from, size_t bytes) {
  uint8_t* at = to;
  __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(bytes) : : "memory");
  return to;
}

// --- rows
static uint64_t now_ns(void) {
  enum { kClockMonotonic = 1 };
  struct {
    KernelLong seconds, nanoseconds;
  } time;
  syscall2(kSysClockGettime, kClockMonotonic, word(&time));
  return (uint64_t)time.seconds * 1000000000u + time.nanoseconds;
}

/// User and system time of this process and of the children it waited for.
static uint64_t cpu_ns(void) {
  uint64_t microseconds = 0;
  for (int who = -1; who <= 0; who++) {  // RUSAGE_CHILDREN, RUSAGE_SELF
    KernelLong usage[18];                // struct rusage; its first four members are seconds and microseconds
    syscall2(kSysGetrusage, (uint32_t)who, word(usage));
    microseconds += (uint64_t)(usage[0] + usage[2]) * 1000000u + usage[1] + usage[3];
  }
  return microseconds * 1000;
}

static void put_clock(void) {
  put_text("CLOCK ");
  put_number(now_ns());
  put_line_end();
}

/// One CPU and small pages, as the guest has them.
static void be_like_the_guest(void) {
  enum { kPrSetThpDisable = 41 };
  uint32_t cpu = 0;
  syscall3(kSysGetcpu, word(&cpu), 0, 0);
  uint32_t mask[32] = {0};
  mask[cpu / 32 % 32] = 1u << cpu % 32;
  syscall3(kSysSchedSetaffinity, 0, sizeof(mask), word(mask));
  syscall5(kSysPrctl, kPrSetThpDisable, 1, 0, 0, 0);
}

static void run_row(const Benchmark* row, uint32_t repetitions, uint32_t scale, uint32_t budget_ms) {
  const uint32_t units = row->units / scale ? row->units / scale : 1;
  const uint64_t budget_ns = (uint64_t)budget_ms * 1000000u;
  if (row->setup) row->setup();
  put_text("ROW ");
  put_text(row->name);
  put_line_end();
  uint64_t spent_ns = 0;
  for (uint32_t i = 0; i < repetitions && (i == 0 || spent_ns < budget_ns); i++) {
    const uint64_t cpu_start = cpu_ns();
    const uint64_t start = now_ns();
    const uint32_t check = row->run(units);
    const uint64_t taken = now_ns() - start;
    const uint64_t cpu_taken = cpu_ns() - cpu_start;
    spent_ns += taken;
    put_text("BENCH ");
    put_text(row->name);
    put_text(" ");
    put_number(taken);
    put_text(" ");
    put_number(cpu_taken);
    put_text(" ");
    put_number(check);
    put_line_end();
  }
  if (row->teardown) row->teardown();
}

// --- arguments
static int same(const char* a, const char* b) {
  while (*a && *a == *b) a++, b++;
  return *a == *b;
}

static uint32_t number_of(const char* text) {
  uint32_t value = 0;
  for (; *text >= '0' && *text <= '9'; text++) value = value * 10 + (uint32_t)(*text - '0');
  return value;
}

static int in_list(const char* list, const char* name) {
  while (*list) {
    const char* at = name;
    while (*at && *list == *at) at++, list++;
    if (*at == 0 && (*list == ',' || *list == 0)) return 1;
    while (*list && *list != ',') list++;
    if (*list) list++;
  }
  return 0;
}

static void run_rows(char** arguments) {
  uint32_t repetitions = 5, scale = 1, budget_ms = 3000;
  const char* list = 0;
  for (; *arguments; arguments++) {
    uint32_t* number = same(*arguments, "-n")   ? &repetitions
                       : same(*arguments, "-s") ? &scale
                       : same(*arguments, "-b") ? &budget_ms
                                                : 0;
    if (number && arguments[1]) {
      *number = number_of(*++arguments);
    } else if (same(*arguments, "-r") && arguments[1]) {
      const int32_t result = syscall1(kSysChdir, word(*++arguments));
      if (result < 0) fail(*arguments, result);
    } else {
      list = *arguments;
    }
  }
  if (scale == 0) scale = 1;
  be_like_the_guest();
  put_clock();
  for (uint32_t i = 0; i < kBenchmarkCount; i++) {
    const Benchmark* row = &kBenchmarks[i];
    if (list ? in_list(list, row->name) : !row->detail) run_row(row, repetitions, scale, budget_ms);
  }
  put_clock();
  put_text("DONE");
  put_line_end();
}

static void print_list(void) {
  for (uint32_t i = 0; i < kBenchmarkCount; i++) {
    if (kBenchmarks[i].detail) put_text("  ");
    put_text(kBenchmarks[i].name);
    put_line_end();
  }
}

static _Noreturn void start_with(int count, char** arguments) {
  program_path = arguments[0];
  const char* command = count > 1 ? arguments[1] : "";
  if (same(command, "run")) {
    run_rows(arguments + 2);
  } else if (same(command, "list")) {
    print_list();
  } else if (!same(command, "off") && !same(command, "true")) {
    syscall3(kSysWrite, 1, word(kUsage), sizeof(kUsage) - 1);
    leave(2);
  }
  leave(0);
}

// What the kernel leaves at the stack pointer: the number of arguments, pointers to them, a null, the
// environment, a null, and the auxiliary vector.
#ifdef __x86_64__

// Pointers have 32 bits, so the stack must be ours, and the arguments are copied to where it is.
enum { kStackBytes = 256 * 1024, kMostArguments = 31, kArgumentBytes = 4096 };
uint8_t low_stack[kStackBytes] __attribute__((aligned(16), used));

static void copy_from_far(void* to, uint64_t from, uint64_t bytes) {
  __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(bytes) : : "memory");
}

__attribute__((used)) _Noreturn void start_on_low_stack(uint64_t stack) {
  static char* arguments[kMostArguments + 1];
  static char texts[kArgumentBytes];
  uint64_t count;
  copy_from_far(&count, stack, sizeof(count));
  uint32_t end = 0;
  for (uint32_t i = 0; i < count && i < kMostArguments; i++) {
    uint64_t from;
    copy_from_far(&from, stack + 8 * (i + 1), sizeof(from));
    arguments[i] = texts + end;
    do copy_from_far(&texts[end], from++, 1);
    while (texts[end++] != 0 && end < kArgumentBytes - 1);
  }
  start_with((int)count, arguments);
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xorl %ebp, %ebp\n"
    "  movq %rsp, %rdi\n"
    "  movl $low_stack + 256 * 1024, %esp\n"
    "  call start_on_low_stack\n");

#else

__attribute__((used)) _Noreturn void start_on_kernels_stack(uint32_t* stack) {
  char** arguments = (char**)(stack + 1);
  find_system_call_entry(arguments + stack[0] + 1);
  start_with((int)stack[0], arguments);
}

__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xorl %ebp, %ebp\n"
    "  movl %esp, %eax\n"
    "  andl $-16, %esp\n"
    "  subl $12, %esp\n"
    "  pushl %eax\n"
    "  call start_on_kernels_stack\n");

#endif
