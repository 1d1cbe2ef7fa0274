; Code runs off a mixed page into the next, with an instruction across the border of which either part is patched.
; MIXED
; EXPECT ebx=1001000 edx=1000
        %include "smc.inc"
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
        jmp     across
next:   dec     ecx
        jnz     across
        hlt
        times   0ff0h - ($ - $$) db 90h
across: mov     [border + 1], cl
        mov     [border + 2], ch
        jmp     border
        times   0ffeh - ($ - $$) db 90h
border: mov     eax, 0                  ; its second byte is the page's last
        add     ebx, eax
        mov     [over + 1], ecx
over:   mov     eax, 0
        add     ebx, eax
        inc     edx
        jmp     next
