// Rows that are mostly the kernel's work: getppid, pipe, fork, exec, pages.
#include "bench/guest/bench.h"
#include "bench/guest/sys.h"

uint32_t run_getppid(uint32_t units) {
  int32_t differences = 0;
  const int32_t parent = syscall0(kSysGetppid);
  for (uint32_t i = 0; i < units; i++) differences += syscall0(kSysGetppid) - parent;
  return (uint32_t)differences;
}

#ifndef __x86_64__
uint32_t run_int80(uint32_t units) {
  int32_t differences = 0;
  const int32_t parent = syscall0(kSysGetppid);
  for (uint32_t i = 0; i < units; i++) {
    int32_t result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(kSysGetppid) : "memory", "cc");
    differences += result - parent;
  }
  return (uint32_t)differences;
}
#endif

static void reap(int32_t child) {
  int32_t status = -1;
  if (syscall3(kSysWaitpid, (uint32_t)child, word(&status), 0) != child || status != 0) fail("child", status);
}

int32_t fork_child(void) {
  const int32_t child = syscall0(kSysFork);
  if (child < 0) fail("fork", child);
  return child;
}

void open_pipe(int32_t ends[2]) {
  if (syscall1(kSysPipe, word(ends)) < 0) fail("pipe", 0);
}

static void close_pipe(const int32_t ends[2]) {
  for (int end = 0; end < 2; end++) syscall1(kSysClose, (uint32_t)ends[end]);
}

uint32_t run_pipe(uint32_t units) {
  int32_t there[2], back[2];
  open_pipe(there);
  open_pipe(back);
  const int32_t child = fork_child();
  uint8_t byte = 0;
  if (child == 0) {
    for (uint32_t i = 0; i < units; i++) {
      if (syscall3(kSysRead, (uint32_t)there[0], word(&byte), 1) != 1) break;
      byte++;
      if (syscall3(kSysWrite, (uint32_t)back[1], word(&byte), 1) != 1) break;
    }
    syscall1(kSysExit, 0);
  }
  uint32_t sum = 0;
  for (uint32_t i = 0; i < units; i++) {
    if (syscall3(kSysWrite, (uint32_t)there[1], word(&byte), 1) != 1) fail("pipe write", 0);
    if (syscall3(kSysRead, (uint32_t)back[0], word(&byte), 1) != 1) fail("pipe read", 0);
    sum += byte;
  }
  reap(child);
  close_pipe(there);
  close_pipe(back);
  return sum;
}

// A process of the size of a small program: 256 KiB written before the fork, 16 KiB of it again by the child.
enum { kParentBytes = 256 * 1024, kChildBytes = 16 * 1024, kPage = 4096 };
static uint8_t parent_pages[kParentBytes] __attribute__((aligned(4096)));

void setup_fork(void) {
  for (uint32_t i = 0; i < kParentBytes; i += kPage) parent_pages[i] = 1;
}

uint32_t run_fork(uint32_t units) {
  for (uint32_t unit = 0; unit < units; unit++) {
    const int32_t child = fork_child();
    if (child == 0) {
      for (uint32_t i = 0; i < kChildBytes; i += kPage) parent_pages[i]++;
      syscall1(kSysExit, parent_pages[0] - 2u);
    }
    reap(child);
  }
  return parent_pages[0];
}

uint32_t run_exec(uint32_t units) {
  const KernelLong arguments[] = {word(program_path), word("true"), 0};
  const KernelLong environment[] = {0};
  for (uint32_t unit = 0; unit < units; unit++) {
    const int32_t child = fork_child();
    if (child == 0) {
      syscall3(kSysExecve, word(program_path), word(arguments), word(environment));
      syscall1(kSysExit, 127);
    }
    reap(child);
  }
  return units;
}

uint32_t run_pages(uint32_t units) {
  enum { kBytes = 16 << 20 };
  uint32_t sum = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    uint8_t* memory = map_memory(kBytes, 0);
    for (uint32_t i = 0; i < kBytes; i += kPage) memory[i] = (uint8_t)(memory[i] + unit + 1);
    for (uint32_t i = 0; i < kBytes; i += kPage * 64) sum += memory[i];
    unmap_memory(memory, kBytes);
  }
  return sum;
}

// --- processes: so many at once, each with memory of its own, which they write in turn
enum { kProcesses = 40, kProcessBytes = 64 << 20 };

/// For each byte that comes, counts up the first word of each page; says how many had the wrong count.
static _Noreturn void write_in_turn(int32_t turns, int32_t done) {
  uint8_t* const memory = map_memory(kProcessBytes, 0);
  uint8_t byte;
  for (uint32_t turn = 0; syscall3(kSysRead, (uint32_t)turns, word(&byte), 1) == 1; turn++) {
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < kProcessBytes; i += kPage) wrong += (*(uint32_t*)(memory + i))++ != turn;
    if (syscall3(kSysWrite, (uint32_t)done, word(&wrong), sizeof(wrong)) != sizeof(wrong)) break;
  }
  syscall1(kSysExit, 0);
  __builtin_unreachable();
}

uint32_t run_processes(uint32_t units) {
  int32_t turns[kProcesses][2], done[2], children[kProcesses];
  open_pipe(done);
  for (int i = 0; i < kProcesses; i++) {
    open_pipe(turns[i]);
    children[i] = fork_child();
    if (children[i] != 0) continue;
    // No process may keep a writing end open that another one waits for the end of.
    for (int j = 0; j <= i; j++) syscall1(kSysClose, (uint32_t)turns[j][1]);
    write_in_turn(turns[i][0], done[1]);
  }
  syscall1(kSysClose, (uint32_t)done[1]);  // so that the end of all of them is an end to wait for
  uint32_t all_wrong = 0;
  for (uint32_t unit = 0; unit < units; unit++) {
    for (int i = 0; i < kProcesses; i++) {
      uint8_t byte = 0;
      uint32_t wrong;
      if (syscall3(kSysWrite, (uint32_t)turns[i][1], word(&byte), 1) != 1) fail("pipe write", 0);
      if (syscall3(kSysRead, (uint32_t)done[0], word(&wrong), sizeof(wrong)) != sizeof(wrong))
        fail("pipe read", 0);
      all_wrong += wrong;
    }
  }
  for (int i = 0; i < kProcesses; i++) close_pipe(turns[i]);
  for (int i = 0; i < kProcesses; i++) reap(children[i]);
  syscall1(kSysClose, (uint32_t)done[0]);
  if (all_wrong != 0) fail("pages with a wrong count", (int)all_wrong);
  return units;
}
