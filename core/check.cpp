#include "core/check.h"

#include <unistd.h>

#include <cstdio>

#include "core/types.h"

namespace vireo {

void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "vireo: internal error: CHECK(%s) failed at %s:%d; please report this.\n", condition,
               file, line);
  std::fflush(nullptr);
  _exit(static_cast<int>(ExitStatus::kInternalError));
}

}  // namespace vireo
