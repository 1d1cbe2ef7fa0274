#!/usr/bin/env python3
"""Every C and C++ file is as clang-format leaves it. `format.py ROOT --fix` formats them."""
import concurrent.futures
import subprocess
import sys


def formatted(root, name, fix):
    command = ["clang-format", "--style=file"] + (["-i"] if fix else ["--dry-run", "-Werror"]) + [name]
    return subprocess.run(command, cwd=root, capture_output=True, text=True).returncode == 0


def main():
    root, fix = sys.argv[1], "--fix" in sys.argv
    files = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard", "*.h", "*.cpp", "*.c"], check=True,
                           capture_output=True, text=True).stdout.split()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        results = list(pool.map(lambda name: formatted(root, name, fix), files))
    bad = [name for name, ok in zip(files, results) if not ok]
    print("\n".join(f"{name}: not formatted; run tests/lint/format.py . --fix" for name in bad)
          or f"{len(files)} files are formatted")
    return 1 if bad or not files else 0


if __name__ == "__main__":
    sys.exit(main())
