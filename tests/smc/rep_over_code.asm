; REP STOS and REP MOVS write over the code behind them.
; EXPECT ebx=1000 edx=1000 esi=2000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        mov     ebp, 1000
again:  mov     edi, first
        mov     ecx, 40
        mov     al, 90h
        rep stosb
first:  times   40 db 0cch
        inc     ebx
        mov     esi, source
        mov     edi, second
        mov     ecx, 8
        rep movsb
second: times   8 db 0cch
        mov     edi, first
        mov     ecx, 40
        mov     al, 0cch
        rep stosb
        mov     edi, second
        mov     ecx, 8
        rep stosb
        dec     ebp
        jnz     again
        lea     esi, [ebx + edx]
        hlt
source: inc     edx
        times   8 db 90h
