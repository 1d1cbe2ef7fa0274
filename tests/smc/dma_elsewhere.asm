; A device writes over a hot function: all of it, a part that crosses a page, and memory beside it.
; EXPECT ebx=6000 edx=2000 esi=2000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ecx, 2000
again:  dma     one, RW_PAGE + 0ffeh, one.end - one
        call    function
        dma     two, RW_PAGE + 0ffeh, two.end - two
        call    function
        dma     two, RW_PAGE + 0fe0h, 16
        dma     two, RW_PAGE + 2000h, 16
        call    function
        dec     ecx
        jnz     again
        mov     edx, esi
        hlt
function:
        mov     eax, RW_PAGE + 0ffeh
        jmp     eax
one:    add     ebx, byte 1             ; across the boundary
        add     esi, byte 1
        ret
.end:
two:    nop
        add     ebx, byte 1
        ret
.end:
