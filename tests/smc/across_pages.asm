; An instruction across a page boundary; its part in the second page is changed, then the part in the first one.
; EXPECT ebx=001e8868h edx=2000 esi=2000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ecx, 2000
        jmp     first
        times   0ffah - ($ - $$) db 90h
first:  nop
        nop
        nop
        nop
target: mov     eax, 2000               ; its immediate begins one byte before the page ends
        add     ebx, eax
        dec     ecx
        jz      done
        mov     [target + 1], ecx
        jmp     first
done:   mov     ecx, 2000
second: mov     dword [RW_PAGE + 0ffeh], 0c3c2ff90h     ; NOP; INC EDX; RET, INC across the boundary
        call    function
        mov     byte [RW_PAGE + 1000h], 0c6h            ; INC ESI
        call    function
        loop    second
        hlt
function:
        mov     eax, RW_PAGE + 0ffeh
        jmp     eax
