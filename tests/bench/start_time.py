"""How soon the daemon is ready after kill -9, with a long history: `/usr/bin/python3
tests/bench/start_time.py [RUNS [POINTS]]`, 20,000 runs of 50 points where nothing is said. Then how
long the check beside the work takes, and a repair after a page of points was overwritten."""

import pathlib
import sqlite3
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import Daemon, draw, wait_until  # noqa: E402

PAGE = 4096
COUNT = ("WITH RECURSIVE n(i) AS (SELECT {} UNION ALL SELECT i + 1 FROM n WHERE i < {})"
         " SELECT i FROM n")
STARTS = 5


def multiply(connection, table, numbers, **changed):
    """Copies the table's one row for each number i, with some columns by expressions of i."""
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    columns = ", ".join(f'"{name}"' for name in names)
    values = ", ".join(changed.get(name, f'"{name}"') for name in names)
    connection.execute(f"INSERT INTO {table}({columns}) SELECT {values}"
                       f" FROM (SELECT * FROM {table} LIMIT 1), ({numbers})")


def make_history(daemon, n_runs, n_points):
    """A history of so many runs, each with as many points in one layer; the daemon is stopped."""
    daemon.start()
    with daemon.trainer("first") as trainer:
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(0)
    daemon.stop()
    runs, last = COUNT.format(2, n_runs), f"{n_points - 1}"
    with sqlite3.connect(daemon.state / "richd.sqlite") as connection:
        multiply(connection, "run", runs, run_key="i", id="'run' || i", name="'run' || i",
                 state="1", n_points=f"{n_points}", last_step=last)
        for table in ("run_config", "attempt"):
            multiply(connection, table, runs, run_key="i")
        multiply(connection, "layer", runs, layer_key="i", run_key="i", n_points=f"{n_points}",
                 last_step=last)
        multiply(connection, "total", runs, layer_key="i")
        multiply(connection, "point", COUNT.format(n_points, n_runs * n_points - 1),
                 layer_key=f"i / {n_points} + 1", step=f"i % {n_points}", feed_seq="i + 100")
        connection.execute(f"UPDATE state SET feed_seq = {n_runs * n_points + 100}")


def timed_start(daemon):
    began = time.perf_counter()
    daemon.start()
    return time.perf_counter() - began


def status(daemon):
    return daemon.rpc("server.status")


def wait_for_check(daemon):
    began = time.perf_counter()
    wait_until(lambda: status(daemon)["history"] == "sound", "the check", timeout=600)
    return time.perf_counter() - began


def main(n_runs=20000, n_points=50):
    with tempfile.TemporaryDirectory(prefix="richd-start-") as folder:
        daemon = Daemon(folder)
        make_history(daemon, n_runs, n_points)
        size = (daemon.state / "richd.sqlite").stat().st_size / 2**20
        print(f"{n_runs:,} runs, {n_runs * n_points:,} points, {size:.0f} MiB")
        daemon.start()
        with daemon.trainer("last") as trainer:
            for step in range(300):  # a WAL as long as it becomes
                trainer.rows(*draw(20, 4, 2))
                trainer.mark(step)
            trainer.wait(trainer.seq)
        times = []
        for _ in range(STARTS):
            daemon.kill()
            times.append(timed_start(daemon))
        print("ready after kill -9:", " ".join(f"{seconds:.3f}" for seconds in times), "s")
        print(f"checked in the background: {wait_for_check(daemon):.1f} s")
        daemon.stop()
        with (daemon.state / "richd.sqlite").open("r+b") as file:
            file.seek(int(size / 2) * 2**20 // PAGE * PAGE)
            file.write(b"\xa5" * PAGE)
        daemon.start()
        began = time.perf_counter()
        wait_until(lambda: status(daemon)["history"] == "damaged", "the damage", timeout=600)
        found = time.perf_counter()
        wait_until(lambda: "damaged file is" in " ".join(status(daemon)["problems"]),
                   "the repair", timeout=600)
        print(f"damage found after {found - began:.1f} s, repaired in"
              f" {time.perf_counter() - found:.1f} s:", *status(daemon)["problems"], sep="\n  ")
        daemon.close()


if __name__ == "__main__":
    main(*(int(text) for text in sys.argv[1:]))
