; The end of a loop changes its beginning: ADD EAX and SUB EBX in turn.
; EXPECT eax=1000 ebx=-1000 ecx=0
        %include "smc.inc"
        mov     ecx, 2000
        xor     eax, eax
        xor     ebx, ebx
again:  add     eax, byte 1             ; 83 C0 01
        xor     word [again], 0c083h ^ 0eb83h
        loop    again
        hlt
