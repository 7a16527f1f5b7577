"""`richctl import` sends what trainings kept, once and whole (proto/SPOOL.md)."""

import contextlib
import json
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import sys
import time

import pytest

from harness import BUILD, PACKAGE, PATIENCE_S, clean_environment, draw, wait_until
from terminal import Terminal

import richd
from richd._spool.file import SpoolFile

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")

E2E = pathlib.Path(__file__).parents[1]
RANK = """
import os, richd
from harness import draw
rank = int(os.environ["RICHD_RANK"])
run = richd.init(mode="offline", run_id="ranks", rank=rank, world_size=2, launch="job")
for step in range(3):
    run.observe(*draw(20, 40, 3, seed=10 * step + rank), step=step)
    run.checkpoint(step=step)
run.finish()
"""


@pytest.fixture
def spool_dir(tmp_path, monkeypatch):
    path = tmp_path / "spool"
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(path))
    return path


def offline(run_id, steps=range(4), n=30, **options):
    """A run that ended without a daemon; returns its file."""
    run = richd.init(mode="offline", run_id=run_id, **options)
    for step in steps:
        run.observe(*draw(n, 40, 3, seed=step), step=step)
        run.log({"loss": 1 / (step + 1)}, step=step)
        run.checkpoint(step=step)
    path = run._sender._spool.path
    run.finish()
    return path


def watched(daemon, run_id, steps=range(4), n=30):
    with daemon.trainer(run_id) as trainer:
        for step in steps:
            trainer.rows(*draw(n, 40, 3, seed=step))
            trainer.checkpoint(step)
        trainer.finish()
    return daemon.series(run_id)


