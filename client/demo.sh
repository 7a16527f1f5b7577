#!/bin/sh
# `make demo`: a fresh daemon, a real training that groks, its curve live, and the history after a
# restart of the daemon. History stays in build/demo; what is started here is ended here.
set -eu
cd "$(dirname "$0")/.."
. client/start_daemon.sh
demo=$PWD/build/demo
state=$demo/state
run_dir=$(mktemp -d "${TMPDIR:-/tmp}/richd-demo.XXXXXX") # short: socket paths end at 107 bytes
daemon= trainer= http=127.0.0.1:0
mkdir -p "$demo"

finish() {
    [ -z "$trainer" ] || kill "$trainer" 2>/dev/null || true
    [ -z "$daemon" ] || { kill "$daemon" 2>/dev/null && wait "$daemon"; } || true
    rm -rf "$run_dir"
}
trap finish EXIT
trap 'exit 130' INT TERM

# A page that is open finds the daemon again at the same address.
start() {
    start_daemon "$state" "$demo/richd.log" --http "$http"
    http=$(jq -r '.http | ltrimstr("http://")' "$run_dir/endpoints.json")
}

stop_daemon() {
    kill "$daemon"
    wait "$daemon"
    daemon=
}

start
echo "richd runs (pid $daemon). Watch it in a browser, too: http://$http/"
echo "A transformer learns addition mod 97; it takes a minute or two."
# The trainer's numpy and torch compute with the same OpenBLAS.
PYTHONPATH=client/python/src env $(build/richd --print-kernels) \
    /usr/bin/python3 client/python/examples/grokking_mod97.py \
    --runtime-dir "$run_dir" "$@" >"$demo/train.log" 2>&1 &
trainer=$!
until grep -q '^run ' "$demo/train.log"; do
    kill -0 "$trainer" 2>/dev/null || { cat "$demo/train.log" >&2; exit 1; }
    sleep 0.2
done
run=$(sed -n 's/^run //p' "$demo/train.log")

if [ -t 1 ]; then
    build/richctl --runtime-dir "$run_dir" plot "$run" --scalar test_acc --follow
else
    tail -n +1 -f --pid="$trainer" "$demo/train.log"
fi
wait "$trainer" || { cat "$demo/train.log" >&2; exit 1; }
trainer=

echo
echo "The daemon is stopped and started again; this is read back from its history:"
stop_daemon
start
[ -t 1 ] || build/richctl --runtime-dir "$run_dir" plot "$run" --scalar test_acc
build/richctl --runtime-dir "$run_dir" series "$run" --json | jq -rs '
    def row: "  step \(.step)\ttest accuracy \(.scalars.test_acc)\tD_LR \(.d_lr * 1000 | round / 1000)";
    (.[0], .[-1]) | row'
build/richctl --runtime-dir "$run_dir" show "$run"
if [ -t 0 ] && [ -t 1 ]; then
    printf '\nThe page stays at http://%s/ until you press Enter. ' "$http"
    read -r _ || true
fi
stop_daemon

cat <<END

The history is in $state. To look at it again:
  build/richd --state-dir $state --http 127.0.0.1:8642 &   # the page: http://127.0.0.1:8642/
  build/richctl runs
  build/richctl plot $run --scalar test_acc
END
