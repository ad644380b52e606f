# The steps of build.sh, in their order. They share its variables: here, out, work, root, kernel, initrd, suite.
# shellcheck shell=sh disable=SC2154

words_of() {
  sed 's/#.*//' "$1"
}

# One line for each of the host's sources of Debian's own packages, in apt's one-line format.
debian_sources() {
  apt-get indextargets --format 'deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' 'Origin: Debian' |
    sort -u | grep -E " $suite(-[a-z]+)? main$"
}

install_packages() {
  debian_sources > "$work/sources.list" || { apt-get update -qq && debian_sources > "$work/sources.list"; }
  mmdebstrap --quiet --variant=minbase --include="$(words_of "$here/packages.txt" | paste -sd, | tr -s ,)" \
    --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' \
    "$suite" "$work/root.tar" "$work/sources.list"
  tar -C "$root" --numeric-owner -xf "$work/root.tar"
  rm -rf "$work/root.tar" "$root"/var/cache/apt/* "$root"/var/lib/apt/lists/*
}

unpack_kernel() {
  package=$(apt-cache depends linux-image-amd64 | sed -n 's/.*Depends: \(linux-image-[0-9].*\)/\1/p' | head -n 1)
  version=${package#linux-image-}
  (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$package")
  dpkg-deb -x "$work/$package"_*.deb "$kernel"
  depmod -b "$kernel" "$version"
  cp "$kernel/boot/vmlinuz-$version" "$out/vmlinuz"
}

# files_of KIND...: the files of modules.txt's modules of these kinds, and of what they need, in loading order.
files_of() {
  for kind in "$@"; do
    for module in $(words_of "$here/modules.txt" | sed -n "s/^$kind //p"); do
      modprobe -d "$kernel" -S "$version" --show-depends "$module"
    done
  done | sed -n 's/^insmod \([^ ]*\).*/\1/p' | awk '!seen[$0]++'
}

copy_modules() {
  for file in $(files_of boot root); do
    install -D -m 644 "$file" "$root/usr/lib/modules/${file#*/lib/modules/}"
  done
  (cd "$kernel/lib/modules/$version" && cp modules.order modules.builtin modules.builtin.modinfo \
    "$root/usr/lib/modules/$version/")
  depmod -b "$root" "$version"
}

# Nothing that would keep an emulated processor busy with work of its own.
configure_guest() {
  cp -r "$here/root/." "$root/"
  echo ucm-box > "$root/etc/hostname"
  : > "$root/etc/fstab"
  cat /proc/sys/kernel/random/uuid | tr -d - > "$root/etc/machine-id"
  chroot "$root" passwd --quiet --delete root
  chroot "$root" systemctl --quiet enable systemd-networkd.service
  touch "$root/etc/.updated" "$root/var/.updated" # else what systemd does after an upgrade is done at each boot
  chroot "$root" systemctl --quiet mask getty@tty1.service serial-getty@ttyS0.service systemd-timesyncd.service \
    apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer \
    systemd-networkd-wait-online.service
}

# busybox and the few modules without which there is no root file system.
make_initrd() {
  mkdir "$initrd/bin" "$initrd/dev" "$initrd/proc" "$initrd/sys" "$initrd/root" "$initrd/modules"
  cp "$(command -v busybox)" "$initrd/bin/"
  cp "$here/init" "$initrd/init"
  for file in $(files_of boot); do
    cp "$file" "$initrd/modules/"
    basename "$file"
  done > "$initrd/modules/order"
  (cd "$initrd" && find . | cpio --quiet -o -H newc) | gzip -1 > "$out/initrd.img"
}

# With a file system journal: the guest's power is cut in the tests.
make_root_image() {
  megabytes=$(($(du -sm "$root" | cut -f1) + 500))
  truncate -s "${megabytes}M" "$work/root.img"
  mke2fs -q -t ext4 -E lazy_itable_init=1 -L root -d "$root" "$work/root.img"
  mv "$work/root.img" "$out/root.img" # the last file, and all at once: it tells make that all is there
}
