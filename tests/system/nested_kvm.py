#!/usr/bin/env python3
"""Runs the steps of nested_kvm.toml in a Linux that has KVM, whatever the host: its CPU is QEMU's software emulation of one
with AMD's SVM.

nested_kvm.py [--vireo PATH] [--cache FOLDER]   all steps that are not pending
nested_kvm.py --only info,linux-686-hw          these, pending or not
nested_kvm.py --shell                           a shell in the bed, on this terminal

Status 0: all steps did what they should; 1: they did not, or the bed does not work; 77: there is no QEMU, or no step to run.
"""

import argparse
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
import tomllib

import initramfs
from initramfs import CpioWriter

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build/release"
QEMU = "qemu-system-x86_64"
SKIPPED = 77
MEMORY_MIB = 1536
FIRMWARE = pathlib.Path("/usr/share/seabios")  # where vireo looks for it
MODULE_SETS = {"kvm": ["kvm-amd"]}
# Without nested paging: with QEMU 7.2's, guests that use PAE stop early.
APPEND = "mitigations=off console=ttyS0 quiet panic=-1 kvm_amd.npt=0"
DEFAULT_SECONDS = 120
LIMIT_S = 900
LATE = 124  # nested_init.sh says so
# The bed ends late steps itself; if it has not after so many seconds more, it hangs.
GRACE_S = 30
BOOT_S = 180
POWER_OFF_S = 60
SHOWN_LINES = 60
COLUMNS = {"name", "command", "status", "shows", "checked_by", "seconds", "pending"}
# Images that images.py does not make: where they are unless --image says so, and how to come by them.
GIVEN = {
    "torture-bed.img": (BUILD / "tests/paging/torture-bed.img", "build it (cmake --build --preset release --target paging_torture)"),
    "nano.img": (BUILD / "bios/nano.img", "build it (cmake --build --preset release --target vireo)"),
    "freedos.img": (os.environ.get("VIREO_FREEDOS_IMAGE"), "a floppy that boots FreeDOS to a prompt, of your own"),
}
# {IMAGE} in a command; ${VARIABLE} is the shell's.
PLACEHOLDER = re.compile(r"(?<!\$)\{([\w.-]+)\}")


class Failure(Exception):
    """Says in a sentence why the run cannot go on."""


class LimitReached(Failure):
    pass


# --- steps -----------------------------------------------------------------------------------------------------------
def load_steps():
    steps = tomllib.loads((HERE / "nested_kvm.toml").read_text())["step"]
    for step in steps:
        name = step.get("name", "")
        if not re.fullmatch(r"[\w.-]+", name) or "command" not in step or not step.keys() <= COLUMNS:
            raise Failure(f"nested_kvm.toml: step '{name}' needs a name of letters, digits, '.', '_', '-', a command, and no "
                          "columns but those that the file's head explains")
    names = [step["name"] for step in steps]
    if len(set(names)) != len(names):
        raise Failure("nested_kvm.toml: two steps have one name")
    return steps


def choose(steps, only):
    if only is None:
        return steps
    wanted = only.split(",")
    unknown = [name for name in wanted if name not in [step["name"] for step in steps]]
    if unknown:
        raise Failure(f"no step is called '{unknown[0]}'; there are {', '.join(step['name'] for step in steps)}")
    return [step for step in steps if step["name"] in wanted]


