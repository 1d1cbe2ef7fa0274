; Functions are copied to one place, run a few times, and overwritten by the next: what a loader or an interpreter's
; just-in-time compiler does.
; EXPECT ebx=000f4240h esi=500
        %include "smc.inc"
        xor     ebx, ebx
        xor     ebp, ebp
next:   mov     edi, RW_PAGE
        mov     ecx, 20                 ; twenty times ADD EBX, imm8: 10 and 30 in turn
        mov     eax, ebp
        and     eax, 1
        imul    eax, eax, 140000h
        add     eax, 900ac383h
.fill:  mov     dword [edi], eax
        add     edi, 3
        loop    .fill
        mov     byte [edi], 0c3h
        mov     ecx, 5
.run:   call    RW_PAGE
        loop    .run
        inc     ebp
        cmp     ebp, 500
        jb      next
        mov     esi, ebp
        hlt
