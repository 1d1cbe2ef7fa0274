; The stack lies in the mixed page; a callee patches its caller behind the call, and the function that it returns to.
; MIXED
; EXPECT ebx=500500 edx=500500 esi=1000
        %include "smc.inc"
        make_mixed
        mov     esp, stack
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ecx, 1000
next:   call    callee
landing: mov    eax, 0
        add     ebx, eax
        mov     eax, callee
        call    eax
        add     edx, [landing + 1]
        dec     ecx
        jnz     next
        hlt
callee: mov     [landing + 1], ecx
        push    esi
        pop     esi
        test    ecx, ecx
        jz      .none
        mov     eax, [esp]
        cmp     eax, landing
        jne     .none
        inc     esi
.none:  ret
        times   64 dd 0
stack:
