"""richctl on the real daemon: a backup of a history in use, its restore, and what doctor finds."""

import json
import os
import re
import shutil
import signal
import subprocess

import numpy as np
import pytest

from harness import BUILD, PATIENCE_S, POINT_KEYS, clean_environment, draw, wait_until

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")


def richctl(daemon, *arguments, expect=0, program=BUILD / "richctl"):
    """What it printed on stdout and stderr."""
    done = subprocess.run([program, "--runtime-dir", daemon.runtime, *arguments], text=True,
                          env=clean_environment(), capture_output=True, timeout=PATIENCE_S,
                          check=False)
    assert done.returncode == expect, (done.stdout, done.stderr)
    return done.stdout + done.stderr


def train(daemon, run, steps):
    with daemon.trainer(run) as trainer:
        for step in range(steps):
            trainer.rows(*draw(8, 4, 2, seed=step))
            trainer.checkpoint(step)


def runs_of(daemon):
    return sorted(run["run"] for run in daemon.rpc("run.list")["runs"])


def test_doctor_is_content_with_a_daemon_of_ours(daemon):
    environment = clean_environment(PATH="/nowhere")
    done = subprocess.run([BUILD / "richctl", "--runtime-dir", daemon.runtime, "doctor"],
                          env=environment, capture_output=True, text=True, check=False)
    assert "nearly full" in done.stdout or done.returncode == 0, done.stdout
    daemon.kill()
    assert "The daemon was killed" in richctl(daemon, "doctor", expect=1)


def test_a_backup_is_restored_and_what_was_there_is_kept(daemon, tmp_path):
    train(daemon, "first", 3)
    file = tmp_path / "backup"
    assert f"{file}: " in richctl(daemon, "backup", str(file))
    refused = richctl(daemon, "backup", str(file), expect=1)
    assert "File exists" in refused and refused.count("\n") == 1
    train(daemon, "second", 2)
    where = ["--state-dir", str(daemon.state)]

    refused = richctl(daemon, "restore", str(file), expect=69)
    assert f"a daemon has the history in {daemon.state} open: end it (kill {daemon.pid})" in refused
    refused = richctl(daemon, "restore", str(file), *where, expect=69)
    assert f"another richd (pid {daemon.pid}) holds" in refused
    daemon.stop()
    said = richctl(daemon, "restore", str(file), *where)
    aside = daemon.state / "richd.sqlite.before-1"
    assert said == f"What was there is {aside}\n"
    daemon.start()
    assert runs_of(daemon) == ["first"]
    assert daemon.rpc("server.status")["problems"] == []
    train(daemon, "third", 1)  # it is a history to go on with
    daemon.stop()
    richctl(daemon, "restore", str(aside), *where)
    daemon.start()
    assert runs_of(daemon) == ["first", "second"]


def test_a_restore_after_kill_nine_keeps_what_was_there_whole(daemon, tmp_path):
    train(daemon, "first", 2)
    richctl(daemon, "backup", str(tmp_path / "backup"))
    train(daemon, "second", 50)
    daemon.kill()
    assert (daemon.state / "richd.sqlite-wal").stat().st_size > 0
    where = ["--state-dir", str(daemon.state)]
    richctl(daemon, "restore", str(tmp_path / "backup"), *where)
    assert not list(daemon.state.glob("richd.sqlite-*"))
    aside = daemon.state / "richd.sqlite.before-1"
    richctl(daemon, "restore", str(aside), *where)
    daemon.start()
    assert runs_of(daemon) == ["first", "second"]
    assert len(daemon.series("second")["step"]) == 50


@pytest.mark.parametrize("content", [b"", b"no history", b"SQLite format 3\0" + bytes(99)],
                         ids=["empty", "text", "cut"])
def test_what_is_no_history_is_not_restored(daemon, tmp_path, content):
    train(daemon, "first", 1)
    daemon.stop()
    before = {path.name: path.read_bytes() for path in daemon.state.glob("richd.sqlite*")}
    (tmp_path / "other").write_bytes(content)
    said = richctl(daemon, "restore", str(tmp_path / "other"), "--state-dir", str(daemon.state),
                   expect=1)
    assert str(tmp_path / "other") in said
    assert {p.name: p.read_bytes() for p in daemon.state.glob("richd.sqlite*")} == before


# ---- which runs, and what a person writes about them ---------------------------------------------


@pytest.fixture
def sweep(daemon):
    for i, rate in enumerate((1e-5, 1e-3, 1e-1)):
        with daemon.trainer(f"r{i}", name=f"lr{i}", project="sweep", group="g" if i else "",
                            tags=["all", f"t{i}"], config={"lr": rate, "opt": "adam"}) as trainer:
            trainer.log(0, loss=float(-i))
            trainer.finish()
    return daemon


@pytest.mark.parametrize("options, runs", [
    ([], ["r2", "r1", "r0"]),
    (["--reverse"], ["r0", "r1", "r2"]),
    (["--config", "lr=1e-4..1e-2"], ["r1"]),
    (["--config", "lr=1e-4..", "--config", "opt=adam", "--limit", "1"], ["r2"]),
    (["--config", "opt=sgd"], []),
    (["--group", "g", "--tag", "all", "--tag", "t1"], ["r1"]),
    (["--search", "LR2"], ["r2"]),
    (["--sort", "scalar:loss"], ["r2", "r1", "r0"]),
    (["--sort", "config:lr"], ["r0", "r1", "r2"]),
    (["--sort", "name", "--reverse"], ["r2", "r1", "r0"]),
])
def test_options_choose_and_sort_runs(sweep, options, runs):
    assert [run["run"] for run in sweep.richctl_json("runs", *options)] == runs
    table = sweep.richctl("runs", *options).splitlines()
    assert [line.split()[0] for line in table] == ["RUN", *runs]


