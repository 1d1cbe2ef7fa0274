; Code of ring 3 changes code in a page that is read-only: #PF's handler makes it writable, and read-only again later.
; EXPECT ebx=001e8868h edx=2000 ecx=0
        %include "smc.inc"
%define CODE 200000h
%define HITS 201000h
        gate    14, page_fault
        gate    30h, service
        mov     byte [IDT + 8 * 30h + 5], 0eeh  ; for ring 3, too
        lidt    [idtr]
        mov     ax, 38h
        ltr     ax
        paging
        map     CODE, RW_PAGE + 5
        mov     dword [RW_PAGE], 0c381h         ; ADD EBX, imm32; RET
        mov     dword [RW_PAGE + 4], 00c30000h
        mov     dword [HITS], 0
        push    dword 33h
        push    dword 70000h - 100h
        push    dword 2
        push    dword 2bh
        push    dword user
        mov     ax, 33h
        mov     ds, ax
        mov     es, ax
        iret
user:   xor     ebx, ebx
        mov     ecx, 2000
.again: mov     [CODE + 2], ecx
        mov     eax, CODE
        call    eax
        int     30h                     ; read-only again
        dec     ecx
        jnz     .again
        mov     edx, [HITS]
        int     30h
page_fault:
        add     esp, 4
        inc     dword [HITS]
        map     CODE, RW_PAGE + 7
        iret
service:
        cmp     ecx, 0
        jne     .protect
        hlt
.protect:
        map     CODE, RW_PAGE + 5
        iret
idtr:   dw      7ffh
        dd      IDT
