#!/usr/bin/env python3
"""Runs rows of boots.toml: real systems on a Vireo machine.

boot_test.py --list
boot_test.py VIREO --cache FOLDER [--engine ENGINE] [--artifacts FOLDER] NAME...

ENGINE may have words for --translator behind it: bt:hot=0:no-chain
"""

import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_SECONDS = 180
PARTITION_OFFSET = 2048 * 512


def load_rows():
    rows = tomllib.loads((HERE / "boots.toml").read_text())["boot"]
    names = [row["name"] for row in rows]
    assert len(set(names)) == len(names), "two rows have one name"
    return {row["name"]: row for row in rows}


class Failure(Exception):
    pass


class Guest:
    """One row on its copies of the images."""

    def __init__(self, row, images, vireo, engine, work):
        self.row, self.images, self.vireo, self.engine, self.work = row, images, vireo, engine, work

    def expand(self, word):
        return re.sub(r"\{(copy:)?([\w.-]+)\}", self.path_of, word)

    def path_of(self, match):
        if not match.group(1):
            return str(self.images.path(match.group(2)))
        copy = self.work / match.group(2)
        if not copy.exists():
            shutil.copyfile(self.images.path(match.group(2)), copy)
        return str(copy)

    def run_once(self, pattern, more_options=()):
        """Runs the guest; returns what it showed."""
        row = self.row
        seconds = row.get("seconds", DEFAULT_SECONDS)
        screen = self.work / "screen"
        engine, *words = self.engine.split(":")
        turns = []
        if engine == "turns":  # turns:N: another engine each time that one has come back N times
            engine, turns, words = "bt", ["--switch-every", words[0]], words[1:]
        command = [self.vireo, "run", "--engine", engine, *turns, "--clock", "virtual", "--timeout", str(seconds),
                   "--translator", ",".join(words), "--screen-text", str(screen)]
        command += [self.expand(word) for word in row["options"]]
        if "until" in row:
            command += ["--until-text", row["until"]]
        command += more_options
        result = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        shown = result.stdout.decode(errors="replace").replace("\r", "")
        shown += "\n--- text screen\n" + (screen.read_text() if screen.exists() else "(none)")
        complaint = result.stderr.decode(errors="replace").strip()
        if result.returncode != 0:
            raise Failure(f"status {result.returncode}: {complaint}\n{shown}")
        if pattern is not None and not re.search(pattern, shown):
            raise Failure(f"does not show {pattern!r}\n{shown}")
        return shown

    def run(self):
        shows = self.row.get("shows", [])
        runs = self.row.get("runs", 1)
        if runs == 1:
            shown = self.run_once(None)
            for pattern in shows:
                if not re.search(pattern, shown):
                    raise Failure(f"does not show {pattern!r}\n{shown}")
        else:
            assert len(shows) == runs
            for pattern in shows:
                self.run_once(pattern)
        if "ext4" in self.row:
            self.check_ext4(pathlib.Path(self.expand(self.row["ext4"])))

    def check_ext4(self, disk):
        partition = self.work / "partition"
        with open(disk, "rb") as source, open(partition, "wb") as target:
            source.seek(PARTITION_OFFSET)
            shutil.copyfileobj(source, target)
        result = subprocess.run(["/sbin/e2fsck", "-fn", str(partition)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if result.returncode != 0:
            raise Failure(f"e2fsck found the root not clean:\n{result.stdout.decode(errors='replace')}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("vireo", nargs="?")
    parser.add_argument("--cache")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_intermixed_args()
    rows = load_rows()
    if arguments.list:
        print("\n".join(rows))
        return 0
    from images import Images  # only here: it looks for packages

    images = Images(arguments.cache)
    failed = 0
    for name in arguments.names or rows:
        row = rows[name]
        started = time.monotonic()
        verdict = "passed"
        with tempfile.TemporaryDirectory() as folder:
            try:
                Guest(row, images, arguments.vireo, arguments.engine, pathlib.Path(folder)).run()
                if "known_failure" in row:
                    verdict = f"passed, but is listed as a known failure: {row['known_failure']}"
            except Failure as failure:
                verdict = f"FAILED: {failure}" if "known_failure" not in row else f"known failure: {row['known_failure']}"
        failed += verdict != "passed" and not verdict.startswith("known failure")
        print(f"{name}: {verdict} ({time.monotonic() - started:.1f} s)", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
