#!/bin/sh
# The first process of nested_kvm.py's bed: loads KVM, runs the steps that /etc/steps lists ("NAME SECONDS" a line), each
# a script in /steps, and powers off. With /etc/shell there is a shell on the console instead.
# For nested_kvm.py it prints "BED ready" or "BED failed: REASON", and for each step "STEP NAME", the step's output and
# "STATUS NAME N", where N is 124 if the step's time was over.
export PATH=/bin HOME=/root TERM=linux
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
dmesg -n 1  # only a dying kernel may cut up the steps' lines
# shellcheck source=/dev/null
. /etc/environment  # for programs of the host: where their libraries are

run_step() {
  echo "STEP $1"
  rm -f /tmp/late
  # A session of its own, so that all of the step's processes can be ended together.
  setsid sh "/steps/$1" < /dev/null 2>&1 &
  step=$!
  (sleep "$2"; : > /tmp/late; kill -KILL "-$step") 2> /dev/null &
  watch=$!
  wait "$step"
  status=$?
  kill "$watch" 2> /dev/null
  kill -KILL "-$step" 2> /dev/null
  [ -e /tmp/late ] && status=124
  echo
  echo "STATUS $1 $status"
}

echo  # the firmware's last line may have no end
load_modules kvm
tries=0
while [ ! -c /dev/kvm ] && [ $tries -lt 50 ]; do
  tries=$((tries + 1))
  sleep 0.1
done
if [ ! -c /dev/kvm ]; then
  dmesg | tail -n 20
  echo "BED failed: the modules do not make a /dev/kvm"
elif [ -e /etc/shell ]; then
  echo "steps: $(cd /steps && echo *)"
  echo "sh /steps/NAME runs one; exit, or Ctrl-A x, ends the bed"
  setsid cttyhack sh
else
  echo "BED ready"
  while read -r name seconds; do
    run_step "$name" "$seconds"
  done < /etc/steps
fi
sync
poweroff -f
