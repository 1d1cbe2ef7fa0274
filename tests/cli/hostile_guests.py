#!/usr/bin/env python3
"""Boot sectors that misbehave: each ends with the status of the contract, never by a signal or a hang.

    hostile_guests.py VIREO

A row: name, assembly of a boot sector (16-bit, at 0x7c00), options, exit status.
"""
import pathlib
import subprocess
import sys
import tempfile

TO_PROTECTED = """
  cli
  lgdt [gdtr]
  mov eax, cr0
  or al, 1
  mov cr0, eax
  jmp 8:flat
gdt: dq 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdtr: dw 23
  dd gdt
bits 32
flat:
  mov ax, 16
  mov ds, ax
  mov es, ax
  mov ss, ax
  mov esp, 0x7c00
"""
END = "\n  mov al, 0x21\n  out 0xf4, al\n  jmp $\n"  # status 0x43

ROWS = [
    ("triple fault", TO_PROTECTED + "lidt [none]\nint3\nnone: dw 0\ndd 0", [], 4),
    ("halt with interrupts off", "cli\nhlt", [], 4),
    ("undefined instruction whose handler is undefined", "cli\nxor ax, ax\nmov ds, ax\nmov word [6*4], l\nmov word [6*4+2], ax\nl: ud2",
     ["--timeout", "1"], 5),
    ("endless string input", TO_PROTECTED + "mov ecx, -1\nmov edi, 0x10000\nmov dx, 0x70\nrep insb" + END, ["--timeout", "1"], 5),
    ("string store over all of memory, ROM and devices", TO_PROTECTED + "mov ecx, 0x8000000\nmov edi, 0x80000000\nxor eax, eax\nrep stosd" + END,
     ["--timeout", "2"], (0x43, 5)),
    ("writes to ROM", "mov ax, 0xf000\nmov ds, ax\nxor si, si\nl: mov [si], al\ninc si\njnz l" + END, [], 0x43),
    ("every port read and written", "xor dx, dx\nl: mov bx, dx\nand bl, 0xfc\ncmp bx, 0xf4\nje s\ncmp dx, 0x92\nje s\ncmp dx, 0x64\nje s\ncmp dx, 0xcf9\nje s\n"
     "cmp dx, 0xcf8\nje s\ncmp dx, 0xb2\nje s\ncmp dh, 6\nje s\nin al, dx\nnot al\nout dx, al\ns: inc dx\njnz l" + END, ["--timeout", "20"], 0x43),
    ("every PCI configuration register written", TO_PROTECTED + "mov ebx, 0x80000000\nl: mov eax, ebx\nmov dx, 0xcf8\nout dx, eax\n"
     "mov dx, 0xcfc\nmov eax, -1\nout dx, eax\nmov eax, 0xfee00007\nout dx, eax\nadd ebx, 4\ncmp ebx, 0x80002000\njb l" + END, ["--timeout", "20"], 0x43),
    ("bus-master DMA with wild descriptors", TO_PROTECTED + "mov eax, 0x80000904\nmov dx, 0xcf8\nout dx, eax\nmov dx, 0xcfc\nmov eax, 5\nout dx, eax\n"
     "mov eax, 0x80000920\nmov dx, 0xcf8\nout dx, eax\nmov dx, 0xcfc\nmov eax, 0xc001\nout dx, eax\n"
     "mov dx, 0xc004\nmov eax, 0xfffffffc\nout dx, eax\nmov dx, 0x1f6\nmov al, 0xe0\nout dx, al\nmov dx, 0x1f2\nmov al, 8\nout dx, al\n"
     "mov dx, 0x1f7\nmov al, 0xc8\nout dx, al\nmov dx, 0xc000\nmov al, 9\nout dx, al\nmov ecx, 1000000\nw: loop w" + END,
     ["--hda", "{disk}"], 0x43),
    ("page tables outside memory", TO_PROTECTED + "mov eax, 0xfffff000\nmov cr3, eax\nmov eax, cr0\nor eax, 0x80000000\nmov cr0, eax\nnop" + END, [], 4),
    ("reset in a loop", "mov al, 6\nmov dx, 0xcf9\nout dx, al\njmp $", ["--timeout", "2"], 5),
    ("keyboard controller asked without end", "l: mov al, 0xf2\nout 0x60, al\nmov al, 0x20\nout 0x64, al\njmp l", ["--timeout", "2"], 5),
    ("timer at its highest rate", "mov al, 0x34\nout 0x43, al\nmov al, 2\nout 0x40, al\nmov al, 0\nout 0x40, al\nsti\njmp $", ["--timeout", "2"], 5),
]


def assemble(folder, source):
    text = f"bits 16\norg 0x7c00\njmp start\nstart:\n{source}\ntimes 510-($-$$) db 0\ndw 0xaa55\n"
    (folder / "guest.asm").write_text(text)
    subprocess.run(["nasm", "-f", "bin", "-o", folder / "guest.img", folder / "guest.asm"], check=True)
    with open(folder / "guest.img", "r+b") as image:
        image.truncate(1440 * 1024)
    return folder / "guest.img"


def main():
    vireo = sys.argv[1]
    failures = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary)
        (folder / "disk").write_bytes(bytes(1 << 20))
        for clock in ("virtual", "realtime"):
            for name, source, options, status in ROWS:
                image = assemble(folder, source)
                command = [vireo, "run", "--clock", clock, "-m", "16", "--boot", "a", "--debug-exit", "--fda", str(image)]
                command += [option.format(disk=folder / "disk") for option in options]
                if "--timeout" not in options:
                    command += ["--timeout", "30"]
                try:
                    result = subprocess.run(command, capture_output=True, timeout=90, stdin=subprocess.DEVNULL)
                    code = result.returncode
                except subprocess.TimeoutExpired:
                    code = "hang"
                if code not in (status if isinstance(status, tuple) else (status,)):
                    failures.append(f"{name} ({clock} clock): status {code}, expected {status}")
    print("\n".join(failures) or f"{len(ROWS)} hostile guests under both clocks, each with its status")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
