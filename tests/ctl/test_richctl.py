"""richctl as its users drive it, against a feed that answers from memory (memoryfeed.py)."""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time

import pytest

import memoryfeed
from memoryfeed import COMPANIONS, RICHCTL, Ctl, Feed, grokking

POINT_KEYS = [*memoryfeed.POINT_KEYS, "scalars"]

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")


def bare(*args, **env):
    return subprocess.run([RICHCTL, *args], capture_output=True, text=True, timeout=30,
                          env={"PATH": os.environ["PATH"], **env})


@pytest.fixture
def run(feed):
    return grokking(feed.add("mod97-wd1-a1b2c3", "wd1-seed0"))


# ---- the command line ----------------------------------------------------------------------------


def test_help_lists_commands_and_version_is_told():
    done = bare("--help")
    assert done.returncode == 0
    commands = re.findall(r"^  ([a-z]+)\b", done.stdout, re.M)
    assert {"status", "runs", "show", "series", "tail", "top", "plot", "measures", "export",
            "import", "help"} <= set(commands)
    for command in commands:
        own = bare(command, "--help")
        assert own.returncode == 0 and own.stdout.startswith(f"usage: richctl {command}")
        assert bare("help", command).stdout == own.stdout
    assert bare("help").stdout == done.stdout
    assert "did you mean plot?" in bare("help", "plto").stderr
    assert re.fullmatch(r"richctl \d+\.\d+\.\d+\n", bare("--version").stdout)


@pytest.mark.parametrize("args, why", [
    ([], "a command is needed"),
    (["plto"], 'unknown command "plto"; did you mean plot?'),
    (["runs", "--projct", "x"], "did you mean --project?"),
    (["runs", "--layer", "x"], "--layer does not go with runs"),
    (["show"], "show needs a run"),
    (["show", "a", "b"], 'show takes no "b"'),
    (["series", "x", "--from", "-1"], "--from takes a whole number"),
    (["series", "x", "--points"], "--points needs a value"),
    (["import", "--feed", "unix:/x"], "--feed does not go with import"),
])
def test_wrong_usage_is_one_line_and_the_usage(args, why):
    done = bare(*args)
    assert done.returncode == 64 and done.stdout == ""
    line, usage = done.stderr.splitlines()
    assert why in line and usage.startswith("usage: richctl ")


@pytest.mark.usefixtures("alone_elsewhere")
def test_without_a_daemon_the_places_are_named(tmp_path):
    done = bare("--runtime-dir", str(tmp_path), "runs")
    assert done.returncode == 69
    assert f"{tmp_path}/endpoints.json" in done.stderr and "--runtime-dir" in done.stderr
    done = bare("runs", XDG_RUNTIME_DIR=str(tmp_path))
    assert f"{tmp_path}/richd/endpoints.json" in done.stderr
    assert f"/tmp/richd-{os.getuid()}/endpoints.json" in done.stderr


def test_a_daemon_that_died_is_told_from_one_that_never_ran(ctl, feed):
    feed.close()
    error = ctl.run("runs", code=69)
    assert feed.address in error and "Connection refused" in error and "endpoints.json" in error


def test_a_daemon_that_does_not_answer_times_out(ctl, feed):
    feed.silent = True
    start = time.monotonic()
    assert "no answer within 1 s" in ctl.run("runs", "--timeout", "1", code=69)
    assert time.monotonic() - start < 5


def test_the_feed_is_found_by_every_way(feed, run, tmp_path):
    (tmp_path / "richd").symlink_to(tmp_path)
    for args, env in [(["--runtime-dir", str(tmp_path)], {}),
                      ([], {"RICHD_RUNTIME_DIR": str(tmp_path)}),
                      ([], {"XDG_RUNTIME_DIR": str(tmp_path)}),
                      (["--feed", feed.address], {})]:
        done = bare("runs", *args, **env)
        assert done.returncode == 0 and "mod97-wd1-a1b2c3" in done.stdout, (args, done.stderr)


def test_the_feed_may_be_on_tcp(tmp_path):
    feed = Feed(tmp_path, tcp=True)
    assert "4711" in Ctl(feed).run("status")
    feed.close()


