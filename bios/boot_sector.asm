; A disk that boots a bare-metal guest: this sector loads the file GUEST behind it to 10000h (at most 510 KiB), turns A20 and
; 32-bit protected mode on and goes there with CS = 8, flat; 10h is a flat data segment that the guest is to load.
; With DISK_BYTES the image is padded to that size.
        org     7c00h
        bits    16
LOAD_AT   equ   1000h                   ; segment
SECTORS   equ   (image_end - image) / 512
AT_ONCE   equ   32

        jmp     0:start
start:  cli
        xor     ax, ax
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     sp, 7c00h
        mov     bp, SECTORS
.read:  mov     ah, 42h                 ; extended read of drive DL
        mov     si, packet
        int     13h
        jc      failed
        add     word [packet.segment], AT_ONCE * 32
        add     word [packet.sector], AT_ONCE
        sub     bp, AT_ONCE
        ja      .read
        mov     ax, 2401h               ; A20 on
        int     15h
        in      al, 92h
        or      al, 2
        and     al, 0feh
        out     92h, al
        lgdt    [gdt_register]
        mov     eax, cr0
        and     eax, 9fffffffh          ; caches on
        or      al, 1
        mov     cr0, eax
        jmp     dword 8:LOAD_AT * 16

failed: mov     al, '!'
        mov     dx, 3f8h
        out     dx, al
        cli
        hlt
        jmp     failed

        align   8
packet: db      16, 0
        dw      AT_ONCE
        dw      0
.segment:
        dw      LOAD_AT
.sector:
        dd      1, 0
gdt:    dq      0, 00cf9b000000ffffh, 00cf93000000ffffh
gdt_register:
        dw      $ - gdt - 1
        dd      gdt

        times   510 - ($ - $$) db 0
        dw      0aa55h
image:
        incbin  GUEST
        times   -($ - image) & (512 * AT_ONCE - 1) db 0
image_end:
%ifdef DISK_BYTES
        times   DISK_BYTES - ($ - $$) db 0
%endif
