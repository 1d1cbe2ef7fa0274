#!/usr/bin/env python3
"""Runs the nanobenchmark guest (bios/README.md): every row must be there, with times that can be.

nano_test.py IMAGE --vireo VIREO [--engines interp,bt,...]   short samples, and what the settings and old CPUs change
nano_test.py IMAGE --qemu tcg|kvm                                   the same guest elsewhere
nano_test.py --observed SAMPLES                              what a run elsewhere has written, on standard input
   --show     the guest's text;  --sample-us 10000 --samples 5      as `vireo bench` has it
"""

import argparse
import pathlib
import struct
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "system"))
from bare_guest import SKIPPED, Failure, Skip, find_qemu, qemu_command, run, vireo_command

SIGNATURE = b"VIREONAN"
ROWS = ["syscall", "sysenter", "in", "out", "io-user", "cr-write", "callret", "pgfault", "divzero", "ptemod", "invlpg", "movcr3",
        "movcr3-touch", "cpuid", "rdtsc", "hlt", "mmio", "vga", "smc"]
# A timer may be on time; and these two are the small difference of two long times.
MAY_BE_ZERO = {"hlt", "movcr3-touch", "smc"}
# What the guest writes to the debug exit port, (V << 1) | 1.
FINE, FAILED = 0x21, 0x23
ALL = (1 << 64) - 1


def configured(image, folder, sample_us, samples, rows=ALL):
    data = bytearray(image.read_bytes())
    if len(data) % 512:
        raise Failure(f"{image}: {len(data)} bytes are not whole sectors")
    struct.pack_into("<IIQ", data, data.index(SIGNATURE) + len(SIGNATURE), sample_us, samples, rows)
    path = pathlib.Path(folder) / "nano.img"
    path.write_bytes(data)
    return path


def run_vireo(arguments, engine, *more, rows=ALL):
    with tempfile.TemporaryDirectory() as folder:
        serial = pathlib.Path(folder) / "serial"
        image = configured(arguments.image, folder, arguments.sample_us, arguments.samples, rows)
        command = vireo_command(arguments.vireo, engine, "realtime", image, serial)
        return run(command + ["--timeout", "60", *more], serial, 70)


def run_qemu(arguments):
    qemu = find_qemu()
    if arguments.qemu == "kvm" and not pathlib.Path("/dev/kvm").exists():
        raise Skip("no /dev/kvm")
    with tempfile.TemporaryDirectory() as folder:
        serial = pathlib.Path(folder) / "serial"
        image = configured(arguments.image, folder, arguments.sample_us, arguments.samples)
        return run(qemu_command(qemu, arguments.qemu, image, serial), serial, 60)


def lines_of(text):
    return [line for line in text.splitlines() if line]


def check(result, samples, rows=ROWS, skipped=()):
    """Raises Failure unless the run ended well, with these rows, and those others skipped."""
    text, status, errors = result
    lines = lines_of(text)

    def fail(why):
        raise Failure(f"{why}; status {status} {errors.strip()}\n" + "\n".join(lines))

    if status != FINE:
        fail("the guest did not end well")
    if lines[:1] != ["NANO begin 1"] or lines[-1:] != ["NANO end"]:
        fail("no text from NANO begin to NANO end")
    words = [line.split() for line in lines[1:-1] if not line.startswith("NOTE ")]
    if words[0][:2] != ["TSC", "hz"] or int(words[0][2]) < 100_000:
        fail("no frequency")
    if [(w[0], w[1]) for w in words[1:]] != [("SKIP" if row in skipped else "ROW", row) for row in rows]:
        fail("not the rows there should be")
    for kind, row, *numbers in words[1:]:
        if kind == "SKIP":
            continue
        count, *cycles = map(int, numbers)
        if len(cycles) != samples or count < 1 or min(cycles) < (0 if row in MAY_BE_ZERO else 1):
            fail(f"row {row}")


def check_vireo(arguments):
    for engine in arguments.engines.split(","):
        result = run_vireo(arguments, engine)
        check(result, arguments.samples)
        print(f"{engine}: {len(ROWS)} rows", flush=True)
        if arguments.show:
            print("\n".join(lines_of(result[0])))
    some = ["in", "hlt"]
    check(run_vireo(arguments, "interp", rows=sum(1 << ROWS.index(row) for row in some)), arguments.samples, some)
    check(run_vireo(arguments, "interp", "--cpu", "pentium"), arguments.samples, skipped=["sysenter"])
    text, status, _ = run_vireo(arguments, "interp", "--cpu", "486")
    lines = lines_of(text)
    if status != FAILED or lines[-1] != "FAIL no TSC":
        raise Failure(f"486: status {status}\n" + "\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path, nargs="?")
    parser.add_argument("--vireo")
    parser.add_argument("--engines", default="interp,bt,bt:no-windows,bt:window-after=0,bt:all-off")
    parser.add_argument("--qemu", choices=["tcg", "kvm"])
    parser.add_argument("--sample-us", type=int, default=200)
    parser.add_argument("--samples", type=int, default=1)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--observed", type=int, metavar="SAMPLES")
    arguments = parser.parse_args()
    if (arguments.image is None) == (arguments.observed is None):
        parser.error("IMAGE, or --observed")
    try:
        if arguments.observed:
            check((sys.stdin.read(), FINE, "the run's end is its caller's business"), arguments.observed)
        if arguments.vireo:
            check_vireo(arguments)
        if arguments.qemu:
            result = run_qemu(arguments)
            check(result, arguments.samples)
            if arguments.show:
                print("\n".join(lines_of(result[0])))
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except Failure as failure:
        print(failure)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
