; In a mixed page: the immediates of a function are rewritten before each call, and their flags are used.
; MIXED
; EXPECT edx=500500 esi=500500 ebp=1000
        %include "smc.inc"
        make_mixed
        xor     eax, eax
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        xor     ebp, ebp
        mov     ecx, 1000
next:   push    ecx
        mov     [.mov - 4], ecx
        mov     [.add - 4], ecx
        imul    ecx, ecx, 01000193h
        mov     [.adc - 4], ecx
        bswap   ecx
        mov     [.sub - 4], ecx
        mov     [.sbb - 4], ecx
        mov     [.xor - 4], ecx
        rol     ecx, 5
        mov     [.and - 4], ecx
        mov     [.or - 4], ecx
        mov     [.cmp - 4], ecx
        mov     [.cmp2 - 4], ecx
        call    .function
        pop     ecx
        dec     ecx
        jnz     next
        hlt
.function:
        mov     ecx, strict dword 0
.mov:   add     esi, ecx
        add     edx, strict dword 0
.add:   add     eax, 7fffffffh
        adc     eax, strict dword 0
.adc:   sbb     ebx, strict dword 0
.sbb:   sub     edi, strict dword 0
.sub:   xor     eax, strict dword 0
.xor:   and     ebx, strict dword 0
.and:   or      ebx, strict dword 0
.or:    cmp     ebx, strict dword 0
.cmp:   adc     edi, 0
        inc     ebp
        cmp     edi, strict dword 0
.cmp2:  setg    cl
        movzx   ecx, cl
        lea     eax, [eax + 8 * ecx]
        ret
