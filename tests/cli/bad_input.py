#!/usr/bin/env python3
"""Bad input of `vireo`: one sentence on stderr, the right exit status, no image or log changed.

    bad_input.py VIREO            runs all rows
    bad_input.py VIREO --table    also prints the table of what each row said (Markdown)

A row: name, arguments, exit status, words that the sentence must hold. {dir} is the folder with the files that
make_files() writes.
"""
import hashlib
import os
import pathlib
import shlex
import subprocess
import sys
import tempfile

ROWS = [
    # options
    ("no subcommand", "", 2, ["vireo run"]),
    ("unknown subcommand", "start", 2, ["--help"]),
    ("unknown option", "run --hdz x", 2, ["--hdz"]),
    ("option without value", "run --hda", 2, ["--hda"]),
    ("unknown CPU model", "run --cpu z80", 2, ["z80", "core2duo-32"]),
    ("unknown engine", "run --engine warp", 2, ["warp", "interp"]),
    ("unknown translator option", "run --translator no-chains", 2, ["no-chains", "no-]chain", "hot="]),
    ("translator option that has no off", "run --translator no-hot", 2, ["no-hot"]),
    ("translator number without value", "run --translator hot", 2, ["hot", "0 to"]),
    ("translator number that is none", "run --translator block=many", 2, ["block=many", "1 to 64"]),
    ("translator number out of range", "run --translator no-fpu,cache=64K", 2, ["cache=64K", "1M to 1G"]),
    ("translator option of another engine", "run --engine interp --translator warp", 2, ["warp"]),
    ("unknown clock", "run --clock sundial", 2, ["sundial"]),
    ("unknown display", "run --display braille", 2, ["braille"]),
    ("unknown trace category", "run --trace gossip", 2, ["gossip"]),
    ("unknown serial line", "run --serial pigeon", 2, ["pigeon"]),
    ("bad boot letter", "run --boot x", 2, ["--boot"]),
    ("bad timeout", "run --timeout -1", 2, ["--timeout"]),
    ("bad regular expression", "run --until-text '('", 2, ["--until-text"]),
    ("bad date", "run --rtc yesterday", 2, ["--rtc", "YYYY"]),
    ("more waits than texts", "run --send-when x", 2, ["--send-text"]),
    ("initrd without kernel", "run --initrd {dir}/kernel", 2, ["--kernel"]),
    ("bad stats form", "run --stats=xml:f", 2, ["json:FILE"]),
    ("two lines on stdio", "run --serial stdio --serial2 stdio", 2, ["stdio"]),
    ("hardware assist that cannot be had", "run --engine hw --hw KVM_CREATE_VM@1+", 3, ["KVM is", "--engine bt"]),
    ("hardware assist with virtual time", "run --engine hw --clock virtual", 2, ["--clock realtime", "--engine bt"]),
    ("no call of KVM", "run --hw nonsense", 2, ["--hw nonsense", "KVM_RUN@100"]),
    ("switching never", "run --switch-every 0", 2, ["switch-every"]),
    # memory
    ("no memory", "run -m 0", 2, ["memory"]),
    ("memory not a number", "run -m lots", 2, ["memory"]),
    ("too much memory", "run -m 9999999", 2, ["memory"]),
    # images
    ("missing disk", "run --hda {dir}/none", 2, ["none"]),
    ("missing floppy", "run --fda {dir}/none", 2, ["none"]),
    ("missing CD", "run --cdrom {dir}/none", 2, ["none"]),
    ("directory as disk", "run --hda {dir}", 2, ["directory"]),
    ("empty disk", "run --hda {dir}/empty", 2, ["empty"]),
    ("truncated disk", "run --hda {dir}/odd.img", 2, ["512"]),
    ("truncated CD", "run --cdrom {dir}/odd.iso", 2, ["2048"]),
    ("floppy of no known size", "run --fda {dir}/disk.img", 2, ["disk.img", "diskette"]),
    ("truncated floppy", "run --fda {dir}/short.img", 2, ["short.img", "diskette"]),
    ("oversized floppy", "run --fda {dir}/big.img", 2, ["big.img", "diskette"]),
    ("two drives on one file", "run --hda {dir}/disk.img --hdb {dir}/disk.img", 2, ["disk.img"]),
    ("two drives on one file by another name", "run --hda {dir}/disk.img --hdb {dir}/link.img", 2, ["link.img"]),
    ("character device as disk", "run --hda /dev/zero", 2, ["/dev/zero"]),
    # kernels
    ("missing kernel", "run --kernel {dir}/none", 2, ["none"]),
    ("directory as kernel", "run --kernel {dir}", 2, ["directory"]),
    ("kernel that is none", "run --kernel {dir}/disk.img", 2, ["disk.img"]),
    ("empty kernel", "run --kernel {dir}/empty", 2, ["empty"]),
    ("truncated kernel", "run --kernel {dir}/cut-kernel", 2, ["cut-kernel"]),
    ("missing initrd", "run --kernel {dir}/kernel --initrd {dir}/none", 2, ["none"]),
    # reports
    ("state file in a missing folder", "run --final-state {dir}/no/such/f", 2, ["--final-state"]),
    ("screen text onto a directory", "run --screen-text {dir}", 2, ["directory"]),
    ("screen text onto the disk", "run --hda {dir}/disk.img --screen-text {dir}/disk.img", 2, ["input"]),
    ("serial output onto the kernel", "run --kernel {dir}/kernel --serial file:{dir}/kernel", 2, ["input"]),
    ("kernel too large for memory", "run -m 1 --kernel {dir}/kernel --serial file:{dir}/old.log", 2, ["kernel"]),
    ("line that fails after the log", "run --serial file:{dir}/old.log --serial2 pigeon", 2, ["pigeon"]),
    ("stats onto the kernel", "run --kernel {dir}/kernel --stats=json:{dir}/kernel", 2, ["input"]),
]

