"""richctl delete and prune: who is asked, what is asked of the feed, and what is left on the way."""

import os
import pty
import re
import subprocess
import threading

import pytest

from memoryfeed import FeedError

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")


@pytest.fixture
def house(feed):
    """Three runs, and the methods by which they go."""
    for name in ("r-1", "r-2", "r-3"):
        run = feed.add(name, f"name-{name}")
        run.point("head", 1, 0.5)
        run.point("head", 2, 0.5)

    def run_delete(run):
        found = feed.find(run)
        if found.facts["state"] == "open" and run == "r-3":
            raise FeedError(-32602, f"run {run} is open")
        feed.runs.remove(found)
        return {"run": run, "points": 2}

    def history_prune(dry_run=False, **limits):
        runs = [r.facts["run"] for r in feed.runs if r.facts["run"] != "r-3"]
        if not dry_run:
            feed.runs[:] = [r for r in feed.runs if r.facts["run"] == "r-3"]
        answer = {"runs": runs, "points": 2 * len(runs), "bytes_before": 3 << 30,
                  "bytes_after": 1 << 30}
        details = [{"run": run, "points": 2, "updated": 1.5, "bytes": 3 << 20} for run in runs]
        return {**answer, "details": details} if dry_run else answer

    feed.run_delete, feed.history_prune = run_delete, history_prune
    return feed


def ids(feed):
    return [r.facts["run"] for r in feed.runs]


def asked(feed, method):
    return [r.get("params", {}) for r in feed.requests if r["method"] == method]


def at_a_terminal(ctl, answer, *args):
    """Runs it with a terminal on stdin and stderr; returns the exit code, stdout, and what the
    terminal showed."""
    master, slave = pty.openpty()
    process = subprocess.Popen(ctl.command(*args), env=ctl.env, stdin=slave, stderr=slave,
                               stdout=subprocess.PIPE, text=True)
    os.close(slave)
    shown = b""
    while answer and b"[y/N]" not in shown:
        shown += os.read(master, 4096)
    os.write(master, answer)
    out, _ = process.communicate(timeout=60)
    try:
        while more := os.read(master, 4096):
            shown += more
    except OSError:  # the other side is closed
        pass
    os.close(master)
    return process.returncode, out, re.sub("\x1b\\[K|\r", "", shown.decode())


# ---- delete --------------------------------------------------------------------------------------


def test_runs_are_deleted_by_their_ids(ctl, house):
    assert ctl.run("delete", "--yes", "name-r-1", "r-2", "r-1") == "r-1: 2 points\nr-2: 2 points\n"
    assert asked(house, "run.delete") == [{"run": "r-1"}, {"run": "r-2"}]
    assert ids(house) == ["r-3"]


def test_as_json_each_answer_is_a_line(ctl, house):
    assert ctl.json("delete", "r-1", "--yes") == [{"run": "r-1", "points": 2}]


def test_without_a_terminal_yes_is_needed(ctl, house):
    done = subprocess.run(ctl.command("delete", "r-1"), env=ctl.env, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False)
    assert done.returncode == 64 and "delete needs --yes where nobody can be asked" in done.stderr
    assert len(ids(house)) == 3


@pytest.mark.parametrize("answer, is_yes", [(b"y\n", True), (b"YES\n", True), (b"\n", False),
                                            (b"n\n", False), (b"yo\n", False), (b"\x04", False)])
def test_at_a_terminal_it_asks(ctl, house, answer, is_yes):
    code, out, shown = at_a_terminal(ctl, answer, "delete", "r-1")
    assert "Delete r-1 (mod97/name-r-1) with 2 points for good? [y/N] " in shown
    assert (code, out) == ((0, "r-1: 2 points\n") if is_yes else (1, ""))
    assert ("nothing has changed" in shown) == (not is_yes) and ("r-1" in ids(house)) != is_yes


def test_several_runs_are_counted_in_the_question(ctl, house):
    assert at_a_terminal(ctl, b"n\n", "delete", "r-1", "r-2")[2].startswith(
        "Delete 2 runs with 4 points for good?")
    assert len(ids(house)) == 3


