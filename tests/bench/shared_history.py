#!/usr/bin/env python3
"""Points a second into the shared history, from daemons whose stores have them already, beside COPY
of the same rows by psql into a table with the same indexes. Run by hand:

    PYTHONPATH=client/python/src python3 tests/bench/shared_history.py [DAEMONS] [POINTS]

PostgreSQL is one of its own, with fsync."""

import pathlib
import sqlite3
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.append(str(ROOT / "tests/e2e"))

from harness import Daemon, draw, wait_until  # noqa: E402
from postgres import PROGRAMS, Postgres  # noqa: E402


def fill(daemon, run, n_points):
    """A store with so many points of one layer: one that was measured, and its copies."""
    daemon.start()
    with daemon.trainer(run) as trainer:
        trainer.rows(*draw(64, 16, 3))
        trainer.checkpoint(0)
        trainer.finish()
    daemon.stop()
    with sqlite3.connect(daemon.state / "richd.sqlite") as store:
        columns = [row[1] for row in store.execute("PRAGMA table_info(point)")]
        cells = ", ".join({"step": "k", "feed_seq": "k + 1"}.get(name, f'"{name}"')
                          for name in columns)
        store.execute(
            f"INSERT INTO point SELECT {cells} FROM point, (WITH RECURSIVE n(k) AS (SELECT 1 UNION"
            f" ALL SELECT k + 1 FROM n WHERE k < {n_points - 1}) SELECT k FROM n)")
        store.execute(f"UPDATE state SET feed_seq = {n_points}")
    store.close()


def push(daemons, n_points):
    """Seconds until all is there."""
    began = time.monotonic()
    for daemon in daemons:
        daemon.start()
    for daemon in daemons:
        wait_until(lambda daemon=daemon: daemon.rpc("server.status")["history_waiting"] == 0
                   and daemon.rpc("server.status")["history_lag_s"] == 0, "the points", 300)
    return time.monotonic() - began


def copy(server, database, folder):
    """Seconds of COPY of all points into a table like theirs."""
    def psql(text):
        return subprocess.run([PROGRAMS / "psql", "-X", "-q", "-h", server.folder, "-U", "richd",
                               "-d", database.name, "-c", text], check=True)

    psql("CREATE TABLE beside (LIKE richd.point INCLUDING ALL)")
    psql(f"\\copy richd.point TO '{folder}/points' (FORMAT binary)")
    began = time.monotonic()
    psql(f"\\copy beside FROM '{folder}/points' (FORMAT binary)")
    return time.monotonic() - began


def main():
    n_daemons = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    n_points = int(sys.argv[2]) if len(sys.argv) > 2 else 100000
    server = Postgres(fsync=True).start()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="richd-bench-"))
    daemons = []
    try:
        database = server.new_database()
        for i in range(n_daemons):
            (folder / str(i)).mkdir()
            daemons.append(Daemon(folder / str(i)))
            fill(daemons[-1], f"run-{i}", n_points)
            daemons[-1].flags = ["--history", database.url]
        pushed = push(daemons, n_points)
        copied = copy(server, database, folder)
        n = n_daemons * n_points
        size = int(database.value("SELECT pg_total_relation_size('richd.point')"))
        print(f"{n_daemons} daemons, {n} points: {n / pushed:.0f} points/s in batches,"
              f" {n / copied:.0f} by COPY; {size / n:.0f} bytes a point with its indexes")
    finally:
        for daemon in daemons:
            daemon.close()
        server.close()


if __name__ == "__main__":
    main()
