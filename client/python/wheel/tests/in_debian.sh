#!/bin/sh
# Installs the wheel into another Debian and takes a first point there, with /proc and without:
# in_debian.sh SUITE WHEEL FOLDER
#
# The suite's Python comes into FOLDER/SUITE by debootstrap. It is entered in namespaces of its own,
# where this folder has the path that it has outside. Needs root.
set -eu

suite=$1 wheel=$(realpath "$2")
root=$(realpath -m "$3/$suite")
here=$(cd "$(dirname "$0")" && pwd)

if [ ! -e "$root/installed" ]; then
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$root" >"$root.log" 2>&1 || { tail -3 "$root.log"; exit 1; }
    touch "$root/installed"
fi

# inside COMMAND: run it in the suite, with the network and certificates of here.
inside() {
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    unshare --mount --pid --fork sh -euc '
        root=$1; shift
        mkdir -p "$root/$PWD"
        mount --bind "$PWD" "$root/$PWD"
        mount -t proc proc "$root/proc"
        exec chroot "$root" sh -euc "cd $PWD && exec \"\$@\"" sh "$@"
    ' sh "$root" "$@"
}

inside sh -euc '
    wheel=$1 here=$2
    rm -rf /venv
    python3 -m venv /venv
    before=$(du -sm /venv | cut -f 1)
    began=$(date +%s.%N)
    env -u PIP_FIND_LINKS /venv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check \
        --only-binary :all: "$wheel"
    /venv/bin/python "$here/first_point.py" 2>/first_point.log || { cat /first_point.log; exit 1; }
    echo "$(/venv/bin/python --version), $(ldd --version | head -1 | grep -o "[0-9.]*$"): from pip to the point" \
        "in $(echo "$(date +%s.%N) $began" | awk "{printf \"%.1f\", \$1 - \$2}") s," \
        "$(($(du -sm /venv | cut -f 1) - before)) MiB"
    umount /proc
    /venv/bin/python "$here/first_point.py" 2>/first_point.log || { cat /first_point.log; exit 1; }
    echo "the same without /proc"
' sh "$wheel" "$here"
