"""Runs vireo-bench-guest natively, in a guest of QEMU and in a guest of Vireo, and reads what it prints."""

import dataclasses
import os
import pathlib
import re
import resource
import selectors
import shutil
import stat
import subprocess
import sys
import tempfile
import time

import programs

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/system"))

QEMU = "qemu-system-i386"
# Both offer SSE2 and more: an Intel Core 2 in 32-bit mode.
QEMU_CPU = "core2duo"
VIREO_CPU = "core2duo-32"
MEMORY_MIB = 256  # of the guest
CONSOLE = "console=ttyS0 panic=-1"
# The kernel's tests of its own ciphers take longer than the benchmarks, and its messages go through the timed serial line.
BENCH_APPEND = CONSOLE + " quiet cryptomgr.notests"
POWERED_OFF = "reboot: Power down"


class Missing(Exception):
    """Something that the comparison needs is not there; says what to do."""


@dataclasses.dataclass
class Output:
    """What one process of the guest program printed."""
    is_native: bool = False
    times: dict = dataclasses.field(default_factory=dict)   # row -> nanoseconds of each repetition, by the guest's clock
    cpu: dict = dataclasses.field(default_factory=dict)     # row -> nanoseconds of host CPU time, likewise
    checks: dict = dataclasses.field(default_factory=dict)  # row -> results of its work, a set with one member if all is well
    clocks: list = dataclasses.field(default_factory=list)  # (guest ns, host ns) at the start and at the end
    row: str = ""                                           # the row begun last
    row_cpu_ns: int = 0                                     # the process's CPU time when the last line of a row came
    done: bool = False
    failure: str = ""                                       # the guest program's own words

    def read_line(self, line, host_ns, cpu_ns):
        """`cpu_ns` is what the process has used so far. Natively the program's own account is better: it has its children."""
        words = line.split()
        if len(words) == 5 and words[0] == "BENCH" and all(word.isdigit() for word in words[2:]):
            row, (ns, own_cpu_ns, check) = words[1], map(int, words[2:])
            self.times.setdefault(row, []).append(ns)
            self.cpu.setdefault(row, []).append(own_cpu_ns if self.is_native else cpu_ns - self.row_cpu_ns)
            self.checks.setdefault(row, set()).add(check)
            self.row_cpu_ns = cpu_ns
        elif len(words) == 2 and words[0] == "ROW":
            self.row, self.row_cpu_ns = words[1], cpu_ns
        elif len(words) == 2 and words[0] == "CLOCK" and words[1].isdigit():
            self.clocks.append((int(words[1]), host_ns))
        elif words[:1] == ["FAIL"]:
            self.failure = line.strip()
        elif "Kernel panic" in line:
            self.failure = line.strip()
        elif words == ["DONE"]:
            self.done = True

    def clock_rate(self):
        """Guest seconds per host second, or nothing for a run too short to tell."""
        if len(self.clocks) != 2:
            return None
        (guest_start, host_start), (guest_end, host_end) = self.clocks
        return (guest_end - guest_start) / (host_end - host_start) if host_end - host_start > 3e9 else None


@dataclasses.dataclass
class Ending:
    status: int            # of the process
    seconds: float         # wall time from its start to its end
    cpu_seconds: float     # of all its threads
    text: str              # its last output, both streams
    silent: bool = False   # ended because it printed nothing for too long


def cpu_time_ns(pid):
    """Of all threads of a running process: its clock as clock_getcpuclockid(3) numbers it."""
    return time.clock_gettime_ns((~pid << 3) | 2)


