; The second page of an instruction across pages is mapped to another frame, then taken away.
; EXPECT ebx=3000 edx=1000 esi=1000
        %include "smc.inc"
%define CODE 200000h
        gate    14, page_fault
        lidt    [idtr]
        paging
        mov     word [RW_PAGE + 0ffeh], 0c381h                  ; ADD EBX, imm32; RET
        mov     dword [RW_PAGE + 1000h], 1
        mov     byte [RW_PAGE + 1004h], 0c3h
        mov     dword [RW_PAGE + 2000h], 2
        mov     byte [RW_PAGE + 2004h], 0c3h
        map     CODE, RW_PAGE + 3
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ebp, 500
again:  map     CODE + 1000h, RW_PAGE + 1003h
        call    function                ; 1
        map     CODE + 1000h, RW_PAGE + 2003h
        call    function                ; 2
        map     CODE + 1000h, 0
        call    function                ; #PF, then 1
        map     CODE + 1000h, 0
        call    function                ; #PF, then 2
        dec     ebp
        jnz     again
        hlt
function:
        mov     eax, CODE + 0ffeh
        jmp     eax
page_fault:
        mov     eax, cr2
        cmp     eax, CODE + 1000h
        jne     .wrong
        inc     esi
.wrong: add     esp, 4
        inc     edx
        map     CODE + 1000h, RW_PAGE + 1003h
        test    dl, 1
        jnz     .return
        map     CODE + 1000h, RW_PAGE + 2003h
.return:
        iret
idtr:   dw      7ffh
        dd      IDT
