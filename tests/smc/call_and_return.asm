; A function changes the code that it returns to, and a call's own displacement is changed.
; EXPECT ebx=001e8868h edx=1000 edi=1000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        xor     edi, edi
        mov     ecx, 2000
again:  call    function
back:   mov     eax, 12345678h
        add     ebx, eax
change: call    one
        xor     dword [change + 1], (one - change - 5) ^ (two - change - 5)
        dec     ecx
        jnz     again
        hlt
function:
        mov     [back + 1], ecx
        ret
        times   5000 db 90h
one:    inc     edx
        ret
two:    inc     edi
        ret