@pytest.mark.parametrize("text", ["", "[]", '{"feed":5}', '{"feed":"ipc:x"}', "{"])
def test_nonsense_in_the_endpoints_file_is_refused(tmp_path, text):
    (tmp_path / "endpoints.json").write_text(text)
    done = bare("--runtime-dir", str(tmp_path), "runs")
    assert done.returncode == 1 and "endpoints.json" in done.stderr


@pytest.mark.parametrize("raw", [b"hello\n", b"[]\n", b'{"jsonrpc":"2.0","id":1}\n',
                                 b'{"jsonrpc":"2.0","id":1,"result":[]}\n', b'{"a":"\xff"}\n'])
def test_nonsense_from_the_daemon_is_an_error(ctl, feed, raw):
    feed.raw = raw
    if raw == b"[]\n":
        ctl.run("runs", "--timeout", "1", code=69)
    else:
        ctl.run("runs", code=1)


def test_the_daemons_errors_are_shown(ctl, feed, run):
    assert 'no run "nobody"' in ctl.run("show", "nobody", code=1)
    feed.raw = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32002,"message":"1024 connections"}}\n'
    assert "1024 connections" in ctl.run("runs", code=69)


def test_a_value_that_the_daemon_refuses_is_wrong_usage(ctl, feed, run):
    feed.raw = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32602,"message":"no state x"}}\n'
    assert "no state x" in ctl.run("runs", "--state", "x", code=64)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make files of somebody else")
def test_an_endpoints_file_of_somebody_else_is_refused_by_that_reason():
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        path = pathlib.Path(folder) / "endpoints.json"
        path.write_text('{"feed":"unix:/tmp/feed.sock"}')
        os.chown(path, 12345, 12345)
        done = bare("--runtime-dir", folder, "runs")
    assert done.returncode == 69 and "it belongs to user 12345" in done.stderr, done.stderr


def test_a_full_disk_is_noticed(ctl, run):
    with open("/dev/full", "w") as full:
        done = subprocess.run(ctl.command("series", "wd1-seed0"), stdout=full, env=ctl.env,
                              stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1 and "No space left" in done.stderr


# ---- status, runs, show --------------------------------------------------------------------------


def test_status_reads_well_and_as_json(ctl, feed):
    text = ctl.run("status")
    assert re.search(r"^up for +2 h 05 min$", text, re.M)
    assert re.search(r"^bytes +3\.0 GiB$", text, re.M)
    assert re.search(r"^its kernels +SkylakeX$", text, re.M)
    assert re.search(r"^chosen by +richd$", text, re.M)
    (status,) = ctl.json("status")
    assert status == {**feed.server_status(), "time": status["time"]}


def test_runs_are_a_table_newest_first(ctl, feed, run):
    feed.add("other-1", "b", project="p2", state="finished").point("body", 7, None)
    heading, first, second = ctl.run("runs").splitlines()
    assert heading.split() == ["RUN", "PROJECT/NAME", "STATE", "ATTEMPT", "STEP", "LAYER", "D_LR",
                               "UPDATED"]
    assert first.split()[:7] == ["other-1", "p2/b", "finished", "1", "7", "body", "-"]
    assert second.split()[:7] == ["mod97-wd1-a1b2c3", "mod97/wd1-seed0", "open", "1", "20000",
                                  "head", "0.0500"]
    assert second.endswith("3 min ago")
    assert heading.index("STATE") == first.index("finished") == second.index("open")


def test_runs_are_filtered_and_paged(ctl, feed):
    for i in range(250):
        feed.add(f"r{i}", f"n{i}", project=f"p{i % 2}", state="lost" if i < 5 else "finished")
    ids = [r["run"] for r in ctl.json("runs")]
    assert ids == [f"r{i}" for i in reversed(range(250))]
    assert [r["run"] for r in ctl.json("runs", "--limit", "101")] == ids[:101]
    lost = ctl.json("runs", "--state", "lost", "--project", "p0")
    assert [r["run"] for r in lost] == ["r4", "r2", "r0"]


def test_runs_as_json_are_run_objects(ctl, feed, run):
    assert ctl.json("runs") == [run.object()]


def test_show_tells_all_of_a_run(ctl, feed, run):
    run.point("body", 30000, None, flags=["constant", "newer_than_you"])
    text = ctl.run("show", "mod97/wd1-seed0")
    for pattern in (r"^run +mod97-wd1-a1b2c3$", r"^host +gpu3$", r"^config$", r"^  lr +0\.001$",
                    r"^ +1  open +0  ", r"^head +128 +97 +60 +20000 +1024 +96 +0\.0500$", r"^body .* -$",
                    r"^measure +head +body$", r"^d_lr +0\.0600 +-$",
                    r"^body: constant: features or outputs do not vary", r"^scalars +test_acc$",
                    r"^body: newer_than_you: "):
        assert re.search(pattern, text, re.M), (pattern, text)
    (shown,) = ctl.json("show", "wd1-seed0")
    assert shown == {**feed.run_get("wd1-seed0"), "events": [], "watched": []}


def test_names_cannot_steer_the_terminal(ctl, feed):
    run = feed.add("x", "evil\x1b[2J\u009b31m\u202e", config={"k\x1b": "\x07v"})
    run.point("la\x1byer", 1, 0.5, flags=["fl\x1bag"])
    run.scalar("sc\x1b", 1, 1.0)
    commands = [["runs"], ["show", "x"], ["series", "x"], ["tail", "--count", "1"], ["plot", "x"],
                ["plot", "x", "--json"], ["runs", "--json"]]
    for args in commands:
        text = ctl.run(*args)
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text.replace("\\u202e", "")
                             if "--json" not in args else text.replace("\u202e", "")), args
    assert "\x1b" not in ctl.run("show", "\x1b[2J", code=1)


