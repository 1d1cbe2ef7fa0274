#!/usr/bin/env python3
"""How much slower than native a Linux guest runs, under QEMU's TCG and under Vireo, side by side in one run.

compare.py                               all rows and boots, TCG and Vireo's engine bt, 3 rounds
compare.py --engines bt,interp --only switch,x87 --rounds 1
compare.py --engines bt,bt:no-windows --no-tcg
compare.py --only gzip,bzip2,xz,python --budget-ms 15000     whole programs
compare.py --only processes --memory 3072 --budget-ms 30000  40 processes with 64 MiB each
compare.py --engines interp --no-tcg --scale 20 --only integer,boot

A round is one run each of: native, TCG, every engine. Ratios are taken within a round; the table has the median round and,
in brackets, the lowest and the highest. "CPU time" is the ratio of host CPU time, of all threads: the figure to trust on a
host that has other work.
"""

import argparse
import json
import os
import pathlib
import platform
import re
import signal
import subprocess
import sys

import runs
from table import Results, render

# Row to kernel options. The ciphers' self-tests are most of a boot, so there is one without.
BOOTS = {"boot": "", "boot-notests": "cryptomgr.notests"}


def host_facts(runners):
    cpu = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())

    def first_line(*command):
        try:
            result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        except OSError:
            return "unknown"
        return result.stdout.decode().split("\n")[0].strip() if result.returncode == 0 else "unknown"

    facts = {"host": f"{cpu.group(1) if cpu else 'unknown CPU'}, {os.cpu_count()} CPUs, Linux {platform.release()}, "
                     f"load {os.getloadavg()[0]:.1f} at the start"}
    if "tcg" in runners:
        facts["QEMU"] = f"{first_line(runs.QEMU, '--version')}, -accel tcg -cpu {runs.QEMU_CPU}"
    facts["Vireo"] = f"{first_line('git', '-C', runs.Vireo.program.parent, 'describe', '--always', '--dirty')}, --cpu {runs.VIREO_CPU}"
    return facts


def guest_kernel(path):
    """The version in a bzImage's header (boot protocol, kernel_version at 20Eh)."""
    content = path.read_bytes()
    start = int.from_bytes(content[0x20E:0x210], "little") + 0x200
    return content[start:content.index(b"\0", start)].decode(errors="replace").split(" ")[0]


def parse_arguments():
    build = runs.ROOT / "build/release"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--engines", default="bt", help="of Vireo, with commas between (default bt); words for --translator behind "
                        "colons: bt:no-windows")
    parser.add_argument("--no-tcg", action="store_true", help="leave QEMU out")
    parser.add_argument("--only", metavar="NAME,NAME", help="these rows; boot and boot-notests are rows, too")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--repetitions", type=int, default=5, help="of a row in one boot (default 5)")
    parser.add_argument("--scale", type=int, default=1, help="divide the work of every row, for slow engines")
    parser.add_argument("--budget-ms", type=int, default=3000, help="no further repetitions of a row after so long (default 3000)")
    parser.add_argument("--silence-s", type=float, default=180, help="end a run that prints nothing for so long (default 180)")
    parser.add_argument("--memory", type=int, metavar="MIB", default=runs.MEMORY_MIB, help="of the guest (default %(default)s); row processes needs 3072")
    parser.add_argument("--kernel-append", default="", help="more kernel options")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write all figures here")
    parser.add_argument("--vireo", type=pathlib.Path, default=build / "frontend-headless/vireo")
    parser.add_argument("--guest", type=pathlib.Path, default=build / "bench/vireo-bench-guest")
    parser.add_argument("--cache", type=pathlib.Path, default=runs.ROOT / "build/guests", help="of packages and images")
    return parser.parse_args()


def main():
    arguments = parse_arguments()
    try:
        return compare(arguments)
    except runs.Missing as missing:
        print(f"compare.py: {missing}", file=sys.stderr)
        return 3


def compare(arguments):
    makers = runs.Runners(arguments.vireo, arguments.guest, arguments.cache, arguments.memory, arguments.kernel_append,
                          rows=(arguments.only or "").split(","))
    every, standard = makers.list_rows()
    chosen = arguments.only.split(",") if arguments.only else [*standard, *BOOTS]
    unknown = [name for name in chosen if name not in every and name not in BOOTS]
    if unknown:
        raise runs.Missing(f"there is no row {unknown[0]}; there are {', '.join([*every, *BOOTS])}")
    rows = [name for name in every if name in chosen]
    boots = [name for name in BOOTS if name in chosen]

    emulators = []
    without_tcg = "left out (--no-tcg)" if arguments.no_tcg else None
    if without_tcg is None:
        try:
            emulators.append(makers.make("tcg"))
        except runs.Missing as missing:
            without_tcg = str(missing)
    emulators += [makers.make(engine) for engine in arguments.engines.split(",") if engine]
    results = Results(rows, boots, [runner.name for runner in emulators])

    facts = host_facts(results.runners)
    facts["guest"] = f"Linux {guest_kernel(makers.kernel_and_initrd()[0])}, {arguments.memory} MiB, work / {arguments.scale}"
    if makers.is_twin():
        facts["native"] = ("64-bit code of the same source, but with no more than i386's general registers, and Debian's amd64 programs: this "
                           "host's kernel does not run 32-bit programs")
    if without_tcg:
        facts["QEMU"] = without_tcg
    print("".join(f"{name}: {fact}\n" for name, fact in facts.items()), flush=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        measure(arguments, results, makers.make("native"), emulators)
    except KeyboardInterrupt:
        results.note("interrupted: not all rounds are in the table")
    print(render(results))
    if arguments.json:
        settings = {name: getattr(arguments, name) for name in ("rounds", "repetitions", "scale", "budget_ms", "memory", "kernel_append")}
        arguments.json.write_text(json.dumps({"facts": facts, "settings": settings, **results.as_json()}, indent=2) + "\n")
    return 0


def measure(arguments, results, native, emulators):
    broken = {runner.name: {} for runner in [native, *emulators]}
    for number in range(1, arguments.rounds + 1):
        def progress(what):
            print(f"round {number} of {arguments.rounds}: {what}", file=sys.stderr, flush=True)

        for runner in [native, *emulators] if results.rows else []:
            progress(runner.name)
            results.add_outputs(runner.name, runs.run_bench(runner, results.rows, broken[runner.name], arguments))
        for boot in results.boots:
            for runner in emulators:
                if boot in broken[runner.name]:
                    continue
                progress(f"{runner.name} {boot}")
                taken, reason = runs.run_boot(runner, BOOTS[boot], arguments.silence_s)
                if taken:
                    results.add_boot(runner.name, boot, *taken)
                else:
                    broken[runner.name][boot] = reason
    for runner, reasons in broken.items():
        for reason in dict.fromkeys(reasons.values()):
            names = ", ".join(row for row, why in reasons.items() if why == reason)
            results.note(f"{runner}: {names}: {reason}")


if __name__ == "__main__":
    sys.exit(main())
