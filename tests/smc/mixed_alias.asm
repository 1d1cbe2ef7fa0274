; A mixed page is written through another mapping, behind and ahead of the code that does.
; MIXED
; EXPECT ebx=500500 edx=500500
%define ALIAS   200000h
        %include "smc.inc"
        paging
        map     ALIAS, 10000h | 7
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
next:   mov     [ALIAS + ahead + 1 - 10000h], ecx
ahead:  mov     eax, 0
        add     ebx, eax
        call    callee
        mov     [ALIAS + callee + 1 - 10000h], ecx
        call    callee
        add     edx, eax
        dec     ecx
        jnz     next
        hlt
callee: mov     eax, 0
        ret