def children_cpu_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_process(command, silence_s, on_line):
    """Runs `command`, gives each line of its standard output to on_line(line, host ns, CPU ns so far); ends it if it is
    silent."""
    command = [str(word) for word in command]
    with tempfile.TemporaryFile() as complaints:
        started, cpu_before = time.monotonic(), children_cpu_seconds()
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=complaints)
        silent = False
        kept = pending = ""
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                while True:
                    if not selector.select(silence_s):
                        silent = True
                        break
                    chunk = os.read(process.stdout.fileno(), 65536)
                    if not chunk:
                        break
                    now_ns, cpu_ns = time.monotonic_ns(), cpu_time_ns(process.pid)
                    pending += chunk.decode(errors="replace").replace("\r", "")
                    *lines, pending = pending.split("\n")
                    for line in lines:
                        on_line(line, now_ns, cpu_ns)
                        kept = (kept + line + "\n")[-4000:]
            if not silent:
                try:
                    process.wait(silence_s)
                except subprocess.TimeoutExpired:
                    silent = True
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
        seconds, cpu_seconds = time.monotonic() - started, children_cpu_seconds() - cpu_before
        complaints.seek(0)
        text = kept + pending + "\n" + complaints.read().decode(errors="replace")[-2000:]
    return Ending(process.returncode, seconds, cpu_seconds, text.strip(), silent)


class Native:
    name = "native"

    def __init__(self, guest, folder=None):
        self.guest, self.folder = guest, folder

    def bench_command(self, words):
        command, *rest = words
        return [self.guest, command, *(["-r", self.folder] if self.folder else []), *rest]


class Emulator:
    """Starts the kernel with the guest program as its first process."""

    def __init__(self, name, kernel, initrd, memory_mib, append, extra):
        self.name, self.kernel, self.initrd, self.memory_mib = name, kernel, initrd, memory_mib
        self.append, self.extra = append, extra

    def bench_command(self, words):
        return self.command(f"{BENCH_APPEND} {self.append} -- {' '.join(words)}")

    def boot_command(self, options):
        return self.command(f"{CONSOLE} {options} {self.append} -- off")


class Tcg(Emulator):
    def command(self, append):
        return [QEMU, "-accel", "tcg", "-cpu", QEMU_CPU, "-m", self.memory_mib, "-display", "none", "-nic", "none", "-no-reboot",
                "-monitor", "none", "-serial", "stdio", "-kernel", self.kernel, "-initrd", self.initrd, "-append", append,
                *self.extra]


class Vireo(Emulator):
    program = ROOT / "build/release/frontend-headless/vireo"

    def command(self, append):
        engine, *words = self.name.split(":")
        return [self.program, "run", "--engine", engine, "--translator", ",".join(words), "--clock", "realtime", "--cpu", VIREO_CPU, "-m", self.memory_mib,
                "--no-reboot", "--serial", "stdio", "--kernel", self.kernel, "--initrd", self.initrd, "--append", append,
                *self.extra]


