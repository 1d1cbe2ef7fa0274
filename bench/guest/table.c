// All benchmarks, in the order of the report. Units are set so that a repetition takes 30 to 150 ms natively;
// README.md says on what. Row smc is shorter: emulators take hundreds of times as long.
#include "bench/guest/bench.h"

const Benchmark kBenchmarks[] = {
    {"integer", 0, run_integer, 0, 600, 0},
    {"recursion", 0, run_recursion, 0, 600, 0},
    {"indirect", 0, run_indirect, 0, 160, 0},
    {"switch", 0, run_switch, 0, 400, 0},
    {"x87", 0, run_x87, 0, 500, 0},
    {"sse2", 0, run_sse2, 0, 500, 0},
    {"chase", setup_chase, run_chase, release_buffer, 1000, 0},
    {"copy", setup_copy, run_copy, release_buffer, 150, 0},
    {"string", setup_string, run_string, release_buffer, 300, 0},
    {"getppid", 0, run_getppid, 0, 200000, 0},
    {"pipe", 0, run_pipe, 0, 10000, 0},
    {"fork", setup_fork, run_fork, 0, 400, 0},
    {"exec", setup_fork, run_exec, 0, 200, 0},
    {"pages", 0, run_pages, 0, 8, 0},
    {"smc", setup_smc, run_smc, 0, 50000, 0},
// entry by INT instead of SYSENTER; parts of copy
#ifndef __x86_64__
    {"int80", 0, run_int80, 0, 10000, 1},
#endif
    {"copy-rep", setup_copy, run_copy_rep, release_buffer, 400, 1},
    {"fill-rep", setup_copy, run_fill_rep, release_buffer, 400, 1},
    {"copy-sse", setup_copy, run_copy_sse, release_buffer, 400, 1},
    // 2.5 GiB
    {"processes", 0, run_processes, 0, 3, 1},
    // whole programs, which have to be there
    {"gzip", 0, run_gzip, 0, 1, 1},
    {"bzip2", 0, run_bzip2, 0, 1, 1},
    {"xz", 0, run_xz, 0, 1, 1},
    {"python", 0, run_python, 0, 1, 1},
};
const uint32_t kBenchmarkCount = sizeof(kBenchmarks) / sizeof(kBenchmarks[0]);
