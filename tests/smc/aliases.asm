; One page at two linear addresses: code runs at one and is changed through the other, then the other way round, and runs
; at both.
; EXPECT ebx=001e8868h edx=003d10d0h
        %include "smc.inc"
%define A 200000h
%define B 201000h
        paging
        map     A, RW_PAGE + 3
        map     B, RW_PAGE + 3
        mov     dword [A], 0c381h       ; ADD EBX, imm32; RET
        mov     byte [A + 6], 0c3h
        xor     ebx, ebx
        mov     ecx, 2000
first:  mov     [B + 2], ecx
        mov     eax, A
        call    eax
        loop    first
        mov     edx, ebx
        mov     ecx, 2000
second: mov     [A + 2], ecx
        mov     eax, B
        call    eax
        mov     [B + 2], ecx
        mov     eax, A
        call    eax
        loop    second
        xchg    edx, ebx
        sub     edx, ebx                ; 2 * (1 + ... + 2000)
        hlt
