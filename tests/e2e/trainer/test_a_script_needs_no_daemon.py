"""`richd.init()` that finds no daemon has one started: exactly one, and no harm where that fails."""

import contextlib
import fcntl
import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import pytest

from harness import BUILD, PATIENCE_S, Feed, clean_environment, wait_until

pytestmark = [pytest.mark.usefixtures("alone_elsewhere"),
              pytest.mark.not_under("thread",
                                    because="a start takes longer than a trainer waits for it")]

#: What a stranger types, and a prelude: a daemon of this machine is not for these tests.
PRELUDE = """
import sys
from richd._link import endpoint
endpoint.ELSEWHERE = ()
"""
SCRIPT = PRELUDE + """
import numpy, richd
run = richd.init(project="first", name=sys.argv[1])
run.observe(numpy.random.randn(64, 8), numpy.random.randn(64, 3), step=0)
run.checkpoint(step=0)
print(run.url, flush=True)
run.finish()
"""
WAITING = SCRIPT.replace("checkpoint(step=0)", "checkpoint(step=0, wait=True)")
NOTEBOOK = WAITING.replace("run.url", "run._repr_html_()")
#: Until the run is open, however long that takes.
PATIENT = PRELUDE + f"""
import time, richd
run = richd.init(project="first", name=sys.argv[1])
deadline = time.monotonic() + {PATIENCE_S}
while run.attempt is None and time.monotonic() < deadline:
    time.sleep(0.01)
assert run.attempt is not None, run.stats
"""


