; Overlays: other code, with its data, is loaded into one page again and again, and executed for a while.
; NOT MIXED
; EXPECT ebx=17700000 ebp=60
        %include "smc.inc"
        xor     ebx, ebx
        xor     ebp, ebp
next:   mov     edi, RW_PAGE + 1020
        mov     ecx, 256
        mov     eax, ebp
        std
        rep     stosd
        cld
        mov     word [RW_PAGE], 0c381h          ; ADD EBX, imm32
        mov     [RW_PAGE + 2], ebp
        mov     dword [RW_PAGE + 6], 0c3f77549h ; DEC ECX; JNZ RW_PAGE; RET
        mov     ecx, 10000
        call    RW_PAGE
        inc     ebp
        cmp     ebp, 60
        jb      next
        hlt
