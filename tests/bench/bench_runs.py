"""How long the list of 10,000 runs takes, from a request on the feed's socket to the last byte of
the last answer, on a daemon of its own: all of them in ten pages, and the newest 100, which a
reader sees first.

    make bench ONLY=bench_runs
"""

from __future__ import annotations

import json
import tempfile
import time

from figures import in_turns, say
from harness import Daemon, Feed, wait_until
from start_time import make_history

N_RUNS = 10_000
PAGE_MAX = 1000


def list_s(feed: Feed, n: int) -> float:
    """Seconds of a list of n runs, page after page; the text is not parsed in them."""
    answers = []
    began = time.perf_counter()
    for offset in range(0, n, PAGE_MAX):
        page = {"limit": min(n, PAGE_MAX), "offset": offset}
        request = {"jsonrpc": "2.0", "id": 1, "method": "run.list", "params": page}
        feed.send(json.dumps(request) + "\n")
        answers.append(feed.lines.readline())
    took = time.perf_counter() - began
    assert sum(answer.count(b'"attempt":') for answer in answers) == n, answers[0][:200]
    return took


def main(seconds: float = 3.0) -> None:
    """Make the history, ask again and again, and say what came of it."""
    with tempfile.TemporaryDirectory(prefix="richd-bench-") as folder:
        daemon = Daemon(folder)
        make_history(daemon, N_RUNS, 5)
        daemon.start()
        wait_until(lambda: daemon.rpc("server.status")["history"] == "sound", "the check")
        with Feed(daemon.endpoints["feed"]) as feed:
            for work, n in (("list of runs", N_RUNS), ("list of runs, first page", 100)):
                list_s(feed, n)
                times: list[float] = []
                end = time.perf_counter() + seconds
                while len(times) < 5 or time.perf_counter() < end:
                    times.append(1e3 * list_s(feed, n))
                say(in_turns(work, "ms", times, runs=N_RUNS))
        daemon.close()


if __name__ == "__main__":
    main()
