; Option ROM that starts a Linux or Multiboot kernel out of fw_cfg (core/machine/direct_boot.cpp fills it in).
; SeaBIOS finds it as the fw_cfg file "genroms/direct_boot.bin" and calls its bootstrap entry vector.
; Sources: Plug and Play BIOS Specification 1.0A (ROM header), the Linux/x86 boot protocol, Multiboot 0.6.96,
; QEMU docs/specs/fw_cfg (interface only).
;
; fw_cfg items (32 bits each, little-endian, except *_DATA):
;   SETUP_SIZE 0:       Multiboot. KERNEL_DATA goes to KERNEL_ADDR; INITRD_DATA is the Multiboot information with all that
;                       it points to and goes to INITRD_ADDR; the memory fields are filled in here; start: KERNEL_ENTRY.
;   SETUP_SIZE not 0:   Linux. SETUP, CMDLINE, KERNEL and INITRD go to their addresses, except that the initrd moves down
;                       when the BIOS has reserved memory at the top; start: the setup code.

        bits 16
        cpu 386
        org 0

ROM_SIZE        equ 1536

FW_CFG_SELECT   equ 0x510
FW_CFG_DATA     equ 0x511
FW_CFG_DMA      equ 0x514

KEY_ID          equ 0x01
KEY_KERNEL_ADDR equ 0x07
KEY_KERNEL_SIZE equ 0x08
KEY_INITRD_ADDR equ 0x0a
KEY_INITRD_SIZE equ 0x0b
KEY_KERNEL_ENTRY equ 0x10
KEY_KERNEL_DATA equ 0x11
KEY_INITRD_DATA equ 0x12
KEY_CMDLINE_ADDR equ 0x13
KEY_CMDLINE_SIZE equ 0x14
KEY_CMDLINE_DATA equ 0x15
KEY_SETUP_ADDR  equ 0x16
KEY_SETUP_SIZE  equ 0x17
KEY_SETUP_DATA  equ 0x18

DMA_ERROR       equ 1
DMA_READ        equ 2
DMA_SELECT      equ 8

; RAM that is free while a boot sector would run: stack below, variables above 7c00h, memory map at 8000h.
; The host keeps kernels out of it (kLowestMultibootAddress) and the Multiboot information behind it.
STACK_TOP       equ 0x7c00
        absolute 0x7c00
dma_control:    resd 1
dma_length:     resd 1
dma_address:    resq 1
item_value:     resd 1
memory_end:     resd 1          ; of the RAM that starts at 1 MiB
initrd_addr:    resd 1
initrd_size:    resd 1
setup_addr:     resd 1
kernel_addr:    resd 1
map_length:     resd 1
gdt_pointer:    resw 3
MEMORY_MAP      equ 0x8000      ; Multiboot's layout: a size field (20), then the e820 entry
MAP_ENTRY       equ 24
MAP_LIMIT       equ MEMORY_MAP + 64 * MAP_ENTRY

LINUX_RAMDISK_IMAGE equ 0x218

MULTIBOOT_MAGIC equ 0x2badb002
MBI_FLAGS       equ 0
MBI_MEM_LOWER   equ 4
MBI_MEM_UPPER   equ 8
MBI_MMAP_LENGTH equ 44
MBI_MMAP_ADDR   equ 48
MBI_HAS_MEMORY_AND_MAP equ 1 | 1 << 6

%ifndef CHECKSUM
%define CHECKSUM 0              ; the build assembles twice, the second time with what makes the sum 0
%endif

        section .text
        dw 0xaa55
        db ROM_SIZE / 512
init:   mov ax, 0x20            ; PnP: an initial program load device, nothing hooked yet
        retf
        db CHECKSUM
        times 0x1a - ($ - $$) db 0
        dw pnp_header
        times 0x20 - ($ - $$) db 0

%define byte_sum(offset) (((offset) & 0xff) + ((offset) >> 8))
pnp_header:
        db '$PnP'
        db 1                    ; structure revision
        db 2                    ; length / 16
        dw 0                    ; no further header
        db 0
        db -('$' + 'P' + 'n' + 'P' + 1 + 2 + byte_sum(maker - $$) + byte_sum(product - $$) + 0xe4 \
             + byte_sum(boot - $$)) & 0xff
        dd 0                    ; device identifier
        dw maker
        dw product
        db 0, 0, 0              ; device type
        db 0xe4                 ; read-cacheable, ROM is only for booting, IPL device
        dw 0                    ; boot connection vector
        dw 0                    ; disconnect vector
        dw boot                 ; bootstrap entry vector
        dw 0
        dw 0

