#!/usr/bin/env python3
"""Includes follow architecture.md's drawing: each folder may include only from the folders listed for it."""
import pathlib
import re
import subprocess
import sys

# folder -> folders whose headers it may include (itself always). The longest matching folder counts.
ALLOWED = {
    "core": [],
    "core/isa": ["core"],
    "core/interp": ["core", "core/isa"],
    "softmmu": ["core"],
    "devices": ["core"],
    "devices/backends": ["core", "devices"],
    "devices/ide": ["core", "devices"],
    "devices/vga": ["core", "devices"],
    "bios": ["core"],
    "bench/guest": [],
    "translator": ["core", "core/isa", "core/interp"],
    "hwassist": ["core", "core/isa"],
    "core/machine": ["core", "core/isa", "core/interp", "translator", "hwassist", "softmmu", "devices", "devices/ide",
                     "devices/vga", "bios"],
    "frontend-headless": ["core", "core/isa", "core/machine", "devices/backends", "bios"],
}
THIRD_PARTY_ONLY_IN = {"SDL": ["frontend-sdl"], "CLI/": ["frontend-headless"]}


def folder_of(path, folders):
    best = max((f for f in folders if path == f or path.startswith(f + "/")), key=len, default=None)
    return best


def main():
    root = pathlib.Path(sys.argv[1])
    files = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "*.h", "*.cpp", "*.inc"],
                           check=True, capture_output=True, text=True).stdout.split()
    bad = []
    checked = 0
    for name in files:
        if name.startswith("tests/"):
            continue
        folder = folder_of(str(pathlib.PurePath(name).parent), ALLOWED)
        if folder is None:
            bad.append(f"{name}: its folder is not in the layering table of {__file__}")
            continue
        checked += 1
        for number, line in enumerate((root / name).read_text().splitlines(), 1):
            match = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
            if not match:
                continue
            target = match.group(2)
            for library, homes in THIRD_PARTY_ONLY_IN.items():
                if target.startswith(library) and folder not in homes:
                    bad.append(f"{name}:{number}: {target} belongs in {', '.join(homes)} only")
            if match.group(1) == "<" or target.endswith(".bin.inc"):  # the latter are made by the build
                continue
            other = folder_of(str(pathlib.PurePath(target).parent), ALLOWED)
            if other is None:
                bad.append(f"{name}:{number}: \"{target}\" is not a path from the root of the project")
            elif other != folder and other not in ALLOWED[folder]:
                bad.append(f"{name}:{number}: {folder} must not include {target}")
    print("\n".join(bad) or f"{checked} files follow the layering")
    return 1 if bad or checked == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
