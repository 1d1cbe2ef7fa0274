; Two pages of code take turns at one linear address: by INVLPG, then by two address spaces.
; EXPECT ebx=2000 edx=4000 esi=2000
        %include "smc.inc"
%define CODE 200000h
%define OTHER_TABLE 6000h
        paging
        mov     dword [RW_PAGE], 0c3c3ffh               ; INC EBX; RET
        mov     dword [RW_PAGE + 1000h], 0c302c283h     ; ADD EDX, 2; RET
        xor     ebx, ebx
        xor     edx, edx
        mov     ecx, 1000
first:  map     CODE, RW_PAGE + 3
        mov     eax, CODE
        call    eax
        map     CODE, RW_PAGE + 1003h
        call    eax
        loop    first
        mov     esi, PAGE_TABLE                         ; the second address space
        mov     edi, OTHER_TABLE
        mov     ecx, 1024
        rep movsd
        mov     dword [7000h], OTHER_TABLE + 7
        map     CODE, RW_PAGE + 3
        mov     dword [OTHER_TABLE + (CODE >> 12) * 4], RW_PAGE + 1003h
        xor     esi, esi
        mov     ecx, 1000
second: mov     eax, 4000h
        mov     cr3, eax
        call    function
        mov     eax, 7000h
        mov     cr3, eax
        call    function
        add     esi, 2
        loop    second
        hlt
function:
        mov     eax, CODE
        jmp     eax
