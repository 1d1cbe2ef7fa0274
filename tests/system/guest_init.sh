#!/bin/sh
# The first process of the test guests: /init of the initramfs, /sbin/init of disks. The kernel command line says what
# to do:
#   vireo.root=/dev/sda1      (initramfs only) load the storage modules and go on with /sbin/init of that ext4 file system
#   vireo.script="COMMANDS"   run them, print "vireo.script: status N", sync, power off
#   vireo.script=/FILE        the same with a script file
# and without a script there is a shell on the console.
export PATH=/bin:/sbin HOME=/root TERM=linux
[ -e /bin/mount ] || /bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev 2>/dev/null
dmesg -n 4  # errors only: what the kernel reports meanwhile must not cut up the guest's own lines

option() {
  sed -n -e "s/.*vireo\.$1=\"\([^\"]*\)\".*/\1/p" -e t -e "s/.*vireo\.$1=\([^\" ]*\).*/\1/p" /proc/cmdline
}

root=$(option root)
if [ -n "$root" ] && [ -d /newroot ]; then
  load_modules storage
  tries=0
  while [ ! -b "$root" ] && [ $tries -lt 100 ]; do
    tries=$((tries + 1))
    sleep 0.1
  done
  if mount -t ext4 "$root" /newroot; then
    umount /proc /sys /dev
    exec switch_root /newroot /sbin/init
  fi
  echo "vireo.root: cannot mount $root"
fi

script=$(option script)
if [ -n "$script" ]; then
  case "$script" in
    /*) sh "$script" ;;
    *) sh -c "$script" ;;
  esac
  echo "vireo.script: status $?"
  sync
  mount -o remount,ro / 2>/dev/null
  poweroff -f
fi

echo "alias poweroff='mount -o remount,ro /; poweroff -f' reboot='mount -o remount,ro /; reboot -f'" > /etc/profile
echo "vireo guest ready"
while :; do
  setsid cttyhack sh -l
done
