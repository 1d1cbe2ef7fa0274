; Real mode: patching ahead, through two segments that overlap, and across the end of a segment.
; EXPECT ebx=7d00h edx=001e8868h esi=0
        %include "smc.inc"
        jmp     18h:(protected16 - 10000h)
        bits    16
protected16:
        mov     eax, cr0
        and     eax, 0fffffffeh
        mov     cr0, eax
        jmp     1000h:(real - 10000h)
real:   mov     ax, 1000h
        mov     ds, ax
        mov     ss, ax
        mov     ax, 0fffh
        mov     es, ax
        mov     esp, 0f000h
        xor     edx, edx
        xor     ebx, ebx
        mov     cx, 2000
again:  mov     [target + 2 - 10000h], cx
target: mov     eax, 0
        add     edx, eax
        mov     word [es:other + 2 - 10000h + 16], 16
        jmp     other
other:  add     bx, 1111h
        mov     word [other + 2 - 10000h], 0
        dec     cx
        jnz     again
        xor     esi, esi
        hlt
