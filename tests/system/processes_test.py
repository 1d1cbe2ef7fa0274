#!/usr/bin/env python3
"""Many address spaces at once: 40 processes write 64 MiB each in turn, in a guest with 3 GiB. Windows of all of them stay within
their budget of the host's mappings, and Vireo needs no more memory than the guest's RAM and 200 MiB.

processes_test.py --vireo VIREO --guest VIREO-BENCH-GUEST --cache FOLDER [--engines bt,bt:window-after=0]   (the latter takes minutes)
"""

import argparse
import pathlib
import re
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
RUN_ONE = pathlib.Path(__file__).resolve().parents[2] / "bench/run_one.py"
GUEST_MIB, OWN_MIB = 3072, 200
OTHER_MAPPINGS = 1000  # of the program, its libraries, its memory


def host_memory_mib():
    return int(re.search(r"MemAvailable:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text()).group(1)) // 1024


def watch(command, output):
    """Runs it; its exit status, and the most mappings that it was seen to have."""
    mappings = 0
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT) as process:
        maps = pathlib.Path(f"/proc/{process.pid}/maps")
        while process.poll() is None:
            try:
                mappings = max(mappings, maps.read_bytes().count(b"\n"))
            except OSError:  # it has just ended
                continue
            time.sleep(0.1)
    return process.returncode, mappings


def problems_of(arguments, engine):
    command = [sys.executable, RUN_ONE, "processes", "--engine", engine, "-n", "1", "--memory", str(GUEST_MIB), "--vireo", arguments.vireo,
               "--guest", arguments.guest, "--cache", arguments.cache, "--", "--stats", "--timeout", "600"]
    with tempfile.TemporaryFile() as output:
        status, mappings = watch([str(word) for word in command], output)
        output.seek(0)
        text = output.read().decode(errors="replace")
    most_resident = re.search(r"most resident KiB +(\d+)", text)
    if status != 0 or "BENCH processes" not in text or not most_resident:
        yield text
        return
    resident = int(most_resident.group(1)) // 1024
    budget = int(pathlib.Path("/proc/sys/vm/max_map_count").read_text()) // 2
    windows = re.search(r"^windows\n(?:  .*\n)+", text, re.MULTILINE)
    print(f"{engine}: at most {mappings} mappings, {resident} MiB resident", windows.group(0) if windows else "", sep="\n")
    if mappings > budget + OTHER_MAPPINGS:
        yield f"{engine}: {mappings} mappings, where windows may have {budget}"
    if resident > GUEST_MIB + OWN_MIB:
        yield f"{engine}: {resident} MiB resident, for a guest with {GUEST_MIB}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("vireo", "guest", "cache"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--engines", default="bt")
    arguments = parser.parse_args()
    if host_memory_mib() < GUEST_MIB + 2 * OWN_MIB:
        print(f"skipped: the host has {host_memory_mib()} MiB to give")
        return SKIPPED
    problems = [problem for engine in arguments.engines.split(",") for problem in problems_of(arguments, engine)]
    print("\n".join(problems) or "all well")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
