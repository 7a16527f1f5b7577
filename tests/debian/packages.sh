#!/bin/sh
# Debian's packages in a fresh Debian 12: packages.sh FOLDER DEB...
#
# A minimal system is installed into FOLDER by debootstrap, once. In a copy of it the packages are
# installed, used (the daemon, its library, a training in Python), removed and purged, and nothing
# but the user richd and what others' packages left may remain. As root; the network is for apt-get.
set -eu

folder=$1
shift
base=$folder/base
root=$folder/root

if [ ! -e "$base/installed" ]; then
    rm -rf "$base"
    mkdir -p "$base"
    debootstrap --variant=minbase --include=ca-certificates bookworm "$base" >"$folder/log" 2>&1 ||
        { tail -3 "$folder/log"; exit 1; }
    touch "$base/installed"
fi
rm -rf "$root"
cp -a "$base" "$root"
mkdir "$root/debs"
for deb; do
    case $deb in *-dbgsym_*) ;; *) cp "$deb" "$root/debs/" ;; esac
done
cp tests/debian/packages_inside.sh "$root/debs/"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
unshare --mount --pid --fork sh -euc '
    mount -t proc proc "$1/proc"
    mount --rbind /dev "$1/dev"
    exec env -i HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive \
        chroot "$1" sh -eu /debs/packages_inside.sh
' sh "$root"
