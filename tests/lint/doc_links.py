#!/usr/bin/env python3
"""Every relative link and every `file` that a README names exists; every source folder has a README."""
import pathlib
import re
import subprocess
import sys


def main():
    root = pathlib.Path(sys.argv[1])
    tracked = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], check=True,
                             capture_output=True, text=True).stdout.split()
    bad = []
    checked = 0
    folders = {str(pathlib.PurePath(f).parent) for f in tracked if f.endswith((".cpp", ".asm", ".py"))}
    for folder in sorted(folders):
        parents = [folder] + [str(p) for p in pathlib.PurePath(folder).parents]
        if not any((root / p / "README.md").is_file() for p in parents if p != "."):
            bad.append(f"{folder}: no README.md here or in a folder above it")
    for name in (f for f in tracked if f.endswith(".md")):
        base = (root / name).parent
        text = (root / name).read_text()
        prose = re.sub(r"```.*?```", "", text, flags=re.S)
        links = re.findall(r"\]\(([^)#\s]+)[^)]*\)", prose)
        links = [link for link in links if "://" not in link]
        # A name in backticks with an extension of ours is a file of that folder, or a path from the root.
        names = re.findall(r"`([\w./{}*,-]+\.(?:h|cpp|inc|md|py|asm|txt|json|cmake))`", prose)
        for target in links + names:
            checked += 1
            if "foo" in target or "NAME" in target:  # a placeholder
                continue
            candidates = expand(target)
            for candidate in candidates:
                if any(c in candidate for c in "*"):
                    found = list(base.glob(candidate)) or list(root.glob(candidate))
                else:
                    found = (base / candidate).exists() or (root / candidate).exists()
                if not found:
                    bad.append(f"{name}: '{candidate}' does not exist")
    print("\n".join(bad) or f"{checked} links and file names exist")
    return 1 if bad else 0


def expand(target):
    """foo.{h,cpp} -> foo.h, foo.cpp"""
    match = re.match(r"(.*)\{([^}]*)\}(.*)", target)
    if not match:
        return [target]
    return [match.group(1) + part + match.group(3) for part in match.group(2).split(",")]


if __name__ == "__main__":
    sys.exit(main())
