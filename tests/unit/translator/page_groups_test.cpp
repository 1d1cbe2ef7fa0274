// Which accesses of a block one probe covers.
#include "translator/page_groups.h"

#include <gtest/gtest.h>

#include <deque>

#include "core/isa/decode.h"
#include "translator/emitter.h"

namespace vireo::translator {
namespace {

constexpr Mode kFlat32{Mode::kCode32 | Mode::kStack32 | Mode::kFlatEs | Mode::kFlatSs | Mode::kFlatDs};
constexpr uint8_t kEcx = 1, kEbx = 3, kEsp = 4, kEsi = 6;

/// The groups of 32-bit code.
class PageGroupsTest : public testing::Test {
 protected:
  void add(std::vector<uint8_t> bytes) {
    code_.push_back(std::move(bytes));
    ScannedInsn x;
    ASSERT_EQ(isa::decode(code_.back(), isa::CodeSize::k32, x.insn), isa::DecodeStatus::kOk);
    ASSERT_EQ(x.insn.length, code_.back().size());
    x.row = &isa::row(x.insn);
    x.bytes = code_.back();
    insns_.push_back(x);
  }
  PageGroups find(Mode mode = kFlat32, uint64_t ungrouped = 0,
                  const ProbeCosts& costs = kFindingProbes) const {
    return find_page_groups(insns_, mode, ungrouped, costs);
  }

  const isa::Insn& insn(size_t i) const { return insns_[i].insn; }

 private:
  std::deque<std::vector<uint8_t>> code_;
  std::vector<ScannedInsn> insns_;
};

TEST_F(PageGroupsTest, PushesAndStackOperands) {
  add({0x56});                    // push esi
  add({0x53});                    // push ebx
  add({0x8b, 0x44, 0x24, 0x0c});  // mov eax, [esp + 12]
  add({0x5b});                    // pop ebx
  add({0xc3});                    // ret
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  const PageGroup& group = found.groups[0];
  EXPECT_EQ(group.first, 0);
  EXPECT_EQ(group.last, 4);
  EXPECT_EQ(group.base, kEsp);
  EXPECT_EQ(group.low, -8);
  EXPECT_EQ(group.bytes, 16u);
  EXPECT_TRUE(group.writes);
  EXPECT_TRUE(group.in_register);
  EXPECT_EQ(found.stack[0].offset, 4u);
  EXPECT_EQ(found.stack[1].offset, 0u);
  EXPECT_EQ(found.operands[2].offset, 12u);
  EXPECT_EQ(found.stack[3].offset, 0u);
  EXPECT_EQ(found.stack[4].offset, 4u);
}

TEST_F(PageGroupsTest, APushThatComesFirstCountsFromTheEspBefore) {
  add({0x83, 0xec, 0x10});        // sub esp, 16
  add({0x50});                    // push eax
  add({0x89, 0x44, 0x24, 0x04});  // mov [esp + 4], eax
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].first, 1);
  EXPECT_EQ(found.groups[0].low, -4);
  EXPECT_EQ(found.groups[0].bytes, 8u);
}

TEST_F(PageGroupsTest, RegistersAreFollowed) {
  add({0x8b, 0x43, 0x04});  // mov eax, [ebx + 4]
  add({0x83, 0xc3, 0x08});  // add ebx, 8
  add({0x89, 0xd9});        // mov ecx, ebx
  add({0x89, 0x41, 0xfc});  // mov [ecx - 4], eax: the same doubleword
  add({0x43});              // inc ebx
  add({0x8a, 0x03});        // mov al, [ebx]
  add({0x8d, 0x73, 0xff});  // lea esi, [ebx - 1]
  add({0x0f, 0xb7, 0x16});  // movzx edx, word [esi]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].base, kEbx);
  EXPECT_EQ(found.groups[0].low, 4);
  EXPECT_EQ(found.groups[0].bytes, 6u);
  EXPECT_EQ(found.operands[0].offset, 0u);
  EXPECT_EQ(found.operands[3].offset, 0u);
  EXPECT_EQ(found.operands[5].offset, 5u);
  EXPECT_EQ(found.operands[7].offset, 4u);
}

TEST_F(PageGroupsTest, SumsThatAreComputedAnewAreFollowed) {
  add({0x8d, 0x54, 0x86, 0x10});  // lea edx, [esi + eax*4 + 16]
  add({0x8b, 0x0a});              // mov ecx, [edx]
  add({0x83, 0xc0, 0x02});        // add eax, 2
  add({0x8d, 0x54, 0x86, 0x10});  // lea edx, [esi + eax*4 + 16]
  add({0x8b, 0x1a});              // mov ebx, [edx]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].base, 2);
  EXPECT_EQ(found.groups[0].low, 0);
  EXPECT_EQ(found.groups[0].bytes, 12u);
  EXPECT_EQ(found.operands[1].offset, 0u);
  EXPECT_EQ(found.operands[4].offset, 8u);
}

