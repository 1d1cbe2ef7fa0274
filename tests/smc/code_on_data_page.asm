; Counters in the page of the code that changes them: before it, within it, behind it, across its end.
; EXPECT eax=10000 ebx=10000 edx=20000 esi=10000
        %include "smc.inc"
        jmp     start
before: dd      0
start:  mov     ecx, 10000
again:  inc     dword [before]
        jmp     over
within: dd      0
over:   add     dword [within], 1
        add     dword [behind], 2
        mov     eax, [across]
        inc     eax
        mov     [across], eax
        dec     ecx
        jnz     again
        mov     eax, [before]
        mov     ebx, [within]
        mov     edx, [behind]
        mov     esi, [across]
        hlt
behind: dd      0
        times   4094 - ($ - $$) db 90h
across: dd      0
