#!/bin/sh
# Debian's packages in a fresh Debian 12: packages.sh FOLDER DEB...
#
# A minimal system is installed into FOLDER by debootstrap, once. In a copy of it the packages are
# installed; the copy is booted, with a systemd of its own and no network, where the unit, the page
# and a training are tried; then they are removed and purged, and nothing of them may remain but the
# user richd. As root; the network is for apt-get.
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
cp tests/debian/packages_inside.sh "$root/debs/inside.sh"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"

inside() {
    systemd-nspawn --quiet --register=no --keep-unit --resolv-conf=off --timezone=off \
        --directory="$root" --console=pipe "$@" </dev/null
}
inside sh -eu /debs/inside.sh install
rc=0
inside --private-network --boot >"$folder/log" 2>&1 || rc=$?
[ -e "$root/debs/said" ] || { tail -5 "$folder/log"; echo "it did not boot ($rc)"; exit 1; }
cat "$root/debs/said"
[ -e "$root/debs/passed" ]
inside sh -eu /debs/inside.sh remove
