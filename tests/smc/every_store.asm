; Each kind of store changes the immediate of a function that is called before and after it, again and again.
; EXPECT ebx=0 ecx=0
        %include "smc.inc"
; RW_PAGE holds MOV EAX, imm32; RET. check N: the immediate has become ECX + N. EBX counts errors.
%macro check 1
        call    RW_PAGE
        lea     edx, [ecx + %1]
        cmp     eax, edx
        je      %%right
        inc     ebx
%%right:
%endmacro
        mov     eax, cr4
        or      eax, 600h               ; OSFXSR, OSXMMEXCPT
        mov     cr4, eax
        xor     ebx, ebx
        mov     byte [RW_PAGE], 0b8h
        mov     dword [RW_PAGE + 1], 0
        mov     dword [RW_PAGE + 5], 909090c3h
        mov     dword [RW_PAGE + 9], 90909090h
        mov     dword [RW_PAGE + 13], 90909090h
        mov     ecx, 300
again:  mov     dword [RW_PAGE + 1], ecx
        check   0
        lea     eax, [ecx + 1]
        mov     [RW_PAGE + 1], al       ; bytes
        mov     [RW_PAGE + 2], ah
        check   1
        lea     eax, [ecx + 2]
        mov     [RW_PAGE + 1], ax
        check   2
        add     dword [RW_PAGE + 1], 1
        check   3
        inc     dword [RW_PAGE + 1]
        check   4
        not     dword [RW_PAGE + 1]
        not     dword [RW_PAGE + 1]
        neg     dword [RW_PAGE + 1]
        neg     dword [RW_PAGE + 1]
        check   4
        lea     eax, [ecx + 5]
        xchg    [RW_PAGE + 1], eax
        check   5
        mov     eax, 1
        lock xadd [RW_PAGE + 1], eax
        check   6
        mov     eax, [RW_PAGE + 1]
        lea     edx, [ecx + 7]
        lock cmpxchg [RW_PAGE + 1], edx
        check   7
        mov     dword [RW_PAGE + 1], 0
        lea     eax, [ecx + 8]
        or      [RW_PAGE + 1], eax
        check   8
        lea     eax, [ecx + 9]
        mov     edi, RW_PAGE + 1
        stosd
        check   9
        mov     dword [source], ecx
        add     dword [source], 10
        mov     esi, source
        mov     edi, RW_PAGE + 1
        movsd
        check   10
        inc     dword [source]
        mov     esi, source
        mov     edi, RW_PAGE + 1
        push    ecx
        mov     ecx, 4
        rep movsb
        pop     ecx
        check   11
        mov     ebp, esp                ; pushes
        mov     esp, RW_PAGE + 5
        lea     eax, [ecx + 12]
        push    eax
        mov     esp, ebp
        check   12
        lea     eax, [ecx + 13]
        mov     [source], eax
        push    dword [source]
        pop     dword [RW_PAGE + 1]
        check   13
        fild    dword [source]
        inc     dword [source]
        fstp    st0
        fild    dword [source]
        fistp   dword [RW_PAGE + 1]
        check   14
        inc     dword [source]
        movd    mm0, [source]
        movd    [RW_PAGE + 1], mm0
        emms
        check   15
        inc     dword [source]
        movq    xmm1, [RW_PAGE + 1]
        movd    xmm0, [source]
        movss   xmm1, xmm0
        movq    [RW_PAGE + 1], xmm1
        check   16
        inc     dword [source]
        movups  xmm1, [RW_PAGE + 1]
        movd    xmm0, [source]
        movss   xmm1, xmm0
        movups  [RW_PAGE + 1], xmm1
        check   17
        inc     dword [source]
        movd    xmm1, [source]
        movss   [RW_PAGE + 1], xmm1
        check   18
        push    ebx
        push    ecx
        lea     ebx, [ecx + 19]
        mov     eax, [RW_PAGE + 1]
        mov     edx, [RW_PAGE + 5]
        mov     ecx, edx
        lock cmpxchg8b [RW_PAGE + 1]
        pop     ecx
        pop     ebx
        check   19
        mov     dword [RW_PAGE + 1], 0
        lea     eax, [ecx + 20]
        shl     eax, 16
        shld    [RW_PAGE + 1], eax, 16
        check   20
        mov     word [RW_PAGE + 3], cs  ; which is 8
        sub     dword [RW_PAGE + 1], 80000h
        check   20
        btc     dword [RW_PAGE + 1], 31
        btc     dword [RW_PAGE + 1], 31
        check   20
        cmp     eax, eax
        sete    [RW_PAGE + 4]
        sub     byte [RW_PAGE + 4], 1
        check   20
        lea     eax, [ecx + 21]
        movnti  [RW_PAGE + 1], eax
        check   21
        lea     eax, [ecx + 22]
        out     DMA_FROM, eax
        mov     edi, RW_PAGE + 1
        mov     edx, DMA_FROM
        insd
        check   22
        mov     ebp, esp
        mov     esp, RW_PAGE + 5
        call    .here                   ; writes its return address
.here:  mov     esp, ebp
        call    RW_PAGE
        cmp     eax, .here
        je      .right
        inc     ebx
.right:
        dec     ecx
        jnz     again
        hlt
        align   16
source: dd      0
