// `vireo info`: what this host offers and which engine `auto` picks.
#pragma once

namespace vireo {

/// Prints to stdout; returns the exit status.
int info_command();

}  // namespace vireo
