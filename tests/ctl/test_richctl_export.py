"""richctl export: what comes out is what the daemon has, in each format, and never half of it."""

import csv
import io
import json
import os
import subprocess
import threading

import numpy as np
import pytest

from memoryfeed import PLAIN, METRICS, grokking

pytestmark = pytest.mark.not_under("thread", because="richctl has one thread")

EXACT = [0.1 + 0.2, 1 / 3, 5e-324, 1.7976931348623157e308, 123456789.12345679, -0.0, None]


@pytest.fixture
def run(feed):
    """Two layers, two attempts of which one is superseded in part, values that are easily lost."""
    run = feed.add("r-1", "=evil, \"name\"", config={"lr": 0.1 + 0.2})
    for step, value in enumerate(EXACT):
        run.point("head", step, value, u=value, flags=["partial", "biased"] if step == 1 else [])
    run.point("head", 5, 0.25, attempt=2)
    run.point("a/b", 3, 0.5)
    for step, value in enumerate(EXACT):
        run.scalar("loss/train", 10 * step, value)
    run.transition("head", 1, 2, 3)
    return run


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def number(text):
    return float(text) if text else None


# ---- formats -------------------------------------------------------------------------------------


def test_csv_is_one_table_of_layers_and_scalars_with_exact_numbers(ctl, run):
    rows = rows_of(ctl.run("export", "r-1", "--attempts", "all"))
    assert list(rows[0])[:6] == ["run", "run_name", "layer", "name", "attempt", "step"]
    assert {row["run"] for row in rows} == {"r-1"}
    assert rows[0]["run_name"] == "'=evil, \"name\"", "a spreadsheet runs nothing"
    head = [row for row in rows if row["layer"] == "head"]
    assert [number(row["d_lr"]) for row in head] == [*EXACT, 0.25]
    assert [row["attempt"] for row in head] == ["1"] * 7 + ["2"]
    assert head[1]["flags"] == "partial biased" and head[0]["p"] == "128"
    scalars = [row for row in rows if row["name"] == "loss/train"]
    assert [number(row["value"]) for row in scalars] == EXACT
    assert [row["step"] for row in scalars] == [str(10 * i) for i in range(7)]
    assert len(head) + len(scalars) + 1 == len(rows)


def test_the_effective_series_is_the_default(ctl, run):
    head = [row for row in rows_of(ctl.run("export", "r-1")) if row["layer"] == "head"]
    assert [(row["attempt"], row["step"]) for row in head] == [
        *[("1", str(step)) for step in range(5)], ("2", "5")]
    only = rows_of(ctl.run("export", "r-1", "--layer", "a/b"))
    assert [row["layer"] for row in only] == ["a/b"], "a layer alone has no scalars beside it"


def test_json_is_a_line_a_run_of_documented_objects(ctl, feed, run):
    grokking(feed.add("r-2", "b"))
    lines = ctl.run("export", "r-1", "r-2", "r-1", "--format", "json", "--attempts",
                    "all").splitlines()
    assert len(lines) == 2, "a run that is named twice comes once"
    first, second = map(json.loads, lines)
    assert first["run"] == feed.run_get("r-1") and first["events"] == run.events
    sent = [*run.points["head"], *run.points["a/b"]]
    assert len(first["points"]) == len(sent)
    for got, point in zip(first["points"], sent):
        assert {key: got[key] for key in point} == point
    assert first["scalars"] == run.scalars["loss/train"]
    assert len(second["points"]) == 60 and len(second["scalars"]) == 60


def test_npz_is_read_by_numpy(ctl, feed, run, tmp_path):
    run.points["head"][2]["flags"] = ["newer_than_you"]
    path = tmp_path / "run.npz"
    ctl.run("export", "r-1", "-o", str(path), "--attempts", "all")
    with np.load(path) as data:
        np.testing.assert_array_equal(data["points/head/d_lr"],
                                      [np.nan if v is None else v for v in [*EXACT, 0.25]])
        assert data["points/head/step"].dtype == np.int64
        assert data["points/head/step"].tolist() == [0, 1, 2, 3, 4, 5, 6, 5]
        assert data["points/head/attempt"].tolist() == [1] * 7 + [2]
        assert data["points/head/p"].tolist() == [128] * 8
        assert data["points/head/flags/biased"].tolist() == [False, True] + [False] * 6
        assert data["points/head/flags/newer_than_you"].tolist() == [False] * 2 + [True] + [False] * 5
        assert data["points/a%2Fb/d_lr"].tolist() == [0.5]
        assert data["scalars/loss%2Ftrain/step"].tolist() == [10 * i for i in range(7)]
        np.testing.assert_array_equal(data["scalars/loss%2Ftrain/value"],
                                      [np.nan if v is None else v for v in EXACT])
        assert json.loads(data["run.json"]) == feed.run_get("r-1")
        assert json.loads(data["events.json"]) == run.events
        assert {f"points/head/{name}" for name in ["attempt", *METRICS, *PLAIN]} - {
            "points/head/flags"} <= set(data.files)
    checked = subprocess.run(["unzip", "-tq", path], capture_output=True, text=True, check=False) \
        if os.path.exists("/usr/bin/unzip") else None
    assert checked is None or checked.returncode == 0, checked.stdout


def test_a_pipe_takes_npz_and_the_same_run_is_the_same_bytes(ctl, run):
    first, second = (subprocess.run(ctl.command("export", "r-1", "--format", "npz"), env=ctl.env,
                                    capture_output=True, check=True).stdout for _ in range(2))
    assert first == second
    with np.load(io.BytesIO(first)) as data:
        assert data["points/a%2Fb/n"].tolist() == [1024.0]


