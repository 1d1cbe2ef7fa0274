; One function runs as 32-bit and as 16-bit code, and is changed.
; EXPECT ebx=11110000h edx=2000 esi=2000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edi, edi
        xor     edx, edx
        xor     esi, esi
        mov     ebp, 1000
again:  mov     byte [function + 5], 42h        ; INC EDX
        call    both
        mov     byte [function + 5], 46h        ; INC ESI
        call    both
        dec     ebp
        jnz     again
        mov     ebx, eax
        hlt
; Runs it with CS.D = 1, then 0. It ends with a far return of the other size.
both:   push    word 40h
        push    word one - 10000h
        jmp     8:function
one:    jmp     8:two
two:    push    dword 8
        push    dword three
        jmp     18h:(function - 10000h)
three:  ret

        align   16
function:
        db      0b8h, 00h, 00h, 11h, 11h        ; MOV EAX, 11110000h; or MOV AX, 0; ADC [BX + DI], DX
        inc     edx
        db      66h
        retf
