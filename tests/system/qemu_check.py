#!/usr/bin/env python3
"""Runs the guest images under QEMU (software emulation) and waits for their text, so that what fails under Vireo only is
Vireo's fault.

qemu_check.py --cache FOLDER [NAME...]   one line per image; status 1 if any failed
"""

import argparse
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

from images import Images

APPEND = "console=ttyS0"

# name, QEMU options ({IMAGE} is the path of an image, {copy:IMAGE} that of a copy to write to), seconds, text to wait for
# on the serial line or the text screen; several texts mean several runs on the same copies.
CHECKS = [
    ("initramfs-686", ["-kernel", "{vmlinuz-686}", "-initrd", "{initramfs-686.gz}", "-append",
                       APPEND + ' vireo.script="uname -r; grep -c ^processor /proc/cpuinfo"'], 600,
     [r"686\s+1\s+vireo.script: status 0"]),
    ("initramfs-686-shell", ["-kernel", "{vmlinuz-686}", "-initrd", "{initramfs-686.gz}", "-append", APPEND], 600,
     [r"vireo guest ready(.|\n)*/ # "]),
    ("initramfs-686-pae", ["-kernel", "{vmlinuz-686-pae}", "-initrd", "{initramfs-686-pae.gz}", "-append",
                           APPEND + ' vireo.script="uname -r"'], 600, [r"686-pae\s+vireo.script: status 0"]),
    ("modules", ["-kernel", "{vmlinuz-686}", "-initrd", "{initramfs-686.gz}", "-cdrom", "{isolinux.iso}", "-append", APPEND +
                 ' vireo.script="load_modules storage input network floppy; sleep 1; mount -t iso9660 /dev/sr0 /mnt; cd /mnt && cat readme.txt && md5sum -c md5sums.txt"'],
     600, [r"read from the disc\s+(isolinux/.*: OK\s+)+vireo.script: status 0"]),
    ("memtest-kernel", ["-kernel", "{memtest.bin}"], 60, [r"Memtest86\+"]),
    ("memtest.iso", ["-cdrom", "{memtest.iso}"], 60, [r"Memtest86\+"]),
    ("multiboot-flat", ["-kernel", "{multiboot_report.bin}", "-append", "a b"], 20, [r"magic 2badb002(.|\n)*a b\n(.|\n)*map "]),
    ("multiboot-elf", ["-kernel", "{multiboot_report.elf}", "-initrd", "{multiboot_report.bin}"], 20,
     [r"magic 2badb002(.|\n)*module size 0000021d(.|\n)*map "]),
    ("isolinux.iso", ["-cdrom", "{isolinux.iso}"], 600, [r"LINUX 6(.|\n)*vireo guest ready"]),
    ("syslinux-floppy.img", ["-drive", "if=floppy,format=raw,file={copy:syslinux-floppy.img}"], 60,
     [r"LINUX 6(.|\n)*command line: .*from syslinux\s+(.|\n)*module size 00000009"]),
    ("syslinux-disk.img", ["-drive", "format=raw,file={copy:syslinux-disk.img}"], 600, [r"LINUX 6(.|\n)*vireo guest ready"]),
    ("grub-rescue.iso", ["-cdrom", "{grub-rescue.iso}"], 60, [r"grub>|GNU GRUB"]),
    ("grub-rescue-floppy.img", ["-drive", "if=floppy,format=raw,file={copy:grub-rescue-floppy.img}"], 60, [r"grub>|GNU GRUB"]),
    ("ipxe.iso", ["-cdrom", "{ipxe.iso}"], 60, [r"iPXE"]),
    ("ipxe.lkrn", ["-kernel", "{ipxe.lkrn}"], 60, [r"iPXE"]),
    ("grub-disk.img", ["-drive", "format=raw,file={copy:grub-disk.img}"], 600,
     [r"disk boot 1 done\s+vireo.script: status 0", r"/data: OK\s+disk boot 2 done\s+vireo.script: status 0"]),
    ("grub-disk-pio.img", ["-drive", "format=raw,file={copy:grub-disk-pio.img}"], 600,
     [r"disk boot 1 done\s+vireo.script: status 0", r"/data: OK\s+disk boot 2 done\s+vireo.script: status 0"]),
]


class Screen:
    """Reads the text screen through QEMU's monitor."""

    def __init__(self, path, work):
        self.path, self.dump = path, work / "screen"

    def text(self):
        try:
            with socket.socket(socket.AF_UNIX) as monitor:
                monitor.settimeout(5)
                monitor.connect(str(self.path))
                monitor.recv(4096)
                monitor.sendall(f'pmemsave 0xb8000 4000 "{self.dump}"\n'.encode())
                time.sleep(0.3)
            content = self.dump.read_bytes()
        except OSError:
            return ""
        rows = (content[row * 160:row * 160 + 160:2].decode("cp437") for row in range(25))
        return "\n".join(row.rstrip("\0 ") for row in rows)


def run_check(images, options, seconds, patterns):
    """The text of the run that did not show its pattern, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        work = pathlib.Path(folder)

        def path_of(match):
            if not match.group(1):
                return str(images.path(match.group(2)))
            copy = work / match.group(2)
            if not copy.exists():
                shutil.copyfile(images.path(match.group(2)), copy)
            return str(copy)

        # Guest time counts instructions: on a busy host a guest would otherwise lose its timer interrupts.
        command = ["qemu-system-i386", "-accel", "tcg", "-icount", "shift=3,sleep=off", "-m", "128",
                   "-display", "none", "-no-reboot", "-net", "none",
                   "-serial", f"file:{work / 'serial'}", "-monitor", f"unix:{work / 'monitor'},server,nowait",
                   "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]
        command += [re.sub(r"\{(copy:)?([^}]+)\}", path_of, word) for word in options]
        screen = Screen(work / "monitor", work)
        for pattern in patterns:
            (work / "serial").write_bytes(b"")
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + seconds
            found = False
            while not found and time.monotonic() < deadline:
                ended = process.poll() is not None
                text = (work / "serial").read_text(errors="replace").replace("\r", "")
                if not ended:
                    text += "\n" + screen.text()
                found = re.search(pattern, text) is not None
                if ended:
                    break
                time.sleep(0.5)
            if found and "status 0" in pattern:
                try:
                    process.wait(20)  # such guests power off, and their disk must be written
                except subprocess.TimeoutExpired:
                    found = False
            if process.poll() is None:
                process.terminate()
                process.wait()
            if not found:
                return text or "(no text)"
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    images = Images(arguments.cache)
    failed = False
    for name, options, seconds, patterns in CHECKS:
        if arguments.names and name not in arguments.names:
            continue
        start = time.monotonic()
        text = run_check(images, options, seconds, patterns)
        print(f"{'FAIL' if text else 'ok  '} {name} ({time.monotonic() - start:.1f} s)", flush=True)
        if text:
            failed = True
            print("\n".join("    " + line for line in text.splitlines()[-40:]))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
