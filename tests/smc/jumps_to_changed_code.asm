; Code that others jump to directly, from the same page and from another one, is replaced by code that goes elsewhere.
; EXPECT ebx=2000 edx=1000 esi=1000
        %include "smc.inc"
        xor     ebx, ebx
        xor     edx, edx
        xor     esi, esi
        mov     ecx, 2000
again:  inc     ebx
        test    ebx, ebx
        jnz     middle
middle: jmp     near there
done:   xor     dword [there + 1], (one - there - 5) ^ (two - there - 5)
        dec     ecx
        jnz     again
        hlt
one:    inc     edx
        jmp     done
two:    inc     esi
        jmp     done
        times   5000 db 90h
there:  jmp     near one
