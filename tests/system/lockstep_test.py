#!/usr/bin/env python3
"""Every engine runs the same machine: rows of boots.toml with the virtual clock must end after as many instructions and
with the same hash of all state under each engine, and show the same.

lockstep_test.py VIREO --cache FOLDER [--engines interp,bt] NAME...
lockstep_test.py VIREO --cache FOLDER [--engines interp,bt] -- OPTION...    options of `vireo run` instead of rows

Engines are named as by boot_test.py: interp,bt,bt:all-off
"""

import argparse
import json
import pathlib
import sys
import tempfile
import time

from boot_test import Failure, Guest, load_rows
from images import Images


def ends(row, images, vireo, engine):
    """What each run of the row came to under one engine: (final state, what it showed)."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        guest = Guest(row, images, vireo, engine, pathlib.Path(folder))
        for _ in range(row.get("runs", 1)):
            state = guest.work / "final-state"
            shown = guest.run_once(None, ["--final-state", str(state)])
            found.append((json.loads(state.read_text()), shown))
    return found


def first_difference(name, a, b):
    for number, (line_a, line_b) in enumerate(zip(a.splitlines(), b.splitlines()), 1):
        if line_a != line_b:
            return f"{name}, line {number}:\n  {line_a}\n  {line_b}"
    return f"{name}: {len(a.splitlines())} and {len(b.splitlines())} lines"


def check(name, row, images, vireo, engines):
    """True if all engines agree."""
    results = {}
    for engine in engines:
        started = time.monotonic()
        results[engine] = ends(row, images, vireo, engine)
        for state, _ in results[engine]:
            print(f"{name} {json.dumps(state)} ({time.monotonic() - started:.1f} s)", flush=True)
    oracle, *others = engines
    same = True
    for engine in others:
        for (state_a, shown_a), (state_b, shown_b) in zip(results[oracle], results[engine]):
            for name_of, state in ((oracle, state_a), (engine, state_b)):
                assert state.pop("engine") == name_of.split(":")[0] or name_of.startswith("turns:")
            if shown_a != shown_b:
                print(first_difference(f"{name}: {oracle} and {engine} show different things", shown_a, shown_b))
            for key in state_a:
                if state_a[key] != state_b[key]:
                    print(f"{name}: {key}: {oracle} {state_a[key]}, {engine} {state_b[key]}")
            same &= state_a == state_b and shown_a == shown_b
            state_a["engine"], state_b["engine"] = oracle.split(":")[0], engine.split(":")[0]
    return same


def main():
    words = sys.argv[1:]
    options = []
    if "--" in words:
        options = words[words.index("--") + 1:]
        words = words[:words.index("--")]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vireo")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--engines", default="interp,bt")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_intermixed_args(words)
    rows = {name: load_rows()[name] for name in arguments.names}
    if options:
        rows["the given guest"] = {"options": options, "seconds": 3600}
    images = Images(arguments.cache)
    different = 0
    for name, row in rows.items():
        try:
            same = check(name, row, images, arguments.vireo, arguments.engines.split(","))
            print(f"{name}: {'the same' if same else 'DIFFERENT'}", flush=True)
        except Failure as failure:
            same = False
            print(f"{name}: FAILED: {failure}", flush=True)
        different += not same
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
