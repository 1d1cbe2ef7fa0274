; A device writes over the instruction behind the OUT that starts it.
; EXPECT ebx=001e8868h ecx=0
        %include "smc.inc"
        xor     ebx, ebx
        mov     ecx, 2000
again:  mov     [value], ecx
        dma     value, target + 1, 4
target: mov     eax, 12345678h
        add     ebx, eax
        dec     ecx
        jnz     again
        hlt
value:  dd      0