maker:  db 'Vireo', 0
product: db 'Direct kernel boot', 0

; ----------------------------------------------------------------------------------------------------------------
boot:   cli
        cld
        xor ax, ax
        mov ds, ax
        mov es, ax
        mov ss, ax
        mov esp, STACK_TOP
        sti

        mov dx, FW_CFG_SELECT
        mov ax, KEY_ID
        out dx, ax
        inc dx
        in al, dx
        test al, 2
        mov si, no_dma
        jz fail

        call read_memory_map
        mov ax, KEY_SETUP_SIZE
        call read_item
        test eax, eax
        jz multiboot

; ----------------------------------------------------------------------------------------------------------------
linux:  mov ecx, eax
        mov ax, KEY_SETUP_ADDR
        call read_item
        mov [setup_addr], eax
        mov bx, KEY_SETUP_DATA
        call read_data

        mov ax, KEY_CMDLINE_SIZE
        call read_item
        mov ecx, eax
        mov ax, KEY_CMDLINE_ADDR
        call read_item
        push eax
        mov bx, KEY_CMDLINE_DATA
        call read_data

        call read_kernel

        mov ax, KEY_INITRD_SIZE
        call read_item
        test eax, eax
        jz .start
        mov [initrd_size], eax
        mov ax, KEY_INITRD_ADDR
        call read_item
        ; The host planned with all of RAM, the BIOS may have kept some of its end for tables.
        mov edx, [memory_end]
        sub edx, [initrd_size]
        and edx, ~0xfff
        cmp eax, edx
        jbe .placed
        mov eax, edx
.placed:
        mov si, no_room
        cmp eax, [kernel_addr]
        jbe fail
        mov [initrd_addr], eax
        mov ecx, [initrd_size]
        mov bx, KEY_INITRD_DATA
        call read_data
        mov ebx, [setup_addr]
        shr ebx, 4
        mov es, bx
        mov eax, [initrd_addr]
        mov [es:LINUX_RAMDISK_IMAGE], eax
        mov eax, [initrd_size]
        mov [es:LINUX_RAMDISK_IMAGE + 4], eax

.start: pop ecx                 ; the command line ends the stack and heap of the setup code
        mov ebx, [setup_addr]
        sub ecx, ebx
        sub ecx, 16
        shr ebx, 4
        cli
        mov ds, bx
        mov es, bx
        mov fs, bx
        mov gs, bx
        mov ss, bx
        mov esp, ecx
        add bx, 0x20            ; entry: 200h bytes into the setup code
        push bx
        push word 0
        retf

; ----------------------------------------------------------------------------------------------------------------
multiboot:
        call read_kernel
        mov ax, KEY_INITRD_SIZE
        call read_item
        mov ecx, eax
        mov ax, KEY_INITRD_ADDR
        call read_item
        mov [initrd_addr], eax
        mov bx, KEY_INITRD_DATA
        call read_data

        mov ebx, [initrd_addr]
        shr ebx, 4
        mov es, bx
        mov di, [initrd_addr]
        and di, 0xf
        or dword [es:di + MBI_FLAGS], MBI_HAS_MEMORY_AND_MAP
        int 0x12
        movzx eax, ax
        mov [es:di + MBI_MEM_LOWER], eax
        mov eax, [memory_end]
        sub eax, 0x100000
        shr eax, 10
        mov [es:di + MBI_MEM_UPPER], eax
        mov eax, [map_length]
        mov [es:di + MBI_MMAP_LENGTH], eax
        mov dword [es:di + MBI_MMAP_ADDR], MEMORY_MAP

        mov ax, KEY_KERNEL_ENTRY
        call read_item
        mov ebp, eax

        mov ax, 0x2401          ; A20; if the BIOS does not know the call the gate is open already
        int 0x15
        cli
        xor eax, eax
        mov ax, cs
        shl eax, 4
        lea edx, [eax + gdt]
        mov word [gdt_pointer], gdt_end - gdt - 1
        mov [gdt_pointer + 2], edx
        o32 lgdt [gdt_pointer]
        push dword SELECTOR_CODE
        add eax, protected_mode
        push eax
        mov eax, cr0
        or al, 1
        mov cr0, eax
        o32 retf

        bits 32
