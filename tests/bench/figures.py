"""A figure of a benchmark: a line of JSON, in the words that all benchmarks share (bench.h has the
same for C).

    work    what was done, in a few words
    p, c, n features, outputs, rows, and `runs` at once, where they say something
    value   the figure, the median of turns, in `unit`
    peer    the same work by another program in the same run, in the same unit; or left out
    ratio   how many times as fast as the peer: the median over turns
    low     the lower quartile of the ratio, or, without a peer, of the value
    high    the upper one

What else a line says (`daemon_cores`) is kept, and not shown.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from typing import Any, Optional

#: What belongs to the name of a figure: two runs have the same work where these are equal.
SHAPE = ("p", "c", "n", "runs")
NUMBERS = ("value", "peer", "ratio", "low", "high")
#: Of a figure in these units more is better; of any other, as of seconds and bytes, less is.
MORE_IS_BETTER = ("rows/s", "points/s", "GFLOP/s", "MB/s", "1/s")

Figure = dict[str, Any]


class WrongError(Exception):
    """A line or a file that is not what it has to be."""


def check(figure: Any, where: str) -> Figure:
    """The figure, without members that are null; WrongError where it is none."""
    if not isinstance(figure, dict):
        raise WrongError(f"{where}: a figure is an object, this is {figure!r:.60}")
    figure = {key: value for key, value in figure.items() if value is not None}
    for key in ("work", "unit"):
        if not isinstance(figure.get(key), str):
            raise WrongError(f"{where}: a figure has a text `{key}`: {figure!r:.120}")
    for key in SHAPE + NUMBERS:
        is_number = isinstance(figure.get(key, 0), (int, float)) and figure.get(key) is not True
        if not is_number or (key == "value" and key not in figure):
            raise WrongError(f"{where}: `{key}` of a figure is a number: {figure!r:.120}")
    return figure


def parse(line: str, where: str) -> Figure:
    """The figure that a line holds."""
    try:
        figure = json.loads(line, parse_constant=lambda name: None)
    except ValueError:
        raise WrongError(f"{where}: not a line of JSON: {line:.80}") from None
    return check(figure, where)


def name(figure: Figure) -> tuple[Any, ...]:
    """What two figures of the same work have in common."""
    return (figure["work"], figure["unit"], *(figure.get(key) for key in SHAPE))


def spread(values: Sequence[float]) -> tuple[float, float, float]:
    """The median, and the lower and upper quartile."""
    if len(values) < 2:
        return values[0], values[0], values[0]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return middle, low, high


def in_turns(
    work: str, unit: str, ours: Sequence[float], peers: Optional[Sequence[float]] = None,
    **shape: int,
) -> Figure:
    """The figure of turns: times of ours, and of the peer in the same turns."""
    value, low, high = spread(ours)
    figure: Figure = {"work": work, **shape, "value": value, "unit": unit}
    if peers is not None:
        ratio, low, high = spread([peer / own for own, peer in zip(ours, peers)])
        figure |= {"peer": spread(peers)[0], "ratio": ratio}
    return {**figure, "low": low, "high": high}


def say(figure: Figure) -> None:
    """Print the line, at once."""
    print(json.dumps({key: round_4(value) for key, value in figure.items()}), flush=True)


def round_4(value: Any) -> Any:
    """The value with four digits that count, where it is a fraction."""
    return float(f"{value:.4g}") if isinstance(value, float) else value
