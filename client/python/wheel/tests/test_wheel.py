"""What the wheel is made of: its names, what its programs need of a system, and its licences.

RICHD_WHEEL in the environment is its path.
"""

from __future__ import annotations

import os
import pathlib
import re
import subprocess
import zipfile

import pytest

WHEEL = pathlib.Path(os.environ["RICHD_WHEEL"])
SOURCES = pathlib.Path(__file__).resolve().parents[1] / "sources.txt"
#: Of a glibc of 2018: manylinux_2_28 promises no more.
GLIBC = (2, 28)
PROGRAMS = ("richd/bin/richd", "richd/lib/librichd.so.0", "richctl")
#: What every Linux with glibc has.
SYSTEM = {"libc.so.6", "libm.so.6", "libpthread.so.0", "libdl.so.2", "librt.so.1",
          "ld-linux-x86-64.so.2"}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(WHEEL) as archive:
        archive.extractall(folder)
    (richctl,) = folder.glob("*.data/scripts/richctl")
    richctl.rename(folder / "richctl")
    return folder


def read(program: pathlib.Path, *options: str) -> str:
    return subprocess.run(["readelf", "--wide", *options, program], check=True, text=True,
                          capture_output=True, timeout=60).stdout


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_symbol_is_of_a_newer_glibc_than_the_tag_says(unpacked, name):
    text = read(unpacked / name, "--dyn-syms")
    versions = {tuple(map(int, v.split("."))) for v in re.findall(r"@GLIBC_([\d.]+)", text)}
    assert versions and max(versions) <= GLIBC
    assert "GLIBCXX" not in text


@pytest.mark.parametrize("name", PROGRAMS)
def test_only_glibc_is_needed_and_openblas_by_the_daemon(unpacked, name):
    needed = set(re.findall(r"NEEDED.*\[(.*)\]", read(unpacked / name, "--dynamic")))
    own = {"libscipy_openblas.so"} if name.endswith("/richd") else set()
    assert own <= needed <= own | SYSTEM


def test_the_daemon_looks_for_openblas_beside_the_package_alone(unpacked):
    text = read(unpacked / "richd/bin/richd", "--dynamic")
    (path,) = re.findall(r"(?:RPATH|RUNPATH).*\[(.*)\]", text)
    assert path == "$ORIGIN/../../scipy_openblas32/lib"


def test_the_library_exports_what_its_header_names_and_nothing_else(unpacked):
    header = (unpacked / "richd/include/richd.h").read_text()
    lines = read(unpacked / "richd/lib/librichd.so.0", "--dyn-syms").splitlines()
    exported = {line.split()[-1] for line in lines
                if re.search(r"(GLOBAL|WEAK|UNIQUE) +DEFAULT +\d+ ", line)}
    assert exported == set(re.findall(r"^RICHD_API .*?\b(richd_\w+)\(", header, re.M))


def test_the_licence_of_everything_that_is_linked_is_inside(unpacked):
    (licenses,) = unpacked.glob("*.dist-info/licenses")
    linked = {line.split()[0] for line in SOURCES.read_text().splitlines() if line[0] != "#"}
    linked = {re.sub("-dev:.*", "", name) for name in linked}
    linked -= {"cmocka"}  # of the tests
    linked |= {"richd", "zig", "libcxx", "libcxxabi", "libunwind", "libgcc"}
    assert {path.name for path in licenses.iterdir()} == linked
    assert all(path.stat().st_size > 400 for path in licenses.iterdir())


def test_its_name_says_what_it_runs_on_and_its_metadata_what_it_needs(unpacked):
    assert re.fullmatch(r"richd-[\d.]+-py3-none-manylinux_2_28_x86_64\.whl", WHEEL.name)
    (info,) = unpacked.glob("*.dist-info")
    assert "Tag: py3-none-manylinux_2_28_x86_64\n" in (info / "WHEEL").read_text()
    metadata = (info / "METADATA").read_text()
    assert re.search(r"^Requires-Dist: scipy-openblas32==", metadata, re.M)
    assert "Requires-Python: >=3.9" in metadata
