; In a mixed page: REP STOS and REP MOVS over the code behind them, over themselves, and over data of the page.
; MIXED
; EXPECT ebx=1000 ecx=0 edx=1000 esi=1000
        %include "smc.inc"
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        mov     ebp, 1000
next:   mov     edi, first
        mov     ecx, 40
        mov     al, 90h
        rep     stosb
first:  times   40 db 0cch
        inc     ebx
        mov     esi, source
        mov     edi, second
        mov     ecx, 8
        rep     movsb
second: times   8 db 0cch
        mov     edi, first
        mov     ecx, 10
        mov     eax, 0cccccccch
        rep     stosd
        mov     edi, second
        mov     ecx, 8
        rep     stosb
        mov     edi, itself - 16
        mov     ecx, 100
        mov     al, 90h
        jmp     itself
        times   16 db 0cch
itself: rep     stosb                   ; until it is NOPs
        mov     byte [itself], 0f3h
        mov     byte [itself + 1], 0aah
        mov     edi, data
        mov     ecx, 16
        mov     eax, ebp
        rep     stosd
        add     [total], ecx
        inc     dword [total]
        dec     ebp
        jnz     next
        mov     esi, [total]
        hlt
source: inc     edx
        times   8 db 90h
data:   times   16 dd 0
total:  dd      0