class Home:
    """A user's account on a machine where no daemon runs."""

    def __init__(self, folder, runtime):
        self.folder, self.runtime = folder, pathlib.Path(runtime)
        self.state = folder / ".local" / "state" / "richd"

    def start(self, script, *arguments, **environment):
        variables = {"HOME": str(self.folder), "XDG_RUNTIME_DIR": str(self.runtime),
                     "PATH": f"{BUILD}:{os.environ['PATH']}", "RICHD_AUTOSTART": "",
                     **environment}
        return subprocess.Popen([sys.executable, "-c", script, *arguments],
                                env=clean_environment(**variables), text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def run(self, script, *arguments, **environment):
        """(what it printed, what it said on stderr); it has to end well."""
        process = self.start(script, *arguments, **environment)
        out, err = process.communicate(timeout=2 * PATIENCE_S)
        assert process.returncode == 0, err
        return out, err

    @property
    def pid(self):
        return int((self.state / "richd.lock").read_text())

    def is_gone(self):
        path = pathlib.Path(f"/proc/{self.pid}/stat")
        return not path.exists() or path.read_text().rpartition(")")[2].split()[0] == "Z"

    @property
    def starts(self):
        """How many daemons were ready so far."""
        return (self.state / "richd.log").read_text().count(" ready ingest=")

    @property
    def endpoints(self):
        return json.loads((self.runtime / "richd" / "endpoints.json").read_text())

    def runs(self):
        with Feed(self.endpoints["feed"]) as feed:
            return {run["name"] for run in feed.call("run.list")["runs"]}

    def end(self):
        with contextlib.suppress(OSError, ValueError):
            os.kill(self.pid, signal.SIGTERM)
            wait_until(self.is_gone, "the daemon to end")


@pytest.fixture
def home(tmp_path):
    with tempfile.TemporaryDirectory(prefix="richd-") as runtime:
        made = Home(tmp_path, runtime)
        yield made
        made.end()


def test_five_lines_have_a_daemon_a_page_and_their_point(home):
    out, err = home.run(SCRIPT, "wd1")
    assert home.runs() == {"wd1"}
    assert err.count("\n") == 1, err
    assert err.startswith("richd: first/wd1 is at http://127.0.0.1:")
    assert err.endswith("(richd ends 10 min after the last run)\n")
    assert out.strip() in err
    page, _, token = out.strip().partition("#token=")
    asked = urllib.request.Request(page + "api/v1/runs", headers={
        "Authorization": f"Bearer {token.partition('&')[0]}"})
    with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
        assert [run["name"] for run in json.load(answer)["runs"]] == ["wd1"]


@pytest.mark.not_under("address", because="what runs is torch")
def test_the_readmes_lines_run_when_they_are_pasted(home):
    readme = (pathlib.Path(__file__).parents[3] / "README.md").read_text()
    [lines] = re.findall(r"^```python\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    [back] = re.findall(r"^```py\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
    back = back.replace('"hello/NAME"', "run.id").replace(".to_pandas()", "")  # pandas is optional
    out, err = home.run(f"{PRELUDE}{lines}run.finish()\n{back}print(*run.series()[1])")
    assert err.startswith("richd: hello/") and err.count("\n") == 1, err
    values = [float(value) for value in out.split()]
    told = re.search(r"D_LR falls here from (\S+) to (\S+) in", readme).groups()
    assert len(values) == 20
    assert abs(values[0] - float(told[0])) < 0.2 and abs(values[-1] - float(told[1])) < 0.1


def test_a_notebook_shows_the_link_and_the_curve(home):
    out, err = home.run(NOTEBOOK, "wd1")
    link = err.split(" is at ")[1].split(" ")[0]
    assert f'href="{link.replace("&", "&amp;")}"' in out
    assert "<polyline" in out and ">head " in out


def test_the_daemon_is_not_the_trainings(home):
    notes = home.folder / "notes"
    script = f"import os; os.set_inheritable(os.open({str(notes)!r}, os.O_CREAT), True)\n" + \
        WAITING.replace("run.finish()", "import time; time.sleep(600)")
    process = home.start(script, "interrupted")
    process.stdout.readline()
    status = pathlib.Path(f"/proc/{home.pid}/stat").read_text().rpartition(")")[2].split()
    assert int(status[1]) != process.pid
    assert int(status[3]) == home.pid  # a session of its own: no Ctrl-C reaches it
    files = {os.readlink(file) for file in pathlib.Path(f"/proc/{home.pid}/fd").iterdir()}
    assert notes.exists() and str(notes) not in files
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    assert children == ""  # nor is there a zombie
    process.kill()
    process.communicate()
    assert home.runs() == {"interrupted"}
    home.run(SCRIPT, "next")
    assert home.runs() == {"interrupted", "next"}
    assert home.starts == 1


def test_twelve_at_once_start_one(home):
    names = [f"job{i}" for i in range(12)]
    processes = [home.start(SCRIPT, name) for name in names]
    for process in processes:
        _, err = process.communicate(timeout=2 * PATIENCE_S)
        assert process.returncode == 0, err
    wait_until(lambda: home.runs() == set(names), lambda: f"all runs, not {home.runs()}")
    assert home.starts == 1


def test_a_winner_that_is_killed_is_followed_by_another(home):
    names = [f"job{i}" for i in range(4)]
    processes = [home.start(PATIENT, name) for name in names]
    wait_until(lambda: (home.state / "richd.lock").exists() and
               (home.state / "richd.lock").read_text().strip(), "a winner")
    first = home.pid
    with contextlib.suppress(ProcessLookupError):
        os.kill(first, signal.SIGKILL)
    for process in processes:
        _, err = process.communicate(timeout=3 * PATIENCE_S)
        assert process.returncode == 0, err
    assert home.pid != first
    assert home.runs() == set(names)


def test_what_a_killed_daemon_left_behind_is_not_taken_for_one(home):
    home.run(SCRIPT, "before")
    first = home.pid
    os.kill(first, signal.SIGKILL)
    wait_until(home.is_gone, "its end")
    assert (home.runtime / "richd" / "endpoints.json").exists()
    home.run(SCRIPT, "after")
    assert home.pid != first
    assert home.runs() == {"before", "after"}


def test_a_state_that_another_machine_has_is_told(home):
    home.state.mkdir(parents=True)
    script = SCRIPT.replace("import numpy", "from richd._link import start\n"
                            "start.TRY_S = start.OTHER_S = 0.2\nimport numpy, time")
    script = script.replace("run.finish()", "while run._sender._starter.is_busy:\n"
                            "    time.sleep(0.01)\nrun.finish()")  # however long a start takes
    with (home.state / "richd.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        _, err = home.run(script, "alone")
    assert "RICHD_STATE_DIR" in err and err.count("\n") == 1, err


@pytest.mark.parametrize("script, environment, text", [
    (SCRIPT.replace("import numpy", "from richd._link import start\n"
                    "start.binary = lambda name: None\nimport numpy"), {}, "pip install"),
    (SCRIPT, {"HOME": "/dev/null/home"}, "/dev/null/home"),
    (SCRIPT, {"RICHD_AUTOSTART": "0"}, "no richd at any known place"),
], ids=["no program", "no place for its history", "not wanted"])
def test_where_none_can_be_started_the_training_is_told_once(home, script, environment, text):
    began = time.monotonic()
    out, err = home.run(script, "alone", **environment)
    assert time.monotonic() - began < PATIENCE_S
    assert out == "None\n"
    assert err.count("no richd at any known place") == 1, err
    assert text in err
    assert not list(home.runtime.iterdir()) and not home.state.exists()
