import json
import pathlib
import signal

import pytest

from fall import BEHIND, PLATEAU, advance, all_steps, rows
from harness import Feed, richd, wait_until


@pytest.fixture
def events_of(daemon):
    """Subscribes to events; gives the answer's list and a function that waits for the next ones."""
    feeds = []

    def subscribe(**params):
        feed = Feed(daemon.endpoints["feed"])
        feeds.append(feed)
        answer = feed.call("event.subscribe", **params)

        def read():
            message = feed.receive()
            assert message["method"] == "event.update"
            assert message["params"]["sub"] == answer["sub"]
            assert set(message["params"]) == {"sub", "seq", "events"}
            return message["params"]["events"]

        return answer, read

    yield subscribe
    for feed in feeds:
        feed.close()


def command(tmp_path, *lines):
    """An executable that a daemon runs for every event."""
    path = tmp_path / "on-event"
    path.write_text("\n".join(["#!/bin/sh", *lines, ""]))
    path.chmod(0o755)
    return path


def is_running(pid):
    """A zombie has ended; who collects it depends on the machine."""
    try:
        stat = pathlib.Path(f"/proc/{pid}/stat").read_text("ascii")
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_transition_is_reported(daemon, events_of):
    with daemon.trainer("run") as trainer:
        answer, read = events_of()
        assert answer["events"] == []
        advance(trainer, all_steps(), accuracy="test_acc")
        (event,) = read()
    assert {k: event[k] for k in ("run", "layer", "attempt", "kind", "metric", "direction",
                                  "agrees")} == \
        {"run": "run", "layer": "head", "attempt": 1, "kind": "transition", "metric": "d_debiased",
         "direction": "fall", "agrees": True}
    assert event["accuracy"] == {"name": "test_acc", "from": 0.1, "to": 1.0}
    assert 370 <= event["start"] <= 400 <= event["end"] <= 430
    assert event["from"] > 0.5 and event["to"] < 0.1
    assert abs(event["size"] - (event["from"] - event["to"])) < 1e-12
    assert 400 < event["step"] <= 10 * (PLATEAU + BEHIND)
    assert (event["n_from"], event["n_to"], event["returned"]) == (256, 256, None)
    assert daemon.rpc("event.query", run="run") == {
        "run": "run", "events": [event],
        "watched": [{"layer": "head", "metric": "d_debiased", "points": 23, "needed": 23}]}
    assert daemon.rpc("event.query", run="run", to=300)["events"] == []
    # the latest, and once only for who goes on
    assert events_of(run="run")[0]["events"] == [event]
    answer, _ = events_of(since_seq="0")
    assert answer["events"] == [event]
    assert events_of(since_seq=answer["seq"])[0]["events"] == []

    text = daemon.richctl("show", "run")
    sentence = next(line for line in text.splitlines() if line.startswith("head: transition: "))
    assert sentence.endswith(", grokking-like: test_acc 0.1000 -> 1.0000")
    assert "transition: d_debiased falls" in daemon.richctl("plot", "run", "--width", "120")
    assert daemon.richctl_json("show", "run")[0]["events"] == [event]
    assert daemon.richctl_json("tail", "run", "--since", "0", "--count", "60")[60:] == [event]
    assert " transition run=run layer=head metric=d_debiased direction=fall " in daemon.output


def test_a_series_too_short_to_judge_says_so(daemon):
    watched = {"metrics": ["d_lr", "scalar:acc"]}
    with daemon.trainer("run", transitions=watched) as trainer:
        advance(trainer, all_steps()[:12])
    assert daemon.rpc("event.query", run="run") == {"run": "run", "events": [], "watched": [
        {"layer": "head", "metric": "d_lr", "points": 12, "needed": 23},
        {"layer": None, "metric": "acc", "points": 0, "needed": 23}]}
    text = daemon.richctl("show", "run")
    assert "\nhead: d_lr: too few points to judge: 12 of 23, still needed: 11. " in text
    assert "\nacc: too few points to judge: 0 of 23, still needed: 23. " in text
    assert "too few points to judge: 12 of 23" in daemon.richctl("plot", "run", "--width", "120")
    with daemon.trainer("run", transitions=watched) as trainer:
        advance(trainer, all_steps()[12:30])
    assert "no transition found" in daemon.richctl("show", "run")
    assert "too few" not in daemon.richctl("plot", "run", "--width", "120")


