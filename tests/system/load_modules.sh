#!/bin/sh
# load_modules SET...: inserts the modules of the sets that initramfs.py names, those already there excepted, with the
# options that the kernel command line has for them (libata.dma=0).
for set in "$@"; do
  while read -r module; do
    name=$(echo "${module%.ko}" | tr - _)
    options=$(tr ' ' '\n' < /proc/cmdline | sed -n "s/^$name\.//p")
    # shellcheck disable=SC2086  # several options are several words
    [ -d "/sys/module/$name" ] || insmod "/lib/modules/$module" $options
  done < "/lib/modules/$set.list"
done