def complaint(step, status, output, paths):
    """What is wrong with a step that ended, or nothing. `paths`: for the check's placeholders."""
    expected = step.get("status", 0)
    if status == LATE != expected:
        return f"did not end within {step.get('seconds', DEFAULT_SECONDS)} s"
    if status != expected:
        return f"status {status}, not {expected}"
    missing = [pattern for pattern in step.get("shows", []) if not re.search(pattern, output)]
    if missing:
        return f"does not show {missing[0]!r}"
    if "checked_by" not in step:
        return None
    program, *words = (PLACEHOLDER.sub(lambda m: str(paths[m.group(1)]), word) for word in shlex.split(step["checked_by"]))
    check = subprocess.run([sys.executable, HERE.parent / program, *words], input=output, text=True,
                           stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return None if check.returncode == 0 else f"{step['checked_by']}:\n{check.stdout.rstrip()}"


def images_of(step):
    return PLACEHOLDER.findall(step["command"])


def why_not(step, arguments):
    """Why a step does not run, or nothing."""
    if "pending" in step and arguments.only is None and not arguments.shell:
        return f"pending: {step['pending']}"
    for name in images_of(step):
        if name in GIVEN and arguments.image[name] is None:
            return f"skipped: no {name} ({GIVEN[name][1]}); say --image {name}=PATH"
    return None


# --- the bed's files -------------------------------------------------------------------------------------------------
def libraries(program):
    """Paths of the shared libraries of a program, the dynamic linker among them; none if it is linked statically."""
    result = subprocess.run(["ldd", program], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=dict(os.environ, LC_ALL="C"))
    if "not a dynamic executable" in result.stdout:
        return []
    if result.returncode != 0:
        raise Failure(f"ldd {program}: {result.stdout.strip()}")
    paths = []
    for line in result.stdout.splitlines():
        if "not found" in line:
            raise Failure(f"{program} needs {line.split()[0]}, which this host does not have")
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            paths.append(found.group(1))
    return paths


def build_initrd(steps, images, given, programs, shim, with_shell):
    """The bed's root file system. Not compressed: unpacking takes an emulated CPU longer than reading."""
    cpio = CpioWriter()
    for name in ("bin", "dev", "etc", "lib", "lib/modules", "proc", "root", "steps", "sys", "tmp"):
        cpio.add(name, stat.S_IFDIR | 0o755)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    busybox = images.packages.tree("busybox-static:amd64") / "bin/busybox"
    for path, source in (("init", HERE / "nested_init.sh"), ("bin/load_modules", HERE / "load_modules.sh"),
                         ("bin/busybox", busybox), *((f"bin/{name}", program) for name, program in programs.items())):
        cpio.add_file(path, source.read_bytes(), 0o755)
    cpio.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    initramfs.add_modules(cpio, images.kernel_tree("amd64", "amd64"), MODULE_SETS)

    needed = sorted({library for program in programs.values() for library in libraries(program)})
    for library in needed:
        cpio.add_file(library, pathlib.Path(library).read_bytes(), 0o755)
    folders = sorted({str(pathlib.PurePath(library).parent) for library in needed})
    cpio.add_file("lib/shim.so", shim.read_bytes())
    # The bed has no ld.so.cache; programs with AddressSanitizer want to be told that something else comes first.
    cpio.add_file("etc/environment", f"export LD_LIBRARY_PATH={':'.join(folders)} LD_PRELOAD=/lib/shim.so "
                                     "ASAN_OPTIONS=verify_asan_link_order=0\n".encode())
    for rom in sorted(FIRMWARE.glob("*.bin")):
        cpio.add_file(str(rom), rom.read_bytes())

    for name in sorted({name for step in steps for name in images_of(step)}):
        path = given[name] if name in given else images.path(name)
        cpio.add_file(f"images/{name}", path.read_bytes())
    for step in steps:
        cpio.add_file(f"steps/{step['name']}", PLACEHOLDER.sub(r"/images/\1", step["command"] + "\n").encode())
    listed = (f"{step['name']} {step.get('seconds', DEFAULT_SECONDS)}\n" for step in steps)
    cpio.add_file("etc/steps", "".join(listed).encode())
    if with_shell:
        cpio.add_file("etc/shell", b"")
    return cpio.finish()


def prepare(arguments, steps, work):
    """Makes the bed's files; returns QEMU's command line."""
    from images import BUILDERS, Images  # only here: it looks for packages
    from packages import PackageError

    for step in steps:
        for name in images_of(step):
            if name in BUILDERS:
                continue
            if name not in GIVEN:
                raise Failure(f"step {step['name']}: no image is called '{name}'; images.py --list shows the names")
            if not arguments.image[name].is_file():
                raise Failure(f"{arguments.image[name]} is not there; {GIVEN[name][1]}, or say --image {name}=PATH")
    programs = {**{program.name: program for program in arguments.add}, "vireo": arguments.vireo}
    for program in programs.values():
        if not os.access(program, os.X_OK) or not program.is_file():
            raise Failure(f"{program} is not a program; build it, or say --vireo PATH")
    if not arguments.shim.is_file():
        raise Failure(f"{arguments.shim} is not there; build it (cmake --build --preset release --target vireo-nested-tr-shim), "
                      "or say --shim PATH")
    if not FIRMWARE.is_dir():
        raise Failure(f"{FIRMWARE} is not there; install Debian's package seabios")
    try:
        images = Images(arguments.cache)
        kernel = next((images.kernel_tree("amd64", "amd64") / "boot").glob("vmlinuz-*"), None)
        initrd = work / "initrd.cpio"
        initrd.write_bytes(build_initrd(steps, images, arguments.image, programs, arguments.shim,
                                        arguments.shell))
    except PackageError as error:
        raise Failure(str(error)) from error
    if kernel is None:
        raise Failure("the package of the amd64 kernel has no boot/vmlinuz")
    return [QEMU, "-accel", "tcg", "-cpu", "max", "-m", str(MEMORY_MIB), "-smp", "1", "-nographic", "-no-reboot",
            "-nic", "none", "-vga", "none", "-kernel", kernel, "-initrd", initrd,
            "-append", APPEND]


# --- the running bed -------------------------------------------------------------------------------------------------
class Bed:
    """QEMU's process, and its serial console line by line."""

    def __init__(self, command, log, end):
        self.log, self.end = log, end
        self.pending, self.lines = "", []
        self.shown = []  # since the boot or the step began
        self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.STDOUT)

    def read_line(self, deadline):
        """The next line, or nothing once QEMU has ended."""
        while not self.lines:
            left = min(deadline, self.end) - time.monotonic()
            if left <= 0 or not select.select([self.process.stdout], [], [], left)[0]:
                raise LimitReached("the time limit is over") if self.end <= deadline else Failure("the bed hangs")
            chunk = os.read(self.process.stdout.fileno(), 65536)
            if not chunk:
                return None
            self.log.write(chunk)
            self.log.flush()
            *self.lines, self.pending = (self.pending + chunk.decode(errors="replace").replace("\r", "")).split("\n")
        self.shown.append(self.lines.pop(0))
        return self.shown[-1]

    def boot(self):
        deadline = time.monotonic() + BOOT_S
        while (line := self.read_line(deadline)) != "BED ready":
            if line is None:
                raise Failure(f"QEMU ended with status {self.process.wait()}")
            if line.startswith("BED failed: "):
                raise Failure(line.removeprefix("BED failed: "))

    def run(self, step):
        """Status and output of the step that comes next."""
        deadline = time.monotonic() + step.get("seconds", DEFAULT_SECONDS) + GRACE_S
        self.shown.clear()
        while True:
            line = self.read_line(deadline)
            if line is None:
                raise Failure("the bed died")
            if line == f"STEP {step['name']}":
                self.shown.clear()
            elif ended := re.fullmatch(rf"STATUS {re.escape(step['name'])} (\d+)", line):
                return int(ended.group(1)), "\n".join(self.shown[:-1])

    def power_off(self):
        deadline = time.monotonic() + POWER_OFF_S
        while self.read_line(deadline) is not None:
            pass
        self.process.wait()

    def stop(self):
        """Ends QEMU if it still runs; SIGTERM is its orderly way out."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process.stdout.close()

    def text(self):
        return "\n".join([*self.shown, self.pending])


class Report:
    """Prints what came of each part of a run, when it is known."""

    def __init__(self):
        self.well = True
        self.started = time.monotonic()

    def add(self, name, wrong, text):
        """The part that ran since the last one; `wrong` is what is wrong with it, and then its text is printed, too."""
        print(f"{name}: {f'FAILED: {wrong}' if wrong else 'passed'} ({time.monotonic() - self.started:.1f} s)")
        if wrong:
            self.well = False
            for line in text.rstrip().splitlines()[-SHOWN_LINES:]:
                print("    " + line)
        sys.stdout.flush()
        self.started = time.monotonic()


def run_boot(command, steps, log, end, report, paths):
    """Boots the bed and runs the steps until it dies; returns those that another boot can run."""
    bed = Bed(command, log, end)
    left, part = list(steps), "bed boots"
    try:
        bed.boot()
        report.add(part, None, "")
        while left:
            step = left.pop(0)
            part = step["name"]
            status, output = bed.run(step)
            report.add(f"{part}: status {status}", complaint(step, status, output, paths), output)
        part = "bed powers off"
        bed.power_off()
        report.add(part, None, "")
    except Failure as failure:
        report.add(part, failure, bed.text())
        if len(left) == len(steps) or isinstance(failure, LimitReached):
            for step in left:
                print(f"{step['name']}: not run")
            return []
    finally:
        bed.stop()
    return left


def run_shell(command, limit_s):
    """Gives this terminal to the bed; returns QEMU's status."""
    process = subprocess.Popen([str(word) for word in command])
    try:
        process.wait(limit_s)
    except subprocess.TimeoutExpired:
        raise Failure(f"the time limit of {limit_s:g} s is over") from None
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait()
    return process.returncode


