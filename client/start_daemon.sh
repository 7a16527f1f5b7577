# Read by demo.sh and reproduce.sh. `start_daemon STATE LOG [FLAG...]` starts richd with its sockets
# in $run_dir, waits until it is ready, and leaves its process id in $daemon.
start_daemon() {
    state=$1 log=$2
    shift 2
    build/richd --state-dir "$state" --runtime-dir "$run_dir" "$@" 2>>"$log" &
    daemon=$!
    tries=0
    until [ -e "$run_dir/endpoints.json" ]; do
        tries=$((tries + 1))
        if [ $tries -gt 100 ] || ! kill -0 "$daemon" 2>/dev/null; then
            echo "richd did not start; its last words:" >&2
            tail -n 3 "$log" >&2
            exit 1
        fi
        sleep 0.1
    done
}