def test_a_name_that_is_wrong_deletes_nothing(ctl, house):
    assert 'no run "r-9"' in ctl.run("delete", "--yes", "r-1", "r-9", code=1)
    assert len(ids(house)) == 3


def test_a_refusal_tells_what_is_left(ctl, house):
    house.runs[2].facts["state"] = "open"
    error = ctl.run("delete", "--yes", "r-1", "r-3", "r-2", code=64)
    assert error.splitlines()[:2] == ["richctl: not deleted: r-3 r-2", "richctl: run r-3 is open"]
    assert ids(house) == ["r-2", "r-3"]


def test_an_interrupt_ends_it_behind_a_run_and_tells_what_is_left(ctl, house):
    answer, deleting = house.run_delete, None

    def interrupt(run):
        deleting.interrupt()
        return answer(run)

    house.run_delete = interrupt
    with house.lock:
        deleting = ctl.start("delete", "--yes", "r-1", "r-2")
    code, out, error = deleting.end()
    assert (code, out) == (1, ["r-1: 2 points"]) and ids(house) == ["r-2", "r-3"]
    assert error.splitlines() == ["richctl: not deleted: r-2", "richctl: interrupted"]


# ---- prune ---------------------------------------------------------------------------------------


def test_prune_asks_for_what_the_options_say(ctl, house):
    out = ctl.run("prune", "--keep-days", "30", "--max-bytes", "2G", "--dry-run")
    *runs, sentence = out.splitlines()
    assert [re.sub(r"update .* ago", "update", line) for line in runs] == [
        f"mod97/name-{run}  {run}  2 points, last update, 3.0 MiB" for run in ("r-1", "r-2")]
    assert sentence == "2 runs with 4 points would go: 3.0 GiB before, 1.0 GiB after"
    assert ctl.run("prune", "--keep-days", "30").endswith("have gone: 3.0 GiB before, "
                                                          "1.0 GiB after\n")
    assert asked(house, "history.prune") == [
        {"keep_days": 30, "max_bytes": 2 << 30, "dry_run": True},
        {"keep_days": 30, "dry_run": True}, {"keep_days": 30}]
    assert ids(house) == ["r-3"]
    assert ctl.json("prune", "--max-bytes", "0")[0]["runs"] == []
    assert "prune needs --keep-days N, --max-bytes SIZE, or both" in ctl.run("prune", code=64)


@pytest.mark.parametrize("answer, left", [(b"y\n", 1), (b"n\n", 3)])
def test_at_a_terminal_prune_says_what_would_go_and_asks(ctl, house, answer, left):
    code, out, shown = at_a_terminal(ctl, answer, "prune", "--keep-days", "1")
    assert "2 runs with 4 points would go" in shown and "Delete them for good? [y/N]" in shown
    assert len(ids(house)) == left and (code == 0) == (left == 1) == bool(out)


def test_prune_has_no_question_where_nothing_would_go(ctl, house):
    house.runs[:] = house.runs[2:]
    code, out, shown = at_a_terminal(ctl, b"", "prune", "--keep-days", "1")
    assert (code, out[:6]) == (0, "0 runs") and "[y/N]" not in shown


@pytest.mark.long
def test_a_long_prune_says_how_far_it_is_and_outlasts_the_timeout(ctl, house):
    answer, released = house.history_prune, threading.Event()

    def slow(dry_run=False, **limits):
        said = answer(dry_run, **limits)
        if not dry_run:
            house.runs.insert(0, second)  # its turn comes later
            house.lock.release()  # others are answered meanwhile
            released.wait(30)
            house.lock.acquire()
            house.runs.remove(second)
        return said

    second = house.find("r-2")
    house.history_prune = slow
    pruning = ctl.start("prune", "--keep-days", "1", "--timeout", "1")
    assert pruning.process.stderr.readline() == b"1 of 2 runs: 50 % have gone\n"
    released.set()
    code, lines, _ = pruning.end()
    assert code == 0 and lines[:2] == ["r-1", "r-2"]


def test_an_older_daemon_is_told(ctl, feed):
    feed.add("r-1", "a")
    for command, method in ((["delete", "r-1", "--yes"], "run.delete"),
                            (["prune", "--keep-days", "1"], "history.prune")):
        assert f"does not know {method}: it is older than this" in ctl.run(*command, code=1)
