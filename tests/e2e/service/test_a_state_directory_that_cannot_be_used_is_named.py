"""Each has its sentence, which names the path, and its exit code; nothing is left half done."""

import ctypes
import os
import resource
import shutil

import pytest

from harness import draw, wait_until

CANTCREATE, IOERR = 73, 74
AT_START = pytest.mark.not_under("thread", because="they end before any thread starts")
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2


def obey_permissions():
    """Root without the right to pass over the bits of a file."""
    libc = ctypes.CDLL(None)
    for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


def refused(daemon, code, *texts):
    """The daemon ends with that code, and its last line has the texts."""
    if os.geteuid() == 0 and daemon.preexec is None:
        daemon.preexec = obey_permissions
    daemon.launch()
    process = daemon.process
    wait_until(lambda: process.poll() is not None, "the daemon to end")
    daemon.process = None
    line = daemon.output.splitlines()[-1]
    assert process.returncode == code, line
    for text in texts:
        assert text in line


@pytest.fixture
def daemon(new_daemon):
    return new_daemon()


def stored(daemon):
    """The daemon has run once and left a history."""
    daemon.start()
    with daemon.trainer("run") as trainer:
        trainer.wait(trainer.log(0, loss=0))
    daemon.stop()


@AT_START
def test_a_directory_that_may_not_be_written(daemon):
    daemon.state.mkdir(mode=0o500)
    refused(daemon, CANTCREATE, "state/richd.lock", "Permission denied")


@AT_START
def test_a_directory_that_may_not_be_entered(daemon):
    daemon.state.mkdir(mode=0o000)
    refused(daemon, CANTCREATE, "state/richd.lock", "Permission denied")
    daemon.state.chmod(0o700)


@AT_START
def test_a_file_in_its_place(daemon):
    daemon.state.write_text("")
    refused(daemon, CANTCREATE, "state", "not a directory")


@AT_START
def test_a_parent_that_is_not_there(daemon):
    daemon.state = daemon.folder / "no" / "such" / "place"
    (daemon.folder / "no").write_text("")
    refused(daemon, CANTCREATE, "no")


@AT_START
def test_a_history_that_may_not_be_written(daemon):
    stored(daemon)
    (daemon.state / "richd.sqlite").chmod(0o400)
    refused(daemon, IOERR, "state/richd.sqlite", "may not write")
    for path in daemon.state.glob("richd.sqlite*"):
        path.chmod(0o600)
    daemon.start()
    assert daemon.rpc("run.list")["total"] == 1


@AT_START
def test_a_history_whose_directory_became_read_only(daemon):
    stored(daemon)
    daemon.state.chmod(0o500)
    refused(daemon, IOERR, "state/richd.sqlite", "may not write")
    daemon.state.chmod(0o700)
    daemon.start()
    assert daemon.rpc("run.list")["total"] == 1


@AT_START
def test_a_full_disk_at_the_start(daemon):
    stored(daemon)
    daemon.preexec = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
    refused(daemon, IOERR, "state/richd.sqlite")
    daemon.preexec = None
    daemon.start()
    assert daemon.rpc("run.list")["total"] == 1


@pytest.mark.parametrize("gone", ["", "richd.sqlite", "richd.sqlite-wal"])
def test_a_history_that_is_deleted_under_the_daemon_acknowledges_nothing(daemon, gone):
    daemon.start()
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(20, 4, 2))
        trainer.checkpoint(1)
        process = daemon.process
        if gone:
            (daemon.state / gone).unlink()
        else:
            shutil.rmtree(daemon.state)
        seq = trainer.log(2, loss=0)
        wait_until(lambda: process.poll() is not None, "the daemon to end")
        while trainer.receive(timeout=0.1):
            pass
        assert seq not in trainer.acks
    daemon.process = None
    assert process.returncode == IOERR
    assert "deleted" in daemon.output and f"state/{gone or 'richd.sqlite'}" in daemon.output
