import json
import os
import re
import subprocess

from harness import ROOT, clean_environment, draw


def lines_of_the_page():
    """The shell lines at the top of proto/FEED.md."""
    page = (ROOT / "proto" / "FEED.md").read_text()
    return re.search(r"```sh\n(.*?)```", page, re.DOTALL).group(1)


def test_one_line_of_socat_and_jq_asks(daemon, tmp_path):
    with daemon.trainer("run", name="first", project="demo") as trainer:
        trainer.rows(*draw(30, 4, 2))
        trainer.checkpoint(7)
    os.symlink(daemon.runtime, tmp_path / "richd")
    done = subprocess.run(["bash", "-ec", lines_of_the_page()], capture_output=True, text=True,
                          env=clean_environment(XDG_RUNTIME_DIR=str(tmp_path)), timeout=20,
                          check=True)
    answer = json.loads(done.stdout)
    assert answer["id"] == 1
    (run,) = answer["result"]["runs"]
    assert (run["run"], run["name"], run["last_step"]) == ("run", "first", 7)
