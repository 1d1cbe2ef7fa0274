#!/usr/bin/env python3
"""Builds the guests of the system tests out of Debian packages, without root and without mounting anything.

images.py --cache FOLDER NAME...   builds what is missing or older than these scripts, prints one path a line
images.py --cache FOLDER --all
images.py --list
"""

import argparse
import fcntl
import hashlib
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import initramfs
from packages import PackageError, Packages

HERE = pathlib.Path(__file__).resolve().parent
SECTOR = 512
PARTITION_SECTOR = 2048
MIB = 1 << 20
# The self-tests of the kernel's ciphers are half of its boot time under an interpreter, and test no more of the machine.
LINUX_OPTIONS = "console=tty0 console=ttyS0 cryptomgr.notests"

BUILDERS = {}


def image(name):
    def register(function):
        BUILDERS[name] = function
        return function
    return register


class Images:
    def __init__(self, cache):
        self.cache = pathlib.Path(cache).resolve()
        self.packages = Packages(self.cache)
        self.folder = self.cache / "images"
        self.folder.mkdir(parents=True, exist_ok=True)
        sources = [HERE / "images.py", HERE / "initramfs.py", *HERE.glob("*.sh"), *(HERE.parent / "guests").glob("*.asm")]
        self.newest_source = max(path.stat().st_mtime for path in sources)

    def path(self, name):
        """The image `name`, built if need be; several processes may ask at once."""
        target = self.folder / name
        with open(self.folder / f".{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not target.exists() or target.stat().st_mtime < self.newest_source:
                with tempfile.TemporaryDirectory(dir=self.cache) as work:
                    made = pathlib.Path(work) / name
                    BUILDERS[name](self, made, pathlib.Path(work))
                    os.utime(made)
                    made.rename(target)
        return target

    def kernel_tree(self, flavour, architecture="i386"):
        return self.packages.tree(self.packages.dependency(f"linux-image-{flavour}:{architecture}"))

    def copy_file(self, target, package, path):
        shutil.copyfile(self.packages.tree(package) / path, target)


def run(*command, **options):
    """Runs a program quietly; its output is part of the error if it fails."""
    result = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
    if result.returncode != 0:
        raise SystemExit(f"{command[0]} failed with status {result.returncode}:\n{result.stdout.decode(errors='replace')}")


def partition_table(image_path, type_code, mbr_code):
    """Writes a master boot record with one active partition from PARTITION_SECTOR to the end, and `mbr_code` before it."""
    sectors = image_path.stat().st_size // SECTOR - PARTITION_SECTOR
    # Cylinder, head and sector say "use the LBA fields".
    entry = struct.pack("<B3sB3sII", 0x80, b"\xfe\xff\xff", type_code, b"\xfe\xff\xff", PARTITION_SECTOR, sectors)
    record = mbr_code[:440].ljust(446, b"\0") + entry + bytes(48) + b"\x55\xaa"
    with open(image_path, "r+b") as file:
        file.write(record)


def sized_file(path, size):
    with open(path, "wb") as file:
        file.truncate(size)


# --- kernels and initramfs -------------------------------------------------------------------------------------------
def add_kernel(flavour):
    @image(f"vmlinuz-{flavour}")
    def kernel(images, target, _):
        shutil.copyfile(next((images.kernel_tree(flavour) / "boot").glob("vmlinuz-*")), target)

    @image(f"initramfs-{flavour}.gz")
    def initrd(images, target, _):
        target.write_bytes(initramfs.build_initramfs(images.packages.tree("busybox-static:i386"),
                                                     images.kernel_tree(flavour)))


add_kernel("686")
add_kernel("686-pae")


@image("memtest.bin")
def memtest_kernel(images, target, _):
    images.copy_file(target, "memtest86+:i386", "boot/memtest86+ia32.bin")


@image("ipxe.lkrn")
def ipxe_kernel(images, target, _):
    images.copy_file(target, "ipxe", "boot/ipxe.lkrn")


@image("multiboot_report.bin")
def multiboot_flat(_, target, __):
    run("nasm", "-f", "bin", "-o", target, HERE.parent / "guests/multiboot_report.asm")


@image("multiboot_report.elf")
def multiboot_elf(_, target, __):
    run("nasm", "-f", "bin", "-DELF", "-o", target, HERE.parent / "guests/multiboot_report.asm")


@image("integer_loop.bin")
def integer_loop(_, target, __):
    run("nasm", "-f", "bin", "-o", target, HERE.parent / "guests/integer_loop.asm")


# --- ready-made discs ------------------------------------------------------------------------------------------------
@image("memtest.iso")
def memtest_cd(images, target, _):
    images.copy_file(target, "memtest86+:i386", "usr/lib/memtest86+/memtest86+ia32.iso")


@image("grub-rescue.iso")
def grub_rescue_cd(images, target, _):
    images.copy_file(target, "grub-rescue-pc:i386", "usr/lib/grub-rescue/grub-rescue-cdrom.iso")


@image("grub-rescue-floppy.img")
def grub_rescue_floppy(images, target, _):
    images.copy_file(target, "grub-rescue-pc:i386", "usr/lib/grub-rescue/grub-rescue-floppy.img")
    with open(target, "r+b") as file:
        file.truncate(1440 * 1024)


@image("ipxe.iso")
def ipxe_cd(images, target, _):
    images.copy_file(target, "ipxe", "usr/lib/ipxe/ipxe.iso")


# --- ISOLINUX CD -----------------------------------------------------------------------------------------------------
def syslinux_module(images, name):
    return images.packages.tree("syslinux-common") / "usr/lib/syslinux/modules/bios" / name


SYSLINUX_HEAD = """serial 0 115200
default linux
prompt 1
timeout 30
"""

SYSLINUX_LINUX = f"""label linux
  kernel vmlinuz
  append initrd=initrd.gz {LINUX_OPTIONS}
label script
  kernel vmlinuz
  append initrd=initrd.gz {LINUX_OPTIONS} vireo.script="uname -a; cat /proc/cmdline"
"""

SYSLINUX_SMALL = """label memtest
  kernel memtest.bin
label multiboot
  kernel mboot.c32
  append multiboot.elf from syslinux --- module.txt first module
"""


def syslinux_files(images, with_linux):
    """Name on the medium to path or bytes, for the SYSLINUX family."""
    files = {name: syslinux_module(images, name) for name in ("ldlinux.c32", "mboot.c32", "libcom32.c32")}
    files["memtest.bin"] = images.path("memtest.bin")
    files["multiboot.elf"] = images.path("multiboot_report.elf")
    files["module.txt"] = b"a module\n"
    if with_linux:
        files["vmlinuz"] = images.path("vmlinuz-686")
        files["initrd.gz"] = images.path("initramfs-686.gz")
        files["syslinux.cfg"] = (SYSLINUX_HEAD + SYSLINUX_LINUX + SYSLINUX_SMALL).encode()
    else:
        files["syslinux.cfg"] = (SYSLINUX_HEAD.replace("default linux", "default multiboot") + SYSLINUX_SMALL).encode()
    return files


def place(files, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        if isinstance(content, bytes):
            (folder / name).write_bytes(content)
        else:
            shutil.copyfile(content, folder / name)


@image("isolinux.iso")
def isolinux_cd(images, target, work):
    files = syslinux_files(images, with_linux=True)
    files["isolinux.cfg"] = files.pop("syslinux.cfg")
    files["isolinux.bin"] = images.packages.tree("isolinux") / "usr/lib/ISOLINUX/isolinux.bin"
    place(files, work / "disc/isolinux")
    (work / "disc/readme.txt").write_text("read from the disc\n")
    # Sums of what the boot does not change; ISOLINUX patches its own first file.
    summed = [name for name in sorted(files) if name != "isolinux.bin"]
    sums = (f"{hashlib.md5((work / 'disc/isolinux' / name).read_bytes()).hexdigest()}  isolinux/{name}\n" for name in summed)
    (work / "disc/md5sums.txt").write_text("".join(sums))
    run("xorriso", "-as", "mkisofs", "-quiet", "-V", "VIREO", "-R", "-J", "-b", "isolinux/isolinux.bin",
        "-c", "isolinux/boot.cat", "-no-emul-boot", "-boot-load-size", "4", "-boot-info-table", "-o", target, work / "disc")


# --- SYSLINUX floppy and disk ----------------------------------------------------------------------------------------
def fat_copy(fat_image, work, files):
    place(files, work / "fat")
    run("mcopy", "-i", fat_image, *sorted((work / "fat").iterdir()), "::/")


def install_syslinux(images, target, *options):
    program = images.packages.tree("syslinux:amd64") / "usr/bin/syslinux"
    run(program, "--install", *options, target, env=dict(os.environ, MTOOLS_SKIP_CHECK="1"))


@image("syslinux-floppy.img")
def syslinux_floppy(images, target, work):
    sized_file(target, 1440 * 1024)
    run("mformat", "-i", target, "-f", "1440", "-v", "VIREO", "::")
    fat_copy(target, work, syslinux_files(images, with_linux=False))
    install_syslinux(images, target)


@image("syslinux-disk.img")
def syslinux_disk(images, target, work):
    sized_file(target, 64 * MIB)
    mbr = images.packages.tree("syslinux-common") / "usr/lib/syslinux/mbr/mbr.bin"
    partition_table(target, 0x0E, mbr.read_bytes())
    partition = f"{target}@@{PARTITION_SECTOR * SECTOR}"
    sectors = 64 * MIB // SECTOR - PARTITION_SECTOR
    run("mformat", "-i", partition, "-T", sectors, "-h", "255", "-s", "63", "-H", PARTITION_SECTOR, "-v", "VIREO", "::")
    fat_copy(partition, work, syslinux_files(images, with_linux=True))
    install_syslinux(images, target, "--offset", PARTITION_SECTOR * SECTOR)


# --- GRUB disk with an ext4 root -------------------------------------------------------------------------------------
GRUB_CONFIG = f"""serial --unit=0 --speed=115200
terminal_input serial console
terminal_output serial console
set timeout=2
set default=0
menuentry "disk task" {{
  linux /boot/vmlinuz {LINUX_OPTIONS} vireo.root=/dev/sda1 vireo.script=/etc/vireo.sh
  initrd /boot/initrd.gz
}}
menuentry "shell" {{
  linux /boot/vmlinuz {LINUX_OPTIONS} vireo.root=/dev/sda1
  initrd /boot/initrd.gz
}}
menuentry "multiboot" {{
  multiboot /boot/multiboot.elf from grub
  module /boot/module.txt first module
}}
"""
GRUB_MODULES = ["biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "multiboot", "serial", "terminal",
                "echo", "test", "reboot", "halt"]
# Fields that GRUB's installer sets in boot.img.
GRUB_BOOT_DRIVE = 0x64
GRUB_DRIVE_CHECK = 0x66


def grub_core(images, work):
    """core.img, made by grub-mkimage out of the package, with the libraries that a small host may lack."""
    libraries = [images.packages.tree(package) for package in ("libdevmapper1.02.1:amd64", "liblzma5:amd64")]
    search = ":".join(str(tree / folder) for tree in libraries
                      for folder in ("lib/x86_64-linux-gnu", "usr/lib/x86_64-linux-gnu"))
    core = work / "core.img"
    run(images.packages.tree("grub-common:amd64") / "usr/bin/grub-mkimage", "-O", "i386-pc",
        "-d", images.packages.tree("grub-pc-bin:i386") / "usr/lib/grub/i386-pc", "-p", "(hd0,msdos1)/boot/grub",
        "-o", core, *GRUB_MODULES, env=dict(os.environ, LD_LIBRARY_PATH=search))
    return core.read_bytes()


@image("grub-disk.img")
def grub_disk(images, target, work):
    make_grub_disk(images, target, work, "")


@image("grub-disk-pio.img")
def grub_disk_pio(images, target, work):
    make_grub_disk(images, target, work, " libata.dma=0")


def make_grub_disk(images, target, work, kernel_options):
    root = work / "root"
    initramfs.write_root(root, images.packages.tree("busybox-static:i386"))
    (root / "boot/grub").mkdir(parents=True)
    (root / "boot/grub/grub.cfg").write_text(GRUB_CONFIG.replace(LINUX_OPTIONS, LINUX_OPTIONS + kernel_options))
    place({"vmlinuz": images.path("vmlinuz-686"), "initrd.gz": images.path("initramfs-686.gz"),
           "multiboot.elf": images.path("multiboot_report.elf"), "module.txt": b"a module\n"}, root / "boot")

    size = 96 * MIB
    sized_file(target, size)
    boot = bytearray((images.packages.tree("grub-pc-bin:i386") / "usr/lib/grub/i386-pc/boot.img").read_bytes())
    boot[GRUB_BOOT_DRIVE] = 0xFF  # the drive that the BIOS names
    boot[GRUB_DRIVE_CHECK:GRUB_DRIVE_CHECK + 2] = b"\x90\x90"  # this is a hard disk: no guessing of the drive
    partition_table(target, 0x83, bytes(boot))
    core = grub_core(images, work)
    assert SECTOR + len(core) <= PARTITION_SECTOR * SECTOR
    with open(target, "r+b") as file:
        file.seek(SECTOR)  # where an unchanged boot.img and core.img expect it
        file.write(core)
    offset = PARTITION_SECTOR * SECTOR
    run("mke2fs", "-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "vireo-root", "-d", root,
        "-E", f"offset={offset},root_owner=0:0,lazy_itable_init=0", target, f"{(size - offset) // 1024}k")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", help="folder for packages and images")
    parser.add_argument("--list", action="store_true", help="print the names")
    parser.add_argument("--all", action="store_true", help="build every image")
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(BUILDERS))
        return 0
    if not arguments.cache:
        parser.error("--cache is missing")
    unknown = [name for name in arguments.names if name not in BUILDERS]
    if unknown:
        parser.error(f"no image is called {unknown[0]}; --list shows the names")
    images = Images(arguments.cache)
    try:
        for name in BUILDERS if arguments.all else arguments.names:
            print(images.path(name))
    except PackageError as error:
        print(f"images.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
