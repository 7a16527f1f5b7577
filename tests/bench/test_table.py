"""The table of benchmarks and the comparison of two, on benchmarks that are made up."""

import json
import pathlib
import subprocess
import sys

import pytest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import figures  # noqa: E402
import table  # noqa: E402

FOLD = {"work": "fold", "p": 1024, "c": 100, "value": 2e5, "unit": "rows/s", "peer": 4e5,
        "ratio": 0.5, "low": 0.45, "high": 0.55}
POINT = {"work": "point", "p": 1024, "value": 3.0, "unit": "ms", "low": 2.9, "high": 3.2}


@pytest.fixture
def made_up(tmp_path, monkeypatch):
    """A function that makes a benchmark which prints these lines and ends with this code."""
    folder = tmp_path / "tests" / "bench"
    folder.mkdir(parents=True)
    monkeypatch.setattr(table, "ROOT", tmp_path)
    monkeypatch.setattr(table, "BUILD", tmp_path / "build")

    def make(name, *lines, code=0):
        text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
        (folder / f"{name}.py").write_text(
            f"import sys\nprint({text!r}) if {text!r} else None\nsys.exit({code})\n")
        return (name, "--json")

    return make


def run(*benches):
    shown = []
    found, problems = table.run_all(benches, shown.append)
    assert shown == found
    return found, problems


# ---- a line --------------------------------------------------------------------------------------


@pytest.mark.parametrize("line, why", [
    ("p 1024: 3 ms", "not a line of JSON"),
    ("[1, 2]", "a figure is an object"),
    ('{"value": 3, "unit": "ms"}', "`work`"),
    ('{"work": "fold", "value": 3}', "`unit`"),
    ('{"work": "fold", "unit": "ms"}', "`value`"),
    ('{"work": "fold", "unit": "ms", "value": NaN}', "`value`"),
    ('{"work": "fold", "unit": "ms", "value": true}', "`value`"),
    ('{"work": "fold", "unit": "ms", "value": 3, "p": "wide"}', "`p`"),
    ('{"work": "fold", "unit": "ms", "value": 3, "ratio": "x"}', "`ratio`"),
])
def test_a_line_that_is_no_figure_is_refused_with_the_reason(line, why):
    with pytest.raises(figures.WrongError, match=why) as caught:
        figures.parse(line, "bench_fold --json")
    assert "bench_fold --json" in str(caught.value)


def test_turns_give_the_median_of_ratios_and_its_quartiles():
    figure = figures.in_turns("x", "ms", [1, 2, 4, 8, 16], [2, 2, 8, 8, 64], p=3)
    assert figure == {"work": "x", "p": 3, "value": 4, "unit": "ms", "peer": 8, "ratio": 2,
                      "low": 1, "high": 2}
    assert figures.in_turns("x", "ms", [5.0])["low"] == 5


# ---- the table -----------------------------------------------------------------------------------


def test_figures_of_all_benchmarks_are_gathered(made_up):
    found, problems = run(made_up("one", FOLD, POINT), made_up("two", POINT))
    assert found == [FOLD, POINT, POINT]
    assert problems == []


def test_a_benchmark_that_is_missing_or_wrong_is_named_and_the_others_run(made_up):
    found, problems = run(("nowhere", "--json"), made_up("words", "hello"), made_up("silent"),
                          made_up("ends", FOLD, code=3), made_up("good", POINT))
    assert found == [POINT]
    assert [problem.split(":")[0] for problem in problems] == [
        "nowhere", "words --json", "silent --json", "ends --json"]
    assert "ended with 3" in problems[3]


def test_a_benchmark_that_does_not_end_is_ended(made_up, monkeypatch):
    name = made_up("waits")
    (table.ROOT / "tests" / "bench" / "waits.py").write_text("import time\ntime.sleep(600)\n")
    monkeypatch.setattr(table, "LIMIT_S", 0.1)
    assert "took longer" in run(name)[1][0]


def test_the_file_says_what_was_measured_on_what(made_up, monkeypatch, tmp_path, capsys):
    path = tmp_path / "build" / "bench.json"
    monkeypatch.setattr(table, "BENCHES", (made_up("one", FOLD), made_up("other", POINT)))
    assert table.main(["--only", "one"]) == 0
    written = table.read(path)
    assert written["figures"] == [FOLD]
    assert {"date", "commit", "processor", "cores", "kernels", "versions"} <= written.keys()
    assert written["processor"] in capsys.readouterr().out
    monkeypatch.setattr(table, "BENCHES", (made_up("one", FOLD), ("nowhere",)))
    assert table.main([str(path)]) == 1
    assert table.read(path)["figures"] == [FOLD]
    assert "FAILED: nowhere" in capsys.readouterr().err


