; A hot function's page is taken away and comes back: calls must raise #PF in between.
; EXPECT ebx=4000 edx=1000
        %include "smc.inc"
%define CODE 200000h
        gate    14, page_fault
        lidt    [idtr]
        paging
        mov     dword [RW_PAGE], 0c3c3ffh               ; INC EBX; RET
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
again:  map     CODE, RW_PAGE + 3
        mov     eax, CODE
        call    eax
        call    eax
        call    eax
        map     CODE, 0
        call    eax                     ; the handler brings the page back
        loop    again
        hlt
page_fault:
        add     esp, 4
        inc     edx
        map     CODE, RW_PAGE + 3
        iret
idtr:   dw      7ffh
        dd      IDT
