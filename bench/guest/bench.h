/// The table of benchmarks and what they share. The program has no C library: it runs as the only process of
/// a guest and natively on the host, and nothing but the code in this folder is timed.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef struct {
  const char* name;
  void (*setup)(void);              ///< not timed; may be null
  uint32_t (*run)(uint32_t units);  ///< timed; the result depends on `units` only, whatever executes it
  void (*teardown)(void);           ///< not timed; may be null
  uint32_t units;                   ///< of a repetition at scale 1: mostly 30 to 150 ms on a CPU of 2023
  int detail;                       ///< 1: a part of another row, or long; run only when asked for by name
} Benchmark;

extern const Benchmark kBenchmarks[];
extern const uint32_t kBenchmarkCount;

/// How this program was started: a path that fork_exec can execute.
extern char* program_path;

/// xorshift32 (G. Marsaglia, "Xorshift RNGs", 2003); *state must not be 0.
static inline uint32_t next_random(uint32_t* state) {
  uint32_t x = *state;
  x ^= x << 13;
  x ^= x >> 17;
  x ^= x << 5;
  return *state = x;
}

/// Ends the benchmark with a line that says where; compare.py reports it.
_Noreturn void fail(const char* what, int code);

uint32_t run_integer(uint32_t units);
uint32_t run_recursion(uint32_t units);
uint32_t run_indirect(uint32_t units);
uint32_t run_switch(uint32_t units);
uint32_t run_x87(uint32_t units);
uint32_t run_sse2(uint32_t units);
void setup_chase(void);
uint32_t run_chase(uint32_t units);
void setup_copy(void);
uint32_t run_copy(uint32_t units);
uint32_t run_copy_rep(uint32_t units);
uint32_t run_fill_rep(uint32_t units);
uint32_t run_copy_sse(uint32_t units);
void setup_string(void);
uint32_t run_string(uint32_t units);
void release_buffer(void);
uint32_t run_getppid(uint32_t units);
uint32_t run_int80(uint32_t units);
uint32_t run_pipe(uint32_t units);
void setup_fork(void);
uint32_t run_fork(uint32_t units);
uint32_t run_exec(uint32_t units);
uint32_t run_pages(uint32_t units);
uint32_t run_processes(uint32_t units);
void setup_smc(void);
uint32_t run_smc(uint32_t units);
uint32_t run_gzip(uint32_t units);
uint32_t run_bzip2(uint32_t units);
uint32_t run_xz(uint32_t units);
uint32_t run_python(uint32_t units);
