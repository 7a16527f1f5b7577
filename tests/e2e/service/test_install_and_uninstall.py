"""`make install` puts each thing where it is looked for; `make uninstall` takes that away again."""

import os
import pathlib
import subprocess

import pytest

from harness import ROOT

pytestmark = pytest.mark.not_under("address", "thread", because="it copies files")


def make(target, root, prefix="/usr/local"):
    done = subprocess.run(["make", "--no-print-directory", "-C", ROOT, target, f"DESTDIR={root}",
                           f"PREFIX={prefix}"], capture_output=True, text=True, timeout=300,
                          check=False, env={**os.environ, "MAKEFLAGS": ""})
    assert done.returncode == 0, done.stderr


def below(root):
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def sections(program):
    return subprocess.run(["readelf", "-SW", program], capture_output=True, text=True,
                          check=True).stdout


@pytest.mark.xdist_group("install")  # both put it together in one folder
@pytest.mark.parametrize("prefix, user_units", [("/usr/local", "lib"), ("/home/a/.local", "share")])
def test_install_and_uninstall(tmp_path, prefix, user_units):
    at = pathlib.Path(f"{tmp_path}{prefix}")
    (at / "lib" / "pkgconfig").mkdir(parents=True)
    (at / "share").mkdir()
    (at / "share").chmod(0o2775)  # as Debian has it
    before = below(tmp_path)
    make("install", tmp_path, prefix)
    assert (at / "share").stat().st_mode & 0o7777 == 0o2775

    assert ".symtab" not in sections(at / "bin" / "richd") + sections(at / "lib" / "librichd.so")
    assert (at / "lib" / "librichd.so").resolve() == (at / "lib" / "librichd.so.0").resolve()
    unit = (at / user_units / "systemd" / "user" / "richd.service").read_text()
    assert f"ExecStart={prefix}/bin/richd\n" in unit
    assert (at / "share" / "man" / "man1" / "richctl.1").stat().st_mode & 0o777 == 0o644
    flags = subprocess.run(["pkg-config", "--libs", "richd"], capture_output=True, text=True,
                           check=True,
                           env={**os.environ, "PKG_CONFIG_PATH": str(at / "lib" / "pkgconfig")})
    assert flags.stdout.split() == [f"-L{prefix}/lib", "-lrichd"]

    make("install", tmp_path, prefix)  # over itself: it still knows what it made
    make("uninstall", tmp_path, prefix)
    assert below(tmp_path) == before