protected_mode:
        mov eax, SELECTOR_DATA
        mov ds, eax
        mov es, eax
        mov fs, eax
        mov gs, eax
        mov ss, eax
        mov eax, MULTIBOOT_MAGIC
        mov ebx, [initrd_addr]
        jmp ebp
        bits 16

        align 8, db 0
gdt:    dq 0
SELECTOR_CODE equ $ - gdt
        dq 0x00cf9b000000ffff   ; flat, 32 bits, execute and read
SELECTOR_DATA equ $ - gdt
        dq 0x00cf93000000ffff   ; flat, 32 bits, read and write
gdt_end:

; ----------------------------------------------------------------------------------------------------------------
; Copies KERNEL_DATA to KERNEL_ADDR.
read_kernel:
        mov ax, KEY_KERNEL_SIZE
        call read_item
        mov ecx, eax
        mov ax, KEY_KERNEL_ADDR
        call read_item
        mov [kernel_addr], eax
        mov bx, KEY_KERNEL_DATA
        jmp read_data

; EAX = the 32-bit item AX. Changes BX.
read_item:
        push ecx
        mov bx, ax
        mov eax, item_value
        mov ecx, 4
        call read_data
        mov eax, [item_value]
        pop ecx
        ret

; Reads ECX bytes of item BX to the physical address EAX. DS is 0. Changes EAX, DX.
read_data:
        call swap_bytes
        mov [dma_address + 4], eax
        mov dword [dma_address], 0
        mov eax, ecx
        call swap_bytes
        mov [dma_length], eax
        movzx eax, bx
        shl eax, 16
        mov al, DMA_SELECT | DMA_READ
        call swap_bytes
        mov [dma_control], eax
        mov dx, FW_CFG_DMA
        xor eax, eax
        out dx, eax
        add dx, 4
        mov eax, dma_control
        call swap_bytes
        out dx, eax
.wait:  mov eax, [dma_control]
        call swap_bytes
        test eax, ~DMA_ERROR
        jnz .wait
        mov si, dma_failed
        test al, DMA_ERROR
        jnz fail
        ret

swap_bytes:
        xchg al, ah
        rol eax, 16
        xchg al, ah
        ret

; Fetches the BIOS's memory map to MEMORY_MAP, finds memory_end.
read_memory_map:
        mov dword [memory_end], 0
        mov di, MEMORY_MAP
        xor ebx, ebx
.next:  mov dword [di], MAP_ENTRY - 4
        add di, 4
        mov eax, 0xe820
        mov edx, 'PAMS'
        mov ecx, MAP_ENTRY - 4
        int 0x15
        jc .end
        cmp eax, 'PAMS'
        jne .end
        ; RAM (type 1) from below or at 1 MiB to above it, clipped to 32 bits.
        cmp dword [di + 16], 1
        jne .kept
        cmp dword [di + 4], 0
        jne .kept
        cmp dword [di], 0x100000
        ja .kept
        mov eax, [di]
        add eax, [di + 8]
        mov edx, [di + 12]
        adc edx, 0
        jz .below_4g
        mov eax, 0xfffff000
.below_4g:
        cmp eax, 0x100000
        jbe .kept
        mov [memory_end], eax
.kept:  add di, MAP_ENTRY - 4
        test ebx, ebx
        jz .done
        cmp di, MAP_LIMIT
        jb .next
        jmp .done
.end:   sub di, 4
.done:  movzx eax, di
        sub eax, MEMORY_MAP
        mov [map_length], eax
        mov si, no_memory_map
        cmp dword [memory_end], 0
        je fail
        ret

; Says what is wrong (CS:SI) and leaves booting to the BIOS's next device.
fail:   push cs
        pop ds
        push si
        mov si, failed
        call print
        pop si
        call print
        int 0x18

print:  lodsb
        test al, al
        jz .end
        mov ah, 0x0e
        mov bx, 7
        int 0x10
        jmp print
.end:   ret

failed: db 'Direct boot failed: ', 0
no_dma: db 'fw_cfg has no DMA', 13, 10, 0
dma_failed: db 'fw_cfg DMA error', 13, 10, 0
no_memory_map: db 'no memory map from the BIOS', 13, 10, 0
no_room: db 'no room for the initrd', 13, 10, 0

        times ROM_SIZE - ($ - $$) db 0
