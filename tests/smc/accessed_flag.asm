; The accessed flag that a load sets is in the instruction behind the load.
; EXPECT ebx=32000 ebp=0
        %include "smc.inc"
%define ENTRY (PAGE_TABLE + (RW_PAGE >> 12) * 4)
        paging
        mov     word [ENTRY - 6], 158bh                         ; MOV EDX, [RW_PAGE]
        mov     dword [ENTRY - 4], RW_PAGE
        mov     dword [ENTRY + 4], 9090c3c0h                    ; its first byte ends ADD AL, AL; RET
        xor     ebx, ebx
        mov     ebp, 1000
again:  map     RW_PAGE, RW_PAGE + 7                            ; POP ES; ADD [EAX], DH
        mov     eax, RW_PAGE + 0ah
        clc
        call    code                                            ; DAA; ADD [EAX], DH
        movzx   eax, al
        add     ebx, eax
        dec     ebp
        jnz     again
        hlt
code:   jmp     ENTRY - 6
