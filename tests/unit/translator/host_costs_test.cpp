#include "translator/host_costs.h"

#include <gtest/gtest.h>

namespace vireo::translator {
namespace {

TEST(HostCosts, AreMeasuredOnce) {
  const HostCosts first = measure_host_costs(), second = measure_host_costs();
  for (const uint32_t HostCosts::*cost : {&HostCosts::signal, &HostCosts::map, &HostCosts::unmap}) {
    EXPECT_GT(first.*cost, 0u);
    EXPECT_LT(first.*cost, 1'000'000u);
    EXPECT_EQ(first.*cost, second.*cost);
  }
}

TEST(HostCosts, AreExpressedInInstructions) {
  EXPECT_EQ(HostCosts::instructions(3'000), 10'000);
}

}  // namespace
}  // namespace vireo::translator
