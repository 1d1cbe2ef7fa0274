; A Multiboot 1 kernel that prints what it was given to the first serial port and ends the run through port 0xf4
; with 10h if the boot loader's magic was right, 11h if not.
; As a flat binary the header carries the addresses; with -DELF an ELF32 header comes first, with the entry point and
; segment at virtual addresses 0xc0000000 above the physical ones, as many kernels have it.

        bits 32
LOAD_ADDRESS    equ 0x200000
COM1            equ 0x3f8
DEBUG_EXIT      equ 0xf4
STACK_BYTES     equ 4096

%ifdef ELF
VIRTUAL_OFFSET  equ 0xc0000000
HEADER_FLAGS    equ 3           ; modules on page boundaries, memory information
%else
VIRTUAL_OFFSET  equ 0
HEADER_FLAGS    equ 3 | 1 << 16
%endif

        org LOAD_ADDRESS
image:
%ifdef ELF
        db 0x7f, 'ELF', 1, 1, 1
        times 9 db 0
        dw 2, 3                 ; executable, 386
        dd 1
        dd start + VIRTUAL_OFFSET
        dd program_header - image
        dd 0, 0
        dw 52, 32, 1, 0, 0, 0
program_header:
        dd 1, 0                 ; load, from the start of the file
        dd image + VIRTUAL_OFFSET, image
        dd image_end - image, bss_end - image
        dd 7, 4096
%endif
        align 4
multiboot_header:
        dd 0x1badb002
        dd HEADER_FLAGS
        dd -(0x1badb002 + HEADER_FLAGS)
        dd multiboot_header, image, image_end, bss_end, start

start:  mov esp, bss_end
        mov ebp, ebx
        mov edi, eax
        mov esi, text_magic
        call print_labelled
        cmp edi, 0x2badb002
        mov edi, 0x11
        jne exit

        mov edi, [ebp]
        mov esi, text_flags
        call print_labelled
        mov edi, [ebp + 4]
        mov esi, text_mem_lower
        call print_labelled
        mov edi, [ebp + 8]
        mov esi, text_mem_upper
        call print_labelled
        mov esi, text_command_line
        call print
        mov esi, [ebp + 16]
        call print
        call print_newline

        mov esi, text_bss
        mov edi, [bss_probe]
        call print_labelled

        mov ebx, [ebp + 24]
        mov ecx, [ebp + 20]
        jecxz .map
.module:
        mov edi, [ebx]
        mov esi, text_module
        call print_labelled
        mov edi, [ebx + 4]
        sub edi, [ebx]
        mov esi, text_module_size
        call print_labelled
        mov esi, text_module_name
        call print
        mov esi, [ebx + 8]
        call print
        call print_newline
        ; Sum of all bytes: shows that the whole module arrived.
        mov esi, [ebx]
        mov edx, [ebx + 4]
        xor edi, edi
        xor eax, eax
.sum:   cmp esi, edx
        jae .summed
        lodsb
        add edi, eax
        jmp .sum
.summed:
        mov esi, text_module_sum
        call print_labelled
        add ebx, 16
        loop .module

.map:   mov ebx, [ebp + 48]
        mov edx, ebx
        add edx, [ebp + 44]
.entry: cmp ebx, edx
        jae .end_of_map
        mov esi, text_map
        call print
        mov edi, [ebx + 8]
        call print_hex
        mov edi, [ebx + 4]
        call print_hex
        mov al, ' '
        call print_character
        mov edi, [ebx + 16]
        call print_hex
        mov edi, [ebx + 12]
        call print_hex
        mov al, ' '
        call print_character
        mov edi, [ebx + 20]
        call print_hex
        call print_newline
        add ebx, [ebx]
        add ebx, 4
        jmp .entry
.end_of_map:
        mov edi, 0x10

exit:   mov eax, edi
        mov dx, DEBUG_EXIT
        out dx, al
        cli
.halt:  hlt
        jmp .halt

; Text at ESI, EDI in hex, newline.
print_labelled:
        call print
        call print_hex
print_newline:
        mov al, 10
print_character:
        push edx
        push eax
.wait:  mov dx, COM1 + 5
        in al, dx
        test al, 0x20
        jz .wait
        pop eax
        mov dx, COM1
        out dx, al
        pop edx
        ret

print:  lodsb
        test al, al
        jz .end
        call print_character
        jmp print
.end:   ret

print_hex:
        push ecx
        mov ecx, 8
.digit: rol edi, 4
        mov eax, edi
        and eax, 0xf
        mov al, [digits + eax]
        call print_character
        loop .digit
        pop ecx
        ret

digits: db '0123456789abcdef'
text_magic: db 'magic ', 0
text_flags: db 'flags ', 0
text_mem_lower: db 'mem_lower ', 0
text_mem_upper: db 'mem_upper ', 0
text_command_line: db 'command line: ', 0
text_bss: db 'bss ', 0
text_module: db 'module at ', 0
text_module_size: db 'module size ', 0
text_module_name: db 'module name: ', 0
text_module_sum: db 'module sum ', 0
text_map: db 'map ', 0

image_end:
        absolute LOAD_ADDRESS + ((image_end - image + 15) & ~15)
bss_probe: resd 1
        resb STACK_BYTES - 4
bss_end:
