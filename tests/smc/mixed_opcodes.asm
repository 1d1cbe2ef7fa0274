; In a mixed page: a loop swaps its own instructions, of different lengths, and functions are laid over each other.
; MIXED
; EXPECT ebx=3000 edx=1500 esi=1000
        %include "smc.inc"
        make_mixed
        xor     ebx, ebx
        xor     edx, edx
        mov     esi, 1000
next:   mov     eax, esi
        and     eax, 1
        mov     eax, [choices + 4 * eax]
        mov     [place], eax
place:  dd      90909090h
        mov     ecx, 3
.run:   inc     ebx
        loop    .run
        dec     esi
        jnz     next
        mov     esi, 1000
        hlt
choices: db     42h, 90h, 90h, 90h      ; INC EDX
        db      83h, 0c2h, 02h, 90h     ; ADD EDX, 2
