; A Multiboot kernel that spends its time in a loop of ordinary integer instructions, for measuring the speed of engines.
; Ends through port 0xf4 (vireo run --debug-exit: status 1). Built flat: nasm -f bin.
;
; One iteration is 10 instructions: arithmetic, logic, shifts, a load, a store and the loop branch.
bits 32
org 0x100000

iterations equ 100000000

magic equ 0x1badb002
flags equ 1 << 16               ; the addresses below are valid
header:
  dd magic, flags, -(magic + flags)
  dd header, header, end, end, start

start:
  mov ecx, iterations
  mov eax, 1
  mov ebx, 0x12345678
  xor edx, edx
  mov esi, cell
.next:
  add eax, ebx
  xor edx, eax
  rol ebx, 5
  mov [esi], edx
  lea edi, [eax + edx * 2 + 3]
  and edi, 0xffff
  add edx, edi
  sub eax, [esi]
  dec ecx
  jnz .next
  xor eax, eax
  out 0xf4, eax
  hlt

align 4096                      ; not on the page of the code
cell dd 0
end:
