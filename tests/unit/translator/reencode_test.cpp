// Guest encodings and the host instruction that reencode() makes of them, read back by Capstone.
#include "translator/reencode.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>
#include <vector>

#include "core/isa/decode.h"
#include "core/isa/disassemble.h"

namespace vireo::translator {
namespace {

constexpr auto k16 = isa::CodeSize::k16, k32 = isa::CodeSize::k32;

struct Row {
  std::vector<uint8_t> guest;
  isa::CodeSize code_size;
  const char* host;
};

void PrintTo(const Row& row, std::ostream* out) {
  *out << isa::disassemble(row.guest, row.code_size, 0) << " -> " << row.host;
}

/// Memory operands become [r10 + r11].
HostForm usual() {
  HostForm form;
  form.memory_base = 10;
  form.memory_index = 11;
  return form;
}

std::string reencoded(const Row& row, const HostForm& form) {
  isa::Insn insn;
  EXPECT_EQ(isa::decode(row.guest, row.code_size, insn), isa::DecodeStatus::kOk);
  EXPECT_EQ(insn.length, row.guest.size());
  const HostInsn host = reencode(insn, isa::row(insn), row.guest, form);
  EXPECT_LE(host.size, host.bytes.size());
  return isa::disassemble(host.span(), isa::CodeSize::k64, 0);
}

class Reencode : public testing::TestWithParam<Row> {};

TEST_P(Reencode, GivesTheHostInstruction) {
  EXPECT_EQ(reencoded(GetParam(), usual()), GetParam().host);
}

INSTANTIATE_TEST_SUITE_P(Registers, Reencode,
                         testing::Values(Row{{0x89, 0xd8}, k32, "mov r8d, ebx"},         // mov eax, ebx
                                         Row{{0x89, 0xc3}, k32, "mov ebx, r8d"},         // mov ebx, eax
                                         Row{{0x89, 0xe5}, k32, "mov ebp, r9d"},         // mov ebp, esp
                                         Row{{0x8b, 0xe5}, k32, "mov r9d, ebp"},         // mov esp, ebp
                                         Row{{0x01, 0xc4}, k32, "add r9d, r8d"},         // add esp, eax
                                         Row{{0x01, 0xd8}, k16, "add r8w, bx"},          // add ax, bx
                                         Row{{0x66, 0x01, 0xd8}, k16, "add r8d, ebx"},   // add eax, ebx
                                         Row{{0x66, 0x01, 0xd8}, k32, "add r8w, bx"},    // add ax, bx
                                         Row{{0x00, 0xd8}, k32, "add r8b, bl"},          // add al, bl
                                         Row{{0x00, 0xc8 | 4}, k32, "add ah, cl"},       // add ah, cl
                                         Row{{0x88, 0xef}, k32, "mov bh, ch"},           // mov bh, ch
                                         Row{{0x0f, 0xb6, 0xc3}, k32, "movzx r8d, bl"},  // movzx eax, bl
                                         Row{{0x0f, 0xbf, 0xc1}, k32, "movsx r8d, cx"},  // movsx eax, cx
                                         Row{{0xf7, 0xd8}, k32, "neg r8d"},              // neg eax
                                         Row{{0x0f, 0xaf, 0xc2}, k32, "imul r8d, edx"},  // imul eax, edx
                                         Row{{0x0f, 0xc8}, k32, "bswap r8d"},            // bswap eax
                                         Row{{0x0f, 0xcc}, k32, "bswap r9d"},            // bswap esp
                                         Row{{0x0f, 0xcb}, k32, "bswap ebx"},            // bswap ebx
                                         Row{{0x0f, 0x94, 0xc0}, k32, "sete r8b"},       // sete al
                                         Row{{0x0f, 0x44, 0xc4}, k32, "cmove r8d, r9d"},
                                         Row{{0x87, 0xcb}, k32, "xchg ebx, ecx"},
                                         Row{{0x91}, k32, "xchg ecx, r8d"},    // xchg ecx, eax
                                         Row{{0x94}, k32, "xchg r9d, r8d"}));  // xchg esp, eax

INSTANTIATE_TEST_SUITE_P(
    Immediates, Reencode,
    testing::Values(Row{{0x05, 0x78, 0x56, 0x34, 0x12}, k32, "add r8d, 0x12345678"},
                    Row{{0x05, 0x34, 0x12}, k16, "add r8w, 0x1234"}, Row{{0x2c, 0x7f}, k32, "sub r8b, 0x7f"},
                    Row{{0x3d, 1, 0, 0, 0}, k32, "cmp r8d, 1"}, Row{{0xa8, 0x40}, k32, "test r8b, 0x40"},
                    Row{{0xa9, 0, 0, 0, 0x80}, k32, "test r8d, 0x80000000"},
                    Row{{0x82, 0xc3, 5}, k32, "add bl, 5"}, Row{{0x83, 0xec, 0x10}, k32, "sub r9d, 0x10"},
                    Row{{0xb8, 1, 0, 0, 0}, k32, "mov r8d, 1"}, Row{{0xbc, 1, 0, 0, 0}, k32, "mov r9d, 1"},
                    Row{{0xb9, 0x34, 0x12}, k16, "mov cx, 0x1234"}, Row{{0xb0, 9}, k32, "mov r8b, 9"},
                    Row{{0xb4, 9}, k32, "mov ah, 9"},
                    Row{{0x69, 0xc1, 1, 2, 0, 0}, k32, "imul r8d, ecx, 0x201"},
                    Row{{0xc1, 0xe0, 4}, k32, "shl r8d, 4"}, Row{{0xd3, 0xe0}, k32, "shl r8d, cl"},
                    Row{{0x0f, 0xa4, 0xc2, 3}, k32, "shld edx, r8d, 3"},
                    Row{{0x0f, 0xba, 0xe0, 7}, k32, "bt r8d, 7"}));

INSTANTIATE_TEST_SUITE_P(NotIn64BitMode, Reencode,
                         testing::Values(Row{{0x40}, k32, "inc r8d"}, Row{{0x41}, k32, "inc ecx"},
                                         Row{{0x44}, k32, "inc r9d"}, Row{{0x4f}, k32, "dec edi"},
                                         Row{{0x48}, k16, "dec r8w"}));

INSTANTIATE_TEST_SUITE_P(
    Memory, Reencode,
    testing::Values(Row{{0x8b, 0x03}, k32, "mov r8d, dword ptr [r10 + r11]"},
                    Row{{0x8b, 0x5c, 0x8d, 8}, k32, "mov ebx, dword ptr [r10 + r11]"},
                    Row{{0x89, 0x1d, 0, 0, 1, 0}, k32, "mov dword ptr [r10 + r11], ebx"},
                    Row{{0x88, 0x03}, k32, "mov byte ptr [r10 + r11], r8b"},
                    Row{{0x8b, 0x07}, k16, "mov r8w, word ptr [r10 + r11]"},
                    Row{{0xc7, 0x05, 0, 0, 1, 0, 5, 0, 0, 0}, k32, "mov dword ptr [r10 + r11], 5"},
                    Row{{0x83, 0x00, 1}, k32, "add dword ptr [r10 + r11], 1"},
                    Row{{0x80, 0x3e, 0}, k32, "cmp byte ptr [r10 + r11], 0"},
                    Row{{0x0f, 0xb6, 0x01}, k32, "movzx r8d, byte ptr [r10 + r11]"},
                    Row{{0xf0, 0xff, 0x01}, k32, "lock inc dword ptr [r10 + r11]"},
                    Row{{0xf0, 0x0f, 0xc1, 0x02}, k32, "lock xadd dword ptr [r10 + r11], r8d"},
                    Row{{0x64, 0x8b, 0x03}, k32, "mov r8d, dword ptr [r10 + r11]"},
                    Row{{0xa1, 0, 0, 1, 0}, k32, "mov r8d, dword ptr [r10 + r11]"},
                    Row{{0xa0, 0, 0, 1, 0}, k32, "mov r8b, byte ptr [r10 + r11]"},
                    Row{{0xa2, 0, 0, 1, 0}, k32, "mov byte ptr [r10 + r11], r8b"},
                    Row{{0xa3, 0, 1}, k16, "mov word ptr [r10 + r11], r8w"}));

INSTANTIATE_TEST_SUITE_P(
    X87MmxSse, Reencode,
    testing::Values(Row{{0xd9, 0xe8}, k32, "fld1"}, Row{{0xd8, 0xc1}, k32, "fadd st(1)"},
                    Row{{0xdd, 0x03}, k32, "fld qword ptr [r10 + r11]"},
                    Row{{0xdb, 0x3b}, k32, "fstp xword ptr [r10 + r11]"},
                    Row{{0x0f, 0xfc, 0xc1}, k32, "paddb mm0, mm1"},
                    Row{{0x0f, 0x6e, 0xc0}, k32, "movd mm0, r8d"},
                    Row{{0x0f, 0x58, 0xc1}, k32, "addps xmm0, xmm1"},
                    Row{{0x66, 0x0f, 0x58, 0xc1}, k32, "addpd xmm0, xmm1"},
                    Row{{0xf3, 0x0f, 0x10, 0x01}, k32, "movss xmm0, dword ptr [r10 + r11]"},
                    Row{{0xf2, 0x0f, 0x2c, 0xc1}, k32, "cvttsd2si r8d, xmm1"},
                    Row{{0x66, 0x0f, 0x38, 0x00, 0xc1}, k32, "pshufb xmm0, xmm1"},
                    Row{{0x66, 0x0f, 0x3a, 0x0f, 0xc1, 3}, k32, "palignr xmm0, xmm1, 3"},
                    Row{{0x0f, 0x6f, 0x03}, k16, "movq mm0, qword ptr [r10 + r11]"}));

TEST(ReencodeForm, EaxInRaxStaysThere) {
  HostForm form = usual();
  form.eax_in_rax = true;
  EXPECT_EQ(reencoded({{0x00, 0xc4}, k32, ""}, form), "add ah, al");
  EXPECT_EQ(reencoded({{0xf7, 0xe1}, k32, ""}, form), "mul ecx");
  EXPECT_EQ(reencoded({{0xf7, 0xf0}, k32, ""}, form), "div eax");
}

TEST(ReencodeForm, ExchangedHighBytesAreLowOnes) {
  HostForm form = usual();
  form.high_bytes_exchanged = true;
  EXPECT_EQ(reencoded({{0x88, 0x2b}, k32, ""}, form), "mov byte ptr [r10 + r11], cl");  // mov [ebx], ch
  EXPECT_EQ(reencoded({{0x8a, 0x3e}, k32, ""}, form), "mov bl, byte ptr [r10 + r11]");  // mov bh, [esi]
}

TEST(ReencodeForm, AnyHostRegisterIsAMemoryBase) {
  for (const auto& [base, text] : std::vector<std::pair<uint8_t, const char*>>{
           {0, "mov r8d, dword ptr [rax + r11]"},
           {4, "mov r8d, dword ptr [rsp + r11]"},
           {5, "mov r8d, dword ptr [rbp + r11]"},
           {9, "mov r8d, dword ptr [r9 + r11]"},
           {12, "mov r8d, dword ptr [r12 + r11]"},
           {13, "mov r8d, dword ptr [r13 + r11]"},
       }) {
    HostForm form = usual();
    form.memory_base = base;
    EXPECT_EQ(reencoded({{0x8b, 0x03}, k32, ""}, form), text);
  }
}

/// The operand of MOV r8d where it is for the emitter, and how long that MOV is.
struct Place {
  asmjit::x86::Mem memory;
  unsigned bytes;
  const char* host;
};

void PrintTo(const Place& place, std::ostream* out) {
  *out << place.host;
}

namespace x86 = asmjit::x86;

x86::Mem without_base(int32_t disp, const x86::Gp* index = nullptr, unsigned shift = 0) {
  x86::Mem memory;
  if (index != nullptr) memory.setIndex(*index, shift);
  memory.setOffset(disp);
  return memory;
}

class ReencodePlace : public testing::TestWithParam<Place> {};

TEST_P(ReencodePlace, IsTheShortestOperand) {
  const std::vector<uint8_t> guest{0x8b, 0x03};
  isa::Insn insn;
  ASSERT_EQ(isa::decode(guest, k32, insn), isa::DecodeStatus::kOk);
  HostForm form;
  form.set_memory(GetParam().memory);
  const HostInsn host = reencode(insn, isa::row(insn), guest, form);
  EXPECT_EQ(isa::disassemble(host.span(), isa::CodeSize::k64, 0),
            std::string("mov r8d, dword ptr ") + GetParam().host);
  EXPECT_EQ(host.size, GetParam().bytes);
}

INSTANTIATE_TEST_SUITE_P(Probed, ReencodePlace,
                         testing::Values(Place{x86::ptr(x86::rbx), 3, "[rbx]"},
                                         Place{x86::ptr(x86::r10), 3, "[r10]"},
                                         Place{x86::ptr(x86::rbp), 4, "[rbp]"},  // with a displacement of 0
                                         Place{x86::ptr(x86::r13), 4, "[r13]"},
                                         Place{x86::ptr(x86::rsp), 4, "[rsp]"},  // with a SIB byte
                                         Place{x86::ptr(x86::r12), 4, "[r12]"},
                                         Place{x86::ptr(x86::rbx, 127), 4, "[rbx + 0x7f]"},
                                         Place{x86::ptr(x86::rbx, -128), 4, "[rbx - 0x80]"},
                                         Place{x86::ptr(x86::rbx, 128), 7, "[rbx + 0x80]"},
                                         Place{x86::ptr(x86::rbx, -129), 7, "[rbx - 0x81]"},
                                         Place{x86::ptr(x86::r12, 8), 5, "[r12 + 8]"},
                                         Place{x86::ptr(x86::r12, 128), 8, "[r12 + 0x80]"},
                                         Place{x86::ptr(x86::rbx, x86::rcx), 4, "[rbx + rcx]"},
                                         Place{x86::ptr(x86::rbp, x86::r11, 2), 5, "[rbp + r11*4]"},
                                         Place{without_base(0, &x86::r9, 3), 8, "[r9*8]"}));

INSTANTIATE_TEST_SUITE_P(InTheWindow, ReencodePlace,
                         testing::Values(Place{x86::ptr(x86::r12, x86::rbx), 4, "[r12 + rbx]"},
                                         Place{x86::ptr(x86::r12, x86::r9), 4, "[r12 + r9]"},
                                         Place{x86::ptr(x86::r12, x86::rbp, 0, -4), 5, "[r12 + rbp - 4]"},
                                         Place{x86::ptr(x86::r12, x86::r8, 2, 0x1234), 8,
                                               "[r12 + r8*4 + 0x1234]"},
                                         Place{x86::ptr(x86::r12, 0x12345678), 8, "[r12 + 0x12345678]"}));

TEST(ReencodeForm, AnotherRegisterStandsIn) {
  HostForm form = usual();
  form.reg_instead = 12;
  EXPECT_EQ(reencoded({{0x8b, 0xc3}, k32, ""}, form), "mov r12d, ebx");
}

}  // namespace
}  // namespace vireo::translator
