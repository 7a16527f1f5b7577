"""A point's members are those of one table, proto/base/point.h: here and on the page FEED.md."""

import dataclasses
import json
import pathlib
import re

from richd._values.point import Point

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


def test_a_point_has_every_member_as_an_attribute():
    own = {field.name for field in dataclasses.fields(Point)} - {"extra"}
    assert own <= set(members()), "each attribute is a member of the table"
    assert own & set(measures()) == OWN_MEASURES
    point = Point.from_json({name: i for i, name in enumerate(members()[:-1])})
    assert [getattr(point, name) for name in members()[:-1]] == list(range(len(members()) - 1))
