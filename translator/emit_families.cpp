// Families of which every instruction is the interpreter's.
#include "translator/emitter.h"

namespace vireo::translator {

bool Emitter::emit_Io(const ScannedInsn&) {
  return false;
}
bool Emitter::emit_Avx(const ScannedInsn&) {
  return false;
}

}  // namespace vireo::translator
