"""What no daemon took is on the disk, is found again whole, and is sent once (proto/SPOOL.md)."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from support import Daemon, wait_until

import richd
from richd._link import session as _session, wire as _wire
from richd._spool import file as _file, replay as _replay, spool as _spool
from richd._spool.file import DamagedError, SpoolFile
from richd._spool.window import Window


VECTORS = json.loads(
    (Path(__file__).parents[3] / "proto" / "vectors" / "spool.json").read_text()
)


def rows(n=40, p=8, c=3, seed=0):
    x = np.random.default_rng(seed).normal(size=(n, p)).astype(np.float32)
    return x, np.ascontiguousarray(x[:, :c])


def train(run, steps=3, first=0):
    for step in range(first, first + steps):
        run.observe(*rows(seed=step), step=step)
        run.log({"acc": step / 10}, step=step)
        run.checkpoint(step=step)


def offline(steps=3, **options):
    """A run that ended without a daemon; returns its id and its file."""
    run = richd.init(mode="offline", **options)
    train(run, steps)
    path = run._sender._spool.path
    run.finish()
    return run.id, path


# ---- the file ------------------------------------------------------------------------------------


def test_messages_come_back_in_order_and_whole(tmp_path):
    messages = [[b"a"], [b"b" * 100_000, b"", b"c"], [os.urandom(5000)] * 195]
    file = SpoolFile.create(str(tmp_path / "s"))
    for message in messages:
        file.append(message)
    assert [frames for frames, _ in file.records()] == messages
    ends = [end for _, end in file.records()]
    assert [frames for frames, _ in file.records(ends[0])] == messages[1:]
    assert ends[-1] == file.size_bytes == os.path.getsize(file.path)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_files_are_read_as_the_vectors_say(vector, tmp_path):
    path = tmp_path / "s"
    path.write_bytes(bytes.fromhex(vector["hex"]))
    if vector["end"] == "foreign":
        with pytest.raises(DamagedError):
            SpoolFile.open(str(path))
        return
    file = SpoolFile.open(str(path))
    records = [[frame.hex() for frame in frames] for frames, _ in file.records()]
    assert records == vector["records"]
    assert (file.size_bytes == path.stat().st_size) == (vector["end"] == "whole")
    file.close()


def test_a_torn_end_is_cut_at_every_byte_and_written_over(tmp_path):
    whole = SpoolFile.create(str(tmp_path / "whole"))
    ends = [len(_file.MAGIC)]
    for message in ([b"one"], [b"two", b"and"], [b"three"]):
        whole.append(message)
        ends.append(whole.size_bytes)
    data = Path(whole.path).read_bytes()
    for size in range(len(_file.MAGIC), len(data) + 1):
        path = tmp_path / f"torn{size}"
        path.write_bytes(data[:size])
        torn = SpoolFile.open(str(path))
        n_whole = sum(end <= size for end in ends) - 1
        assert len(list(torn.records())) == n_whole
        torn.append([b"new"])
        assert [f for f, _ in torn.records()][-1] == [b"new"]
        torn.close()


def test_a_byte_that_changed_ends_the_file_there(tmp_path):
    whole = SpoolFile.create(str(tmp_path / "whole"))
    for message in ([b"one"], [b"two", b"and"], [b"three"]):
        whole.append(message)
    first_end = next(iter(whole.records()))[1]
    data = Path(whole.path).read_bytes()
    for at in range(first_end, len(data)):
        path = tmp_path / "changed"
        path.write_bytes(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :])
        changed = SpoolFile.open(str(path))
        found = [frames for frames, _ in changed.records()]
        assert found in ([[b"one"]], [[b"one"], [b"two", b"and"]])
        changed.close()


def test_another_version_is_left_alone(tmp_path):
    path = tmp_path / "other"
    path.write_bytes(b"RICHSPL\x02" + b"x" * 50)
    with pytest.raises(DamagedError, match="no spool of this version"):
        SpoolFile.open(str(path))
    assert path.read_bytes() == b"RICHSPL\x02" + b"x" * 50


def test_a_full_disk_leaves_whole_records(tmp_path, monkeypatch):
    file = SpoolFile.create(str(tmp_path / "s"))
    file.append([b"kept"])
    write = os.pwritev

    def half(descriptor, parts, at):
        if at > file.size_bytes:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, [bytes(parts[0])[:5]], at)

    monkeypatch.setattr(os, "pwritev", half)
    with pytest.raises(OSError, match="No space"):
        file.append([b"lost" * 100])
    monkeypatch.undo()
    file.append([b"behind"])
    assert [frames for frames, _ in file.records()] == [[b"kept"], [b"behind"]]


def test_a_file_is_held_while_its_writer_lives_and_not_by_its_children(tmp_path):
    code = (
        "import os, sys, time\n"
        "from richd._spool.file import SpoolFile\n"
        "file = SpoolFile.create(sys.argv[1]); file.append([b'x'])\n"
        "child = os.fork()\n"
        "if child == 0: time.sleep(60)\n"
        "print(child, flush=True); time.sleep(60)\n"
    )
    path = str(tmp_path / "s")
    env = {**os.environ, "PYTHONPATH": str(Path(richd.__file__).parents[1])}
    writer = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code, path], env=env, stdout=subprocess.PIPE
    )
    child = int(writer.stdout.readline())
    try:
        with pytest.raises(BlockingIOError):
            SpoolFile.open(path)
        writer.kill()
        writer.wait()
        file = SpoolFile.open(path)
        assert [frames for frames, _ in file.records()] == [[b"x"]]
    finally:
        os.kill(child, signal.SIGKILL)
        writer.stdout.close()


# ---- rows of a window ----------------------------------------------------------------------------


def message_of(x, y, seq=1, before=0, layer=b"head", **fields):
    header = _wire.Header(
        kind=_wire.KIND_ROWS,
        seq=seq,
        step=0,
        rows_before=before,
        n_rows=len(x),
        n_features=x.shape[1],
        n_outputs=y.shape[1],
        **fields,
    )
    return [header.encode(), layer, x.tobytes(), y.tobytes()]


def test_few_rows_stay_rows_and_many_become_their_moments():
    x, y = rows(8000)
    few = Window(pytest.fail)
    assert few.take(message_of(x[:5], y[:5])) == []
    assert few.end() == [message_of(x[:5], y[:5])]
    many = Window(pytest.fail)
    for seq in range(20):
        part = slice(400 * seq, 400 * (seq + 1))
        assert many.take(message_of(x[part], y[part], seq + 1, 400 * seq)) == []
    ((header, name, *frames),) = many.end()
    header = _wire.Header.decode(header)
    assert (header.kind, name, header.seq) == (_wire.KIND_MOMENTS, b"head", 20)
    assert (header.n_rows, header.rows_before) == (8000, 0)
    wanted, _ = richd.Moments().update(x, y).frames()
    for frame, values in zip(frames, wanted):
        np.testing.assert_allclose(np.frombuffer(frame), values.ravel(), rtol=1e-9, atol=1e-9)
    assert many.end() == []


def test_rows_that_come_faster_than_they_may_be_reduced_stay_rows_behind_the_others(monkeypatch):
    x, y = rows(8000)
    window = Window(pytest.fail)
    assert window.take(message_of(x, y, 1, 0)) == []
    monkeypatch.setattr("richd._spool.window.AT_ONCE_S", -1.0)
    reduced, whole = window.take(message_of(x, y, 2, 8000))
    assert _wire.Header.decode(reduced[0]).kind == _wire.KIND_MOMENTS
    assert whole == message_of(x, y, 2, 8000)
    assert window.end() == []


def test_rows_with_targets_are_never_reduced():
    x, y = rows(2000)
    labels = np.zeros(2000, np.int64)
    message = message_of(x, y, n_targets=3, targets_dtype=_wire.DTYPE_I64) + [labels.tobytes()]
    window = Window(pytest.fail)
    assert window.take(message) == [message]
    assert window.end() == []


def test_rows_that_are_not_finite_are_missing_and_the_others_stay():
    x, y = rows(4000)
    bad = x.copy()
    bad[7, 3] = np.inf
    lost = []
    window = Window(lost.append)
    window.take(message_of(bad, y, 1, 0))
    window.take(message_of(x, y, 2, 4000))
    header = _wire.Header.decode(window.end()[0][0])
    assert (header.n_rows, header.rows_before, header.seq, lost) == (4000, 4000, 2, [4000])


# ---- runs ----------------------------------------------------------------------------------------


def test_an_offline_run_is_replayed_whole_and_its_file_goes(daemon):
    run_id, path = offline(4, config={"lr": 0.1})
    assert os.stat(path).st_mode & 0o777 == 0o600
    seen = []
    assert richd.replay(path, endpoint=daemon.address, on_progress=seen.append) == run_id
    assert not os.path.exists(path)
    (opened,) = daemon.controls("open")
    assert (opened["run"], opened["config"]) == (run_id, {"lr": 0.1})
    assert [m["step"] for m in daemon.controls("checkpoint")] == [0, 1, 2, 3]
    assert len(daemon.controls("log")) == 4 and len(daemon.controls("close")) == 1
    assert sum(header.n_rows for _, header, *_ in daemon.batches()) == 4 * 40
    assert seen == sorted(seen) and seen[-1] == 1.0


class Answers:
    """A spool whose answered part is what a test says, look by look."""

    def __init__(self, parts):
        self._parts = list(parts)

    @property
    def is_open(self):
        return bool(self._parts)

    @property
    def answered_part(self):
        return self._parts.pop(0)


def test_the_told_part_never_goes_back():
    sender = SimpleNamespace(start=lambda: None, stop=lambda timeout: None, stopped=False)
    seen = []
    _replay._wait(sender, Answers([0.25, 0.5, 0.4, 0.5, 0.75, 0.75]), 60.0, seen.append)
    assert seen == [0.25, 0.5, 0.75]


def test_each_point_measures_the_rows_that_came_before_it(daemon):
    _, path = offline(3)
    richd.replay(path, endpoint=daemon.address)
    kinds = [m["type"] if isinstance(m, dict) else "rows" for m in daemon.received]
    order = [kind for kind in kinds if kind in ("rows", "checkpoint")]
    assert order == ["rows", "checkpoint"] * 3


def test_a_replay_that_broke_off_goes_on_with_its_attempt():
    answers = []

    def stops_behind_the_first_mark(peer, fields):
        answers.append(fields["type"])
        return [] if answers.count("checkpoint") > 1 else None

    with Daemon(script=stops_behind_the_first_mark) as broken:
        _, path = offline(3)
        with pytest.raises(richd.RichdError):
            richd.replay(path, endpoint=broken.address, timeout=0.5)
    assert os.path.exists(path)
    with Daemon() as whole:
        richd.replay(path, endpoint=whole.address)
        (opened,) = whole.controls("open")
        assert opened["attempt"] == 1 and opened["writer"] == broken.controls("open")[0]["writer"]
        assert [m["seq"] for m in whole.controls("checkpoint")] == [2, 4, 6]


def test_a_file_whose_training_lives_is_not_replayed(daemon):
    run = richd.init(mode="offline")
    train(run)
    path = run._sender._spool.path
    assert wait_until(lambda: os.path.exists(path))
    code = (
        "import richd\n"
        f"try: richd.replay({path!r})\n"
        "except BlockingIOError: print('held')\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(richd.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, check=True)
    assert done.stdout == b"held\n"
    run.finish()


def test_a_daemon_that_comes_later_gets_everything_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr("richd._link.sender.SPOOL_S", 0.05)
    monkeypatch.setattr(_session, "ABSENT_S", 0.1)
    address = f"ipc://{tmp_path}/late.sock"
    run = richd.init(endpoint=address)
    train(run, 3)
    spool = run._sender._spool
    assert wait_until(lambda: spool.is_open and run._sender.absent)
    with Daemon(address) as late:
        assert wait_until(lambda: len(late.controls("checkpoint")) == 3)
        train(run, 2, first=3)
        assert wait_until(lambda: len(late.controls("checkpoint")) == 5)
        run.finish()
        seqs = [m["seq"] for m in late.received if isinstance(m, dict) and "seq" in m]
        assert seqs == list(range(1, len(seqs) + 1))
        assert sum(header.n_rows for _, header, *_ in late.batches()) == 5 * 40
    assert not os.path.exists(spool.path)


def test_a_killed_training_leaves_its_marks(tmp_path, daemon):
    code = (
        "import os, signal, time, numpy as np, richd\n"
        "run = richd.init(mode='offline', run_id='killed')\n"
        "x = np.ones((10, 4), np.float32) * np.arange(4)\n"
        "for step in range(5):\n"
        "    run.observe(x + np.random.rand(10, 4), x[:, :2], step=step)\n"
        "    run.checkpoint(step=step)\n"
        "spool = run._sender._spool\n"
        "while spool.n_kept < 10: time.sleep(.01)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(richd.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=env, check=False)
    assert done.returncode == -signal.SIGKILL
    (path,) = Path(os.environ["RICHD_SPOOL_DIR"]).iterdir()
    assert richd.replay(str(path), endpoint=daemon.address) == "killed"
    assert [m["step"] for m in daemon.controls("checkpoint")] == [0, 1, 2, 3, 4]


def test_rows_beyond_the_limit_are_counted_and_marks_go_on(daemon):
    run = richd.init(mode="offline", spool_bytes=4096)
    labels = np.zeros(40, np.int64)
    for step in range(10):
        run.observe(*rows(seed=step), labels=labels, step=step)
        run.checkpoint(step=step)
    path = run._sender._spool.path
    run.finish()
    assert 0 < run.stats.rows_dropped < 400
    richd.replay(path, endpoint=daemon.address)
    assert len(daemon.controls("checkpoint")) == 10
    sent = sum(header.n_rows for _, header, *_ in daemon.batches())
    assert sent == 400 - run.stats.rows_dropped


def test_a_directory_that_takes_nothing_is_one_warning(monkeypatch, caplog):
    monkeypatch.setenv("RICHD_SPOOL_DIR", "/proc/no-such-place")
    run = richd.init(mode="offline")
    train(run)
    run.finish()
    assert len([r for r in caplog.records if "nothing can be kept" in r.getMessage()]) == 1
    assert run.stats.controls_dropped == 7  # three logs, three marks and the close


def test_nothing_is_kept_where_nobody_wants_it(tmp_path):
    run = richd.init(endpoint="tcp://127.0.0.1:9", spool_bytes=0)
    train(run)
    run.finish(timeout=0.3)
    assert not Path(os.environ["RICHD_SPOOL_DIR"]).exists()


def test_a_healthy_daemon_leaves_no_file(run):
    train(run)
    run.finish()
    assert not Path(os.environ["RICHD_SPOOL_DIR"]).exists()


def test_the_place_is_beside_the_history(monkeypatch):
    monkeypatch.delenv("RICHD_SPOOL_DIR")
    monkeypatch.setenv("XDG_STATE_HOME", "/state")
    assert _spool.default_directory() == "/state/richd/spool"
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", "/home/u")
    assert _spool.default_directory() == "/home/u/.local/state/richd/spool"


# ---- a disk that is full, a file that anybody wrote ----------------------------------------------


def test_a_disk_that_was_full_at_the_beginning_takes_what_comes_later(daemon, monkeypatch):
    write, full = os.pwritev, [True]

    def fails_while_full(descriptor, parts, at):
        if full[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write(descriptor, parts, at)

    monkeypatch.setattr(os, "pwritev", fails_while_full)
    run = richd.init(mode="offline")
    train(run, 1)
    spool = run._sender._spool
    assert wait_until(lambda: run.stats.controls_dropped == 2)
    assert not os.path.exists(spool.path)
    assert run.stats.rows_dropped == 40
    full[0] = False
    train(run, 2, first=1)
    run.finish()
    richd.replay(spool.path, endpoint=daemon.address)
    assert [m["step"] for m in daemon.controls("checkpoint")] == [1, 2]


def test_a_warning_does_not_promise_what_is_not_kept(monkeypatch, caplog):
    monkeypatch.setenv("RICHD_SPOOL_DIR", "/proc/no-such-place")
    run = richd.init(mode="offline")
    train(run)
    run.finish()
    assert any("nothing can be kept" in r.getMessage() for r in caplog.records)
    online = richd.init(runtime_dir="/proc/no-daemon-here")
    train(online)
    assert wait_until(lambda: online._sender.absent)
    online.finish()
    assert any("not all of it can be kept" in r.getMessage() for r in caplog.records)
    assert not [r for r in caplog.records if "replay" in r.getMessage()]


def test_the_last_of_the_disk_is_left_to_others(daemon, monkeypatch, caplog):
    monkeypatch.setattr(SpoolFile, "has_room", lambda file, size_bytes: False)
    _, path = offline(3)
    assert len([r for r in caplog.records if "leaves the last of the disk" in r.getMessage()]) == 1
    richd.replay(path, endpoint=daemon.address)
    assert len(daemon.controls("checkpoint")) == 3 and not daemon.batches()


def test_room_is_a_twentieth_or_a_gigabyte(tmp_path, monkeypatch):
    file = SpoolFile.create(str(tmp_path / "s"))

    def disk(blocks, free):
        values = [4096, 4096, blocks, free, free, 0, 0, 0, 0, 255]
        monkeypatch.setattr(os, "fstatvfs", lambda fd: os.statvfs_result(values))

    disk(1000, 60)
    assert file.has_room(10 * 4096) and not file.has_room(11 * 4096)
    disk(1 << 30, (1 << 18) + 1)  # 4 TiB
    assert file.has_room(4096) and not file.has_room(4097)
    disk(0, 0)  # a file system that does not say
    assert file.has_room(1)
    file.close()


def test_a_run_of_this_process_keeps_its_file(daemon):
    run = richd.init(mode="offline")
    train(run)
    spool = run._sender._spool
    assert wait_until(lambda: spool.is_open)
    for _ in range(2):
        with pytest.raises(BlockingIOError):
            richd.replay(spool.path, endpoint=daemon.address)
    run.finish()
    richd.replay(spool.path, endpoint=daemon.address)
    assert len(daemon.controls("checkpoint")) == 3


def test_a_replay_that_finds_no_daemon_says_so(tmp_path):
    _, path = offline(1)
    with pytest.raises(richd.RichdError, match="no richd at .* stays$"):
        richd.replay(path, runtime_dir=str(tmp_path), timeout=1.5)
    assert os.path.exists(path)


HELLO = b'{"type":"hello","client":"c","host":"h","pid":1}'
OPEN = b'{"type":"open","run":"r","project":"p","writer":"w"}'


@pytest.mark.parametrize(
    "frames",
    [
        [b"{}"],
        [b"[1]", OPEN],
        [HELLO, b"[" * 100_000],
        [HELLO, b"\xff"],
        [HELLO, OPEN.replace(b'"r"', b"7")],
        [HELLO, OPEN.replace(b'"w"', b'["w"]')],
        [HELLO, OPEN.replace(b"}", b',"attempt":"1"}')],
        [HELLO, OPEN.replace(b"}", b',"attempt":-1}')],
        [HELLO, OPEN.replace(b"}", b',"member":7}')],
        [HELLO, OPEN.replace(b"}", b',"member":{"rank":"x"}}')],
        [HELLO, OPEN.replace(b"}", b',"lr":NaN}')],
        [HELLO.replace(b"1", b"null"), OPEN],
    ],
)
def test_a_beginning_that_makes_no_sense_is_named(frames, tmp_path, daemon):
    file = SpoolFile.create(str(tmp_path / "s"))
    file.append(frames)
    file.close()
    with pytest.raises(ValueError, match="has no beginning"):
        richd.replay(file.path, endpoint=daemon.address, timeout=5)
    assert os.path.exists(file.path)
    SpoolFile.open(file.path).close()  # nobody holds it any more


@pytest.mark.parametrize(
    "frame", [b"{", b'{"type":7}', b'{"type":"log"}', b'{"type":"log","seq":[1]}', b"{" * 9999]
)
def test_a_message_that_makes_no_sense_ends_a_file(frame, tmp_path, daemon, caplog):
    file = SpoolFile.create(str(tmp_path / "s"))
    for message in ([HELLO, OPEN], [b'{"type":"log","seq":1,"step":0}'], [frame]):
        file.append(message)
    file.close()
    with pytest.raises(richd.RichdError, match="is damaged at byte .* and stays"):
        richd.replay(file.path, endpoint=daemon.address, timeout=20)
    assert len(daemon.controls("log")) == 1 and os.path.exists(file.path)
    assert any("damaged at byte" in r.getMessage() for r in caplog.records)


def test_a_record_that_claims_more_than_there_is_takes_no_memory(tmp_path, monkeypatch):
    path = tmp_path / "s"
    file = SpoolFile.create(str(path))
    file.append([b"one"])
    file.close()
    with path.open("ab") as out:
        out.write(_file._HEAD.pack(_file.PAYLOAD_MAX, 0, 2) + b"x" * 100)
    sizes, read = [], os.pread
    monkeypatch.setattr(os, "pread", lambda fd, n, at: (sizes.append(n), read(fd, n, at))[1])
    file = SpoolFile.open(str(path))
    assert [frames for frames, _ in file.records()] == [[b"one"]]
    assert max(sizes) < 1000
    file.close()


def test_a_damaged_file_is_sent_up_to_there_and_stays_as_it_is(daemon, caplog):
    _, path = offline(3)
    file = SpoolFile.open(path)
    ends = [end for _, end in file.records()]
    file.close()
    data = bytearray(Path(path).read_bytes())
    data[ends[3] + 30] ^= 1  # of the second mark's rows
    Path(path).write_bytes(data)
    for _ in range(2):
        with pytest.raises(richd.RichdError, match=f"is damaged at byte {ends[3]} and stays"):
            richd.replay(path, endpoint=daemon.address)
        assert Path(path).read_bytes() == data
    assert {m["step"] for m in daemon.controls("checkpoint")} == {0}


def test_what_a_kill_has_torn_is_no_damage(daemon, caplog):
    _, path = offline(3)
    os.truncate(path, os.path.getsize(path) - 5)  # the close
    caplog.clear()
    richd.replay(path, endpoint=daemon.address)
    assert len(daemon.controls("checkpoint")) == 3 and not daemon.controls("close")
    assert not caplog.records and not os.path.exists(path)


def test_a_file_without_a_mark_is_sent_and_goes(daemon, tmp_path):
    file = SpoolFile.create(str(tmp_path / "s"))
    file.append([HELLO, OPEN])
    file.append(message_of(*rows(5)))
    file.close()
    assert richd.replay(file.path, endpoint=daemon.address, timeout=20) == "r"
    assert len(daemon.batches()) == 1 and not os.path.exists(file.path)


def test_a_record_without_frames_is_the_end(tmp_path):
    file = SpoolFile.create(str(tmp_path / "s"))
    file.append([b"one"])
    file.append([])
    assert [frames for frames, _ in file.records()] == [[b"one"]]
    file.close()


def test_rows_of_one_layer_stay_in_order():
    x, y = rows(5)
    weights = np.ones(5)
    weighted = [*message_of(x, y, 2, 5, weights_dtype=_wire.DTYPE_F64), weights.tobytes()]
    window = Window(pytest.fail)
    assert window.take(message_of(x, y)) == []
    other = [weighted[0], b"other", *weighted[2:]]
    assert window.take(other) == [other]
    assert window.take(weighted) == [message_of(x, y), weighted]
    assert window.end() == []


def test_a_long_backlog_leaves_room_for_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr("richd._link.sender.SPOOL_S", 0.05)
    monkeypatch.setattr(_session, "ABSENT_S", 0.1)
    address = f"ipc://{tmp_path}/late.sock"
    run = richd.init(endpoint=address)
    spool = run._sender._spool
    assert wait_until(lambda: run._sender.absent)
    for step in range(3000):
        run.log({"acc": step}, step=step)
    assert wait_until(lambda: spool.n_kept == 3000)
    answered = []

    def answers_nothing_at_first(peer, fields):
        return None if fields["type"] != "log" or answered else []

    with Daemon(address, script=answers_nothing_at_first) as late:
        assert wait_until(lambda: len(late.controls("log")) == _spool.READ_AHEAD_MAX)
        for step in range(1000):
            run.log({"acc": step}, step=3000 + step)
        assert run.stats.controls_dropped == 0
        answered.append(True)
    run.finish(timeout=1)


def test_directories_are_this_users_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("RICHD_SPOOL_DIR", str(tmp_path / "a/b/spool"))
    offline(1)
    for path in (tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/spool"):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_user_without_a_home_has_a_place(monkeypatch):
    monkeypatch.delenv("RICHD_SPOOL_DIR")
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert _spool.default_directory() == "/var/tmp/.local/state/richd/spool"


def test_the_place_stays_when_the_program_goes_elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RICHD_SPOOL_DIR", "here")
    assert _spool.default_directory() == f"{tmp_path}/here"
