"""Where the daemon is looked for, and which files count: the cases of proto/vectors."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

import pytest

from richd._link import endpoint as _endpoint

VECTORS = Path(__file__).parents[3] / "proto" / "vectors" / "endpoints.json"
CASES = json.loads(VECTORS.read_text())


def fill_in(text, root):
    return None if text is None else text.replace("@", str(root)).replace("$UID", str(os.getuid()))


def make(entry, root):
    path = Path(fill_in(entry["path"], root))
    if "link" in entry:
        path.symlink_to(fill_in(entry["link"], root))
    elif "directory" in entry:
        path.mkdir()
        path.chmod(int(entry.get("mode", "0700"), 8))
    else:
        path.write_text(entry["text"])
        path.chmod(int(entry.get("mode", "0600"), 8))
    if "owner" in entry:
        os.chown(path, entry["owner"], -1, follow_symlinks=False)


def places(case, root):
    """Those of the case; the machine's own lie below `root`, too."""
    environ = {name: fill_in(v, root) for name, v in case.get("environment", {}).items()}
    where = _endpoint.places(case.get("address"), fill_in(case.get("runtime_dir"), root), environ)
    where.directories = [d if d.startswith(str(root)) else f"{root}{d}" for d in where.directories]
    return where


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["name"])
def test_every_case_of_the_vectors(case, tmp_path):
    if os.getuid() != 0 and any("owner" in entry for entry in case["made"]):
        pytest.skip("only root can make files of somebody else")
    for entry in case["made"]:
        make(entry, tmp_path)
    member = case.get("member", "ingest")
    if "found" in case:
        assert _endpoint.find(places(case, tmp_path), member) == case["found"]
        return
    with pytest.raises(_endpoint.NotFoundError) as refusal:
        _endpoint.find(places(case, tmp_path), member)
    text = fill_in(case["refused"]["text"], tmp_path)
    assert refusal.value.code == case["refused"]["code"]
    assert str(refusal.value).startswith(text)
    if refusal.value.code == "ENOENT":
        assert str(refusal.value) == text


def test_the_places_in_their_order():
    assert _endpoint.places(None, None, {"XDG_RUNTIME_DIR": "/session"}).directories == [
        "/session/richd", f"/run/user/{os.getuid()}/richd", "/run/richd",
        f"/tmp/richd-{os.getuid()}"]
    login = f"/run/user/{os.getuid()}"
    assert _endpoint.places(None, None, {"XDG_RUNTIME_DIR": login}).directories == [
        f"{login}/richd", "/run/richd", f"/tmp/richd-{os.getuid()}"]


def test_files_are_read_at_each_search(tmp_path):
    where = _endpoint.Places(None, [str(tmp_path)])
    for address in ("ipc:///one", "ipc:///two"):
        (tmp_path / "endpoints.json").write_text(json.dumps({"ingest": address}))
        assert _endpoint.find(where) == address


@pytest.fixture
def two_places(tmp_path):
    """Two directories with files; the daemon of one that is made `alive` takes connections."""
    sockets = []

    def make_place(name, alive):
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        feed = folder / "feed.sock"
        feed.unlink(missing_ok=True)
        sockets.append(socket.socket(socket.AF_UNIX))
        sockets[-1].bind(str(feed))
        if alive:
            sockets[-1].listen()
        text = json.dumps({"ingest": f"ipc://{name}", "feed": f"unix:{feed}"})
        (folder / "endpoints.json").write_text(text)
        return str(folder)

    yield make_place
    for one in sockets:
        one.close()


def test_a_file_that_a_killed_daemon_left_hides_no_living_one(two_places):
    where = _endpoint.Places(None, [two_places("a", False), two_places("b", True)])
    assert _endpoint.find(where) == "ipc://b"
    assert _endpoint.find_feed(where).endswith("/b/feed.sock")
    (Path(where.directories[0]) / "endpoints.json").write_text("{")  # it is read first
    with pytest.raises(_endpoint.NotFoundError, match="EPROTO|a/endpoints.json"):
        _endpoint.find(_endpoint.Places(None, where.directories))


def test_where_none_lives_the_first_file_counts(two_places):
    where = _endpoint.Places(None, [two_places("a", False), two_places("b", False)])
    assert _endpoint.find(where) == "ipc://a"
    (Path(where.directories[1]) / "endpoints.json").write_text("{")
    assert _endpoint.find(where) == "ipc://a"


def test_a_run_stays_with_its_daemon_while_that_is_started_again(two_places):
    where = _endpoint.Places(None, [two_places("a", True), two_places("b", True)])
    assert _endpoint.find(where) == "ipc://a"
    two_places("a", False)
    assert _endpoint.find(where) == "ipc://a"
    assert _endpoint.find(_endpoint.Places(None, where.directories)) == "ipc://b"
    (Path(where.directories[0]) / "endpoints.json").unlink()
    assert _endpoint.find(where) == "ipc://b"
