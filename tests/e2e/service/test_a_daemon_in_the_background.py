"""`richd --detach` and `--idle-exit`: a daemon that nobody holds, and that goes when nobody needs it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from harness import BUILD, PATIENCE_S, Feed, clean_environment, richd, wait_until


class Background:
    """A daemon by --detach, in folders of its own."""

    def __init__(self, folder, runtime):
        self.state, self.runtime = folder / "state", runtime

    def detach(self, *flags):
        return subprocess.run(
            [BUILD / "richd", "--detach", "--state-dir", self.state, "--runtime-dir", self.runtime,
             "--http", "off", *flags], env=clean_environment(), capture_output=True, text=True,
            timeout=PATIENCE_S, check=False)

    @property
    def pid(self):
        return int((self.state / "richd.lock").read_text())

    @property
    def output(self):
        return (self.state / "richd.log").read_text()

    def is_gone(self):
        return not pathlib.Path(f"/proc/{self.pid}").exists() or \
            pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def end(self):
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGTERM)
            wait_until(self.is_gone, "the daemon to end")


@pytest.fixture
def background(tmp_path):
    with tempfile.TemporaryDirectory(prefix="richd-") as runtime:
        made = Background(tmp_path, pathlib.Path(runtime))
        yield made
        made.end()


def fields_of(pid):
    """(state, parent, group, session) of /proc/PID/stat."""
    state, *numbers = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return state, *map(int, numbers[:3])


def test_it_is_ready_when_the_command_ends_and_stands_alone(background):
    done = background.detach()
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (background.runtime / "endpoints.json").exists()
    _, parent, group, session = fields_of(background.pid)
    assert (group, session) == (background.pid, background.pid)
    assert parent != os.getpid()
    files = [os.readlink(f"/proc/{background.pid}/fd/{number}") for number in range(3)]
    assert files == ["/dev/null", *2 * [str(background.state / "richd.log")]]
    assert (background.state / "richd.log").stat().st_mode & 0o777 == 0o600


def test_a_second_one_says_so_by_its_exit_code(background):
    assert background.detach().returncode == 0
    first = background.pid
    done = background.detach()
    assert done.returncode == 75
    assert f"{background.state}/richd.log" in done.stderr
    assert f"another richd (pid {first}) holds" in background.output
    assert background.pid == first


def test_one_that_cannot_start_gives_its_own_code(background, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "richd.sqlite").mkdir()
    assert background.detach().returncode == 74
    done = richd("--detach", "--state-dir", "/dev/null/state", "--runtime-dir", background.runtime)
    assert done.returncode == 73
    assert "/dev/null/state" in done.stderr


def test_it_ends_when_nobody_has_used_it(background):
    assert background.detach("--idle-exit", "1").returncode == 0
    wait_until(background.is_gone, "the idle daemon to end")
    assert "nobody has used richd" in background.output
    assert background.output.rstrip().endswith("stopped")
    assert not (background.runtime / "endpoints.json").exists()


def test_a_run_or_a_reader_keeps_it(new_daemon, tmp_path):
    options = tmp_path / "richd.conf"
    options.write_text("idle-exit = 600\n")
    daemon = new_daemon("--config", options).start()
    assert daemon.endpoints["idle_exit_s"] == 600
    with daemon.trainer("run") as trainer:
        options.write_text("idle-exit = 1\n")
        daemon.signal(signal.SIGHUP)
        # Each question is a reader of an instant; between them the run alone keeps the daemon.
        wait_until(lambda: daemon.rpc("server.status")["uptime_s"] > 2.5, "some seconds")
        with Feed(daemon.endpoints["feed"]) as reader:
            trainer.finish()
            wait_until(lambda: reader.call("server.status")["runs_open"] == 0, "the run's end")
            until = reader.call("server.status")["uptime_s"] + 2
            wait_until(lambda: reader.call("server.status")["uptime_s"] > until, "two seconds")
        wait_until(lambda: daemon.process.poll() is not None, "the idle daemon to end")
    assert daemon.process.returncode == 0
    daemon.process = None
