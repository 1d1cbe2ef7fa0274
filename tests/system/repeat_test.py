#!/usr/bin/env python3
"""Two runs with the virtual clock are the same run: as many instructions, the same hash of all state.

repeat_test.py VIREO --cache FOLDER [--engine ENGINE]
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

from images import Images


def final_state(vireo, engine, images, folder, name):
    path = pathlib.Path(folder) / name
    command = [vireo, "run", "--engine", engine, "--clock", "virtual", "--kernel", images.path("vmlinuz-686"), "--initrd",
               images.path("initramfs-686.gz"), "--append", 'console=ttyS0 cryptomgr.notests vireo.script="uname -a; date"',
               "--serial", "stdio", "--timeout", "900", "--final-state", path]
    result = subprocess.run([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True)
    assert b"vireo.script: status 0" in result.stdout, result.stdout.decode(errors="replace")
    return json.loads(path.read_text()), result.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vireo")
    parser.add_argument("--cache", required=True)
    parser.add_argument("--engine", default="interp")
    arguments = parser.parse_args()
    images = Images(arguments.cache)
    with tempfile.TemporaryDirectory() as folder:
        first, first_output = final_state(arguments.vireo, arguments.engine, images, folder, "first")
        second, second_output = final_state(arguments.vireo, arguments.engine, images, folder, "second")
    print(json.dumps(first))
    print(json.dumps(second))
    same = first == second and first_output == second_output
    print("the same" if same else "different")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
