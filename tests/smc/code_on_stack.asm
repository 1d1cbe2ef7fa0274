; Small functions are built on the stack and called there; pushes and the call write beside them.
; EXPECT ebx=001e8868h esp=80000h
        %include "smc.inc"
        mov     ecx, 2000
        xor     ebx, ebx
again:  push    dword 90c30000h         ; ADD EBX, imm32; RET: 81 C3 imm32 C3
        mov     eax, ecx
        shl     eax, 16
        or      eax, 0c381h
        push    eax
        call    esp
        add     esp, 8
        dec     ecx
        jnz     again
        hlt