def test_long_series_are_paged_and_never_binned(ctl, feed):
    run = feed.add("long", "long")
    for step in range(25000):
        run.point("head", step, step / 7)
    got = [float(row["d_lr"]) for row in rows_of(ctl.run("export", "long"))]
    assert got == [step / 7 for step in range(25000)]
    assert all("points" not in r["params"] for r in feed.requests if "query" in r["method"])


# ---- where to ------------------------------------------------------------------------------------


def test_a_project_goes_into_a_directory_a_file_a_run(ctl, feed, run, tmp_path):
    grokking(feed.add("r-2", "b", project="p2"))
    grokking(feed.add("r-3", "c", project="p2"))
    ctl.run("export", "--project", "p2", "-o", f"{tmp_path}/out/", "--format", "npz")
    assert sorted(os.listdir(tmp_path / "out")) == ["r-2.npz", "r-3.npz"]
    with np.load(tmp_path / "out" / "r-3.npz") as data:
        assert len(data["points/head/step"]) == 60
    ctl.run("export", "r-1", "-o", str(tmp_path / "out"))
    assert rows_of((tmp_path / "out" / "r-1.csv").read_text())[0]["run"] == "r-1"


@pytest.mark.parametrize("args, why", [
    ([], "export takes runs, or options that choose them (--project P)"),
    (["r-1", "--project", "p"], "export takes runs, or options that choose them"),
    (["r-1", "--format", "xls"], 'csv, json or npz, not "xls"'),
    (["r-1", "--format", "parquet"], "to_parquet"),
    (["r-1", "-o", "run.parquet"], "to_parquet"),
    (["r-1", "r-2", "--format", "npz"], "a file of npz holds one run, and these are 2"),
])
def test_what_cannot_be_exported_is_said(ctl, feed, run, args, why):
    feed.add("r-2", "b")
    assert why in ctl.run("export", *args, code=64)


def test_a_run_that_is_not_there_is_said_before_a_file_is_made(ctl, feed, run, tmp_path):
    assert 'no run "r-9"' in ctl.run("export", "r-1", "r-9", "-o", str(tmp_path / "x.csv"), code=1)
    assert "no such run" in ctl.run("export", "--project", "nobody", code=1)
    assert not list(tmp_path.glob("x.csv*"))


# ---- what goes wrong on the way ------------------------------------------------------------------


def test_a_failed_export_leaves_the_older_file_and_no_part(ctl, feed, run, tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("older")

    def hang_up(**_):
        feed.hang_up()
        return {}

    feed.scalars_query = hang_up
    assert "the daemon has gone" in ctl.run("export", "r-1", "-o", str(path), code=69)
    assert path.read_text() == "older" and os.listdir(tmp_path).count("run.csv.part") == 0


def test_a_full_disk_is_said(ctl, run):
    with open("/dev/full", "w") as full:
        done = subprocess.run(ctl.command("export", "r-1", "--format", "npz"), stdout=full,
                              env=ctl.env, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1 and "No space left" in done.stderr
    assert "No space left" in ctl.run("export", "r-1", "-o", "/dev/full", code=1)


def test_an_interrupted_export_goes_on_behind_the_runs_that_are_written(ctl, feed, tmp_path):
    for name in ("r-1", "r-2", "r-3"):
        grokking(feed.add(name, name))
    out = tmp_path / "out"
    answer = feed.scalars_query
    exporting = None

    def interrupt(run, **query):
        if run == "r-2":  # the newest, r-3, is written then
            exporting.interrupt()
        return answer(run=run, **query)

    feed.scalars_query = interrupt
    with feed.lock:  # the request comes when `exporting` is there
        exporting = ctl.start("export", "--project", "mod97", "-o", f"{out}/")
    code, _, error = exporting.end()
    assert code == 1 and "no half file is left; the same command goes on" in error
    left = os.listdir(out)
    assert {".richctl-export", "r-3.csv"} <= set(left) <= {".richctl-export", "r-3.csv", "r-2.csv"}
    feed.scalars_query = answer
    feed.requests.clear()
    ctl.run("export", "--project", "mod97", "-o", f"{out}/")
    assert sorted(os.listdir(out)) == ["r-1.csv", "r-2.csv", "r-3.csv"]
    read = {r["params"]["run"] for r in feed.requests if r["method"] == "series.query"}
    assert read == {"r-1", "r-2", "r-3"} - {name.removesuffix(".csv") for name in left}


def test_what_has_changed_or_was_asked_otherwise_is_written_again(ctl, feed, tmp_path):
    grokking(feed.add("r-1", "a"))
    marks = tmp_path / ".richctl-export"
    for line in ("format=csv attempts=all layer=", "format=csv attempts=effective layer="):
        marks.write_text(f"{line}\nr-1 5\n")
        ctl.run("export", "r-1", "-o", str(tmp_path))
        assert len(rows_of((tmp_path / "r-1.csv").read_text())) == 120
        assert not marks.exists()
        (tmp_path / "r-1.csv").unlink()


def test_progress_is_a_line_in_a_pipe_after_two_seconds(ctl, feed):
    grokking(feed.add("r-1", "a"))
    for step in range(30000, 60000):
        feed.runs[0].point("head", step, 0.5)
    answer, released = feed.series_query, threading.Event()

    def slow(**query):
        assert released.wait(20)
        return answer(**query)

    feed.series_query = slow
    timer = threading.Timer(2.1, released.set)
    timer.start()
    done = subprocess.run(ctl.command("export", "r-1"), env=ctl.env, capture_output=True,
                          text=True, timeout=60, check=True)
    timer.join()
    assert done.stderr.startswith("r-1: ") and done.stderr.endswith(" % is written\n")
