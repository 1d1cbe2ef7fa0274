; The displacement of an instruction is the page table entry of the page that it writes to: the accessed and dirty flags that it
; sets are in itself, and it has been fetched before.
; EXPECT ebx=3980397196 edx=0
        %include "smc.inc"
%define ENTRY (PAGE_TABLE + (200000h >> 12) * 4)
        paging
        mov     word [ENTRY - 2], 8001h                         ; ADD [EAX + RW_PAGE + 7], EAX
        mov     byte [ENTRY + 4], 0c3h                          ; RET
        mov     ebp, 300
again:  map     200000h, RW_PAGE + 7
        mov     eax, 200010h - RW_PAGE - 7
        call    code
        dec     ebp
        jnz     again
        mov     ebx, [RW_PAGE + 10h]
        mov     edx, [RW_PAGE + 70h]
        hlt
code:   jmp     ENTRY - 2
