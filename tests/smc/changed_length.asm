; A changed opcode makes an instruction longer or shorter: those behind it are cut up anew.
; EXPECT ebx=3000 edx=1000 esi=4000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ecx, 1000
again:  mov     byte [target], 90h      ; NOP; INC EBX; INC EDX; INC EBX
        call    function
        mov     byte [target], 0b8h     ; MOV EAX, imm32 of the next two; INC EBX
        call    function
        loop    again
        hlt
        align   16
function:
        add     esi, byte 2
target: nop
        db      0ffh, 0c3h, 0ffh, 0c2h  ; INC EBX; INC EDX
        db      0ffh, 0c3h
        ret