def test_a_row_says_whether_its_goal_is_met():
    goals = (table.Goal("fold", at_least=0.9, shape=(("p", 1024),)),
             table.Goal("point", at_most=3.0, of="value"))
    assert table.line(FOLD, goals).endswith(">= 0.9 x: NO")
    assert table.line({**FOLD, "ratio": 0.91}, goals).endswith(">= 0.9 x: yes")
    assert table.line(POINT, goals).endswith("<= 3: yes")
    assert "goal" not in table.line({**FOLD, "p": 512}, goals)
    assert "(0.45 to 0.55)" in table.line(FOLD, goals)


def test_each_goal_says_one_bound():
    for goal in table.GOALS:
        assert (goal.at_least is None) != (goal.at_most is None), goal
        assert goal.of in ("ratio", "value")


# ---- two of them ---------------------------------------------------------------------------------


def bench(path, *rows, **members):
    where = {"commit": "0123", "date": "2026-11-27", "processor": "x", "cores": 2, "kernels": "Zen"}
    path.write_text(json.dumps({**where, **members, "figures": list(rows)}))
    return path


def compare(*paths):
    done = subprocess.run([HERE / "compare", *paths], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def verdicts(text):
    """The last word of each row, by work."""
    rows = [line for line in text.splitlines() if line.startswith(("fold", "point"))]
    return [row.split("  ")[-1].strip() for row in rows]


@pytest.mark.parametrize("old, new, verdict", [
    (FOLD, {**FOLD, "ratio": 0.7, "low": 0.6, "high": 0.8}, "better"),
    (FOLD, {**FOLD, "ratio": 0.4, "low": 0.3, "high": 0.44}, "worse"),
    (POINT, {**POINT, "value": 2.0, "low": 1.9, "high": 2.1}, "better"),
    (POINT, {**POINT, "value": 4.0, "low": 3.9, "high": 4.1}, "worse"),
    ({**POINT, "unit": "rows/s"}, {**POINT, "unit": "rows/s", "value": 4.0, "low": 3.9, "high": 4},
     "better"),
])
def test_a_difference_outside_the_spread_is_said(tmp_path, old, new, verdict):
    code, text = compare(bench(tmp_path / "a", old), bench(tmp_path / "b", new))
    assert code == 0
    assert verdicts(text) == [verdict]
    assert f"1 {verdict}" in text


def test_a_difference_within_the_spread_is_none(tmp_path):
    new = {**FOLD, "ratio": 0.54, "low": 0.5, "high": 0.6, "value": 9e9}
    code, text = compare(bench(tmp_path / "a", FOLD), bench(tmp_path / "b", new))
    assert code == 0
    assert "0 better, 0 worse, of 1" in text


def test_a_figure_that_only_one_has_is_named_and_other_shapes_are_others(tmp_path):
    a, b = bench(tmp_path / "a", FOLD, POINT), bench(tmp_path / "b", {**FOLD, "p": 512})
    code, text = compare(a, b)
    assert code == 0
    assert verdicts(text) == ["only in A", "only in A", "only in B"]


def test_other_machines_are_said(tmp_path):
    a, b = bench(tmp_path / "a", FOLD), bench(tmp_path / "b", FOLD, kernels="Haswell")
    assert "different machines" in compare(a, b)[1]


@pytest.mark.parametrize("text, why", [
    (None, "No such file"), ("fold 3 ms", "not JSON"), ("[]", "no list `figures`"),
    ('{"figures": [{"work": "fold"}]}', "`unit`"),
])
def test_a_wrong_file_is_named_with_the_reason(tmp_path, text, why):
    good, wrong = bench(tmp_path / "good", FOLD), tmp_path / "wrong.json"
    if text is not None:
        wrong.write_text(text)
    code, said = compare(good, wrong)
    assert code == 1
    assert "wrong.json" in said
    assert why in said
    assert "Traceback" not in said


def test_two_files_are_asked_for():
    code, said = compare("one.json")
    assert code == 1
    assert "usage" in said
