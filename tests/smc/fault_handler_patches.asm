; #UD's handler puts an instruction where UD2 was, and returns to it; the code then puts the UD2 back.
; EXPECT ebx=1000 edx=1000
        %include "smc.inc"
        gate    6, undefined
        lidt    [idtr]
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
again:  mov     word [target], 0b0fh
target: ud2
        dec     ecx
        jnz     again
        hlt
undefined:
        inc     edx
        mov     eax, [esp]
        mov     word [eax], 0c3ffh      ; INC EBX
        iret
idtr:   dw      7ffh
        dd      IDT
