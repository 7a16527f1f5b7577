"""What pyproject.toml promises is what `make versions` and `make test-pythons` run."""

from __future__ import annotations

import pathlib
import re

PACKAGE = pathlib.Path(__file__).resolve().parents[1]


def test_the_lower_bounds_are_those_that_are_tested():
    project = (PACKAGE / "pyproject.toml").read_text()
    (bounds,) = re.findall(r"^dependencies = \[(.*)\]", project, re.M)
    named = dict(re.findall(r'"([a-z]+)>=([\d.]+)"', bounds))
    (python,) = re.findall(r'^requires-python = ">=([\d.]+)"', project, re.M)
    tested = {}
    for line in (PACKAGE / "versions" / "oldest.txt").read_text().splitlines():
        found = re.match(r'(\w+)==([\d.]+); python_version [<=]= "([\d.]+)"', line)
        if found and found[1] not in tested:  # the first line of each is the oldest Python's
            tested[found[1]] = found[2]
    assert python == "3.9"
    assert tested == named
