#include "hwassist/kvm_calls.h"

#include <gtest/gtest.h>

#include <cerrno>

namespace vireo::hwassist {
namespace {

bool fails(KvmCalls& calls, const KvmRequest& request) {
  errno = 0;
  return calls.call(-1, request, 0) < 0 && errno == EIO;  // else EBADF, the host's own answer
}

TEST(KvmCalls, TheNamedCallFailsAtItsNumber) {
  auto calls = make_kvm_calls("KVM_RUN@3,KVM_GET_REGS@1").take();
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_TRUE(fails(*calls, request::kRun));
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_TRUE(fails(*calls, request::kGetRegs));
  EXPECT_FALSE(fails(*calls, request::kSetRegs));
}

TEST(KvmCalls, WithAPlusAllCallsFromThere) {
  auto calls = make_kvm_calls("KVM_RUN@2+").take();
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_TRUE(fails(*calls, request::kRun));
  EXPECT_TRUE(fails(*calls, request::kRun));
}

TEST(KvmCalls, ThatTakeLongerDoNotFail) {
  auto calls = make_kvm_calls("KVM_RUN@2=1,KVM_RUN@3").take();
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_FALSE(fails(*calls, request::kRun));
  EXPECT_TRUE(fails(*calls, request::kRun)) << "for another reason";
  EXPECT_FALSE(fails(*calls, request::kRun));
}

TEST(KvmCalls, WordsThatAreNoneAreErrors) {
  for (const char* words : {"KVM_RUN", "KVM_RUN@", "KVM_RUN@x", "KVM_RUN@0", "RUN@1", "KVM_RUN@1,",
                            "KVM_RUN@1++", "KVM_RUN@1!+", "KVM_RUN@!", "KVM_RUN@1~", "KVM_RUN@1~0",
                            "KVM_RUN@1~2+", "KVM_GET_REGS@1~2", "KVM_RUN@1?", "KVM_RUN@1="}) {
    const auto calls = make_kvm_calls(words);
    if (std::string_view(words) == "KVM_RUN@1,") {
      EXPECT_TRUE(calls.ok()) << words;  // nothing behind the comma
      continue;
    }
    ASSERT_FALSE(calls.ok()) << words;
    EXPECT_EQ(calls.error().status, ExitStatus::kUsage);
  }
}

}  // namespace
}  // namespace vireo::hwassist
