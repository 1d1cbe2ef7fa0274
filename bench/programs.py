"""What the rows that run whole programs need: files of Debian's packages, by the names that guest/programs.c uses."""

import pathlib
import shutil
import tempfile

ROWS = ("gzip", "bzip2", "xz", "python")
WORK = pathlib.Path(__file__).resolve().parent / "guest/work.py"
TEXT_BYTES = 4 << 20
TRIPLETS = {"i386": "i386-linux-gnu", "amd64": "x86_64-linux-gnu"}
LOADERS = {"i386": "ld-linux.so.2", "amd64": "ld-linux-x86-64.so.2"}
# Name below programs/: package, path in it.
FILES = {
    "ld.so": ("libc6", "lib/{triplet}/{loader}"),
    "lib/libc.so.6": ("libc6", "lib/{triplet}/libc.so.6"),
    "lib/libm.so.6": ("libc6", "lib/{triplet}/libm.so.6"),
    "lib/libbz2.so.1.0": ("libbz2-1.0", "lib/{triplet}/libbz2.so.1.0"),
    "lib/liblzma.so.5": ("liblzma5", "lib/{triplet}/liblzma.so.5"),
    "lib/libz.so.1": ("zlib1g", "lib/{triplet}/libz.so.1"),
    "lib/libexpat.so.1": ("libexpat1", "lib/{triplet}/libexpat.so.1"),
    "bin/gzip": ("gzip", "bin/gzip"),
    "bin/bzip2": ("bzip2", "bin/bzip2"),
    "bin/xz": ("xz-utils", "usr/bin/xz"),
    "bin/python3": ("python3.11-minimal", "usr/bin/python3.11"),
}
# Of one architecture for all: the text is made of it.
LIBRARY = ("libpython3.11-minimal:i386", "usr/lib/python3.11")


def find(packages, package, path):
    """Libraries are in /usr/lib in some packages and in /lib in others, and links within a package."""
    tree = packages.tree(package)
    for candidate in (tree / path, tree / "usr" / path):
        if candidate.exists():
            return candidate
    from packages import PackageError
    raise PackageError(f"package {package} has no {path}")


def make(packages, folder, architecture="i386"):
    """The folder that has "programs" in it, made below `folder` if it is not there yet or older than these scripts."""
    root = folder / f"bench-programs-{architecture}"
    newest = max(path.stat().st_mtime for path in (pathlib.Path(__file__), WORK))
    if root.exists() and root.stat().st_mtime >= newest:
        return root
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        made = pathlib.Path(work) / "made"
        programs = made / "programs"
        for name, (package, path) in FILES.items():
            target = programs / name
            target.parent.mkdir(parents=True, exist_ok=True)
            path = path.format(triplet=TRIPLETS[architecture], loader=LOADERS[architecture])
            shutil.copy(find(packages, f"{package}:{architecture}", path), target)
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
