#!/usr/bin/env python3
"""Runs the page-table torture guest and compares what it observes; README.md.

torture_test.py IMAGE --vireo VIREO [--engines interp,bt,bt:no-windows]   all the same, and as in expected.txt
torture_test.py IMAGE --qemu tcg|kvm      as in expected.txt, but for what differences.toml has
torture_test.py IMAGE --qemu tcg --vireo VIREO    as the first of the engines says: for other random sequences
torture_test.py IMAGE --set tasks=0 --write FILE   the image that was changed so, for a run elsewhere
torture_test.py IMAGE --observed bed --vireo VIREO         what that run has written, on standard input, in the same way
   --set steps=1000 --set seed=7          changes the guest (CONFIG below); then expected.txt counts for the cases only
   --update                               writes expected.txt: what all engines say. Read the difference before you commit it.
"""

import argparse
import json
import os
import pathlib
import re
import struct
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "system"))
from bare_guest import SKIPPED, Failure, Skip, find_qemu, qemu_command, run, tail, vireo_command

EXPECTED = HERE / "expected.txt"
CONFIG = ["steps", "seed", "verbose", "first", "modes", "cases", "rounds", "tasks"]  # the dwords behind the marker, torture.asm
MARKER = b"PGTORTUR"
# What the guest writes to the debug exit port, (V << 1) | 1.
FINE, NOT_ALLOWED, CANNOT = 0x21, 0x23, 0x25
HASH_EVERY = 64


def configured(image, settings, folder):
    """A copy of the image with other settings."""
    path = pathlib.Path(folder) / "torture.img"
    path.write_bytes(with_settings(image, settings))
    return path


def with_settings(image, settings):
    data = bytearray(image.read_bytes())
    at = data.index(MARKER) + len(MARKER)
    for name, value in settings.items():
        struct.pack_into("<I", data, at + 4 * CONFIG.index(name), value)
    return data


def observations(text):
    """The lines between BEGIN and END by their first three words: mode, case and number."""
    lines = text.splitlines()
    if "BEGIN" not in lines or lines[-1] != "END":
        raise Failure("no text from BEGIN to END; it ends with:\n" + "\n".join(lines[-3:]))
    found = {}
    for line in lines[lines.index("BEGIN") + 1:-1]:
        key = " ".join(line.split()[:3])
        if key in found:
            raise Failure(f"two lines are {key}")
        found[key] = line
    return found


def run_vireo(vireo, engine, image, settings, seconds=120):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        serial, state = folder / "serial", folder / "state"
        command = vireo_command(vireo, engine, "virtual", configured(image, settings, folder), serial)
        command += ["--final-state", str(state), "--timeout", str(seconds)]
        text, status, errors = run(command, serial, seconds + 10)
        if status not in (FINE, NOT_ALLOWED):
            raise Failure(f"{engine}: status {status}: {errors.strip()}\n{tail(serial)}")
        state = json.loads(state.read_text())
        del state["engine"]
        return observations(text), state


def run_qemu(accelerator, image, settings, seconds):
    qemu = find_qemu()
    if accelerator == "kvm" and not os.access("/dev/kvm", os.R_OK | os.W_OK):
        raise Skip("/dev/kvm cannot be used")
    with tempfile.TemporaryDirectory() as folder:
        serial = pathlib.Path(folder) / "serial"
        command = qemu_command(qemu, accelerator, configured(image, settings, folder), serial)
        try:
            text, status, errors = run(command, serial, seconds)
        except Failure as failure:
            if accelerator == "kvm":
                raise Skip(f"KVM: {failure}")
            raise
    if status == CANNOT:
        raise Skip(text.splitlines()[-1])
    if status not in (FINE, NOT_ALLOWED):
        message = f"status {status}: {errors.strip()}\n" + "\n".join(text.splitlines()[-3:])
        if accelerator == "kvm" and "BEGIN" not in text:
            raise Skip(f"KVM does not get to the guest: {message}")
        raise Failure(message)
    return observations(text)


def is_random(key):
    return key.split()[1] in ("rnd", "step", "code")


def differences(expected, found, names, random_too, limit=10):
    """Texts about lines that are in one only or not the same."""
    texts = []
    for key in list(expected) + [k for k in found if k not in expected]:
        if is_random(key) and not random_too:
            continue
        a, b = expected.get(key, "nothing"), found.get(key, "nothing")
        if a != b:
            texts.append(f"  {names[0]}: {a}\n  {names[1]}: {b}")
    if len(texts) > limit:
        texts = texts[:limit] + [f"  and {len(texts) - limit} more"]
    return texts


