"""Runs of our bare-metal guests (tests/paging, tests/nano): an IDE disk to boot from, text on the serial line, and an end by the
debug exit port."""

import shutil
import subprocess

SKIPPED = 77


class Failure(Exception):
    pass


class Skip(Exception):
    pass


def run(command, serial, seconds):
    """The guest's text, the status that it ended with, and what the emulator has complained of."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds)
    except subprocess.TimeoutExpired:
        raise Failure(f"did not end within {seconds} s; it had written:\n{tail(serial)}")
    text = serial.read_text(errors="replace") if serial.exists() else ""
    return text, done.returncode, done.stderr


def tail(serial):
    return "\n".join(serial.read_text(errors="replace").splitlines()[-3:]) if serial.exists() else "nothing"


def vireo_command(vireo, engine, clock, image, serial):
    """`engine`: words for --translator follow behind colons."""
    name, *words = engine.split(":")
    return [vireo, "run", "--engine", name, "--translator", ",".join(words), "--clock", clock, "-m", "64",
            "--hda", str(image), "--serial", f"file:{serial}", "--debug-exit"]


def find_qemu():
    qemu = shutil.which("qemu-system-i386")
    if qemu is None:
        raise Skip("qemu-system-i386 is not installed")
    return qemu


def qemu_command(qemu, accelerator, image, serial):
    cpu = "host" if accelerator == "kvm" else "core2duo"
    return [qemu, "-accel", accelerator, "-cpu", cpu, "-m", "64", "-display", "none", "-nodefaults", "-no-reboot",
            "-drive", f"if=ide,format=raw,file={image}", "-serial", f"file:{serial}",
            "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
