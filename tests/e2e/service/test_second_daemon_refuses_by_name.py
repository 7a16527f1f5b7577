import json

import pytest

from harness import draw, richd

pytestmark = pytest.mark.not_under("thread", because="a lock is taken before any thread starts")


def test_second_daemon_refuses_by_name(daemon, tmp_path):
    second = richd("--state-dir", daemon.state, "--runtime-dir", tmp_path / "run")
    assert second.returncode == 75
    assert f"another richd (pid {daemon.pid}) holds {daemon.state}" in second.stderr

    second = richd("--state-dir", tmp_path / "state", "--runtime-dir", daemon.runtime)
    assert second.returncode == 75
    assert f"another richd (pid {daemon.pid}) holds {daemon.runtime}" in second.stderr

    assert json.loads((daemon.runtime / "endpoints.json").read_text()) == daemon.endpoints
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        assert trainer.checkpoint(1)["head"]["n"] == 30


def test_the_lock_of_a_killed_daemon_is_free(daemon):
    daemon.kill()
    daemon.start()
    assert daemon.rpc("run.list")["total"] == 0


def test_a_socket_in_use_is_not_stolen(daemon, tmp_path):
    ingest = daemon.endpoints["ingest"]
    feed = daemon.endpoints["feed"]
    for flags in (["--feed", feed], ["--listen", ingest]):
        second = richd("--state-dir", tmp_path / "s", "--runtime-dir", tmp_path / "r", *flags)
        assert second.returncode == 69, second.stderr
        assert f"{flags[1]}: another program listens there" in second.stderr
    with daemon.trainer("run") as trainer:
        trainer.rows(*draw(30, 4, 2))
        assert trainer.checkpoint(1)["head"]["n"] == 30


@pytest.mark.parametrize("flag, scheme", [("--feed", "unix:"), ("--listen", "ipc://")])
def test_what_is_no_socket_stays_where_it_is(tmp_path, flag, scheme):
    def start(path):
        return richd("--state-dir", tmp_path / "s", "--runtime-dir", tmp_path / "r",
                     flag, f"{scheme}{path}")

    notes, folder, link = (tmp_path / name for name in ("notes", "folder", "link"))
    notes.write_text("mine")
    folder.mkdir()
    link.symlink_to(notes)
    for path, kind in ((notes, "a file"), (folder, "a directory"), (link, "a symbolic link")):
        done = start(path)
        assert done.returncode == 69, done.stderr
        assert f"{scheme}{path}: there is {kind}, which richd does not remove" in done.stderr
    assert (notes.read_text(), link.readlink(), folder.is_dir()) == ("mine", notes, True)
