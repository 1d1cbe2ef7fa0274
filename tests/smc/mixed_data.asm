; A page of code and data, in which all kinds of stores are made beside the code.
; MIXED
; EXPECT eax=2000 ebx=500500 edx=2000 ebp=0
        %include "smc.inc"
        make_mixed
        mov     ecx, 1000
        xor     ebx, ebx
next:   inc     dword [counter]
        add     [sum], ecx
        mov     edx, [counter]
        xadd    [twice], edx
        mov     edi, area
        mov     eax, ecx
        stosd
        mov     esi, area
        movsd
        add     bx, 0
        push    ecx
        mov     ebp, ecx
        mov     ecx, 8
        mov     esi, area
        mov     edi, area + 32
        rep     movsd
        mov     edi, area
        mov     ecx, 4
        rep     stosd
        mov     ecx, ebp
        fild    dword [counter]
        fistp   dword [integer]
        bts     dword [bitmap], ecx
        mov     ebp, esp
        mov     esp, area + 128
        push    ecx
        call    beside
        pop     esp
        xchg    ebp, esp
        sub     ebp, ecx
        pop     ecx
        dec     ecx
        jnz     next
        mov     eax, [counter]
        add     eax, [integer]
        mov     ebx, [sum]
        mov     edx, [counter]
        shl     edx, 1
        hlt
beside: inc     dword [esp + 8]
        ret
counter: dd     0
sum:    dd      0
twice:  dd      0
integer: dd     0
bitmap:   dd      0
area:   times   64 dd 0
