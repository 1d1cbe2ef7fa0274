; Code changes the mapping of the page that it runs in: the next instruction comes from the other frame. By INVLPG, and by
; MOV CR3.
; EXPECT ebx=2000 edx=2000 esi=0
        %include "smc.inc"
%define CODE 200000h
        paging
        mov     esi, template
        mov     edi, RW_PAGE
        mov     ecx, template.end - template
        rep movsb
        mov     esi, template
        mov     edi, RW_PAGE + 1000h
        mov     ecx, template.end - template
        rep movsb
        mov     word [RW_PAGE + 1000h + template.first - template], 0c2ffh      ; INC EDX
        mov     word [RW_PAGE + 1000h + template.second - template], 0c2ffh
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ebp, 1000
again:  map     CODE, RW_PAGE + 3
        mov     ecx, RW_PAGE + 1003h
        mov     eax, CODE
        call    eax                     ; INC EDX of the second frame, then INC EBX of the first
        map     CODE, RW_PAGE + 1003h
        mov     ecx, RW_PAGE + 3
        mov     eax, CODE
        call    eax                     ; INC EBX, then INC EDX
        dec     ebp
        jnz     again
        hlt

; ECX: the other frame's entry. Runs at CODE.
template:
        mov     edi, [PAGE_TABLE + (CODE >> 12) * 4]
        mov     [PAGE_TABLE + (CODE >> 12) * 4], ecx
        invlpg  [CODE]
.first: db      0ffh, 0c3h              ; INC EBX
        and     edi, 0fffff003h         ; without A and D
        mov     [PAGE_TABLE + (CODE >> 12) * 4], edi
        mov     eax, cr3
        mov     cr3, eax
.second:
        db      0ffh, 0c3h
        ret
.end:
