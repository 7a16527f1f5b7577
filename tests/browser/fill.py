"""Writes runs and points by the hundred thousand straight into the history of a stopped daemon, for
what no trainer reaches in the time of a test.

    fill.py HISTORY.sqlite runs 10000     many runs, one layer and one point each
    fill.py HISTORY.sqlite points 1000000 one run "long", one layer, a point at each step
    fill.py HISTORY.sqlite flagged 4000   the same; its points from 1,001 to 1,010 are biased
"""

from __future__ import annotations

import sqlite3
import sys

#: The bit of the flag "biased" (proto/base/metric.h).
BIASED = 1 << 14
COUNT = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :n) "
#: A fall from 0.55 to 0.1 about a tenth of the way, with noise and one spike.
D_LR = """CASE WHEN i = :n / 2 THEN 0.95 ELSE
 0.1 + 0.45 / (1 + exp(min(50, (i - 0.1 * :n) / (0.01 * :n)))) + 0.01 * sin(i * 12.9898) END"""


def add_runs(db: sqlite3.Connection, n: int) -> None:
    """Runs bulk-1 ... bulk-n, the last one the newest."""
    many = {"n": n}
    db.execute(COUNT + """INSERT INTO run(run_key, id, name, project, run_group, tags, state,
        attempt, created, updated, last_step, n_points)
        SELECT 1000 + i, 'bulk-' || i, 'sweep-' || i, 'bulk', 'g' || (i % 7), '["bulk"]', 1, 1,
        1.7e9 + i, 1.7e9 + i, 100, 1 FROM n""", many)
    db.execute(COUNT + """INSERT INTO run_config(run_key, config) SELECT 1000 + i,
        json_object('lr', 1.0 / (1 + i % 5), 'seed', i) FROM n""", many)
    db.execute(COUNT + """INSERT INTO attempt(run_key, attempt, writer, state, opened, closed,
        last_seq, first_step)
        SELECT 1000 + i, 1, 'fill', 1, 1.7e9 + i, 1.7e9 + i, 1, 100 FROM n""", many)
    db.execute(COUNT + """INSERT INTO layer(layer_key, run_key, name, p, c, n_points,
        last_attempt, last_step)
        SELECT 1000 + i, 1000 + i, 'head', 128, 10, 1, 1, 100 FROM n""", many)
    db.execute(COUNT + """INSERT INTO point(layer_key, attempt, step, time, n, rows_missing,
        rank, flags, feed_seq, d_lr) SELECT 1000 + i, 1, 100, 1.7e9 + i, 512, 0, 10, 0, i,
        abs(sin(i)) FROM n""", many)


def add_points(db: sqlite3.Connection, n: int) -> None:
    """Run "long" with points at steps 1 ... n."""
    db.execute("""INSERT INTO run(run_key, id, name, project, run_group, tags, state, attempt,
        created, updated, last_step, n_points)
        VALUES(1, 'long', 'long', 'bulk', '', '[]', 1, 1, 1.8e9, 1.8e9, :n, :n)""", {"n": n})
    db.execute("INSERT INTO run_config(run_key, config) VALUES(1, '{}')")
    db.execute("""INSERT INTO attempt(run_key, attempt, writer, state, opened, closed, last_seq,
        first_step) VALUES(1, 1, 'fill', 1, 1.8e9, 1.8e9, :n, 1)""", {"n": n})
    db.execute("""INSERT INTO layer(layer_key, run_key, name, p, c, n_points, last_attempt,
        last_step) VALUES(1, 1, 'head', 128, 10, :n, 1, :n)""", {"n": n})
    db.execute(COUNT + f"""INSERT INTO point(layer_key, attempt, step, time, n, rows_missing,
        rank, flags, feed_seq, d_lr, d_lr_se)
        SELECT 1, 1, i, 1.8e9 + i, 512, 0, 10, 0, i, {D_LR}, 0.01 FROM n""", {"n": n})


def add_flagged(db: sqlite3.Connection, n: int) -> None:
    """The same, where ten neighbours are flagged as biased."""
    add_points(db, n)
    db.execute("UPDATE point SET flags = ? WHERE step BETWEEN 1001 AND 1010", (BIASED,))


def main() -> None:
    """Fill, in one transaction, and move the feed's number on."""
    path, what, n = sys.argv[1], sys.argv[2], int(sys.argv[3])
    db = sqlite3.connect(path)
    with db:
        {"runs": add_runs, "points": add_points, "flagged": add_flagged}[what](db, n)
        db.execute("UPDATE state SET feed_seq = ?", (n,))
    db.close()


if __name__ == "__main__":
    main()
