#!/bin/sh
# `make reproduce`: a daemon, then every example that reproduces a claim of the paper, as many at a
# time as there are cores. Tables and figures stay in build/reproduce (README.md has them all), the
# runs in the daemon's history. What is started here is ended here. Arguments go to every example
# (--full, --seed 0 1).
set -eu
cd "$(dirname "$0")/.."
. client/start_daemon.sh
out=$PWD/build/reproduce
examples="grokking learning_rate shuffled_labels target_downscaling neural_collapse weight_decay \
feature_order cost spurious_label batch_norm" # the longest first, to keep all cores busy
page=http://127.0.0.1:8080/ # of the daemon that shows the runs afterwards
run_dir=$(mktemp -d "${TMPDIR:-/tmp}/richd-reproduce.XXXXXX") # short: socket paths end at 107 bytes
daemon=
mkdir -p "$out"

finish() {
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon"; } || true
    rm -rf "$run_dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

start_daemon "$out/state" "$out/richd.log"
echo "richd runs (pid $daemon). Ten experiments, three seeds each, take some minutes on two cores."
kernels=$(build/richd --print-kernels) # the examples' numpy and torch compute with the same OpenBLAS
[ -z "$kernels" ] || export "$kernels"
export PYTHONPATH=client/python/src RICHD_RUNTIME_DIR="$run_dir" OPENBLAS_NUM_THREADS=1 out
failed=0
printf '%s\n' $examples | xargs -P "$(nproc)" -I NAME sh -c '
    name=$1
    shift
    if /usr/bin/python3 "client/python/examples/$name.py" --figures "$out" "$@" \
        >"$out/$name.txt" 2>"$out/$name.err"; then
        cat "$out/$name.txt"
    else
        echo "$name failed:" >&2
        cat "$out/$name.err" >&2
        exit 1
    fi' sh NAME "$@" || failed=1

{
    echo "# The paper's claims, measured"
    for name in $examples; do
        figure=$(echo "$name" | tr _ -).png
        echo
        sed -e '/./,$!d' "$out/$name.txt" | sed -e '1s/^/## /' -e "s/^figure: .*/\n![]($figure)/" \
            -e "s,^sweep: \(.*\),\n[The runs in the sweep]($page\1),"
    done
} >"$out/README.md"

cat <<END

Tables and figures are in $out/README.md, the runs in $out/state. To look at them:
  build/richd --state-dir $out/state --http 127.0.0.1:8080 &
  build/richctl runs
Each table of README.md then links to its runs in the page's sweep.
END
exit $failed
