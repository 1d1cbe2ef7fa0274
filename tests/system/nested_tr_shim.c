// LD_PRELOADed to the programs of nested_kvm.py's bed. Its CPU, QEMU's TCG, holds TR as LTR finds it in
// memory: available. KVM_SET_SREGS and its twin make KVM give it a busy one, as TR is on every other CPU, and
// once an interrupt or exception of 32-bit code needs the stack of ring 0, QEMU dies: "invalid tss type".
// KVM_GET_SREGS shows busy whatever is there.
#include <linux/kvm.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { kBusy = 2 };

int ioctl(int fd, unsigned long request, ...) {
  va_list arguments;
  va_start(arguments, request);
  void* argument = va_arg(arguments, void*);
  va_end(arguments);
  struct kvm_sregs sregs;
  struct kvm_sregs2 sregs2;
  if (request == KVM_SET_SREGS) {
    sregs = *(const struct kvm_sregs*)argument;
    sregs.tr.type &= ~kBusy;
    argument = &sregs;
  } else if (request == KVM_SET_SREGS2) {
    sregs2 = *(const struct kvm_sregs2*)argument;
    sregs2.tr.type &= ~kBusy;
    argument = &sregs2;
  }
  return (int)syscall(SYS_ioctl, fd, request, argument);
}
