/// System calls of Linux, as a C library makes them: for i386 through the entry that the kernel offers in the
/// auxiliary vector (SYSENTER where the CPU has it), else by int 80h. Numbers: syscall_32.tbl and
/// syscall_64.tbl in arch/x86/entry/syscalls.
#pragma once

#include <stdint.h>

#ifdef __x86_64__

enum {
  kSysRead = 0,
  kSysWrite = 1,
  kSysOpen = 2,
  kSysClose = 3,
  kSysMmap = 9,
  kSysMunmap = 11,
  kSysIoctl = 16,
  kSysPipe = 22,
  kSysDup2 = 33,
  kSysGetpid = 39,
  kSysFork = 57,
  kSysExecve = 59,
  kSysExit = 60,
  kSysWaitpid = 61,
  kSysChdir = 80,
  kSysGetrusage = 98,
  kSysGetppid = 110,
  kSysPrctl = 157,
  kSysSync = 162,
  kSysReboot = 169,
  kSysSchedSetaffinity = 203,
  kSysClockGettime = 228,
  kSysGetcpu = 309,
};

static inline int32_t syscall6(int32_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d, uint64_t e,
                               uint64_t f) {
  int64_t result;
  register uint64_t r10 __asm__("r10") = d;
  register uint64_t r8 __asm__("r8") = e;
  register uint64_t r9 __asm__("r9") = f;
  __asm__ volatile("syscall"
                   : "=a"(result)
                   : "a"((int64_t)number), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
                   : "rcx", "r11", "memory", "cc");
  return (int32_t)result;
}

static inline int32_t syscall3(int32_t number, uint32_t a, uint32_t b, uint32_t c) {
  return syscall6(number, a, b, c, 0, 0, 0);
}

static inline int32_t syscall5(int32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
  return syscall6(number, a, b, c, d, e, 0);
}

/// What the kernel puts into time and usage structures, and where it wants pointers.
typedef uint64_t KernelLong;

#else

enum {
  kSysExit = 1,
  kSysFork = 2,
  kSysRead = 3,
  kSysWrite = 4,
  kSysOpen = 5,
  kSysClose = 6,
  kSysWaitpid = 7,
  kSysExecve = 11,
  kSysChdir = 12,
  kSysGetpid = 20,
  kSysSync = 36,
  kSysPipe = 42,
  kSysIoctl = 54,
  kSysDup2 = 63,
  kSysGetppid = 64,
  kSysGetrusage = 77,
  kSysReboot = 88,
  kSysMunmap = 91,
  kSysPrctl = 172,
  kSysMmap2 = 192,
  kSysSchedSetaffinity = 241,
  kSysClockGettime = 265,
  kSysGetcpu = 318,
};

/// Where to call for a system call; registers as for int 80h.
extern uint32_t system_call_entry;

/// A result from -4095 to -1 is a negated errno.
static inline int32_t syscall3(int32_t number, uint32_t a, uint32_t b, uint32_t c) {
  int32_t result;
  __asm__ volatile("call *%5"
                   : "=a"(result)
                   : "a"(number), "b"(a), "c"(b), "d"(c), "m"(system_call_entry)
                   : "memory", "cc");
  return result;
}

static inline int32_t syscall5(int32_t number, uint32_t a, uint32_t b, uint32_t c, uint32_t d, uint32_t e) {
  int32_t result;
  __asm__ volatile("call *%7"
                   : "=a"(result)
                   : "a"(number), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e), "m"(system_call_entry)
                   : "memory", "cc");
  return result;
}

typedef uint32_t KernelLong;

#endif

static inline int32_t syscall0(int32_t number) {
  return syscall3(number, 0, 0, 0);
}
static inline int32_t syscall1(int32_t number, uint32_t a) {
  return syscall3(number, a, 0, 0);
}
static inline int32_t syscall2(int32_t number, uint32_t a, uint32_t b) {
  return syscall3(number, a, b, 0);
}
static inline uint32_t word(const void* pointer) {
  return (uint32_t)pointer;
}

/// `bytes` of zeroed private memory; `executable` adds that right. Ends the benchmark if there is none.
void* map_memory(uint32_t bytes, int executable);
void unmap_memory(void* memory, uint32_t bytes);

// These end the benchmark where they fail.
int32_t fork_child(void);
void open_pipe(int32_t ends[2]);
