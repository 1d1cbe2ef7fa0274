"""What the rows that run whole programs need: files of Debian's i386 packages, by the names that guest/programs.c uses."""

import pathlib
import shutil
import tempfile

ROWS = ("gzip", "bzip2", "xz", "python")
WORK = pathlib.Path(__file__).resolve().parent / "guest/work.py"
TEXT_BYTES = 4 << 20
# Name below programs/: package, path in it ("*": any characters).
FILES = {
    "ld.so": ("libc6:i386", "lib/i386-linux-gnu/ld-linux.so.2"),
    "lib/libc.so.6": ("libc6:i386", "lib/i386-linux-gnu/libc.so.6"),
    "lib/libm.so.6": ("libc6:i386", "lib/i386-linux-gnu/libm.so.6"),
    "lib/libbz2.so.1.0": ("libbz2-1.0:i386", "lib/i386-linux-gnu/libbz2.so.1.0"),
    "lib/liblzma.so.5": ("liblzma5:i386", "lib/i386-linux-gnu/liblzma.so.5"),
    "lib/libz.so.1": ("zlib1g:i386", "lib/i386-linux-gnu/libz.so.1"),
    "lib/libexpat.so.1": ("libexpat1:i386", "lib/i386-linux-gnu/libexpat.so.1"),
    "bin/gzip": ("gzip:i386", "bin/gzip"),
    "bin/bzip2": ("bzip2:i386", "bin/bzip2"),
    "bin/xz": ("xz-utils:i386", "usr/bin/xz"),
    "bin/python3": ("python3.11-minimal:i386", "usr/bin/python3.11"),
}
LIBRARY = ("libpython3.11-minimal:i386", "usr/lib/python3.11")


def find(packages, package, path):
    """Libraries are in /usr/lib in some packages and in /lib in others, and links within a package."""
    tree = packages.tree(package)
    for candidate in (tree / path, tree / "usr" / path):
        if candidate.exists():
            return candidate
    from packages import PackageError
    raise PackageError(f"package {package} has no {path}")


def make(packages, folder):
    """The folder that has "programs" in it, made below `folder` if it is not there yet or older than these scripts."""
    root = folder / "bench-programs"
    newest = max(path.stat().st_mtime for path in (pathlib.Path(__file__), WORK))
    if root.exists() and root.stat().st_mtime >= newest:
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = pathlib.Path(work) / "made"
        programs = made / "programs"
        for name, source in FILES.items():
            target = programs / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(find(packages, *source), target)
        library = find(packages, *LIBRARY)
        sources = sorted(path for path in library.rglob("*.py"))
        for path in sources:
            target = programs / "lib/python3.11" / path.relative_to(library)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, target)
        text = b"".join(path.read_bytes() for path in sources)
        (programs / "text").write_bytes((text * (TEXT_BYTES // len(text) + 1))[:TEXT_BYTES])
        shutil.copy(WORK, programs / "work.py")
        if root.exists():
            shutil.rmtree(root)
        made.rename(root)
    return root
