"""A daemon of a session is found by jobs that have another session, or none."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from harness import BUILD, PATIENCE_S, clean_environment, wait_until

pytestmark = pytest.mark.usefixtures("alone_elsewhere")

#: For all daemons of this user on this machine: another one may have it, which is said.
ELSEWHERE = pathlib.Path(f"/tmp/richd-{os.getuid()}")


class Session:
    """A daemon whose runtime directory nobody named."""

    def __init__(self, folder, session):
        self.session, self.log = pathlib.Path(session), folder / "log"
        self.environment = clean_environment(XDG_RUNTIME_DIR=str(session), RICHD_HTTP="off")
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                [BUILD / "richd", "--state-dir", folder / "state", "--log-level", "debug"],
                env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        wait_until(lambda: " ready ingest=" in self.output, lambda: f"its start: {self.output}")

    @property
    def output(self):
        return self.log.read_text()

    @property
    def is_elsewhere(self):
        """Whether the second place is its own."""
        return "no second endpoints.json" not in self.output

    def status(self, **environment):
        """What richctl says that looks with this environment."""
        return subprocess.run([BUILD / "richctl", "--json", "status"], capture_output=True,
                              env=clean_environment(**environment), text=True, check=False,
                              timeout=PATIENCE_S)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(PATIENCE_S) == 0


@pytest.fixture
def session(tmp_path):
    with tempfile.TemporaryDirectory(prefix="richd-") as runtime:
        made = Session(tmp_path, runtime)
        yield made
        with contextlib.suppress(ProcessLookupError):
            if made.process.poll() is None:
                made.end()


def test_a_second_file_is_left_where_all_look(session):
    first = json.loads((session.session / "richd" / "endpoints.json").read_text())
    if not session.is_elsewhere:
        assert f"holds {ELSEWHERE}" in session.output
        return
    assert json.loads((ELSEWHERE / "endpoints.json").read_text()) == first
    assert (ELSEWHERE / "endpoints.json").stat().st_mode & 0o777 == 0o600
    assert ELSEWHERE.stat().st_mode & 0o777 == 0o700
    session.end()
    assert not (ELSEWHERE / "endpoints.json").exists()
    assert not (session.session / "richd" / "endpoints.json").exists()


def test_a_session_that_is_no_directory_is_as_none(session, tmp_path):
    (tmp_path / "file").write_text("")
    for place in (str(tmp_path / "file"), "/nonexistent", ""):
        said = session.status(XDG_RUNTIME_DIR=place)
        if session.is_elsewhere:
            assert json.loads(said.stdout)["pid"] == session.process.pid, said.stderr
        else:  # of another daemon, if it still runs
            assert said.returncode in (0, 69), said.stderr
