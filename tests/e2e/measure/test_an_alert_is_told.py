"""What `run.alert` says is an event: subscribers, `--on-event`, richctl and Python are told."""

import json
import logging
import subprocess

import richd
from harness import BUILD, Feed, wait_until

NAME = "alert: loss is not finite"
SAID = {"level": "warn", "text": "batch 7", "step": 12, "time": 1764000000.25}
EVENT = {"run": "run", "layer": None, "attempt": 1, "step": 12, "time": 1764000000.25,
         "kind": "alert", "metric": NAME, "start": 12, "end": 12, "level": "warn",
         "title": "loss is not finite", "text": "batch 7"}


def say(trainer, seq=None, **members):
    seq = seq or trainer._next_seq()
    trainer.say("summary", seq=seq, summary=members)
    trainer.wait(seq)
    return seq


def first_line_of_tail(daemon):
    with subprocess.Popen([BUILD / "richctl", "--runtime-dir", daemon.runtime, "--json", "tail",
                           "run", "--since", "0"], stdout=subprocess.PIPE, text=True) as tail:
        line = tail.stdout.readline()
        tail.terminate()
        return json.loads(line)


def test_an_alert_is_told_once_to_each_who_listens(new_daemon, tmp_path):
    told, script = tmp_path / "told", tmp_path / "on-event"
    script.write_text(f'#!/bin/sh\ncat >>"{told}"\n')
    script.chmod(0o755)
    daemon = new_daemon("--on-event", script).start()
    with daemon.trainer("run") as trainer, Feed(daemon.endpoints["feed"]) as feed:
        assert feed.call("event.subscribe")["events"] == []
        seq = say(trainer, **{NAME: SAID, "best": 1})
        assert feed.receive()["params"]["events"] == [EVENT]
        trainer.acks.clear()
        say(trainer, seq, **{NAME: SAID, "best": 1})  # as after a lost acknowledgement
        say(trainer, **{NAME: SAID, "best": 2})
        say(trainer, **{"alert: is no object": 1, "alert:none": SAID})
        again = {**SAID, "text": "batch 9", "step": 14}
        say(trainer, **{NAME: again})
        newer = {**EVENT, "text": "batch 9", "step": 14, "start": 14, "end": 14}
        assert feed.receive()["params"]["events"] == [newer]
        assert daemon.rpc("event.query", run="run")["events"] == [newer]
        assert daemon.rpc("event.query", run="run", to=13)["events"] == []
        wait_until(lambda: told.exists() and len(told.read_text().splitlines()) == 2, "two lines")
        assert [json.loads(line) for line in told.read_text().splitlines()] == [EVENT, newer]
        trainer.finish()
    assert "alert, warn: loss is not finite: batch 9" in daemon.richctl("show", "run")
    assert first_line_of_tail(daemon) == newer
    daemon.restart()
    with Feed(daemon.endpoints["feed"]) as feed:
        assert feed.call("event.subscribe", since_seq="0")["events"] == [newer]
        assert feed.call("event.subscribe")["events"] == [newer]


def test_a_message_of_many_alerts_and_strange_ones_does_no_harm(daemon):
    with daemon.trainer("run") as trainer:
        say(trainer, **{f"alert: {k}": {"step": k} for k in range(9)})
        say(trainer, **{"alert: ": {}, "alert: \"'$.[0]\u0007": {"step": -3, "text": 5},
                        "alert: " + "x" * 2000: {}})
        events = daemon.rpc("event.query", run="run")["events"]
        assert len([e for e in events if e["title"].isdigit()]) == 4
        strange = next(e for e in events if e["title"] == "\"'$.[0]\u0007")
        assert (strange["step"], strange["text"], strange["level"]) == (0, "", "info")
        assert "\u0007" not in daemon.richctl("show", "run")
        assert len(daemon.rpc("run.get", run="run")["summary"]) == 12


def test_python_alerts_and_lists_them(daemon, caplog):
    with caplog.at_level(logging.INFO, "richd"):
        run = richd.init(run_id="r1", runtime_dir=str(daemon.runtime), spool_bytes=0)
        run.log({"loss": 2.0}, step=7)
        run.alert("diverged", "loss 1e9", level="error")
        run.finish(timeout=30)
    stored = richd.run("r1", runtime_dir=str(daemon.runtime))
    (alert,) = stored.alerts
    assert (alert.title, alert.text, alert.level, alert.step) == \
        ("diverged", "loss 1e9", "error", 7)
    assert stored.events == []
    assert "alert run=r1 step=7" in daemon.output
