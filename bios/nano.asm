; The nanobenchmarks of `vireo bench`: README.md. Loaded to 10000h by boot_sector.asm, which leaves 32-bit protected mode.
        bits    32
        org     10000h

VARIABLES       equ 30000h
USER_STACK      equ 40000h              ; each grows down
GATE_STACK      equ 44000h              ; where entries from ring 3 push, as TSS.ESP0 says
MAIN_STACK      equ 48000h
DIRECTORY       equ 200000h             ; page directory, and behind it the tables of 0 to 16 MiB and that of the local APIC
TABLES          equ DIRECTORY + 1000h
APIC_TABLE      equ TABLES + 4 * 1000h
TOUCHED         equ 0c00000h            ; 16 pages that movcr3-touch reads; these four are in one page table
FLUSHED         equ 0d00000h            ; the page of invlpg
NEVER_ACCESSED  equ 0e00000h            ; the page of ptemod
NOT_PRESENT     equ 0f00000h            ; the page of pgfault
APIC            equ 0fee00000h

CODE            equ 8                   ; selectors; SYSENTER and SYSEXIT want these four in this order
STACK0          equ 10h
CODE3           equ 1bh
DATA3           equ 23h                 ; DS and ES, in both rings
TSS             equ 28h

CHANNEL0        equ 40h                 ; the PIT
CHANNEL2        equ 42h
PIT_HZ          equ 1193182
HLT_COUNT       equ 239                 ; 200 us; mode 0 ends a clock later
CALIBRATE_COUNT equ 59659               ; 50 ms

MAX_SAMPLES     equ 100

FINE            equ 10h                 ; to the debug exit port
FAILED          equ 11h

        jmp     start
        align   16
; What a harness may change in the image; the signature is how it finds this.
config: db      "VIREONAN"
config_sample_us:
        dd      10000                   ; a sample takes at least this
config_samples:
        dd      5                       ; numbers in a row, 1 to MAX_SAMPLES
config_rows:
        dq      -1                      ; bit N: row N of the table in nano_rows.inc is measured

        %include "nano_runtime.inc"
        %include "nano_rows.inc"

start:  mov     ax, STACK0
        mov     ds, ax
        mov     es, ax
        mov     ss, ax
        mov     esp, MAIN_STACK
        cld
        call    set_up
        say     10, "NANO begin 1", 10
        mov     eax, [config_samples]
        cmp     eax, MAX_SAMPLES
        jbe     .samples
        mov     eax, MAX_SAMPLES
.samples:
        mov     [samples], eax
        call    calibrate
        say     "TSC hz "
        mov     eax, [tsc_hz]
        mov     edx, [tsc_hz + 4]
        call    put_number
        say     10
        xor     ecx, ecx
.row:   bt      [config_rows], ecx
        jnc     .next
        push    ecx
        imul    ebx, ecx, ROW_BYTES
        add     ebx, rows
        call    measure
        pop     ecx
.next:  inc     ecx
        cmp     ecx, ROWS
        jb      .row
        say     "NANO end", 10
        mov     al, FINE
        jmp     stop

; The row EBX.
measure:
        mov     [measured], ebx
        call    [ebx + ROW_SET_UP]
        test    eax, eax
        jz      .grow
        push    eax
        say     "SKIP "
        mov     eax, [ebx + ROW_NAME]
        call    put_string
        say     " "
        pop     eax
        call    put_string
        say     10
        ret
.grow:  mov     eax, [ebx + ROW_FIRST]
        mov     [count], eax
.longer:                                ; twice, as one may take long for being translated, or because the host was elsewhere
        call    time_operation
        sub     eax, [sample_cycles]
        sbb     edx, [sample_cycles + 4]
        jc      .double
        call    time_operation
        sub     eax, [sample_cycles]
        sbb     edx, [sample_cycles + 4]
        jnc     .base
.double:
        shl     dword [count], 1
        jns     .longer
        fail    "a row takes no time"
        ; The base is the least of some: the first may have to be translated, and what disturbs one only makes it longer.
        ; They are spread over the samples, as a host may be slow for a while.
.base:  mov     dword [base_cycles + 4], 7fffffffh
        call    time_base
        call    time_base
        xor     ecx, ecx
.sample:
        push    ecx
        call    time_operation
        mov     ecx, [esp]
        cmp     byte [has_own_cost], 0
        je      .store
        mov     eax, [own_cost]
        mov     edx, [own_cost + 4]
.store: mov     [sampled + ecx * 8], eax
        mov     [sampled + ecx * 8 + 4], edx
        call    time_base
        pop     ecx
        inc     ecx
        cmp     ecx, [samples]
        jb      .sample

        say     "ROW "
        mov     eax, [measured]
        mov     eax, [eax + ROW_NAME]
        call    put_string
        say     " "
        mov     eax, [count]
        xor     edx, edx
        call    put_number
        xor     ecx, ecx
.put:   say     " "
        mov     eax, [sampled + ecx * 8]
        mov     edx, [sampled + ecx * 8 + 4]
        mov     ebx, [measured]
        cmp     dword [ebx + ROW_BASE], no_base
        je      .sign
        sub     eax, [base_cycles]
        sbb     edx, [base_cycles + 4]
.sign:  test    edx, edx
        jns     .number
        xor     eax, eax                ; hidden behind the loop
        xor     edx, edx
.number:
        call    put_number
        inc     ecx
        cmp     ecx, [samples]
        jb      .put
        say     10
        jmp     default_gates

time_base:
        mov     eax, [measured]
        mov     eax, [eax + ROW_BASE]
        call    time
        cmp     edx, [base_cycles + 4]
        ja      .more
        jb      .less
        cmp     eax, [base_cycles]
        jae     .more
.less:  mov     [base_cycles], eax
        mov     [base_cycles + 4], edx
.more:  ret

time_operation:
        mov     eax, [measured]
        mov     eax, [eax + ROW_OPERATION]
; EDX:EAX: cycles that the routine EAX takes. It gets the number of operations in ESI and may change all but ESP.
time:   mov     [routine], eax
        mov     byte [has_own_cost], 0
        mov     esi, [count]
        rdtsc
        mov     [started], eax
        mov     [started + 4], edx
        call    [routine]
        rdtsc
        sub     eax, [started]
        sbb     edx, [started + 4]
        jc      .backwards
        ret
.backwards:
        fail    "the TSC goes backwards"

        absolute VARIABLES
tsc_hz:         resq 1
tsc_mhz:        resd 1
sample_cycles:  resq 1                  ; config_sample_us in cycles
hlt_cycles:     resd 1                  ; HLT_COUNT in cycles
cpuid_edx:      resd 1                  ; of leaf 1
measured:       resd 1                  ; the row
routine:        resd 1
count:          resd 1                  ; operations in a sample
samples:        resd 1
sampled:        resq MAX_SAMPLES
started:        resq 1
base_cycles:    resq 1
own_cost:       resq 1                  ; of an operation that does not count all of its time,
has_own_cost:   resd 1                  ; if it says so here
faults:         resd 1                  ; how often a fault handler ran
main_esp:       resd 1                  ; while code runs in ring 3
variables_end:
        resb    -($ - VARIABLES) & 0fffh
idt:            resq 256
tss:            resb 104
        resb    -($ - VARIABLES) & 0fffh
gdt:            resq 6
        section .text
