"""What callgrind wrote is added up as it has to be, and what rose is told."""

import json
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import counts  # noqa: E402

PART = """\
# callgrind format
part: 1
desc: Timerange: Basic block 0 - 1036069
desc: Trigger: Client Request: fold of a block
positions: line
events: Ir
summary: 0

ob=(3) /home/blas/build/tests/bench/paths
fl=(5) daemon/core/moments/fold.c
fn=(10) fold_run
167 100
172 20
cob=(4) /usr/lib/openblas-pthread/libopenblasp-r0.3.21.so
cfn=(11) cblas_ssyrk
calls=2 0
173 50000
174 3

ob=(4)
fl=(6) kernel.c
fn=(11)
1 50000

ob=(7) /usr/lib/libc.so.6
fl=(8) memcpy.c
fn=(12) memcpy
9 40
totals: 50163
"""
PROGRAM = "/home/blas/build/tests/bench/paths"
TABLE = {"fold of a block": {"ours": 1000, "all": 2000}, "feed line": {"ours": 10, "all": 20}}


def changed(path="fold of a block", **more):
    return {**TABLE, path: {**TABLE[path], **more}}


def test_instructions_of_ours_and_of_all_but_blas_are_counted_without_what_is_called():
    assert counts.count(PART.splitlines(), PROGRAM) == (
        "fold of a block", {"ours": 123, "all": 163})


def test_a_part_without_a_name_is_no_path():
    assert counts.count(PART.replace("Client Request: ", "Program end").splitlines(), "") is None


@pytest.mark.parametrize("more, told, is_well", [
    ({}, "", True),
    ({"ours": 1049}, "", True),
    ({"ours": 1051}, "A RISE OF 5%", True),
    ({"all": 2500}, "A RISE OF 25%", True),
    ({"ours": 1500}, "A RISE OF 50%", True),
    ({"ours": 1501}, "FAILED: A RISE OF 50%", False),
    ({"all": 9000}, "FAILED: A RISE OF 350%", False),
    ({"ours": 800}, "fell by 20%", True),
])
def test_a_rise_is_told_and_a_large_one_fails(more, told, is_well):
    lines, well = counts.report(changed(**more), TABLE)
    assert well is is_well
    assert lines[1].endswith(told or "2,000")
    assert "RISE" not in lines[2]


def test_a_path_that_only_one_side_knows_fails():
    one = {"feed line": TABLE["feed line"]}
    lines, well = counts.report(TABLE, one)
    assert not well
    assert "FAILED: not in the table" in lines[1]
    lines, well = counts.report(one, TABLE)
    assert not well
    assert "FAILED: not measured any more" in lines[2]


def test_a_processor_without_avx2_is_said_and_nothing_is_compared(monkeypatch, capsys):
    assert counts.is_comparable("model\t: 1\nflags\t\t: fpu avx avx2 fma\n")
    assert not counts.is_comparable("flags\t\t: fpu avx avx512f\nbugs\t: avx2\n")
    assert not counts.is_comparable("Features : asimd\n")
    monkeypatch.setattr(counts, "is_comparable", lambda text: False)
    monkeypatch.setattr(counts, "measure", lambda: pytest.fail("it was measured"))
    assert counts.main([]) == 0
    assert "no AVX2" in capsys.readouterr().out


def test_the_table_is_written_when_asked_and_compared_else(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(counts, "TABLE", tmp_path / "counts.json")
    monkeypatch.setattr(counts, "is_comparable", lambda text: True)
    monkeypatch.setattr(counts, "versions", lambda: {"compiler": "cc 1"})
    monkeypatch.setattr(counts, "measure", lambda: TABLE)
    assert counts.main(["--update"]) == 0
    assert json.loads((tmp_path / "counts.json").read_text())["counts"] == TABLE
    monkeypatch.setattr(counts, "measure", lambda: changed(ours=2000))
    monkeypatch.setattr(counts, "versions", lambda: {"compiler": "cc 2"})
    assert counts.main([]) == 1
    said = capsys.readouterr().out
    assert "FAILED: A RISE OF 100%" in said
    assert "cc 1" in said and "cc 2" in said


def test_a_program_that_is_not_there_or_fails_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(counts, "is_comparable", lambda text: True)
    monkeypatch.setattr(counts, "PROGRAM", tmp_path / "paths")
    assert counts.main([]) == 1
    assert "is not built" in capsys.readouterr().err
    (tmp_path / "paths").write_text("#!/bin/sh\nexit 3\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert counts.main([]) == 1
    assert "valgrind" in capsys.readouterr().err


def test_the_tables_paths_are_those_of_the_program():
    text = (pathlib.Path(counts.__file__).parent / "paths.c").read_text()
    for path in json.loads(counts.TABLE.read_text())["counts"]:
        assert f'count(&t, "{path}"' in text
