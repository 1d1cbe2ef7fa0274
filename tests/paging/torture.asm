; The page-table torture guest: README.md. Loaded to 10000h by bios/boot_sector.asm, which leaves flat 32-bit protected mode.
        %include "layout.inc"
        bits    32
        org     IMAGE

        jmp     start
        align   16
; What the harness may change in the image; "PGTORTUR" is how it finds this.
config: db      "PGTORTUR"
config_steps:   dd 12800                ; random steps in each mode
config_seed:    dd 1
config_verbose: dd 0                    ; 1: a line for each random step from config_first on
config_first:   dd 0
config_modes:   dd 3                    ; bit 0: 32-bit, bit 1: PAE
config_cases:   dd 1                    ; 0: only the random parts
config_rounds:  dd 1024                 ; pieces of random code in each mode
config_tasks:   dd 1                    ; 0: no task switches

        %include "runtime.inc"
        %include "access.inc"
        %include "steps.inc"
        %include "routines.inc"
        %include "random.inc"
        %include "random_code.inc"
        %include "cases.inc"

start:  mov     ax, STACK0
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, KERNEL_STACK
        cld
        call    set_up
        call    put_line_end
        say     "BEGIN"
        call    put_line_end
        test    byte [config_modes], 1
        jz      .pae
        xor     eax, eax
        call    run_mode
.pae:   cmp     dword [can_pae], 0
        je      .end
        test    byte [config_modes], 2
        jz      .end
        mov     eax, 1
        call    run_mode
.end:   say     "END"
        call    put_line_end
        cmp     dword [failures], 0
        setnz   al
        or      al, 10h
        jmp     stop

run_mode:
        call    enter_mode
        cmp     byte [config_cases], 0
        je      .random
        call    run_cases
.random:
        call    run_random
        call    random_code
        jmp     leave_mode