TEST_F(PageGroupsTest, SumsOfTwoRegistersHaveNoOrder) {
  add({0x89, 0xf2});        // mov edx, esi
  add({0x01, 0xc2});        // add edx, eax
  add({0x89, 0x4a, 0x04});  // mov [edx + 4], ecx
  add({0x8d, 0x1c, 0x30});  // lea ebx, [eax + esi]
  add({0x89, 0x0b});        // mov [ebx], ecx
  add({0x40});              // inc eax
  add({0x03, 0xf0});        // add esi, eax
  add({0x89, 0x4e, 0x01});  // mov [esi + 1], ecx
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].low, 0);
  EXPECT_EQ(found.groups[0].bytes, 8u);
  EXPECT_EQ(found.operands[7].offset, 2u);
}

TEST_F(PageGroupsTest, OtherSumsAreOtherAddresses) {
  add({0x8d, 0x14, 0x86});  // lea edx, [esi + eax*4]
  add({0x8b, 0x0a});        // mov ecx, [edx]
  add({0x8d, 0x14, 0x46});  // lea edx, [esi + eax*2]
  add({0x8b, 0x1a});        // mov ebx, [edx]
  add({0x31, 0xc0});        // xor eax, eax
  add({0x8d, 0x14, 0x86});  // lea edx, [esi + eax*4]
  add({0x8b, 0x1a});        // mov ebx, [edx]
  EXPECT_TRUE(find().groups.empty());
}

/// Between two accesses at [esi + ebx] and two at [eax].
class ByteAdditionTest : public PageGroupsTest, public testing::WithParamInterface<std::vector<uint8_t>> {};

TEST_P(ByteAdditionTest, ChangesTheWholeRegister) {
  add({0x8b, 0x0c, 0x1e});  // mov ecx, [esi + ebx]
  add({0x8b, 0x10});        // mov edx, [eax]
  add(GetParam());
  add({0x8b, 0x0c, 0x1e});  // mov ecx, [esi + ebx]
  add({0x8b, 0x10});        // mov edx, [eax]
  const PageGroups found = find();
  const bool changes_ebx =
      isa::row(insn(2)).encoding.opcode == 0x00 ? (insn(2).rm() & 3) == kEbx : (insn(2).reg() & 3) == kEbx;
  ASSERT_EQ(found.groups.size(), 1u) << "the register that does not change";
  EXPECT_EQ(found.groups[0].base, changes_ebx ? 0 : kEsi);
}

INSTANTIATE_TEST_SUITE_P(, ByteAdditionTest,
                         testing::Values(std::vector<uint8_t>{0x00, 0xd8},    // add al, bl
                                         std::vector<uint8_t>{0x02, 0xc3},    // add al, bl
                                         std::vector<uint8_t>{0x00, 0xd4},    // add ah, dl
                                         std::vector<uint8_t>{0x02, 0xfe},    // add bh, dh
                                         std::vector<uint8_t>{0x00, 0xf7}));  // add bh, dh

TEST_F(PageGroupsTest, AWrittenRegisterIsAnotherAddress) {
  add({0x8b, 0x1b});        // mov ebx, [ebx]
  add({0x8b, 0x1b});        // mov ebx, [ebx]
  add({0x8b, 0x43, 0x04});  // mov eax, [ebx + 4]
  add({0xf7, 0xe1});        // mul ecx: writes EAX and EDX
  add({0x8b, 0x08});        // mov ecx, [eax]
  add({0xb4, 0x01});        // mov ah, 1: writes a part of EAX
  add({0x8b, 0x08});        // mov ecx, [eax]
  EXPECT_TRUE(find().groups.empty());
}

TEST_F(PageGroupsTest, TwoPointersAtATime) {
  add({0x8b, 0x03});        // mov eax, [ebx]
  add({0x89, 0x06});        // mov [esi], eax
  add({0x8b, 0x43, 0x04});  // mov eax, [ebx + 4]
  add({0x89, 0x46, 0x04});  // mov [esi + 4], eax
  add({0x8b, 0x43, 0x08});  // mov eax, [ebx + 8]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 2u);
  EXPECT_EQ(found.groups[0].base, kEbx);  // the one with more accesses has the register
  EXPECT_TRUE(found.groups[0].in_register);
  EXPECT_FALSE(found.groups[0].writes);
  EXPECT_EQ(found.groups[1].base, kEsi);
  EXPECT_FALSE(found.groups[1].in_register);
  EXPECT_TRUE(found.groups[1].writes);
}

