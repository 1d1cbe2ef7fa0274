; A device writes over a hot function after the engine has left run(), as devices do that work in virtual time.
; EXPECT ebx=001e8868h ecx=0
        %include "smc.inc"
        xor     ebx, ebx
        mov     dword [RW_PAGE], 0c381h         ; ADD EBX, imm32; RET
        mov     dword [RW_PAGE + 4], 00c30000h
        mov     ecx, 2000
again:  mov     [value], ecx
        dma     value, RW_PAGE + 2, 4, DMA_LATER
        call    RW_PAGE
        dec     ecx
        jnz     again
        hlt
value:  dd      0
