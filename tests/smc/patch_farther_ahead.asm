; The changed instructions stand some instructions behind the store, and behind a branch.
; EXPECT ebx=001e8868h edx=1000 edi=1000
        %include "smc.inc"
        mov     ecx, 2000
        xor     ebx, ebx
        xor     edx, edx
        xor     edi, edi
again:  mov     [target + 1], ecx
        mov     byte [other + 1], 0c2h  ; INC EDX
        test    cl, 1
        jz      other
        mov     byte [other + 1], 0c7h  ; INC EDI
        nop
other:  db      0ffh, 0c0h
target: mov     eax, 12345678h
        add     ebx, eax
        dec     ecx
        jnz     again
        hlt
