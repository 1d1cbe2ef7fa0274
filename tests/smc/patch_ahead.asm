; A store changes the instruction right behind it, every time.
; EXPECT ebx=001e8868h ecx=0
        %include "smc.inc"
        mov     ecx, 2000
        xor     ebx, ebx
again:  mov     [target + 1], ecx
target: mov     eax, 12345678h
        add     ebx, eax                ; 2000 + ... + 2 + 1
        dec     ecx
        jnz     again
        hlt
