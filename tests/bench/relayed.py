#!/usr/bin/env python3
"""Points a second from a relay to the daemon behind it, from a store that has them already, and the
lag of one point while nothing waits. Run by hand:

    PYTHONPATH=client/python/src python3 tests/bench/relayed.py [POINTS]
"""

import pathlib
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/e2e"))

from harness import Daemon, draw, free_port, wait_until  # noqa: E402
from shared_history import fill  # noqa: E402


def is_level(relay):
    status = relay.rpc("server.status")
    return status["upstream_waiting"] == 0 and status["upstream_lag_s"] == 0


def relay_all(relay, n_points):
    began, used = time.monotonic(), relay.central.cpu_seconds()
    relay.start()
    wait_until(lambda: is_level(relay), "the points", 300)
    seconds = time.monotonic() - began
    print(f"{n_points / seconds:.0f} points a second, {seconds:.1f} s; of processor"
          f" {1e6 * relay.cpu_seconds() / n_points:.0f} us a point at the relay,"
          f" {1e6 * (relay.central.cpu_seconds() - used) / n_points:.0f} behind it")


def delay(relay, n=20):
    """Seconds from a checkpoint's acknowledgement here to its point there, the median of some."""
    seconds = []
    with relay.trainer("live") as trainer, relay.central.subscribe() as there:
        for step in range(n):
            trainer.rows(*draw(64, 16, 3))
            trainer.checkpoint(step)
            began = time.monotonic()
            there.read_until(lambda s, step=step: any(p["step"] == step for p in s.points))
            seconds.append(time.monotonic() - began)
    print(f"a point is there {1e3 * sorted(seconds)[n // 2]:.0f} ms after its acknowledgement,"
          f" at most {1e3 * max(seconds):.0f}")


def main():
    n_points = int(sys.argv[1]) if len(sys.argv) > 1 else 100000
    address = f"tcp://127.0.0.1:{free_port()}"
    folders = [pathlib.Path(tempfile.mkdtemp(prefix="richd-bench-")) for _ in range(2)]
    relay = Daemon(folders[0], "--upstream", address)
    relay.central = Daemon(folders[1], "--listen", address)
    try:
        fill(relay, "run", n_points)
        relay.central.start()
        relay_all(relay, n_points)
        delay(relay)
    finally:
        relay.close()
        relay.central.close()


if __name__ == "__main__":
    main()
