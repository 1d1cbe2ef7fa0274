// Work in a process of its own, for what may hang or crash even inside the kernel.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "core/result.h"

namespace vireo::hwassist {

/// What `work` returns in a child of this process. An Error if that does not end in time, however it hangs,
/// or crashes: "did not end within 10 s", "died of signal 11", "could not be made: fork: ...".
Result<std::string> in_child_process(std::chrono::milliseconds at_most,
                                     const std::function<std::string()>& work);

}  // namespace vireo::hwassist
