; A device writes into a mixed page: the instruction behind the OUT, and one farther on.
; MIXED
; EXPECT ebx=500500 edx=500500
        %include "smc.inc"
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
next:   mov     [value], ecx
        dma     value, ahead + 1, 4
ahead:  mov     eax, 12345678h
        add     ebx, eax
        dma     value, farther + 1, 4
        nop
        xor     esi, esi
farther: mov    eax, 12345678h
        add     edx, eax
        dec     ecx
        jnz     next
        hlt
value:  dd      0
