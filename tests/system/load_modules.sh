#!/bin/sh
# load_modules SET...: inserts the modules of the sets that initramfs.py names, those already there excepted.
for set in "$@"; do
  while read -r module; do
    name=$(echo "${module%.ko}" | tr - _)
    [ -d "/sys/module/$name" ] || insmod "/lib/modules/$module"
  done < "/lib/modules/$set.list"
done
