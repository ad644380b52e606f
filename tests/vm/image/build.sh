#!/bin/sh
# build.sh OUT: a small Debian 12 for QEMU: OUT/vmlinuz, OUT/initrd.img and OUT/root.img, which is never written to.
#
# Packages come from the host's own apt sources. The kernel is Debian's stock one (its cloud kernel has no USB),
# but only the modules of modules.txt come along. Needs root, for chroot and file ownership.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
out=$(cd "$1" && pwd)
suite=bookworm
PATH=$PATH:/usr/sbin:/sbin

work=$(mktemp -d "$out/build.XXXXXX")
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
root=$work/root kernel=$work/kernel initrd=$work/initrd
mkdir "$root" "$kernel" "$initrd"

. "$here/steps.sh"
install_packages
unpack_kernel
copy_modules
configure_guest
make_initrd
make_root_image
