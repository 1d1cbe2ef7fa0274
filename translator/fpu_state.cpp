// The guest's x87, MMX and SSE state between the CpuState and the host's units.
#include "translator/translator_impl.h"

namespace vireo::translator {

bool Translator::Impl::load_fpu() {
  return false;
}
void Translator::Impl::store_fpu() {}

}  // namespace vireo::translator