def start_import(daemon, *arguments):
    return subprocess.Popen(
        [BUILD / "richctl", "--runtime-dir", daemon.runtime, "import", *arguments],
        env=clean_environment(), text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def imported(daemon, *arguments, expect=0):
    """Runs it to its end; returns the files' objects, and what it complained of."""
    importing = start_import(daemon, "--json", *arguments)
    out, complaints = importing.communicate(timeout=PATIENCE_S)
    assert importing.returncode == expect, complaints
    return [json.loads(line) for line in out.splitlines()], complaints


def test_an_imported_run_has_the_points_of_one_that_was_watched(daemon, spool_dir):
    path = offline("offline", config={"lr": 0.1})
    size = os.path.getsize(path)
    (file,), _ = imported(daemon)
    assert {**file, "bytes": 0} == {
        "path": path, "run": "offline", "attempt": 1, "messages": 13, "refused": 0, "bytes": 0,
        "state": "stored", "text": None}
    assert size < file["bytes"] < size + 100  # the attempt was noted
    assert os.listdir(spool_dir) == []
    kept, seen = daemon.series("offline"), watched(daemon, "watched")
    assert kept["step"] == seen["step"] == [0, 1, 2, 3]
    assert kept["d_lr"] == seen["d_lr"]
    assert daemon.state_of("offline") == "finished"
    assert daemon.rpc("run.get", run="offline")["config"] == {"lr": 0.1}
    assert imported(daemon)[0] == []


def test_a_person_reads_a_line_a_run(daemon, spool_dir):
    offline("first")
    offline("second")
    lines = daemon.richctl("import", str(spool_dir)).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["first attempt 1", "second attempt 1"]
    assert "13 messages" in lines[0]


def test_a_terminal_sees_a_bar_and_a_pipe_lines_after_two_seconds(daemon, spool_dir):
    offline("bar")
    terminal = Terminal(BUILD / "richctl", "--runtime-dir", daemon.runtime, "import")
    with contextlib.closing(terminal):
        assert terminal.end() == 0
        assert terminal.text.startswith("bar attempt 1: 13 messages")  # the bar has gone
    assert b" %  bar" in terminal.sent
    offline("lines")
    daemon.signal(signal.SIGSTOP)
    importing = start_import(daemon)
    try:
        assert importing.stderr.readline().endswith(" % are stored\n")
    finally:
        daemon.signal(signal.SIGCONT)
    assert importing.communicate(timeout=PATIENCE_S)[0].startswith("lines attempt 1")


def test_bad_files_stay_and_are_named_beside_a_good_one(daemon, spool_dir):
    good, damaged, foreign = offline("good"), offline("damaged"), offline("foreign")
    with open(foreign, "r+b") as file:
        file.write(b"RICHSPL\x02")
    last = SpoolFile.open(damaged)
    ends = [end for _, end in last.records()]
    last.close()
    with open(damaged, "r+b") as file:
        file.seek(ends[-2] - 1)
        byte = file.read(1)
        file.seek(ends[-2] - 1)
        file.write(bytes([byte[0] ^ 1]))
    before = open(damaged, "rb").read()
    for _ in range(2):  # the second time it is as the first
        files, complaints = imported(daemon, str(spool_dir), expect=1)
        states = {file["path"]: file["state"] for file in files}
        assert states.pop(good, "stored") == "stored"
        assert states == {damaged: "kept", foreign: "kept"}
        texts = {file["path"]: file["text"] for file in files}
        assert "no spool of version 1" in texts[foreign]
        assert f"damaged from byte {ends[-3]} on" in texts[damaged]
        assert "2 of" in complaints
        assert open(damaged, "rb").read() == before
        assert daemon.series("damaged", attempts="all")["step"] == [0, 1, 2]
    assert sorted(os.listdir(spool_dir)) == sorted(map(os.path.basename, (damaged, foreign)))
    assert daemon.series("good")["step"] == [0, 1, 2, 3]


@pytest.mark.parametrize("is_noted", [False, True])
def test_a_copy_that_is_imported_later_changes_nothing(daemon, spool_dir, is_noted):
    path = offline("copied")
    copy = shutil.copy(path, path.removesuffix(".spool") + "-copy")
    if is_noted:
        file = SpoolFile.open(copy)
        file.append([b'{"type":"attempt","attempt":1}'])
        file.close()
    imported(daemon)
    before = daemon.series("copied", attempts="all")
    assert imported(daemon, copy)[0][0]["state"] == "stored"
    assert daemon.series("copied", attempts="all") == before
    assert len(daemon.rpc("run.get", run="copied")["attempts"]) == 1
    assert daemon.state_of("copied") == "finished"


def test_a_file_whose_training_lives_is_left_alone(daemon, spool_dir):
    offline("over")
    run = richd.init(mode="offline", run_id="lives")
    run.observe(*draw(30, 40, 3), step=0)
    run.checkpoint(step=0)
    path = run._sender._spool.path
    wait_until(lambda: os.path.exists(path), "the file")
    files, _ = imported(daemon)
    assert {file["path"]: file["state"] for file in files}[path] == "held"
    assert {file["run"]: file["state"] for file in files} == {"over": "stored", "lives": "held"}
    (file,), _ = imported(daemon, path, expect=1)
    assert "a training writes it" in file["text"]
    run.finish()
    assert imported(daemon)[0][0]["state"] == "stored"


def test_without_a_daemon_files_stay_and_the_code_says_so(new_daemon, spool_dir):
    path = offline("offline")
    daemon = new_daemon()
    files, complaints = imported(daemon, "--timeout", "1", expect=69)
    assert [file["state"] for file in files] == ["waiting"]
    assert str(daemon.runtime) in complaints
    assert os.path.exists(path)


def test_kill_nine_of_import_and_daemon_loses_and_doubles_nothing(daemon, spool_dir):
    steps = range(60)
    path = offline("killed", steps)
    for round_ in range(4):
        importing = start_import(daemon)
        wait_until(lambda: importing.poll() is not None
                   or len(daemon.rpc("run.list")["runs"]) > 0, "the run")
        time.sleep(0.02 * round_)  # anywhere in it
        if round_ % 2:
            daemon.kill()
        importing.kill()
        importing.communicate()
        if round_ % 2:
            daemon.start()
    if os.path.exists(path):
        imported(daemon)
    assert os.listdir(spool_dir) == []
    kept = daemon.series("killed", attempts="all")
    assert kept["step"] == list(steps)
    assert kept["d_lr"] == watched(daemon, "watched", steps)["d_lr"]
    assert len(daemon.rpc("run.get", run="killed")["attempts"]) == 1


def test_a_daemon_that_is_started_again_meanwhile_gets_the_rest(daemon, spool_dir):
    offline("long", range(200))
    importing = start_import(daemon, "--timeout", "60")
    wait_until(lambda: daemon.rpc("run.list")["runs"], "the run")
    daemon.kill()
    time.sleep(0.2)
    daemon.start()
    complaints = importing.communicate(timeout=2 * PATIENCE_S)[1]
    assert importing.returncode == 0, complaints
    assert daemon.series("long", attempts="all")["step"] == list(range(200))


def test_an_interrupted_import_is_taken_up_again(daemon, spool_dir):
    offline("long", range(200))
    daemon.signal(signal.SIGSTOP)
    importing = start_import(daemon)
    time.sleep(0.3)
    importing.send_signal(signal.SIGINT)
    complaints = importing.communicate(timeout=PATIENCE_S)[1]
    daemon.signal(signal.SIGCONT)
    assert importing.returncode == 1 and "the same command goes on" in complaints
    assert imported(daemon)[0][0]["state"] == "stored"
    assert daemon.series("long", attempts="all")["step"] == list(range(200))


def test_ranks_of_one_launch_make_one_point_each(daemon, spool_dir):
    for rank in range(2):  # a process for each: another run of one process is another launch
        environment = clean_environment(RICHD_RANK=str(rank), PYTHONPATH=f"{PACKAGE}:{E2E}")
        subprocess.run([sys.executable, "-W", "ignore", "-c", RANK], env=environment, check=True)
    held = SpoolFile.open(str(next(spool_dir.iterdir())))  # as one that still trains
    files, _ = imported(daemon)
    assert [file["state"] for file in files] == ["held"] * 2
    held.close()
    files, _ = imported(daemon)
    assert [(file["state"], file["attempt"]) for file in files] == [("stored", 1)] * 2
    kept = daemon.series("ranks")
    assert kept["step"] == [0, 1, 2]
    assert kept["n"] == [40] * 3
    assert daemon.state_of("ranks") == "finished"


def test_files_of_one_run_are_sent_in_their_order(daemon, spool_dir):
    first = offline("again", range(4))
    second = offline("again", range(2, 6))
    os.utime(second, (time.time() + 60, time.time() + 60))
    held = SpoolFile.open(first)
    assert [file["state"] for file in imported(daemon)[0]] == ["held"] * 2
    held.close()
    files, _ = imported(daemon)
    assert [(file["path"], file["attempt"]) for file in files] == [(first, 1), (second, 2)]
    assert daemon.series("again")["step"] == list(range(6))


def test_a_refusal_for_good_keeps_the_file(daemon, spool_dir):
    watched(daemon, "there")
    path = offline("there", resume="never")
    files, complaints = imported(daemon, expect=1)
    assert (files[0]["state"], os.path.exists(path)) == ("kept", True)
    assert "EEXIST" in files[0]["text"]
    assert "1 of 1 files stay" in complaints


def test_a_run_that_is_live_is_not_ended_by_what_it_left_before(daemon, spool_dir):
    path = offline("job", steps=range(2))

    def refusal():
        with pytest.raises(richd.RichdError) as caught:
            richd.replay(path, runtime_dir=str(daemon.runtime), timeout=1)
        return str(caught.value)

    with daemon.trainer("job") as live:
        live.rows(*draw(30, 40, 3, seed=10))
        live.checkpoint(10)
        assert wait_until(lambda: "attempt 1 is open, and a replay would end it" in refusal())
        live.rows(*draw(30, 40, 3, seed=11))
        live.checkpoint(11)
        live.finish()
    (file,), _ = imported(daemon, expect=1)
    assert "attempt 1 began after this was written, which would hide it" in file["text"]
    assert os.path.exists(path)
    assert daemon.series("job")["step"] == [10, 11]


def test_a_file_of_an_older_attempt_is_found_there(daemon, spool_dir):
    """Welcomed once, lost the daemon, and a requeued job went on meanwhile, and is still open."""
    path = offline("job", steps=range(6))
    file = SpoolFile.open(path)
    writer = json.loads(next(file.records())[0][1])["writer"]
    file.append([b'{"type":"attempt","attempt":1}'])
    file.close()
    with daemon.trainer("job", writer=writer):
        pass
    with daemon.trainer("job", writer="requeued") as trainer:
        trainer.rows(*draw(30, 40, 3, seed=1))
        trainer.checkpoint(4)
        copy = shutil.copy(path, path.removesuffix(".spool") + "-copy")
        assert [(f["attempt"], f["state"]) for f in imported(daemon)[0]] == [(1, "stored")]
        before = daemon.series("job", attempts="all")
        assert daemon.series("job")["step"] == [0, 1, 2, 3, 4]
        assert sorted(before["step"]) == [0, 1, 2, 3, 4, 4, 5]
        assert imported(daemon, copy)[0][0]["state"] == "stored"
        assert daemon.series("job", attempts="all") == before
        trainer.rows(*draw(30, 40, 3, seed=2))
        trainer.checkpoint(5)
        assert daemon.state_of("job") == "open"
        trainer.finish()
    assert daemon.state_of("job") == "finished"


def test_attempts_that_no_daemon_saw_are_stored_as_of_when_they_began(daemon, spool_dir):
    began = time.time()
    offline("job", steps=range(2))
    offline("job", steps=range(2, 4))
    between = time.time()
    files, _ = imported(daemon)
    assert [file["attempt"] for file in files] == [1, 2]
    assert daemon.series("job")["step"] == [0, 1, 2, 3]
    opened = [attempt["opened"] for attempt in daemon.rpc("run.get", run="job")["attempts"]]
    assert began <= opened[0] <= opened[1] <= between


def test_a_file_whose_run_is_live_waits_and_holds_no_other_up(daemon, spool_dir):
    live, other = offline("live"), offline("other")
    with daemon.trainer("live") as trainer:
        trainer.rows(*draw(30, 40, 3, seed=10))
        trainer.checkpoint(10)
        files, _ = imported(daemon, expect=1)
        assert [(file["path"], file["state"]) for file in files] == [
            (live, "waiting"), (other, "stored")]
        assert "a replay would end it" in files[0]["text"]
        trainer.finish()


# ---- the daemon's own directory ------------------------------------------------------------------


def test_a_daemon_takes_what_was_kept_beside_its_history(new_daemon, monkeypatch):
    daemon = new_daemon()
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(daemon.state / "spool"))
    path = offline("kept")
    daemon.start()
    assert stat.S_IMODE(os.stat(daemon.state / "spool").st_mode) == 0o700
    wait_until(lambda: not os.path.exists(path), "the import")
    assert daemon.series("kept")["step"] == [0, 1, 2, 3]
    assert daemon.state_of("kept") == "finished"
    line = "a spool is stored run=kept attempt=1 messages=13 refused=0"
    wait_until(lambda: line in daemon.output, "the line in the log")