def first_step_apart(vireo, engines, image, settings, a, b):
    """Runs the 64 random steps at whose end the hashes differ once more, with a line for each step."""
    for key in a:
        if key.split()[1] == "rnd" and a[key] != b.get(key):
            mode, _, step = key.split()
            last = int(step, 16)
            verbose = settings | {"verbose": 1, "first": max(0, last - HASH_EVERY), "steps": last,
                                  "modes": 1 if mode == "32" else 2, "cases": 0, "rounds": 0}
            runs = [run_vireo(vireo, engine, image, verbose)[0] for engine in engines]
            return differences(*runs, engines, True, 3)
    return []


def check_engines(arguments, settings):
    engines = arguments.engines.split(",")
    results = {}
    for engine in engines:
        started = time.monotonic()
        results[engine] = run_vireo(arguments.vireo, engine, arguments.image, settings)
        lines, state = results[engine]
        print(f"{engine}: {len(lines)} lines, {json.dumps(state)}, {time.monotonic() - started:.1f} s", flush=True)
    oracle = engines[0]
    texts = [f"{engine}: {line}" for engine in engines for line in results[engine][0].values() if "not allowed" in line]
    for engine in engines[1:]:
        (lines_a, state_a), (lines_b, state_b) = results[oracle], results[engine]
        found = differences(lines_a, lines_b, (oracle, engine), True)
        if found:
            texts += found + first_step_apart(arguments.vireo, (oracle, engine), arguments.image, settings, lines_a, lines_b)
        elif state_a != state_b:
            texts.append(f"  the same lines, but the final state is not: {oracle} {state_a}, {engine} {state_b}")
    determined = {key: line for key, line in results[oracle][0].items() if not key.startswith("~")}
    if arguments.update:
        EXPECTED.write_text("BEGIN\n" + "".join(line + "\n" for line in determined.values()) + "END\n")
    if settings.get("cases") == 0:
        return texts
    return texts + differences(observations(EXPECTED.read_text()), determined, (EXPECTED.name, oracle), not settings)


def check_qemu(arguments, settings):
    if arguments.qemu == "kvm":
        settings = {"steps": 640} | settings
    found = {key: line for key, line in run_qemu(arguments.qemu, arguments.image, settings, arguments.seconds).items()
             if not key.startswith("~")}
    if arguments.vireo:
        name = arguments.engines.split(",")[0]
        expected = {key: line for key, line in run_vireo(arguments.vireo, name, arguments.image, settings)[0].items()
                    if not key.startswith("~")}
    else:
        name, expected = EXPECTED.name, observations(EXPECTED.read_text())
    comparable = arguments.vireo or settings.keys() <= {"steps"}
    for key in list(expected):
        if is_random(key) and (key not in found or not comparable):
            del expected[key]
    return compare(arguments.qemu, found, name, expected, comparable)


def compare(where, found, name, expected, random_too):
    rows = [row for row in tomllib.loads((HERE / "differences.toml").read_text())["difference"] if where in row["on"]]
    known = 0
    for key, line in list(found.items()):
        if expected.get(key) == line:
            continue
        if any(re.match(row["lines"], line) for row in rows) and key in expected:
            known += 1
            expected[key] = line
    print(f"{where}: {len(found)} lines, {known} of them differ for the reasons in differences.toml")
    return differences(expected, found, (name, where), random_too)


def check_observed(arguments):
    lines = observations(sys.stdin.read().rstrip())
    not_allowed = [f"  {line}" for line in lines.values() if "not allowed" in line]
    found = {key: line for key, line in lines.items() if not key.startswith("~")}
    name = arguments.engines.split(",")[0]
    expected = {key: line for key, line in run_vireo(arguments.vireo, name, arguments.image, {})[0].items()
                if not key.startswith("~")}
    return not_allowed + compare(arguments.observed, found, name, expected, True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image", type=pathlib.Path)
    parser.add_argument("--observed", metavar="WHERE")
    parser.add_argument("--write", type=pathlib.Path, metavar="FILE")
    parser.add_argument("--vireo")
    parser.add_argument("--engines", default="interp,bt:no-windows,bt:no-windows:window-after=0,bt,bt:window-after=0,bt:keep-spaces=1,bt:hot=0:window-after=0:keep-spaces=1,bt:all-off")
    parser.add_argument("--qemu", choices=["tcg", "kvm"])
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=NUMBER")
    parser.add_argument("--update", action="store_true")
    arguments = parser.parse_args()
    settings = {name: int(value, 0) for name, value in (word.split("=") for word in arguments.set)}
    if arguments.write:
        arguments.write.write_bytes(with_settings(arguments.image, settings))
        return 0
    try:
        if arguments.observed:
            texts = check_observed(arguments)
        else:
            texts = check_qemu(arguments, settings) if arguments.qemu else check_engines(arguments, settings)
    except Skip as reason:
        print(f"skipped: {reason}")
        return SKIPPED
    except Failure as failure:
        texts = [str(failure)]
    print("\n".join(texts) or "all the same")
    return 1 if texts else 0


if __name__ == "__main__":
    sys.exit(main())
