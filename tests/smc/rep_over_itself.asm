; REP STOS writes over its own prefix: what is left of it goes on once.
; EXPECT ebx=4000 edx=0 ebp=0
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        mov     ebp, 1000
again:  mov     word [target], 0aaf3h
        mov     edi, target
        mov     ecx, 5
        mov     al, 90h
        jmp     target
target: rep stosb                       ; then NOP; STOSB
        add     ebx, ecx
        sub     edi, target + 2
        or      edx, edi
        dec     ebp
        jnz     again
        hlt
