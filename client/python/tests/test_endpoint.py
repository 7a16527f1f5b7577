"""Where the daemon is looked for, and which files count: the cases of proto/vectors."""

from __future__ import annotations

import json
import os
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
