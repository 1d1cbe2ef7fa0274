// CpuState in a state archive.
#pragma once

#include "core/cpu_state.h"
#include "core/state_archive.h"

namespace vireo {

/// Saves or loads every architectural field, `retired` included.
void cpu_state(StateArchive& ar, CpuState& cpu);

}  // namespace vireo