class Runners:
    """Makes runners by name: native, tcg, or an engine of Vireo; with the files that these rows need."""

    def __init__(self, vireo, guest, cache, memory_mib=MEMORY_MIB, append="", extra=(), rows=()):
        Vireo.program = pathlib.Path(vireo)
        self.guest, self.cache, self.memory_mib = pathlib.Path(guest), pathlib.Path(cache), memory_mib
        self.append, self.extra = append, list(extra)
        self.boot_files = None
        self.folder = None
        self.native = None
        if any(row in programs.ROWS for row in rows):
            self.folder = self.program_files("i386")
        if not self.guest.exists():
            raise Missing(f"{guest} is not there; build it (cmake --build --preset release --target vireo-bench-guest) "
                          "or say --guest")

    def make(self, name):
        if name == "native":
            folder = self.program_files("amd64") if self.folder and self.is_twin() else self.folder
            return Native(self.native_program(), folder)
        if name == "tcg":
            if shutil.which(QEMU) is None:
                raise Missing(f"{QEMU} is not on this machine (Debian: apt install qemu-system-x86); without it there is no "
                              "TCG column")
            return Tcg(name, *self.kernel_and_initrd(), self.memory_mib, self.append, self.extra)
        if not Vireo.program.exists():
            raise Missing(f"{Vireo.program} is not there; build it (cmake --build --preset release --target vireo) or say "
                          "--vireo")
        return Vireo(name, *self.kernel_and_initrd(), self.memory_mib, self.append, self.extra)

    def program_files(self, architecture):
        from packages import Packages  # only here: it asks for packages

        return programs.make(Packages(self.cache), self.cache.resolve() / "images", architecture)

    def kernel_and_initrd(self):
        if self.boot_files is None:
            from images import Images  # only here: it looks for packages
            from initramfs import CpioWriter

            cpio = CpioWriter()
            cpio.add("dev", stat.S_IFDIR | 0o755)
            cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
            cpio.add("init", stat.S_IFREG | 0o755, self.guest.read_bytes())
            for path in sorted(self.folder.rglob("*")) if self.folder else []:
                kind, content = (stat.S_IFDIR, b"") if path.is_dir() else (stat.S_IFREG, path.read_bytes())
                cpio.add(str(path.relative_to(self.folder)), kind | 0o755, content)
            kernel = Images(self.cache).path("vmlinuz-686")
            initrd = self.cache.resolve() / f"images/bench{'-programs' if self.folder else ''}-initrd.cpio"
            content = cpio.finish()
            if not initrd.exists() or initrd.read_bytes() != content:
                partial = initrd.with_suffix(f".{os.getpid()}")
                partial.write_bytes(content)
                partial.rename(initrd)
            self.boot_files = kernel, initrd
        return self.boot_files

    def native_program(self):
        """What runs natively: the guest program itself or, where the host's kernel runs no 32-bit programs, its 64-bit twin."""
        if self.native is None:
            twin = self.guest.with_name("vireo-bench-native64")
            if can_execute(self.guest):
                self.native = self.guest
            elif twin.exists() and can_execute(twin):
                self.native = twin
            else:
                raise Missing(f"{self.guest}: this host's kernel does not run 32-bit programs, and {twin} is not there; build it "
                              "(cmake --build --preset release --target vireo-bench-native64)")
        return self.native

    def is_twin(self):
        return self.native_program() != self.guest

    def list_rows(self):
        """Names of all rows, and of those that run unless others are asked for."""
        text = subprocess.run([str(self.native_program()), "list"], stdout=subprocess.PIPE, check=True).stdout.decode()
        lines = text.splitlines()
        return [line.strip() for line in lines], [line for line in lines if not line.startswith(" ")]


def can_execute(program):
    try:
        return subprocess.run([str(program), "true"]).returncode == 0
    except OSError:
        return False


def bench_words(rows, repetitions, scale, budget_ms):
    return ["run", "-n", str(repetitions), "-s", str(scale), "-b", str(budget_ms), ",".join(rows)]


def why_ended(ending, output, silence_s):
    """One line about a run that did not get to its end."""
    where = f" in row {output.row}" if output.row else " before the first row"
    if ending.silent:
        return f"no output for {silence_s:g} s{where}"
    last = next((line for line in reversed(ending.text.splitlines()) if line.strip()), "no output")
    return f"status {ending.status}{where}: {output.failure or last.strip()}"


def run_bench(runner, rows, broken, settings):
    """Runs `rows`, in one boot unless it ends early: then the row at which it did joins `broken`, a dictionary of row to
    reason, and the rest gets another boot. Returns the outputs of all boots."""
    outputs = []
    rows = [row for row in rows if row not in broken]
    while rows:
        output = Output(is_native=runner.name == "native")
        words = bench_words(rows, settings.repetitions, settings.scale, settings.budget_ms)
        ending = run_process(runner.bench_command(words), settings.silence_s, output.read_line)
        outputs.append(output)
        if output.done and not ending.silent and ending.status == 0:
            break
        reason = why_ended(ending, output, settings.silence_s)
        if output.row not in rows or output.done:  # it does not start, or does not end: another boot would be the same
            for row in rows:
                if row not in output.times:
                    broken[row] = reason
            if output.done:
                broken["(end)"] = reason
            break
        output.times.pop(output.row, None)
        broken[output.row] = reason
        rows = rows[rows.index(output.row) + 1:]
    return outputs


def run_boot(runner, options, silence_s):
    """Wall seconds from process start to power-off and CPU seconds, or nothing and a reason."""
    seen = []
    ending = run_process(runner.boot_command(options), silence_s,
                         lambda line, *_: seen.append(line) if re.search(POWERED_OFF, line) else None)
    if ending.status == 0 and seen and not ending.silent:
        return (ending.seconds, ending.cpu_seconds), None
    return None, why_ended(ending, Output(), silence_s)