def seconds(text):
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError
    return value


def given_image(text):
    name, path = text.split("=", 1)
    if name not in GIVEN:
        raise ValueError
    return name, pathlib.Path(path)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vireo", metavar="PATH", type=pathlib.Path, default=BUILD / "frontend-headless/vireo")
    parser.add_argument("--shim", metavar="PATH", type=pathlib.Path, default=BUILD / "tests/vireo-nested-tr-shim.so",
                        help="the library that nested_tr_shim.c makes")
    parser.add_argument("--cache", metavar="PATH", default=ROOT / "build/guests", help="of packages and images (build/guests)")
    parser.add_argument("--only", metavar="NAME,NAME", help="these steps, even if they are pending")
    parser.add_argument("--add", metavar="PROGRAM", type=pathlib.Path, action="append",
                        default=[program for program in [BUILD / "tests/test_hwassist"] if program.exists()],
                        help="another program of the host for the bed's /bin, with its libraries; may repeat; test_hwassist of "
                        "the release build is there")
    parser.add_argument("--image", metavar="NAME=PATH", type=given_image, action="append", default=[],
                        help=f"one of those that images.py does not make ({', '.join(GIVEN)}); may repeat. FreeDOS's is also "
                        "taken from $VIREO_FREEDOS_IMAGE; without it, its step is skipped")
    parser.add_argument("--shell", action="store_true", help="an interactive shell in place of the steps; Ctrl-A x ends it")
    parser.add_argument("--keep-log", metavar="FILE", type=pathlib.Path, help="write all that the bed's console shows here")
    parser.add_argument("--time-limit", metavar="S", type=seconds,
                        help=f"end the bed after so many seconds ({LIMIT_S}; with --shell: never)")
    arguments = parser.parse_args()
    known = {name: pathlib.Path(path) for name, (path, _) in GIVEN.items() if path}
    arguments.image = {**dict.fromkeys(GIVEN), **known, **dict(arguments.image)}
    return arguments


def main():
    arguments = parse_arguments()
    if shutil.which(QEMU) is None:
        print(f"skipped: {QEMU} is not installed (Debian's package qemu-system-x86)")
        return SKIPPED
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that QEMU is ended, too
    try:
        steps = []
        for step in choose(load_steps(), arguments.only):
            if why := why_not(step, arguments):
                print(f"{step['name']}: {why}", flush=True)
            else:
                steps.append(step)
        if not steps and not arguments.shell:
            return SKIPPED
        with tempfile.TemporaryDirectory() as folder:
            if arguments.shell:
                return run_shell(prepare(arguments, steps, pathlib.Path(folder)), arguments.time_limit)
            report = Report()
            end = time.monotonic() + (arguments.time_limit or LIMIT_S)
            with open(arguments.keep_log or os.devnull, "wb") as log:
                while steps:
                    command = prepare(arguments, steps, pathlib.Path(folder))
                    steps = run_boot(command, steps, log, end, report, {**arguments.image, "vireo": arguments.vireo})
            return 0 if report.well else 1
    except (Failure, OSError) as error:
        print(f"nested_kvm.py: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
