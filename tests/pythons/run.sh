#!/bin/sh
# The Python client in another Debian, hence on another Python: tests/pythons/run.sh SUITE
#
# The suite's Python is installed into build/pythons/SUITE by debootstrap, and entered in namespaces
# of its own, where this folder and /tmp have the paths that they have outside. The daemon is the one
# that was built here: it comes with its own libraries. In each suite the client runs with the oldest
# and the newest numpy and pyzmq that client/python/versions names. In sid the tests of torch, those
# of this folder and the newest frameworks run with its torch.
set -eu

suite=$1
pythons=$PWD/build/pythons
root=$pythons/$suite
daemon=$pythons/daemon

# The root of the suite; a half-made one is made again.
install_suite() {
    [ -e "$root/installed" ] && return
    rm -rf "$root"
    mkdir -p "$root"
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates \
        "$suite" "$root" >"$root.log" 2>&1 || { tail -3 "$root.log"; exit 1; }
    [ "$suite" != sid ] || inside sh -c 'apt-get -o Acquire::Check-Valid-Until=false update -qq &&
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
        python3-torch python3-zmq python3-pytest libtorch-dev python3-dev g++' \
        >>"$root.log" 2>&1 || { tail -3 "$root.log"; exit 1; }
    touch "$root/installed"
}

# richd as a script that starts it with copies of its libraries and of the loader.
copy_daemon() {
    mkdir -p "$daemon/lib"
    cp build/richd "$daemon/lib/richd"
    ldd build/richd | grep -o '/[^ ]*' | xargs -I@ cp -L @ "$daemon/lib/"
    loader=$(basename "$(ldd build/richd | grep -o '/[^ ]*ld-linux[^ ]*')")
    printf '#!/bin/sh\nexec "%s" --library-path "%s" "%s" "$@"\n' \
        "$daemon/lib/$loader" "$daemon/lib" "$daemon/lib/richd" >"$daemon/richd"
    chmod +x "$daemon/richd"
}

# inside COMMAND: run it in the suite, in this folder, and with the network and certificates of here.
inside() {
    cp -L /etc/resolv.conf "$root/etc/resolv.conf"
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    unshare --mount --pid --fork sh -euc '
        root=$1; shift
        mount --bind /tmp "$root/tmp"
        mkdir -p "$root/$PWD"
        mount --bind "$PWD" "$root/$PWD"
        mount -t proc proc "$root/proc"
        exec chroot "$root" sh -c "cd $PWD && exec \"\$@\"" sh "$@"
    ' sh "$root" "$@"
}

# environment NAME ARGUMENTS: a virtual environment of the suite with what pip installs by them.
environment() {
    name=$1; shift
    [ -x "$root/$name/bin/pip" ] || inside python3 -m venv $options "/$name"
    inside env -u PIP_FIND_LINKS "/$name/bin/pip" install --quiet --only-binary :all: "$@"
}

# tested NAME TESTS: run them there.
tested() {
    name=$1; shift
    inside "/$name/bin/python" -c 'import sys, numpy, zmq; print("Python", sys.version.split()[0],
        "numpy", numpy.__version__, "pyzmq", zmq.__version__)'
    # Debian's new torch has no libuv, which its process groups would use.
    inside env USE_LIBUV=0 PYTHONPATH=client/python/src PYTHONDONTWRITEBYTECODE=1 RICHD_BUILD="$daemon" \
        $(build/richd --print-kernels) "/$name/bin/python" -m pytest -q -p no:cacheprovider "$@"
}

install_suite
copy_daemon
for age in oldest newest; do
    options= environment "$age" -r "client/python/versions/$age.txt"
    tested "$age" $(grep -LE '^ *import torch|"gpu"' client/python/tests/test_*.py)
    tested "$age" tests/e2e/trainer/test_streams_a_run_and_reads_it_back.py
done
[ "$suite" = sid ] || exit 0
options=--system-site-packages environment frameworks pytest lightning transformers accelerate
tested frameworks $(grep -lE '^ *import torch' client/python/tests/test_*.py)
tested frameworks tests/pythons
tested frameworks tests/e2e/trainer/test_ranks_of_torch_make_one_run.py
tested frameworks tests/frameworks/test_lightning.py tests/frameworks/test_transformers.py \
    tests/frameworks/test_accelerate.py
