; A loop changes its own next instruction through another linear address of its page.
; EXPECT ebx=001e8868h ecx=0
        %include "smc.inc"
%define ALIAS 200000h
        paging
        map     ALIAS, 10000h + 3
        xor     ebx, ebx
        mov     ecx, 2000
again:  mov     [ALIAS + target + 1 - 10000h], ecx
target: mov     eax, 12345678h
        add     ebx, eax
        loop    again
        hlt