def test_measures_are_explained_briefly_wholly_and_as_json(ctl, feed):
    lines = ctl.run("measures").splitlines()
    assert lines[:2] == ["d_lr: 0 is rich, 1 is lazy", "nc1: collapse (needs labels)"]
    assert "biased: too few rows for the plain values" in lines
    assert ctl.run("measures", "d_lr").splitlines() == [
        "d_lr", "  what it is: 0 is rich, 1 is lazy",
        "  read it as: compare it with the run's own beginning and with runs of the same",
        "    p and C", "  needs:      nothing", "  unit:       a pure number",
        "  corrected for few rows: d_debiased"]
    assert ctl.run("measures", "nc1").splitlines()[-4:] == [
        "  low:        collapsed", "  high:       spread",
        "  formula:    tr(S_W S_B^+) / C", "  rows:       dozens a class"]
    assert ctl.run("measures", "biased").splitlines() == [
        "biased", "  what it is: too few rows for the plain values"]
    assert ctl.json("measures", "nc1") == [feed.metric_list()["metrics"][1]]
    assert len(ctl.json("measures")) == 3
    assert 'no measure or flag "x"' in ctl.run("measures", "x", code=1)


# ---- series --------------------------------------------------------------------------------------


def test_series_as_json_has_exactly_the_promised_keys(ctl, feed, run):
    lines = ctl.run("series", "wd1-seed0", "--json").splitlines()
    points = [json.loads(line) for line in lines]
    assert [list(p) for p in points] == [POINT_KEYS] * 60
    for got, sent, scalar in zip(points, run.points["head"], run.scalars["test_acc"]):
        assert {k: got[k] for k in POINT_KEYS[:-1]} == {k: sent.get(k) for k in POINT_KEYS[:-1]}
        assert got["scalars"] == {"test_acc": scalar["value"]}


def test_series_numbers_are_passed_on_exactly(ctl, feed):
    run = feed.add("x", "x")
    values = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345679, -0.0]
    for i, value in enumerate(values):
        run.point("head", i, value, u=value)
    assert [p["d_lr"] for p in ctl.json("series", "x")] == values


def test_scalars_join_their_step_and_attempt_only(ctl, feed):
    run = feed.add("x", "x")
    run.point("head", 1, 0.5)
    run.point("head", 2, 0.5)
    run.point("head", 2, 0.4, attempt=2)
    run.scalar("loss", 1, None)
    run.scalar("acc", 2, 0.25, attempt=2)
    run.scalar("acc", 3, 0.75, attempt=2)
    got = {(p["step"], p["attempt"]): p["scalars"] for p in ctl.json("series", "x")}
    assert got == {(1, 1): {}, (2, 2): {"acc": 0.25}}
    everything = ctl.json("series", "x", "--attempts", "all")
    assert [(p["step"], p["attempt"]) for p in everything] == [(1, 1), (2, 1), (2, 2)]
    assert everything[1]["scalars"] == {}