def test_a_daemon_puts_aside_what_is_no_spool_and_leaves_what_is_held(new_daemon, monkeypatch):
    daemon = new_daemon()
    spool = daemon.state / "spool"
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(spool))
    good = offline("good")
    (spool / "bad.spool").write_bytes(b"RICHSPL\x02")
    run = richd.init(mode="offline", run_id="lives")
    run.observe(*draw(30, 40, 3), step=0)
    run.checkpoint(step=0)
    held = run._sender._spool.path
    wait_until(lambda: os.path.exists(held), "the file")
    daemon.start()
    wait_until(lambda: (spool / "bad.spool.kept").exists() and not os.path.exists(good), "it")
    assert os.path.exists(held)
    assert "no spool of version 1" in daemon.output
    daemon.stop()  # in the middle of nothing, or of it
    run.finish()
    daemon.start()
    wait_until(lambda: not os.path.exists(held), "the import")
    assert daemon.series("lives")["step"] == [0]


def test_a_daemon_that_stops_or_dies_takes_its_import_with_it(new_daemon, monkeypatch):
    daemon = new_daemon()
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(daemon.state / "spool"))
    path = offline("long", range(80))
    for end in (daemon.kill, daemon.stop):
        daemon.start()
        pid = wait_until(lambda: import_of(daemon), "the import")
        end()
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "its end")
        if not os.path.exists(path):
            break
    daemon.start()
    wait_until(lambda: not os.path.exists(path), "the import")
    assert daemon.series("long", attempts="all")["step"] == list(range(80))


def import_of(daemon):
    """Its process id; 0 when there is none, or when it is over."""
    text = pathlib.Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text()
    return int(text.split()[0]) if text.split() else int("a spool is stored" in daemon.output)
