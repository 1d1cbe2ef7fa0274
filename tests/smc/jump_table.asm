; A jump table that goes on in the next page, whose pages are mapped to other frames, then taken away, and whose elements are
; written to. By JMP and by CALL.
; EXPECT ebx=27600 edx=600 esi=300 edi=900
        %include "smc.inc"
%define TABLE (200000h + 0ff0h)         ; four elements here, four in the next page
%define FIRST 0ff0h
        gate    14, page_fault
        lidt    [idtr]
        paging
        mov     edi, RW_PAGE            ; frames 0 and 1: all elements lead to `one`; 2: to `two`; 3: to `three`
        mov     eax, one
        mov     ecx, 2048
        rep stosd
        mov     eax, two
        mov     ecx, 1024
        rep stosd
        mov     eax, three
        mov     ecx, 1024
        rep stosd
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        xor     edi, edi
        mov     ebp, 300
again:  map     200000h, RW_PAGE + 3
        map     201000h, RW_PAGE + 1003h
        call    all                     ; 16 * 1
        map     201000h, RW_PAGE + 2003h
        call    all                     ; 8 * 1 + 8 * 2
        mov     dword [RW_PAGE + FIRST + 4], three
        call    all                     ; 2 more for each of 2
        mov     dword [RW_PAGE + FIRST + 4], one
        mov     dword [fixed], RW_PAGE + 1003h
        map     201000h, 0
        call    upper                   ; #PF, then 4 * 1
        map     200000h, 0
        mov     dword [fixed], RW_PAGE + 3003h
        call    lower                   ; #PF, then 4 * 3
        mov     dword [fixed], RW_PAGE + 2003h
        map     201000h, 0
        call    upper                   ; #PF, then 4 * 2
        map     200000h, RW_PAGE + 3003h
        dec     ebp
        jnz     again
        hlt

; Goes through all elements, by JMP and by CALL.
all:    mov     ecx, 7
.next:  push    .back
        jmp     [TABLE + 4 * ecx]
.back:  call    [TABLE + 4 * ecx]
        dec     ecx
        jns     .next
        ret
upper:  mov     ecx, 7
.next:  push    .back
        jmp     [TABLE + 4 * ecx]
.back:  dec     ecx
        cmp     ecx, 4
        jae     .next
        ret
lower:  mov     ecx, 3
.next:  mov     eax, [TABLE + 4 * ecx]
        call    eax
        dec     ecx
        jns     .next
        ret

one:    inc     ebx
        ret
two:    add     ebx, 2
        ret
three:  add     ebx, 3
        ret

fixed:  dd      0
page_fault:
        push    eax
        push    ecx
        mov     eax, cr2
        test    eax, 1000h
        jz      .first
        inc     edx
        mov     ecx, [fixed]
        map     201000h, ecx
        jmp     .done
.first: inc     esi
        mov     ecx, [fixed]
        map     200000h, ecx
.done:  pop     ecx
        pop     eax
        add     esp, 4
        inc     edi
        iret
idtr:   dw      7ffh
        dd      IDT