def test_series_as_text_has_a_heading_and_chosen_columns(ctl, run):
    heading, first = ctl.run("series", "wd1-seed0", "--to", "10").splitlines()
    assert heading.split() == ["step", "n", "d_debiased", "d_lr", "u", "pr", "test_acc", "flags"]
    assert first.split()[:2] == ["10", "1024"] and len(first.split()) == 7
    run.points["head"][0]["flags"] = ["partial", "small_sample"]
    heading, first = ctl.run("series", "wd1-seed0", "--to", "10", "--metric", "u").splitlines()
    assert heading.split() == ["step", "n", "u", "test_acc", "flags"]
    assert first.split() == ["10", "1024", "0.9980", "0.0100", "partial,small_sample"]


def test_series_knows_layers(ctl, run):
    run.point("body", 5, 0.3)
    assert {p["layer"] for p in ctl.json("series", "wd1-seed0")} == {"head", "body"}
    assert [p["step"] for p in ctl.json("series", "wd1-seed0", "--layer", "body")] == [5]
    assert "it has: head, body" in ctl.run("series", "wd1-seed0", "--layer", "tail", code=1)
    assert "layer" in ctl.run("series", "wd1-seed0").splitlines()[0].split()


@pytest.mark.parametrize("json_or_not", [[], ["--json"]])
def test_an_unknown_metric_is_refused(ctl, run, json_or_not):
    assert 'no metric "dlr"' in ctl.run("series", "wd1-seed0", "--metric", "dlr", *json_or_not,
                                        code=64)
    assert ctl.run("series", "wd1-seed0", "--metric", "u", *json_or_not)


@pytest.mark.parametrize("attempts", [1, 3])
def test_a_long_series_is_printed_whole_page_by_page(ctl, feed, attempts):
    run = feed.add("x", "x")
    places = [(a + 1, step) for a in range(attempts) for step in range(0, 25000, attempts)]
    for i, (attempt, step) in enumerate(places):
        run.point("head", step, i / 7, attempt=attempt)
        run.scalar("loss", step, i / 3, attempt=attempt)
    got = ctl.json("series", "x", "--attempts", "all")
    assert [(p["attempt"], p["step"]) for p in got] == places
    assert [p["d_lr"] for p in got] == [i / 7 for i in range(len(places))]
    assert [p["scalars"]["loss"] for p in got] == [i / 3 for i in range(len(places))]
    pages = [q["params"] for q in feed.requests if q["method"] == "series.query"]
    assert [p.get("limit") for p in pages] == [10000] * 3
    assert [p.get("next") for p in pages[:2]] == [None, "%d:%d" % places[9999]]


def test_points_asks_for_bins(ctl, run):
    bins = ctl.json("series", "wd1-seed0", "--points", "8")
    assert sum(b["count"] for b in bins) == 60 and len(bins) == 4
    assert list(bins[0]) == ["run", "layer", "step", "step_end", "count", "d_lr", "d_debiased",
                             "u", "pr", *COMPANIONS]
    assert all(b["d_lr"]["min"] <= b["d_lr"]["last"] <= b["d_lr"]["max"] for b in bins)
    text = ctl.run("series", "wd1-seed0", "--points", "8", "--metric", "d_lr").splitlines()
    assert text[0] == "layer head"
    assert text[1].split() == ["step", "step_end", "count", "d_lr.min", "d_lr.max", "d_lr.last"]
    assert len(text) == 6


# ---- tail ----------------------------------------------------------------------------------------


def test_tail_prints_the_latest_then_what_comes(ctl, feed, run):
    tail = ctl.start("tail", "wd1-seed0")
    heading, latest, accuracy = tail.lines(3)
    assert heading.split()[:3] == ["layer", "step", "n"]
    assert latest.split()[:2] == ["head", "20000"]
    assert accuracy.split() == ["20000", "test_acc", "0.9900"]
    feed.publish([run.point("head", 30000, 0.0321, flags=["partial"])],
                 [run.scalar("test_acc", 30000, 1.0), run.scalar("loss", 30000, None)])
    point, scalars = tail.lines(2)
    assert point.split()[:4] == ["head", "30000", "1024", "0.0221"] and "partial" in point
    assert scalars.split() == ["30000", "test_acc", "1.0000", "loss", "-"]
    tail.interrupt()
    assert tail.end() == (0, [], "")


