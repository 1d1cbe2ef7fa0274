; The two pages of an instruction across pages are one frame; both its parts change.
; EXPECT ebx=3d10d0h ecx=0
        %include "smc.inc"
%define CODE 200000h
        paging
        map     CODE, RW_PAGE + 3
        map     CODE + 1000h, RW_PAGE + 3
        mov     word [RW_PAGE + 0ffeh], 0c381h                  ; ADD EBX, imm32; RET
        mov     byte [RW_PAGE + 4], 0c3h
        mov     edx, CODE + 0ffeh
        xor     ebx, ebx
        mov     ecx, 2000
again:  mov     [RW_PAGE], ecx
        call    edx                                             ; + ECX
        mov     byte [RW_PAGE + 0fffh], 0ebh                    ; SUB
        call    edx                                             ; - ECX
        mov     byte [RW_PAGE + 0fffh], 0c3h
        call    edx
        call    edx                                             ; + 2 ECX
        dec     ecx
        jnz     again
        hlt
