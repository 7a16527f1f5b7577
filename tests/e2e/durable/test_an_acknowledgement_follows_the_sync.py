"""What the daemon asked the kernel for, in order, and what it does when the kernel refuses: by
strace, below everything that is ours."""

import contextlib
import pathlib
import re
import subprocess

import pytest

from harness import IS_SANITIZED, draw, wait_until

STEPS = 20
#: "pid time call(arguments" of a line; one that was interrupted by another thread's comes in two.
LINE = re.compile(r"(\d+) +(?:<\.\.\. (\w+) resumed>|(\w+)\()(.*)")


@pytest.fixture
def new_daemon(new_daemon):
    """Leaks cannot be looked for under strace."""
    options = {"ASAN_OPTIONS": "detect_leaks=0"} if IS_SANITIZED else {}
    return lambda: new_daemon(**options)


def traced(daemon, *options):
    """Has the daemon run under strace; its own process id stays."""
    daemon.trace = daemon.folder / "trace"
    # -D: the tracer is a grandchild. -y names the file of each descriptor.
    daemon.prefix = ["strace", "-D", "-f", "-qq", "-y", "-s", "65536", "-o", daemon.trace,
                     *options]
    return daemon


class Order:
    """Reads a trace: which names were in the log before a sync of it began that succeeded."""

    def __init__(self):
        self.written, self.synced, self.acked = set(), set(), {}
        self.syncing = {}  # thread -> the names that its sync covers

    def read(self, line):
        match = LINE.match(line)
        if not match:
            return
        thread, resumed, called, rest = match.groups()
        call = resumed or called
        if call == "pwrite64" and (resumed or "sqlite-wal" in rest):
            self.written |= set(re.findall(r"mark_\d+_", rest))
        elif call == "fdatasync":
            if called and "sqlite-wal" in rest:
                self.syncing[thread] = set(self.written)
            if rest.rstrip().endswith("= 0"):
                self.synced |= self.syncing.pop(thread, set())
        elif call == "sendto" and called:
            for seq in re.findall(r'\\"type\\":\\"ack\\",\\"seq\\":(\d+)', rest):
                self.acked[int(seq)] = set(self.synced)


def test_every_acknowledgement_follows_the_sync_of_what_it_says(new_daemon):
    """The name of each scalar and layer is new, and so stands in the log when its message does."""
    daemon = traced(new_daemon(), "-e", "trace=pwrite64,fdatasync,sendto").start()
    with daemon.trainer("run") as trainer:
        for step in range(STEPS):
            trainer.log(step, **{f"mark_{trainer.seq + 1}_": step})
            name = f"mark_{trainer.seq + 1}_"
            trainer.rows(*draw(8, 4, 2), layer=name)
            trainer.checkpoint(step, layers=[name])
        first_of_burst = trainer.seq + 1
        for step in range(STEPS, 4 * STEPS):  # many in one commit
            trainer.log(step, **{f"mark_{trainer.seq + 1}_": step})
        trainer.wait(trainer.seq)
        last = trainer.seq
    daemon.stop()
    order = Order()
    for line in daemon.trace.read_text("utf-8", "replace").splitlines():
        order.read(line)
    assert set(order.acked) == set(range(1, last + 1)), "each acknowledgement was seen"
    for seq, synced in order.acked.items():
        assert f"mark_{seq}_" in synced, f"{seq} was acknowledged before it was synced"
    assert first_of_burst < last


@contextlib.contextmanager
def refusing(daemon, inject):
    """From here on the kernel refuses calls on the log, as `inject` says; gives the trace's file."""
    trace = daemon.folder / "refused"
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", trace, "-P", daemon.state / "richd.sqlite-wal",
         "-e", f"trace={inject.partition(':')[0]}", "-e", f"inject={inject}", "-p",
         str(daemon.pid)])
    tasks = pathlib.Path(f"/proc/{daemon.pid}/task")
    wait_until(lambda: all("TracerPid:\t0\n" not in (task / "status").read_text()
                           for task in tasks.iterdir()), "strace to attach")
    try:
        yield trace
    finally:
        tracer.terminate()
        tracer.wait()


@pytest.mark.parametrize("call", ["fdatasync", "pwrite64"])
def test_an_error_of_the_disk_acknowledges_nothing_and_is_not_tried_again(daemon, call):
    process = daemon.process
    with daemon.trainer("run") as trainer, refusing(daemon, f"{call}:error=EIO") as trace:
        seq = trainer.log(1, loss=1)
        wait_until(lambda: process.poll() is not None, "the daemon to end")
        while trainer.receive(timeout=0.1):
            pass
        assert seq not in trainer.acks
    daemon.process = None
    assert process.returncode == 74, daemon.output
    assert "Input/output error" in daemon.output
    assert trace.read_text("utf-8", "replace").count("(INJECTED)") == 1, "never tried again"

    daemon.start()
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(2, loss=2))


def test_a_log_that_has_no_space_for_a_while_heals(daemon):
    with daemon.trainer("run") as trainer:
        with refusing(daemon, "pwrite64:error=ENOSPC"):
            seq = trainer.log(1, loss=1)
            wait_until(lambda: "the store waits" in daemon.output, "the disk to be full")
            assert seq not in trainer.acks
        trainer.wait(seq)
    assert "the store writes again" in daemon.output
