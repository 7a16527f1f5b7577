"""richd's programs are found beside the package, then among Python's scripts, then on the PATH."""

from __future__ import annotations

import os
import pathlib
import sys

import pytest

import richd
from richd import __main__, _place


@pytest.fixture
def places(monkeypatch, tmp_path):
    """The three places, empty: the package's own folder, the scripts' and one on the PATH."""
    for name in ("package", "scripts", "path"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(_place, "PACKAGE", str(tmp_path / "package"))
    monkeypatch.setattr(_place.sysconfig, "get_path", lambda name: str(tmp_path / name))
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    return tmp_path


def program(path: pathlib.Path, mode: int = 0o755) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return str(path)


def test_the_nearest_program_is_taken(places):
    assert _place.binary("richd") is None
    on_the_path = program(places / "path" / "richd")
    assert _place.binary("richd") == on_the_path
    script = program(places / "scripts" / "richd")
    assert _place.binary("richd") == script
    beside = program(places / "package" / "bin" / "richd")
    assert _place.binary("richd") == beside
    assert _place.binary("richctl") is None


def test_a_file_that_cannot_be_run_and_a_folder_are_passed_over(places):
    program(places / "package" / "bin" / "richd", mode=0o644)
    (places / "scripts" / "richd").mkdir()
    assert _place.binary("richd") is None


def test_a_path_from_a_relative_path_is_absolute(places, monkeypatch):
    program(places / "path" / "richd")
    monkeypatch.chdir(places)
    monkeypatch.setenv("PATH", "path")
    assert _place.binary("richd") == str(places / "path" / "richd")


def test_the_environment_is_ours_with_the_place_of_the_programs(places, monkeypatch):
    monkeypatch.setenv("RICHD_PROBE", "kept")
    environment = _place.environment()
    assert environment["RICHD_PROBE"] == "kept"
    assert environment["LD_ORIGIN_PATH"] == str(places / "package" / "bin")
    assert "LD_ORIGIN_PATH" not in os.environ


def test_openblas_of_another_folder_is_named_behind_what_the_user_names(places, monkeypatch):
    """An environment above another one, or pip install --user: pip leaves it where it is."""
    below = places / "below"
    (below / "scipy_openblas32" / "lib").mkdir(parents=True)
    (below / "scipy_openblas32" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(below))
    monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    assert _place.environment()["LD_LIBRARY_PATH"] == str(below / "scipy_openblas32" / "lib")
    monkeypatch.setenv("LD_LIBRARY_PATH", "/mine")
    both = f"/mine:{below / 'scipy_openblas32' / 'lib'}"
    assert _place.environment()["LD_LIBRARY_PATH"] == both
    (places / "scipy_openblas32").mkdir()  # beside the package: the program finds it itself
    assert _place.environment()["LD_LIBRARY_PATH"] == "/mine"


def test_header_and_library_are_named_where_they_are_and_missed_where_not(places):
    for ask in (richd.get_include, richd.get_library):
        with pytest.raises(FileNotFoundError, match="make install"):
            ask()
    header = program(places / "package" / "include" / "richd.h")
    library = program(places / "package" / "lib" / "librichd.so.0")
    assert richd.get_include() == os.path.dirname(header)
    assert richd.get_library() == library


def test_python_m_richd_becomes_the_daemon_with_its_arguments(places, monkeypatch, capsys):
    started = []
    monkeypatch.setattr(os, "execve", lambda *given: started.append(given))
    monkeypatch.setattr(sys, "argv", ["richd", "--http", "8080"])
    assert __main__.main() == 127
    assert "no program richd" in capsys.readouterr().err and not started
    daemon = program(places / "package" / "bin" / "richd")
    __main__.main()
    ((path, arguments, environment),) = started
    assert (path, arguments) == (daemon, [daemon, "--http", "8080"])
    assert environment["LD_ORIGIN_PATH"] == os.path.dirname(daemon)