def test_nobody_speaks_of_grokking_without_an_accuracy(daemon):
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps(), accuracy="train_acc")
    (event,) = daemon.rpc("event.query", run="run")["events"]
    assert (event["agrees"], event["accuracy"]) == (None, None)
    for arguments in (["show", "run"], ["plot", "run"]):
        assert "grok" not in daemon.richctl(*arguments)


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_a_restart_in_the_middle_of_it_does_no_harm(daemon, end):
    """Between the fall and the point that completes it, the daemon goes: the points on disk, not
    the memory, are what the detector knows."""
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps()[:PLATEAU + 4])
        assert daemon.rpc("event.query", run="run")["events"] == []
        writer, layers = trainer.writer, trainer.layers
    getattr(daemon, end)()
    daemon.start()
    with daemon.trainer() as trainer:
        trainer.writer, trainer.layers = writer, layers
        assert trainer.open("run", attempt=1)["attempt"] == 1
        advance(trainer, all_steps()[PLATEAU + 4:])
    (event,) = daemon.rpc("event.query", run="run")["events"]
    with daemon.trainer("straight") as trainer:
        advance(trainer, all_steps())
    (straight,) = daemon.rpc("event.query", run="straight")["events"]
    assert {**straight, "run": "run", "time": event["time"]} == event


def test_a_resume_in_the_middle_of_it_does_no_harm(daemon):
    """The trainer crashed in the fall, and goes on from a checkpoint that lies before it; its first
    word is a log. What the new attempt supersedes counts no more, the rest does."""
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps()[:PLATEAU + 4], accuracy="test_acc")
    with daemon.trainer("run") as trainer:
        assert trainer.attempt == 2
        advance(trainer, all_steps()[PLATEAU - 2:], accuracy="test_acc")
    (event,) = daemon.rpc("event.query", run="run")["events"]
    with daemon.trainer("straight") as trainer:
        advance(trainer, all_steps(), accuracy="test_acc")
    (straight,) = daemon.rpc("event.query", run="straight")["events"]
    assert event["attempt"] == 2 and event["agrees"] is True
    assert {**straight, "run": "run", "attempt": 2, "time": event["time"]} == event


def test_an_excursion_is_told_and_closed(new_daemon, tmp_path):
    """It lasts for 16 points. The daemon is killed between them, and a reader that was away goes on
    from the number that it has seen: the same event, with its end."""
    told = tmp_path / "told"
    daemon = new_daemon("--on-event", command(tmp_path, f'cat >>"{told}"')).start()
    away = range(10 * PLATEAU, 10 * (PLATEAU + 16), 10)

    def go_on(trainer, steps):
        for step in steps:
            trainer.rows(*rows(step, 0.3 if step in away else 1.0))
            trainer.checkpoint(step)

    with daemon.trainer("run") as trainer:
        go_on(trainer, range(0, away.stop, 10))
        (event,) = daemon.rpc("event.query", run="run")["events"]
        seen = daemon.rpc("event.subscribe", run="run")["seq"]
        writer, layers = trainer.writer, trainer.layers
    assert event["returned"] is None
    daemon.kill()
    daemon.start()
    with Feed(daemon.endpoints["feed"]) as live, daemon.trainer() as trainer:
        assert live.call("event.subscribe", since_seq=seen)["events"] == []
        trainer.writer, trainer.layers = writer, layers
        trainer.open("run", attempt=1)
        go_on(trainer, range(away.stop, away.stop + 400, 10))
        (pushed,) = live.receive()["params"]["events"]
    assert away.stop < pushed["returned"] < away.stop + 400
    assert pushed == {**event, "returned": pushed["returned"]}
    assert daemon.rpc("event.query", run="run")["events"] == [pushed]
    assert daemon.rpc("event.subscribe", run="run", since_seq=seen)["events"] == [pushed]
    assert f" returned={pushed['returned']}" in daemon.output
    wait_until(lambda: told.read_text().count("\n") == 2, "the command")
    assert [json.loads(line) for line in told.read_text().splitlines()] == [event, pushed]
    assert f", back by {pushed['returned']}" in daemon.richctl("show", "run")


