"""richctl top, plot --follow and tail on a real screen, with a real daemon."""

import json
import signal
import subprocess

import numpy as np
import pytest

from harness import BUILD, PATIENCE_S, clean_environment
from terminal import Terminal

RICHCTL = BUILD / "richctl"
RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(64, 8))

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")


@pytest.fixture
def start(daemon):
    """Starts richctl in a terminal; it is ended with the test."""
    started = []

    def make(*args, **options):
        started.append(Terminal(RICHCTL, "--runtime-dir", daemon.runtime, *args, **options))
        return started[-1]

    yield make
    for terminal in started:
        terminal.close()


def checkpoint(run, step, features=ROWS):
    run.observe(features, features[:, :4], step=step)
    return run.checkpoint(step=step, wait=True)["head"]


@pytest.fixture
def run(new_run):
    opened = new_run("r0", project="mod97", name="wd1-seed0")
    checkpoint(opened, 1)
    return opened


def ask(daemon, *args):
    return subprocess.run([RICHCTL, "--runtime-dir", daemon.runtime, *args], capture_output=True,
                          text=True, timeout=PATIENCE_S, env=clean_environment(LC_ALL="C.UTF-8"),
                          check=True).stdout


def test_a_point_appears_while_top_runs(start, run):
    top = start("top")
    lines = top.shows("mod97/wd1-seed0")
    assert lines[0] == "richd: 1 runs, 1 open, by newest"
    assert lines[1].split() == ["RUN", "D_LR", "0-1", "LAST", "STEP", "PT/S", "STATE", "AGE"]
    assert len(lines) == 24 and lines[23].startswith("q quit")
    point = checkpoint(run, 777, ROWS * np.geomspace(1, 9, 8))
    (row,) = [line for line in top.shows(" 777 ") if "wd1-seed0" in line]
    assert f"{point.d_debiased:.4f}" in row and " open " in row
    assert any(block in row for block in "▁▂▃▄▅▆▇█")


def test_a_run_that_starts_and_one_that_ends_show(start, run, new_run):
    top = start("top")
    top.shows("1 runs, 1 open")
    checkpoint(new_run("r1", project="mod97", name="second"), 5)
    top.shows("mod97/second")
    run.finish()
    top.until(lambda text: "finished" in text and "2 runs, 1 open" in text, "the end")


def test_a_new_size_is_drawn_without_a_wrapped_line(start, run, new_run):
    for i in range(20):
        checkpoint(new_run(f"more{i:02}", project="a-long-project", name=f"run-{i:02}-of-many"), i)
    top = start("top")
    top.shows("21 runs, 21 open")
    for columns, lines in [(60, 12), (132, 40), (33, 8), (20, 4), (80, 24)]:
        top.resize(columns, lines)
        drawn = top.until(lambda text: text.rpartition("\n")[2] and "\nRUN" in text,
                          f"{columns} columns")
        assert len(drawn) == lines and max(map(len, drawn)) <= columns
        heading = drawn[1]
        assert len(heading.rstrip()) <= columns and heading.rstrip()[-3:] in ("AGE", "ATE", "AST")
        names = [line.split()[0] for line in drawn[2:-1] if line]
        assert len(names) == len(set(names)) == min(21, lines - 3)
    top.type("q")
    assert top.end() == 0


