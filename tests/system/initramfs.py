"""The root file systems of the test guests: BusyBox, the init script beside this file, and kernel modules."""

import gzip
import pathlib
import re
import stat

HERE = pathlib.Path(__file__).resolve().parent

# What the guests' scripts may load by name with load_modules; dependencies follow from the modules themselves.
MODULE_SETS = {
    "storage": ["ata_piix", "sd_mod", "sr_mod", "ext4", "crc32c_generic", "isofs", "vfat", "nls_cp437", "nls_ascii"],
    "floppy": ["floppy"],
    "input": ["psmouse", "evdev"],
    "network": ["e1000", "ne2k-pci", "pcnet32", "8139cp"],
}


class ModuleTree:
    """The modules of one kernel package, found by name; none of depmod's files are needed."""

    def __init__(self, kernel_tree):
        self.by_name = {path.name.split(".")[0].replace("-", "_"): path
                        for path in (kernel_tree / "lib/modules").rglob("*.ko")}

    def closure(self, names):
        """Paths of the modules and of what they need, in loading order; built-in ones are left out."""
        ordered = []
        seen = set()

        def visit(name):
            name = name.replace("-", "_")
            if name in seen or name not in self.by_name:
                return
            seen.add(name)
            path = self.by_name[name]
            needs = re.search(rb"\0depends=([^\0]*)\0", path.read_bytes())
            for need in (needs.group(1).decode().split(",") if needs else []):
                visit(need)
            ordered.append(path)

        for name in names:
            visit(name)
        return ordered


class CpioWriter:
    """A cpio archive in the "newc" format, as the kernel unpacks it; all files belong to root, dates are zero."""

    def __init__(self):
        self.out = bytearray()
        self.inode = 0
        self.folders = set()

    def add(self, name, mode, content=b"", device=(0, 0)):
        self.inode += 1
        encoded = name.encode() + b"\0"
        fields = [self.inode, mode, 0, 0, 1, 0, len(content), 0, 0, device[0], device[1], len(encoded), 0]
        self.out += b"070701" + b"".join(b"%08x" % field for field in fields) + encoded
        self._pad()
        self.out += content
        self._pad()
        if stat.S_ISDIR(mode):
            self.folders.add(name)

    def add_file(self, path, content, permissions=0o644):
        """A file, after the folders above it that are not there yet."""
        path = path.lstrip("/")
        for folder in [str(folder) for folder in reversed(pathlib.PurePosixPath(path).parents)][1:]:
            if folder not in self.folders:
                self.add(folder, stat.S_IFDIR | 0o755)
        self.add(path, stat.S_IFREG | permissions, content)

    def _pad(self):
        self.out += bytes(-len(self.out) % 4)

    def finish(self):
        self.add("TRAILER!!!", 0)
        return bytes(self.out)


def add_modules(cpio, kernel_tree, sets):
    """The modules of `sets`, a dictionary like MODULE_SETS, with the lists that load_modules reads."""
    modules = ModuleTree(kernel_tree)
    every = {}
    for name, members in sets.items():
        paths = modules.closure(members)
        cpio.add_file(f"lib/modules/{name}.list", "".join(f"{path.name}\n" for path in paths).encode())
        every.update({path.name: path for path in paths})
    for name in sorted(every):
        cpio.add_file(f"lib/modules/{name}", every[name].read_bytes())


def write_root(folder, busybox_tree):
    """Fills `folder` with the root file system of a disk."""
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "mnt", "root"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for destination, source in (("bin/busybox", busybox_tree / "bin/busybox"), ("sbin/init", HERE / "guest_init.sh"),
                                ("bin/load_modules", HERE / "load_modules.sh"), ("etc/vireo.sh", HERE / "disk_task.sh")):
        (folder / destination).write_bytes(source.read_bytes())
        (folder / destination).chmod(0o755)
    (folder / "bin/sh").symlink_to("busybox")


def build_initramfs(busybox_tree, kernel_tree):
    """The bytes of a compressed initramfs. More cpio archives may be appended to it."""
    cpio = CpioWriter()
    directory = stat.S_IFDIR | 0o755
    program = stat.S_IFREG | 0o755
    for name in ("bin", "sbin", "etc", "dev", "proc", "sys", "tmp", "mnt", "root", "newroot", "lib", "lib/modules"):
        cpio.add(name, directory)
    cpio.add("dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    cpio.add("bin/busybox", program, (busybox_tree / "bin/busybox").read_bytes())
    cpio.add("bin/sh", stat.S_IFLNK | 0o777, b"busybox")
    cpio.add("init", program, (HERE / "guest_init.sh").read_bytes())
    cpio.add("bin/load_modules", program, (HERE / "load_modules.sh").read_bytes())
    add_modules(cpio, kernel_tree, MODULE_SETS)
    return gzip.compress(cpio.finish(), 6, mtime=0)
