; The first element that a REP instruction writes makes its own page another frame (remapped_by_store.asm), where there is
; another instruction in its place: the other elements are not written. In a page that is protected, and in one that is mixed.
; EXPECT ebx=0 edx=3000 esi=9000
; MIXED
        %include "smc.inc"
%define CODE 200000h
%define DATA (CODE + 800h)
        paging
        copy_frames
        xor     ebx, ebx
        xor     edx, edx
        xor     ebp, ebp
        call    rounds
        map     CODE, RW_PAGE + 3
        mov     ecx, 2000
mix:    mov     [CODE + 0f00h], ecx
        call    nothing
        dec     ecx
        jnz     mix
        call    rounds
        mov     esi, ebp
        hlt

rounds: push    dword 500
again:  mov     eax, filling
        call    remapped
        mov     eax, copying
        call    remapped
        mov     eax, reading
        call    remapped
        dec     dword [esp]
        jnz     again
        pop     eax
        ret

; EAX: where to go in the first frame, which is in the TLB and clean. Adds what is left in ECX to EBP.
remapped:
        remap   CODE, nothing
        mov     edi, DATA
        mov     esi, RW_PAGE + 2000h
        mov     ecx, 4
        push    edx
        mov     edx, DMA_FROM
        call    eax
        pop     edx
        setc    al                      ; of the second frame
        movzx   eax, al
        add     edx, eax
        add     ebp, ecx
        ret

frames:
nothing equ     CODE + $ - frames
        ret
filling equ     CODE + $ - frames
        rep stosd
        clc
        ret
copying equ     CODE + $ - frames
        rep movsb
        clc
        ret
reading equ     CODE + $ - frames
        rep insb
        clc
        ret
first_end:
        times   1000h - (first_end - frames) db 0cch
        ret
        times   3 db 90h, 90h, 0f9h, 0c3h       ; NOP, NOP, STC, RET
frames_end:
