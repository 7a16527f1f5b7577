"""What a notebook shows of a run: well-formed, without scripts, whatever the daemon says."""

from __future__ import annotations

import xml.etree.ElementTree as tree

import pytest

import richd
from richd import _notebook

NAME = "mod97/<wd1> & co"
URL = "http://127.0.0.1:24104/#token=t&runs=r"


def layer(name, steps, values):
    binned = isinstance(values, dict)
    return {"layer": name, "binned": binned, "columns": {"step": steps, "d_debiased": values}}


def shown(*layers, url=URL):
    """The elements of what is shown, by name."""
    text = _notebook.show(NAME, url, "d_debiased", layers)
    root = tree.fromstring(text.replace("<br>", "<br/>"))
    return {element.tag.rpartition("}")[2]: element for element in root.iter()}, text


def test_the_link_opens_the_run_and_the_curve_is_inline():
    found, text = shown(layer("head", [0, 10, 100], [0.5, None, 0.1]))
    assert found["a"].attrib["href"] == URL
    assert found["a"].text == NAME
    points = found["polyline"].attrib["points"].split()
    assert len(points) == 2  # a point without a value is none
    assert float(points[0].partition(",")[2]) < float(points[1].partition(",")[2])  # it falls
    assert "head 0.1000" in text
    assert "script" not in found and "img" not in found


def test_a_binned_series_is_drawn_by_the_last_of_each_bin():
    values = {"min": [0.1, 0.1], "max": [0.9, 0.9], "last": [0.4, 0.3]}
    _, text = shown(layer("a<b", [0, 50], values))
    assert "a&lt;b 0.3000" in text


@pytest.mark.parametrize("layers", [[], [layer("head", [], [])], [layer("head", [1], [None])]])
def test_without_a_point_there_is_the_link_alone(layers):
    found, _ = shown(*layers)
    assert "svg" not in found and found["a"].text == NAME


@pytest.mark.parametrize("steps, values", [([0], [0.5]), ([7, 7], [2.0, -1.0])])
def test_one_point_and_values_beyond_one_have_their_place(steps, values):
    found, _ = shown(layer("head", steps, values))
    for pair in found["polyline"].attrib["points"].split():
        x, y = map(float, pair.split(","))
        assert 0 <= x <= _notebook.WIDTH and 0 <= y <= _notebook.HEIGHT


def test_more_layers_than_colours_are_left_to_the_page():
    _, text = shown(*(layer(f"l{k}", [0, 1], [0.5, 0.4]) for k in range(20)))
    assert text.count("<polyline") == _notebook.LAYERS_MAX


def test_a_run_without_a_daemon_shows_its_name():
    with richd.init(project="p", name="n") as run:
        assert run.url is None
        assert run._repr_html_() == "<div>richd: p/n</div>"
