// The throw_* functions: out of line, so that the fast paths stay small.
#include "core/interp/interp.h"

namespace vireo::interp {

void throw_ud() {
  throw Fault{6};
}
void throw_gp(uint32_t error_code) {
  throw Fault{13, true, error_code};
}
void throw_ss(uint32_t error_code) {
  throw Fault{12, true, error_code};
}
void throw_np(uint32_t error_code) {
  throw Fault{11, true, error_code};
}
void throw_ts(uint32_t error_code) {
  throw Fault{10, true, error_code};
}
void throw_nm() {
  throw Fault{7};
}
void throw_de() {
  throw Fault{0};
}
void throw_mf() {
  throw Fault{16};
}
void throw_xm() {
  throw Fault{19};
}
void throw_br() {
  throw Fault{5};
}

}  // namespace vireo::interp