def test_tail_of_all_runs_names_them(ctl, feed, run):
    feed.add("second", "b").point("body", 3, 0.5)
    text = ctl.run("tail", "--count", "2").splitlines()
    assert text[0].split()[:2] == ["run", "layer"]
    assert {line.split()[0] for line in text[1:]} == {"mod97-wd1-a1b2c3", "second"}


def test_tail_ends_after_count_points(ctl, feed, run):
    tail = ctl.start("tail", "wd1-seed0", "--count", "3", "--json")
    latest = json.loads(tail.lines(1)[0])
    assert latest == run.points["head"][-1]
    sent = [run.point("head", 30000 + i, 0.1 / 3 * i) for i in range(4)]
    feed.await_subscription()
    feed.publish(sent)
    code, lines, _ = tail.end()
    assert code == 0 and [json.loads(line) for line in lines] == sent[:2]


def test_tail_resumes_and_filters_layers(ctl, feed, run):
    run.point("body", 4, 0.5)
    assert len(ctl.json("tail", "--since", "0", "--count", "61")) == 61
    assert feed.requests[-1]["params"] == {"since_seq": "0"}
    (only,) = ctl.json("tail", "--layer", "body", "--count", "1")
    assert only["layer"] == "body"


def test_tail_says_when_the_daemon_goes(ctl, feed, run):
    tail = ctl.start("tail", "wd1-seed0")
    tail.lines(3)
    feed.publish([run.point("head", 30000, 0.1)])
    tail.lines(1)
    feed.hang_up()
    code, _, error = tail.end()
    assert code == 69 and "has gone" in error and "--since 101" in error


def test_updates_between_request_and_answer_are_kept(ctl, feed, run):
    """The update is on the wire before the subscription's answer."""
    answer = feed.series_subscribe

    def early(connection, **params):
        result = answer(connection, **params)
        feed.publish([run.point("head", 40000, 0.25)])
        result["points"] = []
        return result

    feed.series_subscribe = early
    (point,) = ctl.json("tail", "--count", "1")
    assert point["step"] == 40000


# ---- events --------------------------------------------------------------------------------------

SENTENCE = "transition: d_lr falls 0.5400 -> 0.0600 over steps 546-1080"
RISEN = {"name": "test_acc", "from": 0.01, "to": 0.99}


def test_show_lists_events_in_words_and_as_json(ctl, run):
    event = run.transition("head", 546, 1080, 1400)
    assert f"\nhead: {SENTENCE}\n" in ctl.run("show", "wd1-seed0")
    assert ctl.json("show", "wd1-seed0")[0]["events"] == [event]


def test_only_an_accuracy_that_agrees_is_called_grokking_like(ctl, run):
    run.transition("head", 546, 1080, 1400)
    assert "grok" not in ctl.run("show", "wd1-seed0")
    run.transition("head", 546, 1080, 1400, agrees=False, accuracy={**RISEN, "to": 0.02})
    text = ctl.run("show", "wd1-seed0")
    assert "grok" not in text
    assert ", without generalisation: test_acc 0.0100 -> 0.0200\n" in text
    run.transition("head", 546, 1080, 1400, agrees=True, accuracy=RISEN)
    assert ", grokking-like: test_acc 0.0100 -> 0.9900\n" in ctl.run("show", "wd1-seed0")


def test_events_cannot_steer_the_terminal_and_may_be_of_a_new_kind(ctl, run):
    run.transition("he\x1bad", 1, 2, 3, kind="mo\x1bon", metric=None)
    run.transition("head", 1, 2, 3, metric="\x1b[2J", agrees=True,
                   accuracy={"name": "\x1b]0;", "from": None, "to": None})
    for command in ("show", "plot"):
        assert "\x1b" not in ctl.run(command, "wd1-seed0")


def test_an_event_that_has_returned_is_an_excursion(ctl, run):
    run.transition("head", 546, 1080, 1400, returned=2000)
    sentence = "excursion: d_lr falls 0.5400 -> 0.0600 over steps 546-1080, back by 2000"
    assert f"\nhead: {sentence}\n" in ctl.run("show", "wd1-seed0")
    lines = ctl.run("plot", "wd1-seed0", "--width", "100").splitlines()
    assert lines[-1] == f"━ wd1-seed0 head: {sentence}"
    marked = sum(glyph in "━┳" for glyph in lines[-5])
    run.events[0]["returned"] = None
    lines = ctl.run("plot", "wd1-seed0", "--width", "100").splitlines()
    assert sum(glyph in "━┳" for glyph in lines[-5]) < marked


