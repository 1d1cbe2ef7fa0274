; In a mixed page: code patches the instruction ahead, the one after that, itself, and what has run before it.
; MIXED
; EXPECT eax=1000 ebx=500500 edx=501500 esi=500500 edi=500500
        %include "smc.inc"
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        mov     ecx, 1000
next:   add     edi, 0
behind: mov     [ahead + 1], ecx
ahead:  mov     eax, 0
        add     ebx, eax
        mov     eax, ecx
        mov     [farther + 2], eax
        inc     eax
        nop
farther: lea    ebp, [eax + 12345678h]
        sub     ebp, ecx
        add     edx, ebp
        db      81h, 05h                ; ADD DWORD [own], imm32: its own immediate
        dd      own
own:    dd      1
        shr     dword [own], 1
        add     esi, ecx
        mov     eax, ecx
        add     edi, eax
        dec     ecx
        jnz     next
        mov     eax, [own]
        imul    eax, eax, 1000
        hlt
