// Rows that run programs of Debian's packages, which compare.py puts into the folder "programs": a
// compressor over a text, an interpreter. Their output is the result.
#include "bench/guest/bench.h"
#include "bench/guest/sys.h"

/// Runs a program, `words[0]`, with the text as its standard input; a hash of what it writes.
static uint32_t run_program(const char* const* words) {
  enum { kLoaderWords = 3, kMostWords = 8 };
  static const char loader[] = "programs/ld.so";
  KernelLong arguments[kLoaderWords + kMostWords] = {word(loader), word("--library-path"),
                                                     word("programs/lib")};
  for (uint32_t i = 0; i + 1 < kMostWords && words[i] != 0; i++) arguments[kLoaderWords + i] = word(words[i]);
  const KernelLong environment[] = {word("PYTHONHOME=programs"), word("PYTHONHASHSEED=0"), word("LC_ALL=C"),
                                    0};
  int32_t output[2];
  open_pipe(output);
  const int32_t child = fork_child();
  if (child == 0) {
    const int32_t text = syscall3(kSysOpen, word("programs/text"), 0, 0);
    if (text < 0) syscall1(kSysExit, 126);
    syscall2(kSysDup2, (uint32_t)text, 0);
    syscall2(kSysDup2, (uint32_t)output[1], 1);
    syscall1(kSysClose, (uint32_t)output[0]);
    syscall3(kSysExecve, word(loader), word(arguments), word(environment));
    syscall1(kSysExit, 127);
  }
  syscall1(kSysClose, (uint32_t)output[1]);
  static uint8_t buffer[64 * 1024];
  uint32_t hash = 2166136261u, total = 0;
  for (;;) {
    const int32_t count = syscall3(kSysRead, (uint32_t)output[0], word(buffer), sizeof(buffer));
    if (count < 0) fail("read", count);
    if (count == 0) break;
    for (int32_t i = 0; i < count; i++) hash = (hash ^ buffer[i]) * 16777619u;
    total += (uint32_t)count;
  }
  syscall1(kSysClose, (uint32_t)output[0]);
  int32_t status = -1;
  if (syscall3(kSysWaitpid, (uint32_t)child, word(&status), 0) != child || status != 0)
    fail(words[0], status);
  if (total == 0) fail(words[0], 0);
  return hash;
}

static uint32_t run_programs(uint32_t units, const char* const* words) {
  uint32_t hash = 0;
  while (units--) hash = hash * 31 + run_program(words);
  return hash;
}

uint32_t run_gzip(uint32_t units) {
  static const char* const kWords[] = {"programs/bin/gzip", "-c", "-n", 0};
  return run_programs(units, kWords);
}

uint32_t run_bzip2(uint32_t units) {
  static const char* const kWords[] = {"programs/bin/bzip2", "-c", 0};
  return run_programs(units, kWords);
}

uint32_t run_xz(uint32_t units) {
  static const char* const kWords[] = {"programs/bin/xz", "-c", "-2", "-T1", 0};
  return run_programs(units, kWords);
}

uint32_t run_python(uint32_t units) {
  static const char* const kWords[] = {"programs/bin/python3", "-S", "-B", "programs/work.py", 0};
  return run_programs(units, kWords);
}
