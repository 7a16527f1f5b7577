"""Where the daemon is looked for, first to last."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from richd._endpoint import find_endpoint, runtime_dirs


@pytest.fixture
def places(tmp_path):
    """A runtime folder a name, each with an address of its own."""

    def make(name):
        folder = tmp_path / name
        folder.mkdir(parents=True)
        (folder / "endpoints.json").write_text(json.dumps({"ingest": f"ipc://{name}", "feed": "x"}))
        return str(folder)

    return make


def test_explicit_address_wins_over_all(places):
    env = {"RICHD_ENDPOINT": "tcp://env:1", "RICHD_RUNTIME_DIR": places("env")}
    assert find_endpoint("tcp://given:1", places("dir"), env) == "tcp://given:1"
    assert find_endpoint(None, None, env) == "tcp://env:1"


def test_named_folder_wins_over_the_environment(places):
    env = {"RICHD_RUNTIME_DIR": places("env")}
    assert find_endpoint(None, places("dir"), env) == "ipc://dir"
    assert find_endpoint(None, None, env) == "ipc://env"


def test_session_folder_is_searched(places, tmp_path):
    places("session/richd")
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "session")}
    assert find_endpoint(None, None, env) == "ipc://session/richd"


def test_named_folder_without_a_daemon_falls_through_to_no_other(places, tmp_path):
    places("session/richd")
    env = {"XDG_RUNTIME_DIR": str(tmp_path / "session")}
    assert find_endpoint(None, str(tmp_path / "empty"), env) is None


def test_order_of_the_unnamed_folders():
    folders = list(runtime_dirs(None, {"XDG_RUNTIME_DIR": "/x"}))
    assert folders[:2] == [Path("/x/richd"), Path("/run/richd")]
    assert str(folders[2]).startswith("/tmp/richd-")


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"ingest": 3}', '{"ingest": ""}', "{}"])
def test_unreadable_file_means_no_daemon(tmp_path, text):
    (tmp_path / "endpoints.json").write_text(text)
    assert find_endpoint(None, str(tmp_path), {}) is None
