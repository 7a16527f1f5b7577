"""A point's members are those of one table, proto/base/point.h: here and on the page FEED.md."""

import dataclasses
import json
import pathlib
import re

from richd._values.point import Point
from richd._values.shown import CORRECTED

PROTO = pathlib.Path(__file__).resolve().parents[3] / "proto"
#: The measures that have an attribute of their own; the others are in `extra`.
OWN_MEASURES = {"d_lr", "d_debiased", "u", "pr"}
#: What says whose point it is, in front of the table's members.
PLACE = ["run", "layer", "attempt"]


def fields():
    """The rows of POINT_FIELDS beside the measures; flags come last."""
    text = (PROTO / "base" / "point.h").read_text()
    names = re.findall(r"^ +FIELD\((\w+), ", text, re.M)
    assert names[0] == "step" and names[-1] == "flags"
    return names


def measures():
    """The rows of METRICS."""
    text = (PROTO / "base" / "metric.h").read_text()
    names = re.findall(r"^ +X\([A-Z0-9_]+, (\w+), ", text[: text.index("enum metric {")], re.M)
    assert names[0] == "d_lr"
    return names


def members():
    return PLACE + fields()[:-1] + measures() + ["flags"]


def test_the_forms_that_are_corrected_for_few_rows_are_those_of_the_table():
    text = (PROTO / "base" / "metric.h").read_text()
    table = text[text.index("define METRIC_CORRECTIONS"):]
    rows = re.findall(r"^ +X\((\w+), (\w+)\)", table[: table.index("\n\n")], re.M)
    assert CORRECTED == dict(rows)
    names = [name for name in measures() if not name.endswith("_se")]
    assert set(CORRECTED) <= set(names)


def test_the_value_that_is_right_at_this_n_is_shown_with_its_own_error():
    point = Point.from_json({"layer": "head", "step": 9, "n": 64, "d_lr": 0.58, "d_debiased": 0.8,
                             "u": 0.2, "pr": 50.0, "d_lr_se": 0.011, "d_debiased_se": 0.025,
                             "flags": ["biased"]})
    assert point.shown() == ("d_debiased", 0.8, 0.025)
    assert point.shown("u") == ("u", 0.2, None)
    assert str(point) == "head step 9: d_debiased 0.8000 +- 0.0500, u 0.2, pr 50, n 64 [biased]"
    part = Point.from_json({"d_lr": 0.58, "d_debiased": None, "d_lr_se": 0.011})
    assert part.shown() == ("d_lr", 0.58, 0.011)
    assert Point().shown() == ("d_lr", None, None) and str(Point().shown()) == "d_lr -"


def test_the_page_shows_a_point_with_all_members_in_their_order():
    page = (PROTO / "FEED.md").read_text()
    example = re.search(r"^POINT.*?```json\n(.*?)```", page, re.M | re.S).group(1)
    assert list(json.loads(example)) == members()


def test_the_page_explains_each_member():
    page = (PROTO / "FEED.md").read_text()
    table = page[page.index("\n| field |"):page.index("\n| flag |")]
    explained = {name for row in re.findall(r"^\| ([\w, ]+) \|", table, re.M)
                 for name in row.split(", ")}
    assert set(members()) - set(PLACE) - {"step", "time"} <= explained


def test_measures_md_has_a_section_for_each_measure():
    page = (PROTO / "MEASURES.md").read_text()
    headings = [name for line in re.findall(r"^### (.+)$", page, re.M) for name in line.split(", ")]
    assert len(headings) == len(set(headings))
    missing = [name for name in measures() if name not in headings]
    assert not missing, f"proto/MEASURES.md says nothing of {missing}"


def test_a_point_has_every_member_as_an_attribute():
    own = {field.name for field in dataclasses.fields(Point)} - {"extra"}
    assert own <= set(members()), "each attribute is a member of the table"
    assert own & set(measures()) == OWN_MEASURES
    point = Point.from_json({name: i for i, name in enumerate(members()[:-1])})
    assert [getattr(point, name) for name in members()[:-1]] == list(range(len(members()) - 1))