def test_what_a_person_writes_is_kept(sweep):
    sweep.richctl("rename", "lr1", "the good one")
    sweep.richctl("note", "r1", "see the lab book")
    sweep.richctl("tag", "r1", "+best", "-all")
    sweep.richctl("hide", "r0", "r2")
    (run,) = sweep.richctl_json("runs")
    assert (run["name"], run["note"], run["tags"]) == (
        "the good one", "see the lab book", ["t1", "best"])
    assert len(sweep.richctl_json("runs", "--hidden")) == 3
    sweep.richctl("unhide", "r0")
    assert [r["run"] for r in sweep.richctl_json("runs", "--search", "lab book")] == ["r1"]
    assert [r["run"] for r in sweep.richctl_json("runs")] == ["r1", "r0"]
    sweep.restart()
    assert sweep.richctl("note", "the good one") == "see the lab book\n"


def test_an_export_takes_the_runs_that_the_options_choose(sweep, tmp_path):
    sweep.richctl("export", "--config", "lr=1e-4..", "--format", "json", "-o", f"{tmp_path}/out/")
    assert sorted(os.listdir(tmp_path / "out")) == ["r1.json", "r2.json"]


def test_deleted_runs_are_gone_and_open_ones_stay(sweep):
    with sweep.trainer("open") as trainer:
        trainer.wait(trainer.log(0, loss=0.0))
        said = richctl(sweep, "delete", "--yes", "lr0", "open", "r1", expect=64)
        assert "not deleted: open r1" in said and "open" in said.splitlines()[-1]
        assert runs_of(sweep) == ["open", "r1", "r2"]
    assert sweep.richctl("delete", "--yes", "r1") == "r1: 0 points\n"
    assert "no run" in richctl(sweep, "delete", "--yes", "r1", expect=1)
    sweep.restart()
    assert runs_of(sweep) == ["open", "r2"]


def test_prune_says_what_would_go_and_has_it_go(sweep):
    assert sweep.richctl("prune", "--keep-days", "1").startswith("0 runs with 0 points have gone")
    would = sweep.richctl("prune", "--max-bytes", "1K", "--dry-run").splitlines()
    ids = [line.split("  ")[1] for line in would[:-1]]
    assert sorted(ids) == runs_of(sweep) == ["r0", "r1", "r2"]
    line = re.compile(r"\S+/\S+  r\d  0 points, last update .*, .*B")
    assert all(line.fullmatch(one) for one in would[:-1])
    assert would[-1].startswith("3 runs with 0 points would go: ")
    gone = sweep.richctl("prune", "--max-bytes", "1K").splitlines()
    assert gone[:-1] == ids and runs_of(sweep) == []


def test_an_export_has_what_the_feed_has(daemon, tmp_path):
    train(daemon, "run", 20)
    daemon.richctl("export", "run", "-o", str(tmp_path / "run.npz"))
    columns = daemon.series("run")
    with np.load(tmp_path / "run.npz") as data:
        for name in POINT_KEYS:
            if name not in ("run", "layer", "p", "c", "flags"):
                want = [np.nan if value is None else value for value in columns[name]]
                np.testing.assert_array_equal(data[f"points/head/{name}"], want, err_msg=name)
        has_flag = data["points/head/flags/small_sample"].tolist()
    assert has_flag == ["small_sample" in flags for flags in columns["flags"]]
    (line,) = daemon.richctl("export", "run", "--format", "json").splitlines()
    points = json.loads(line)["points"]
    assert [tuple(point) for point in points][0][:3] == ("run", "layer", "attempt")
    assert [{k: p[k] for k in POINT_KEYS[3:]} for p in points] == [
        {"p": 4, "c": 2, **{k: columns[k][i] for k in POINT_KEYS[3:] if k not in ("p", "c")}}
        for i in range(20)]


# ---- on the way ----------------------------------------------------------------------------------


@pytest.fixture
def slow(tmp_path):
    """A richctl whose richd writes half of a backup, and goes on when `go` is there."""
    folder = tmp_path / "slow"
    folder.mkdir()
    shutil.copy(BUILD / "richctl", folder)
    (folder / "richd").write_text(
        "#!/bin/sh\nhead -c 500000 /dev/zero >$2.part; echo half >&2\n"
        f"while [ ! -e {folder}/go ]; do sleep .02; done\nmv $2.part $2\n")
    (folder / "richd").chmod(0o755)
    (folder / "state").mkdir()
    (folder / "state" / "richd.sqlite").write_bytes(bytes(1000000))
    return folder


def start(slow):
    return subprocess.Popen([slow / "richctl", "--runtime-dir", slow, "backup", slow / "copy",
                             "--state-dir", slow / "state"], env=clean_environment(),
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.long
def test_a_backup_tells_how_far_it_is_after_two_seconds(slow):
    backup = start(slow)
    assert backup.stderr.readline() == "half\n"
    assert backup.stderr.readline() == f"{slow}/state/richd.sqlite: 49 % is copied\n"
    (slow / "go").touch()
    out, error = backup.communicate(timeout=PATIENCE_S)
    assert (backup.returncode, out, error) == (0, f"{slow}/copy: 488.3 KiB\n", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_backup_leaves_nothing(slow, number):
    backup = start(slow)
    assert backup.stderr.readline() == "half\n"
    backup.send_signal(number)
    _, error = backup.communicate(timeout=PATIENCE_S)
    assert backup.returncode == 1 and "nothing is left of the copy" in error
    wait_until(lambda: not [n for n in os.listdir(slow) if n.startswith("copy")], "no copy")
