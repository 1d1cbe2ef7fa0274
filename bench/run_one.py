#!/usr/bin/env python3
"""Boots a guest that runs some benchmarks and powers off, and shows what it prints; for profiling.

run_one.py switch                                    under Vireo's engine bt
run_one.py switch,x87 --engine interp --scale 20
run_one.py smc --engine tcg                          or native
run_one.py switch --prefix "perf record -g" -n 20
run_one.py switch -- --stats --trace cpu             more options of the emulator
"""

import argparse
import os
import pathlib
import shlex
import sys

import runs


def main():
    build = runs.ROOT / "build/release"
    words = sys.argv[1:]
    extra = words[words.index("--") + 1:] if "--" in words else []
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", help="names with commas between, or boot; `vireo-bench-guest list` shows them")
    parser.add_argument("--engine", default="bt", help="of Vireo (default bt), or tcg, or native")
    parser.add_argument("-n", "--repetitions", type=int, default=5)
    parser.add_argument("--scale", type=int, default=1, help="divide the work")
    parser.add_argument("--budget-ms", type=int, default=60000)
    parser.add_argument("--prefix", default="", help="a program to run it under")
    parser.add_argument("--memory", type=int, metavar="MIB", default=runs.MEMORY_MIB, help="of the guest (default %(default)s); row processes needs 3072")
    parser.add_argument("--kernel-append", default="")
    parser.add_argument("--vireo", type=pathlib.Path, default=build / "frontend-headless/vireo")
    parser.add_argument("--guest", type=pathlib.Path, default=build / "bench/vireo-bench-guest")
    parser.add_argument("--cache", type=pathlib.Path, default=runs.ROOT / "build/guests", help="of packages and images")
    arguments = parser.parse_args(words[:words.index("--")] if "--" in words else words)
    try:
        makers = runs.Runners(arguments.vireo, arguments.guest, arguments.cache, arguments.memory, arguments.kernel_append, extra,
                              rows=arguments.rows.split(","))
        runner = makers.make(arguments.engine)
    except runs.Missing as missing:
        print(f"run_one.py: {missing}", file=sys.stderr)
        return 3
    if arguments.rows == "boot":
        command = runner.boot_command("cryptomgr.notests")
    else:
        rows = arguments.rows.split(",")
        command = runner.bench_command(runs.bench_words(rows, arguments.repetitions, arguments.scale, arguments.budget_ms))
    command = shlex.split(arguments.prefix) + [str(word) for word in command]
    print(shlex.join(command), file=sys.stderr, flush=True)
    os.execvp(command[0], command)


if __name__ == "__main__":
    sys.exit(main())
