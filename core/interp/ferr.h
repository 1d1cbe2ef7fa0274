// The FERR# output: with CR0.NE = 0 it tells the board of x87 errors (SDM 1, 8.7).
#pragma once

#include "core/interp/fx_state.h"
#include "core/interp/interp.h"

namespace vireo::interp {

/// After an instruction that may have taken a pending error back: FERR# falls with it.
inline void release_ferr(Interp& interp, uint16_t status_before) {
  const bool taken_back = (status_before & fsw::kEs) && !(interp.cpu.fx.fsw & fsw::kEs);
  if (taken_back && interp.context.ferr) interp.context.ferr(false);
}

}  // namespace vireo::interp
