; The page table entry of the page that code runs in is another one, without INVLPG. The page's first write, for which the
; processor looks at the entry again, makes the next instruction come from the other frame, not the instruction that writes.
; EXPECT ebx=0 edx=1500 esi=6000 edi=1000
        %include "smc.inc"
%define CODE 200000h
%define DATA (CODE + 800h)
        paging
        copy_frames
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        mov     ebp, 500
again:  mov     eax, storing
        call    remapped
        mov     eax, adding
        call    remapped
        mov     eax, pushing
        call    remapped
        dec     ebp
        jnz     again
        mov     ecx, [RW_PAGE + 1000h + 800h]   ; what the stores have left, all of it in the second frame
        mov     esi, [RW_PAGE + 1000h + 804h]
        imul    esi, 6
        mov     edi, [RW_PAGE + 1000h + 0ff8h]
        add     edi, 500
        hlt

; EAX: where to go in the first frame, which is in the TLB and clean.
remapped:
        remap   CODE, nothing
        mov     ecx, esp
        jmp     eax

frames:
nothing equ     CODE + $ - frames
        ret
storing equ     CODE + $ - frames
        mov     [DATA], ebx
        inc     ebx
        ret
adding  equ     CODE + $ - frames
        add     dword [DATA + 4], 2
        inc     ebx
        ret
pushing equ     CODE + $ - frames
        mov     esp, CODE + 0ffch
        push    500
        mov     esp, ecx
        inc     ebx
        ret
first_end:
        times   1000h - (first_end - frames) db 0cch
        ret                               ; the same, but EDX, and the instructions that write write something else
        mov     [DATA], ecx
        inc     edx
        ret
        add     dword [DATA + 4], 3
        inc     edx
        ret
        mov     esp, CODE + 0ff8h
        push    400
        mov     esp, ecx
        inc     edx
        ret
frames_end:
