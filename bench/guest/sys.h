/// System calls of Linux for i386, as a C library makes them: through the entry that the kernel offers in the
/// auxiliary vector (SYSENTER where the CPU has it), else by int 80h. Numbers:
/// arch/x86/entry/syscalls/syscall_32.tbl.
#pragma once

#include <stdint.h>

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