TEST_F(PageGroupsTest, AnIndexCountsWithItsScale) {
  add({0x8b, 0x04, 0x8b});  // mov eax, [ebx + ecx * 4]
  add({0x41});              // inc ecx
  add({0x8b, 0x14, 0x8b});  // mov edx, [ebx + ecx * 4]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].index, kEcx);
  EXPECT_EQ(found.groups[0].scale, 2);
  EXPECT_EQ(found.groups[0].bytes, 8u);
  EXPECT_EQ(found.operands[2].offset, 4u);
}

TEST_F(PageGroupsTest, FarApartIsNoGroup) {
  add({0x8b, 0x43, 0x04});                    // mov eax, [ebx + 4]
  add({0x8b, 0x93, 0x00, 0x08, 0x00, 0x00});  // mov edx, [ebx + 2048]
  add({0xa1, 0xfc, 0x0f, 0x00, 0x00});        // mov eax, [0ffch]
  add({0x8b, 0x15, 0x00, 0x10, 0x00, 0x00});  // mov edx, [1000h]: another page
  EXPECT_TRUE(find().groups.empty());
}

TEST_F(PageGroupsTest, HalfTheAddressSpaceApartIsNoGroup) {
  add({0x66, 0xc7, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x80});  // mov word [eax - 80000000h], 8000h
  add({0x20, 0x18});                                            // and [eax], bl
  add({0x66, 0xc7, 0x80, 0x00, 0x00, 0x00, 0x80, 0x00, 0x80});
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].bytes, 2u);
  EXPECT_EQ(found.operands[1].group, GroupedAccess::kNone);
}

TEST_F(PageGroupsTest, AlignedOperandsOfOnePlaceCannotCrossAPage) {
  add({0x0f, 0x28, 0x03});  // movaps xmm0, [ebx]
  add({0x0f, 0x58, 0x03});  // addps xmm0, [ebx]
  EXPECT_TRUE(find().groups.at(0).aligned);
  add({0x0f, 0x10, 0x0b});  // movups xmm1, [ebx]
  EXPECT_FALSE(find().groups.at(0).aligned);
}

TEST_F(PageGroupsTest, DistancesWrapAround) {
  add({0x05, 0x00, 0x00, 0x00, 0x40});              // add eax, 40000000h
  add({0x8b, 0x14, 0x45, 0x00, 0x00, 0x00, 0x00});  // mov edx, [eax * 2]
  add({0x8b, 0x1c, 0x45, 0x04, 0x00, 0x00, 0x00});  // mov ebx, [eax * 2 + 4]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  // Registers are as before `first`, the MOV.
  EXPECT_EQ(found.groups[0].low, 0);
  EXPECT_EQ(found.groups[0].first, 1);
  EXPECT_EQ(found.operands[2].offset, 4u);
}

TEST_F(PageGroupsTest, AGroupHasToBeCheaperThanItsAccesses) {
  add({0x8a, 0x03});        // mov al, [ebx]
  add({0x8a, 0x53, 0x01});  // mov dl, [ebx + 1]
  add({0x8a, 0x73, 0x02});  // mov dh, [ebx + 2]
  EXPECT_EQ(find().groups.size(), 1u);
  EXPECT_TRUE(find(kFlat32, 0, kTrustingProbes).groups.empty());
  add({0x8b, 0x4b, 0x04});  // mov ecx, [ebx + 4]
  EXPECT_EQ(find(kFlat32, 0, kTrustingProbes).groups.size(), 1u);
}

TEST_F(PageGroupsTest, OnlyFlatSegmentsAndTranslatedInstructions) {
  add({0x8b, 0x03});        // mov eax, [ebx]
  add({0x8b, 0x53, 0x04});  // mov edx, [ebx + 4]
  EXPECT_EQ(find().groups.size(), 1u);
  EXPECT_TRUE(find(Mode{kFlat32.bits & ~uint32_t{Mode::kFlatDs}}).groups.empty());
  EXPECT_TRUE(find(kFlat32, 1).groups.empty());
}

TEST_F(PageGroupsTest, WhoseEmitterUsesTheRegisterKeepsGroupsOutOfIt) {
  add({0x8b, 0x03});        // mov eax, [ebx]
  add({0xff, 0x36});        // push dword [esi]: by way of the register, as its push is in no group
  add({0x8b, 0x53, 0x04});  // mov edx, [ebx + 4]
  const PageGroups found = find();
  ASSERT_EQ(found.groups.size(), 1u);
  EXPECT_EQ(found.groups[0].base, kEbx);
  EXPECT_FALSE(found.groups[0].in_register);
}

}  // namespace
}  // namespace vireo::translator