@pytest.mark.parametrize("leave", ["q", "\x03", signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_given_back(start, run, leave):
    top = start("top")
    top.shows("wd1-seed0")
    assert b"\x1b[?1049h" in top.sent
    if isinstance(leave, str):
        top.type(leave)
    else:
        top.signal(leave)
    assert top.end() == 0
    assert top.sent.endswith(b"\x1b[?25h\x1b[?7h\x1b[?1049l")


def test_ctrl_z_gives_it_back_for_a_while(start, run):
    top = start("top")
    top.shows("wd1-seed0")
    top.signal(signal.SIGTSTP)
    top.await_stop()
    top.check_restored()
    top.screen.erase_in_display(2)
    top.signal(signal.SIGCONT)
    top.shows("wd1-seed0")
    top.type("q")
    assert top.end() == 0


def test_keys_filter_and_sort(start, run, new_run):
    checkpoint(new_run("r1", project="other", name="second"), 5)
    top = start("top")
    top.shows("other/second")
    top.type("/WD1")
    top.until(lambda text: "/WD1_" in text and "other/second" not in text, "the filter")
    top.type("\r")
    assert '; 1 with "WD1"' in top.shows("q quit")[0]
    top.type("\x1b")
    top.shows("other/second")
    top.type("ss")
    names = top.shows("by name")[2:4]
    assert [line.split()[0] for line in names] == ["mod97/wd1-seed0", "other/second"]
    top.type("q")
    assert top.end() == 0


def test_a_daemon_that_goes_is_waited_for(start, run, daemon):
    top = start("top")
    top.shows("wd1-seed0")
    daemon.stop()
    lines = top.until(lambda text: "daemon away for 1 s" in text, "the daemon's absence")
    assert any("wd1-seed0" in line for line in lines)
    daemon.start()
    top.shows("richd: 1 runs")
    checkpoint(run, 888)
    top.shows(" 888 ")


def test_without_a_terminal_it_is_one_table_or_json(run, daemon, start):
    heading, row = ask(daemon, "top").splitlines()
    assert heading.split()[0] == "RUN" and row.split()[0] == "mod97/wd1-seed0"
    (line,) = ask(daemon, "top", "--json").splitlines()
    assert json.loads(line)["run"] == "r0" and json.loads(line)["step"] == 1
    dumb = start("top", TERM="dumb")
    assert dumb.end() == 0 and b"\x1b" not in dumb.sent


def test_json_follows_what_changes(run, daemon):
    follower = subprocess.Popen([RICHCTL, "--runtime-dir", daemon.runtime, "top", "--json",
                                 "--follow"], stdout=subprocess.PIPE, text=True,
                                env=clean_environment())
    try:
        assert json.loads(follower.stdout.readline())["step"] == 1
        checkpoint(run, 9)
        assert json.loads(follower.stdout.readline())["step"] == 9
        follower.send_signal(signal.SIGINT)
        assert follower.wait(PATIENCE_S) == 0 and follower.stdout.read() == ""
    finally:
        follower.kill()
        follower.wait()
        follower.stdout.close()


# ---- plot --follow and tail ------------------------------------------------------------------------


def test_plot_follows_the_size_and_stays_behind(start, run):
    plot = start("plot", "wd1-seed0", "--follow")
    assert plot.shows("● wd1-seed0 head")[0].startswith("d_debiased: ")
    for columns, lines in [(50, 14), (120, 35), (24, 6), (80, 24)]:
        plot.resize(columns, lines)
        plot.until(lambda text: "┤" in text, f"{columns} columns")
        plot.read(0.3)
        drawn = plot.text.rstrip("\n").split("\n")
        assert drawn[0].startswith("d_debiased: ") and "\x1b[?1049l" not in plot.sent.decode()
        # Title and canvas are there once, a row each: nothing wrapped, nothing scrolled.
        assert sum(line.startswith("d_debiased: ") for line in drawn) == 1
        assert all("┤" in line or "│" in line for line in drawn[1:min(6, lines)]), drawn
        assert len(drawn) == min(lines, max(lines - 1, 9))
    checkpoint(run, 400)
    plot.until(lambda text: "100" in text, "a longer step axis")
    run.finish()
    assert plot.end() == 0
    after = plot.sent.rpartition(b"\x1b[?1049l")[2].decode()
    assert after.startswith("d_debiased: ") and "wd1-seed0 head" in after and after.endswith("\n")


@pytest.mark.parametrize("leave", ["q", signal.SIGTERM])
def test_plot_gives_the_terminal_back(start, run, leave):
    plot = start("plot", "wd1-seed0", "--follow")
    plot.shows("● wd1-seed0 head")
    if isinstance(leave, str):
        plot.type(leave)
    else:
        plot.signal(leave)
    assert plot.end() == 0


def test_tail_has_a_line_a_point_at_any_width(start, run):
    tail = start("tail")
    heading, row = tail.shows("head ")[:2]
    assert heading.split()[:5] == ["run", "layer", "step", "n", "d_debiased"] and row.split()[0] == "r0"
    for step, (columns, lines) in enumerate([(50, 24), (130, 24), (80, 24)], 100):
        tail.resize(columns, lines)
        checkpoint(run, step)
        rows = [line for line in tail.shows(f" {step} ") if line]
        at = next(i for i, line in enumerate(rows) if f" {step} " in line)
        assert rows[at - 1].split()[:3] == ["run", "layer", "step"]
        assert rows[at].split()[:3] == ["r0", "head", str(step)] and len(rows[at]) <= columns
        assert ("u" in rows[at - 1].split()) == (columns == 130)
        assert "d_debiased" in rows[at - 1].split()


def test_tail_folds_what_is_longer_than_a_line(start, run):
    tail = start("tail", "wd1-seed0", columns=40)
    tail.shows("head ")
    run.log({f"scalar_{i}": i for i in range(6)}, step=5)
    lines = [line for line in tail.shows("scalar_5 5.0000") if line]
    first = next(i for i, line in enumerate(lines) if "scalar_0" in line)
    assert " ".join(" ".join(lines[first:]).split()).endswith(
        " ".join(f"scalar_{i} {i}.0000" if i else "scalar_0 0.0000" for i in range(6)))
    assert all(line.startswith("    ") for line in lines[first + 1:])
