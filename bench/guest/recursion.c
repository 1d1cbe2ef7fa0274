// Fibonacci numbers, naively. A file of its own, built so that the compiler leaves both calls in place.
#include "bench/guest/bench.h"

static __attribute__((noinline)) uint32_t fib(uint32_t n) {
  return n < 2 ? n : fib(n - 1) + fib(n - 2);
}

uint32_t run_recursion(uint32_t units) {
  uint32_t result = 0;
  for (uint32_t unit = 0; unit < units; unit++) result += fib(22);
  return result;
}