def test_an_event_of_a_scalar_has_no_layer_and_is_not_drawn_with_a_measure(ctl, run):
    run.transition(None, 546, 1080, 1400, metric="test_acc", n_from=None, n_to=None)
    assert "\ntransition: test_acc falls" in ctl.run("show", "wd1-seed0")
    assert "transition" not in ctl.run("plot", "wd1-seed0")


@pytest.mark.parametrize("metric, other", [("d_lr", "d_debiased"), ("d_debiased", "d_lr")])
def test_what_the_de_biased_form_does_is_marked_at_the_plain_one(ctl, run, metric, other):
    run.transition("head", 546, 1080, 1400, metric=metric)
    assert f"transition: {metric} falls" in ctl.run("plot", "wd1-seed0", "--metric", other)


def test_silence_is_told_from_too_few_points(ctl, run):
    assert "transition" not in ctl.run("show", "wd1-seed0")
    run.watched = [{"layer": "head", "metric": "d_lr", "points": 23, "needed": 23}]
    assert ctl.run("show", "wd1-seed0").endswith("\nno transition found\n")
    run.watched += [{"layer": "head", "metric": "pr", "points": 12, "needed": 23},
                    {"layer": None, "metric": "acc", "points": 0, "needed": 23}]
    text = ctl.run("show", "wd1-seed0")
    assert "\nhead: pr: too few points to judge: 12 of 23, still needed: 11. Train on," in text
    assert "\nacc: too few points to judge: 0 of 23, still needed: 23. " in text
    assert ctl.json("show", "wd1-seed0")[0]["watched"] == run.watched
    run.transition("head", 546, 1080, 1400)
    assert "no transition" not in ctl.run("show", "wd1-seed0")
    assert "too few" not in ctl.run("plot", "wd1-seed0")
    line = ctl.run("plot", "wd1-seed0", "--metric", "pr", "--width", "100").splitlines()[-1]
    assert line.startswith("  wd1-seed0 head: pr: too few points to judge: 12 of 23, still needed: 11")


def test_tail_prints_events_as_they_come(ctl, feed, run):
    tail = ctl.start("tail", "wd1-seed0")
    tail.lines(3)
    feed.await_subscription()
    for _ in range(500):
        if feed.event_subscriptions:
            break
        time.sleep(0.01)
    feed.publish(events=[run.transition("head", 546, 1080, 1400, agrees=True, accuracy=RISEN)])
    (line,) = tail.lines(1)
    assert line.split()[:2] == ["head", "1400"]
    assert line.endswith(SENTENCE + ", grokking-like: test_acc 0.0100 -> 0.9900")
    tail.interrupt()
    assert tail.end() == (0, [], "")


def test_tail_as_json_prints_event_objects(ctl, run):
    event = run.transition("head", 546, 1080, 1400)
    tail = ctl.start("tail", "wd1-seed0", "--json")
    assert event in [json.loads(line) for line in tail.lines(2)]


def test_plot_marks_events_on_the_axis_and_names_them(ctl, run):
    run.transition("head", 546, 1080, 1400)
    run.transition("head", 2000, 3000, 4000, metric="pr")
    lines = ctl.run("plot", "wd1-seed0", "--width", "100").splitlines()
    assert len(lines) == 23
    assert lines[-1] == f"━ wd1-seed0 head: {SENTENCE}"
    axis = lines[-5]
    marked = [i for i, glyph in enumerate(axis) if glyph in "━┳"]
    assert marked == list(range(marked[0], marked[-1] + 1)) and 3 < len(marked) < 20
    tick_100, tick_1000 = [i for i, glyph in enumerate(axis) if glyph in "┬┳"][1:3]
    assert tick_100 < marked[0] < tick_1000 <= marked[-1]
    ascii_lines = ctl.run("plot", "wd1-seed0", "--ascii").splitlines()
    assert ascii_lines[-1].startswith("= wd1-seed0 head: transition") and len(ascii_lines[-1]) <= 80


# ---- plot ----------------------------------------------------------------------------------------


