; An instruction doubles its own immediate: it ends as it began, and is new the next time.
; EXPECT ebx=104857500 esi=100000h
        %include "smc.inc"
        mov     edx, 50
        xor     ebx, ebx
fresh:  mov     dword [immediate], 1
        mov     ecx, 20
self:   db      81h, 05h                ; ADD DWORD [immediate], imm32
        dd      immediate
immediate:
        dd      1
        add     ebx, [immediate]        ; 2 + 4 + ... + 2^20
        loop    self
        dec     edx
        jnz     fresh
        mov     esi, [immediate]
        hlt
