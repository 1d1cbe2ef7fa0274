; The same bytes as two streams of instructions: from `outer`, and from `inner` in the middle of its first one. Both are
; hot; then a byte that both share is changed.
; EXPECT ecx=0 edx=5000 ebx=c302c283h edi=c303c283h
        %include "smc.inc"
        xor     edx, edx
        mov     ecx, 1000
first:  call    outer
        call    inner                   ; ADD EDX, 2
        loop    first
        mov     ebx, edi
        mov     byte [inner + 2], 3
        mov     ecx, 1000
second: call    inner                   ; ADD EDX, 3
        call    outer
        loop    second
        hlt

        align   16
outer:  db      0bfh                    ; MOV EDI, imm32
inner:  add     edx, byte 2             ; 83 C2 02
        ret                             ; C3: the immediate ends here
        ret