def test_plot_shows_the_transition_in_80_by_24(ctl, run):
    text = ctl.run("plot", "wd1-seed0", "--scalar", "test_acc")
    lines = text.splitlines()
    assert len(lines) == 23 and max(map(len, lines)) <= 80 and "\x1b" not in text
    assert lines[0] == "d_debiased: d_lr corrected for the finite number of rows (log steps)"
    assert lines[1].startswith(" 0.6 ┤") and lines[1].endswith("├ 1.0")
    assert lines[-4].startswith("     └") and lines[-4].endswith("┘")
    assert lines[-3].split() == ["step", "10", "100", "1000", "10k"]
    assert lines[-2] == "● wd1-seed0 head  0.0500   ○ wd1-seed0 test_acc (right)  0.9900"
    assert lines[-1] == "< wd1-seed0 head began  0.5256"
    # The curve stands in the upper part left of step 546, in the lower right of 1080.
    rows = [line[6:74] for line in lines[1:-4]]
    axis = lines[-4][6:74]
    left, right = axis.index("┬", 5), axis.index("┬", 30) + 8
    upper, lower = rows[1:4], rows[-4:-1]
    assert any(r[left].strip() for r in upper) and not any(r[left].strip() for r in lower)
    assert any(r[right].strip() for r in lower) and not any(r[right].strip() for r in upper[1:])


def test_plot_overlays_runs_with_marks_of_their_own(ctl, feed, run):
    other = feed.add("mod97-wd0", "wd0-seed0")
    for point in run.points["head"]:
        other.point("head", point["step"], 0.5)
    lines = ctl.run("plot", "wd1-seed0", "wd0-seed0").splitlines()
    assert lines[-2] == "● wd1-seed0 head  0.0500   ○ wd0-seed0 head  0.4900"
    assert lines[-1] == "< wd1-seed0 head began  0.5256   < wd0-seed0 head began  0.4900"
    body = "\n".join(lines[1:-2])
    assert body.count("●") >= 3 and body.count("○") >= 3


def test_plot_falls_back_to_ascii(ctl, run):
    for args, env in [(["--ascii"], {}), ([], {"LANG": "C"}), ([], {"LC_ALL": "POSIX"})]:
        assert ctl.run("plot", "wd1-seed0", *args, **env).isascii()
    assert not ctl.run("plot", "wd1-seed0", LANG="en_US.UTF-8").isascii()


def test_plot_obeys_size_axis_and_metric(ctl, feed, run):
    lines = ctl.run("plot", "wd1-seed0", "--linx", "--metric", "pr", "--width", "60",
                    "--height", "15").splitlines()
    assert len(lines) == 15 and max(map(len, lines)) <= 60
    assert lines[0] == "pr: participation ratio of the features"
    assert lines[-2].split() == ["step", "5000", "10k", "15k", "20k"]
    assert {q["params"].get("spacing") for q in feed.requests if q["method"] == "series.query"} == {
        "linear"}


def test_plot_as_json_is_a_line_a_curve(ctl, run):
    left, right = ctl.json("plot", "wd1-seed0", "--scalar", "test_acc")
    assert (left["axis"], right["axis"]) == ("left", "right")
    assert left["step"] == [p["step"] for p in run.points["head"]]
    assert (left["metric"], right["metric"]) == ("d_debiased", "test_acc")
    assert left["min"] == left["max"] == [p["d_debiased"] for p in run.points["head"]]
    (plain,) = ctl.json("plot", "wd1-seed0", "--metric", "d_lr")
    assert plain["min"] == [p["d_lr"] for p in run.points["head"]]


def test_plot_without_debiased_values_shows_d_lr_and_says_so(ctl, feed):
    top = feed.add("top", "top", state="finished")
    for step in range(1, 5):
        top.point("head", step, 0.5 - step / 10, d_debiased=None, flags=["top_outputs"])
    lines = ctl.run("plot", "top").splitlines()
    assert lines[0] == "d_lr: 1 - CKA(T, T_MP): 0 is rich, 1 is lazy (log steps)"
    assert lines[-2:] == ["● top head: d_lr itself  0.1000", "< top head began  0.4000"]
    assert ctl.json("plot", "top")[0]["metric"] == "d_lr"
    assert "head 0.1000*" in ctl.run("runs")
    assert "\n* d_lr itself: there is no d_debiased\n" in ctl.run("show", "top")