def test_an_event_of_superseded_points_is_none_of_the_run(daemon):
    """The second attempt goes back before the fall, and does not fall."""
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps())
    (event,) = daemon.rpc("event.query", run="run")["events"]
    with daemon.trainer("run") as trainer:
        for step in all_steps()[PLATEAU - 2:]:
            trainer.rows(*rows(step, 1.0))
            trainer.checkpoint(step)
    assert daemon.rpc("event.query", run="run")["events"] == []
    assert daemon.rpc("event.query", run="run", attempts="all")["events"] == [event]


def test_a_scalar_that_the_run_names_is_watched(daemon, events_of):
    """Over a resume, too; it belongs to no layer."""
    answer, read = events_of()
    watched = {"metrics": ["scalar:test_acc", "d_lr"]}
    with daemon.trainer("run", transitions=watched) as trainer:
        advance(trainer, all_steps()[:PLATEAU + 3], accuracy="test_acc")
    with daemon.trainer("run", transitions=watched) as trainer:
        advance(trainer, all_steps()[PLATEAU + 3:], accuracy="test_acc")
    events = daemon.rpc("event.query", run="run")["events"]
    told = read()
    while len(told) < 2:
        told += read()
    (rise,) = [event for event in told if event["metric"] == "test_acc"]
    assert rise["layer"] is None and rise["direction"] == "rise"
    assert rise["n_from"] is None and rise["agrees"] is None
    assert sorted(told, key=lambda e: e["metric"]) == sorted(events, key=lambda e: e["metric"])
    assert daemon.rpc("event.query", run="run", layer="head")["events"] != events
    assert "\ntransition: test_acc rises 0.1000 -> 1.0000" in daemon.richctl("show", "run")
    assert " transition run=run layer= metric=test_acc direction=rise " in daemon.output


@pytest.mark.parametrize("scalar", ["scalar:", "scalar:" + 129 * "x"])
def test_a_scalar_without_a_name_refuses_the_run(daemon, scalar):
    with daemon.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="run", writer="w", transitions={"metrics": [scalar]})
        assert "1 to 128 bytes" in trainer.expect("nack")["text"]


def test_a_command_reads_the_event(new_daemon, tmp_path):
    told = tmp_path / "told"
    daemon = new_daemon("--on-event", command(tmp_path, f'cat >>"{told}"', "exit 3")).start()
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps(), layers=["$(touch x); y"])
    (event,) = daemon.rpc("event.query", run="run")["events"]
    wait_until(lambda: told.exists() and told.read_text().endswith("\n"), "the command")
    assert json.loads(told.read_text()) == event
    wait_until(lambda: "the command for events ended with 3" in daemon.output, "its exit code")


def test_a_command_comes_and_goes_with_sighup(new_daemon, tmp_path):
    told, file = tmp_path / "told", tmp_path / "richd.conf"
    file.write_text("log-level = info\n")
    daemon = new_daemon("--config", str(file)).start()

    def reload(text):
        seen = len(daemon.output)
        file.write_text(text)
        daemon.signal(signal.SIGHUP)
        wait_until(lambda: "on-event has changed" in daemon.output[seen:], "the options")

    for run, text in (("before", ""), ("during", "on-event = {}\n"), ("after", "")):
        if run != "before":
            reload(text.format(command(tmp_path, f'cat >>"{told}"')))
        with daemon.trainer(run) as trainer:
            advance(trainer, all_steps())
        if text:
            wait_until(lambda: told.exists() and told.read_text().endswith("\n"), "the command")
    daemon.stop()
    assert [json.loads(line)["run"] for line in told.read_text().splitlines()] == ["during"]


@pytest.mark.long
def test_a_command_that_hangs_holds_up_nothing(new_daemon, tmp_path):
    """It does not even read; it is killed with what it has started, after 10 s and at the end."""
    pids = tmp_path / "pids"
    hanging = command(tmp_path, "sleep 1000 &", f'echo $$ $! >>"{pids}"', "wait")
    daemon = new_daemon("--on-event", hanging).start()
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps(), layers=("a", "b", "c"))
    assert len(daemon.rpc("event.query", run="run")["events"]) == 3

    def started():
        return pids.read_text().split() if pids.exists() else []

    wait_until(started, "the command")
    assert len(started()) == 2, "one at a time"
    wait_until(lambda: len(started()) == 4, "the first to be killed and the second to start")
    assert "took more than 10 s and is killed" in daemon.output
    wait_until(lambda: not any(map(is_running, started()[:2])), "the first and its child to go")
    daemon.stop()
    assert "1 events are not told to" in daemon.output
    wait_until(lambda: not any(map(is_running, started())), "the second and its child to go")


