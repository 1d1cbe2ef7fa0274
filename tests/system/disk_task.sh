#!/bin/sh
# /etc/vireo.sh of disk guests: counts boots in a file, proves that what the last boot wrote is still there.
echo "disk transfers: $(cat /sys/class/ata_device/dev1.0/xfer_mode)"
count=$(cat /boot-count 2>/dev/null || echo 0)
if [ "$count" -gt 0 ]; then
  md5sum -c /data.md5 || exit 1
fi
count=$((count + 1))
dd if=/dev/urandom of=/data bs=64k count=16 2>/dev/null
md5sum /data > /data.md5
echo $count > /boot-count
sync
echo "disk boot $count done"