def test_plot_marks_what_white_noise_reads_and_where_the_run_began(ctl, feed):
    run = feed.add("x", "x", state="finished")
    for step in range(1, 30):
        run.point("head", step, 0.5 if step == 1 else 0.3, d_white=0.13)
        run.point("body", step, 0.4, d_white=0.13)
    lines = ctl.run("plot", "x").splitlines()
    assert lines[-2:] == ["~ white noise (d_white)  0.1300   < x head began  0.4900",
                          "< x body began  0.3900"]
    (white,) = [line[6:] for line in lines[1:-5] if "~" in line]
    assert white.endswith("~") and len(set(white) - {" ", "~"}) == 2 and white.count(" ") > 20
    assert "white" not in ctl.run("plot", "x", "--metric", "pr")
    zoomed = ctl.run("plot", "x", "--from", "20", "--metric", "d_lr").splitlines()
    assert zoomed[-2].startswith("~ white") and not any("~" in line for line in zoomed[1:-5])

def test_plot_keeps_a_spike_of_a_long_history(ctl, feed):
    run = feed.add("x", "x", state="finished")
    for step in range(20000):
        run.point("head", step, 1.0 if step == 15000 else 0.0)
    (curve,) = ctl.json("plot", "x")
    assert len(curve["step"]) <= 1000 and max(curve["max"]) == 0.99


def test_plot_passes_over_what_is_no_step(ctl, feed, monkeypatch):
    run = feed.add("odd", "odd", state="finished")
    for step in range(4):
        run.point("head", step, 0.5)
    answer = feed.series_query(run="odd")
    answer["layers"][0]["columns"]["step"] = [-1e300, -5, 3, 1e300]
    monkeypatch.setattr(feed, "series_query", lambda **_: answer)
    (curve,) = ctl.json("plot", "odd")
    assert curve["step"] == [3]
    assert "0.5" in ctl.run("plot", "odd")


def test_plot_refuses_what_is_not_there(ctl, feed, run):
    run.facts["state"] = "finished"
    assert "no run of these" in ctl.run("plot", "wd1-seed0", "--scalar", "nope", code=1)
    assert 'no metric "x"' in ctl.run("plot", "wd1-seed0", "--metric", "x", code=64)
    feed.add("empty", "empty")
    assert "no points yet" in ctl.run("plot", "empty", code=1)
    assert 'no run "nobody"' in ctl.run("plot", "nobody", code=1)


def test_plot_uses_colour_on_a_terminal_only(ctl, run):
    def on_terminal(*args, **env):
        command = " ".join(ctl.command("plot", "wd1-seed0", "--width", "60", *args))
        return subprocess.run(["script", "-qec", command, "/dev/null"], capture_output=True,
                              text=True, env={**ctl.env, **env}, timeout=30).stdout

    assert "\x1b[36m" in on_terminal()
    assert "\x1b" not in on_terminal("--no-color")
    assert "\x1b" not in on_terminal(NO_COLOR="1")


def test_plot_follows_until_the_run_ends(ctl, feed, run):
    plot = ctl.start("plot", "wd1-seed0", "--follow")
    assert "0.0500" in plot.lines(23)[-2]
    feed.await_subscription()
    feed.publish([run.point("head", 40000, 0.0123)])
    assert "0.0023" in plot.lines(23)[-2]
    run.facts["state"] = "finished"
    assert plot.end() == (0, [], "")


def test_plot_follow_ends_on_interrupt(ctl, run):
    plot = ctl.start("plot", "wd1-seed0", "--follow")
    plot.lines(23)
    plot.interrupt()
    assert plot.end() == (0, [], "")


# ---- top -----------------------------------------------------------------------------------------


def test_top_goes_on_when_the_daemon_refuses_a_curve(ctl, feed, run):
    def refuse(**_):
        raise memoryfeed.FeedError(-32603, "this one is damaged")

    feed.series_query = refuse
    command = " ".join(map(str, ctl.command("top")))
    top = subprocess.Popen(["script", "-qec", command, "/dev/null"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, env={**ctl.env, "TERM": "xterm"})
    feed.await_subscription()
    while not any(r["method"] == "series.query" for r in feed.requests):
        time.sleep(0.01)
    feed.publish([run.point("head", 30000, 0.01234)])
    seen = b""
    while b"0.0023" not in seen:
        seen += (chunk := os.read(top.stdout.fileno(), 65536))
        assert chunk, seen
    top.stdin.write(b"q")
    top.stdin.flush()
    top.communicate(timeout=30)
    assert top.returncode == 0