# Rows that need a user who is not root; run through setpriv when the test is root.
UNPRIVILEGED_ROWS = [
    ("unreadable disk", "run --hda {dir}/secret.img --snapshot", 2, ["secret.img", "may not read"]),
    ("read-only disk", "run --hda {dir}/readonly.img", 2, ["readonly.img", "--snapshot"]),
    ("unreadable kernel", "run --kernel {dir}/secret.img", 2, ["secret.img", "ermission"]),
]


def make_bzimage():
    """The first sectors of a Linux kernel that asks for more sectors than the file has."""
    image = bytearray(512 * 3)
    image[0x1F1] = 4
    image[0x1FE:0x200] = b"\x55\xaa"
    image[0x202:0x206] = b"HdrS"
    image[0x206:0x208] = (0x20C).to_bytes(2, "little")
    image[0x211] = 1
    return bytes(image)


def make_files(folder):
    def write(name, content):
        (folder / name).write_bytes(content)

    write("empty", b"")
    write("disk.img", b"\x5a" * (1 << 20))
    write("odd.img", b"x" * 1000)
    write("odd.iso", b"x" * 5000)
    write("short.img", b"x" * (1440 * 1024 - 512))
    write("big.img", b"x" * (4 << 20))
    write("readonly.img", b"\x5a" * (1 << 20))
    write("secret.img", b"\x5a" * (1 << 20))
    write("old.log", b"of the last run that worked\n")
    write("cut-kernel", make_bzimage())
    write("kernel", make_bzimage() + bytes(512 * 4))
    os.link(folder / "disk.img", folder / "link.img")
    (folder / "readonly.img").chmod(0o444)
    (folder / "secret.img").chmod(0o000)
    folder.chmod(0o755)


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir()) if p.is_file()}


def run(command, **options):
    return subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=60,
                          stdin=subprocess.DEVNULL, **options)


def judge(name, result, status, words):
    """What is wrong with a result, or None."""
    lines = result.stderr.strip().splitlines()
    if result.returncode != status:
        return f"{name}: status {result.returncode}, expected {status}; stderr: {result.stderr.strip()!r}"
    if len(lines) != 1 or not lines[0].startswith("vireo: "):
        return f"{name}: expected one sentence on stderr, got {result.stderr.strip()!r}"
    missing = [w for w in words if w.lower() not in lines[0].lower()]
    if missing:
        return f"{name}: the sentence does not say {missing}: {lines[0]!r}"
    return None


def main():
    vireo, show_table = os.path.abspath(sys.argv[1]), "--table" in sys.argv
    failures, table = [], []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        make_files(folder)
        before = digests(folder)

        def check(name, shown, command, status, words, **options):
            result = run(command, **options)
            table.append(f"| {name} | `{shown}` | {result.stderr.strip().replace(temporary, 'D')} | {result.returncode} |")
            wrong = judge(name, result, status, words)
            if wrong:
                failures.append(wrong)

        for name, arguments, status, words in ROWS:
            command = [vireo] + shlex.split(arguments.format(dir=temporary))
            check(name, "vireo " + arguments.replace("{dir}", "D"), command, status, words)
        as_nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
        reachable = not as_nobody or run(as_nobody + [vireo, "--version"]).returncode == 0
        for name, arguments, status, words in UNPRIVILEGED_ROWS:
            if not reachable:
                print(f"skipped: {name}: the program is not reachable for another user")
                continue
            command = as_nobody + [vireo] + shlex.split(arguments.format(dir=temporary))
            check(name, "vireo " + arguments.replace("{dir}", "D"), command, status, words)
        check("closed stdout", "vireo run --serial stdio >&-", ["sh", "-c", f"exec {shlex.quote(vireo)} run --serial stdio >&-"],
              2, ["standard output"])
        check("screen text to a closed stdout", "vireo run --screen-text - >&-",
              ["sh", "-c", f"exec {shlex.quote(vireo)} run --screen-text - >&-"], 2, ["standard output"])
        check("full disk for the state", "vireo run --engine interp --until-text SeaBIOS --final-state /dev/full",
              [vireo, "run", "--engine", "interp", "--until-text", "SeaBIOS", "--clock", "virtual", "--final-state", "/dev/full"], 2, ["/dev/full"])
        if digests(folder) != before:
            failures.append("an image or log was changed")
    if show_table:
        print("| case | command | what it said | status |\n|---|---|---|---|")
        print("\n".join(table))
    print("\n".join(failures) or f"{len(table)} bad inputs, each with its sentence and status")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