@pytest.mark.parametrize("path, why", [
    ("relative", "is not an absolute path"),
    ("/nowhere/at/all", "No such file or directory"),
    ("/", "is no executable file"),
    ("/etc/passwd", "is no executable file"),
])
def test_a_command_that_cannot_run_is_refused_at_the_start(path, why):
    done = richd("--on-event", path, "--check-config")
    assert done.returncode == 78
    assert "on-event (flag): " in done.stderr and why in done.stderr


def test_each_measure_that_is_watched_has_its_own_events(daemon, events_of):
    """D_LR falls because the features collapse onto two directions: pr falls at the same steps."""
    answer, read = events_of()
    assert answer["events"] == []
    with daemon.trainer("run", transitions={"metrics": ["pr", "d_lr"]}) as trainer:
        advance(trainer, all_steps(), accuracy="test_acc")
    events = daemon.rpc("event.query", run="run")["events"]
    told = read()
    while len(told) < 2:
        told += read()
    assert sorted(told, key=lambda e: e["metric"]) == sorted(events, key=lambda e: e["metric"])
    d_lr, pr = sorted(events, key=lambda e: e["metric"])
    assert (d_lr["metric"], pr["metric"]) == ("d_lr", "pr")
    for event in (d_lr, pr):
        assert event["direction"] == "fall" and event["agrees"] is True
        assert 370 <= event["start"] <= 400 <= event["end"] <= 430
    # (2 + 14 s^2)^2 / (2 + 14 s^4) at s = 1 and 0.3 is 16 and 5.03; 256 rows take 16/256 off 16
    assert abs(pr["from"] - 15.06) < 0.5 and abs(pr["to"] - 5.03) < 0.3
    assert events_of(since_seq="0")[0]["events"] == told

    shown = daemon.richctl("show", "run").splitlines()
    assert sum(line.startswith("head: transition: d_lr falls") for line in shown) == 1
    assert sum(line.startswith("head: transition: pr falls") for line in shown) == 1
    for metric, other in (("d_lr", "pr"), ("pr", "d_lr")):
        plot = daemon.richctl("plot", "run", "--metric", metric, "--width", "120")
        assert f"transition: {metric} falls" in plot and f"transition: {other}" not in plot
    assert "transition" not in daemon.richctl("plot", "run", "--metric", "u", "--width", "120")


def test_a_run_may_watch_nothing(daemon):
    with daemon.trainer("run", transitions={"metrics": []}) as trainer:
        advance(trainer, all_steps())
    assert daemon.rpc("event.query", run="run")["events"] == []
    assert "transition" not in daemon.richctl("show", "run")


def test_a_measure_that_is_none_refuses_the_run(daemon):
    with daemon.trainer() as trainer:
        trainer.hello()
        trainer.expect("hello")
        trainer.say("open", run="run", writer="w", transitions={"metrics": ["d_lr", "lr_d"]})
        nack = trainer.expect("nack")
    assert (nack["code"], nack["fatal"]) == ("EPROTO", True)
    assert '"lr_d"' in nack["text"] and '"scalar:lr_d"' in nack["text"]
    assert daemon.rpc("run.list")["runs"] == []


def test_what_the_newest_opening_watches_is_found(daemon):
    """The attempt began with D_LR alone; the daemon went before the fall was told, and the trainer
    came back to watch pr: of pr all points count, and D_LR is not reported."""
    with daemon.trainer("run") as trainer:
        advance(trainer, all_steps()[:PLATEAU + 4])
        writer, layers = trainer.writer, trainer.layers
    daemon.kill()
    daemon.start()
    with daemon.trainer() as trainer:
        trainer.writer, trainer.layers = writer, layers
        trainer.open("run", attempt=1, transitions={"metrics": ["pr"]})
        advance(trainer, all_steps()[PLATEAU + 4:])
    assert [e["metric"] for e in daemon.rpc("event.query", run="run")["events"]] == ["pr"]
