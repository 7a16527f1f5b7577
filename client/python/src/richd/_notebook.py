"""A run as a notebook's cell shows it: a link to its page, and its curve as it is now.

Pure text: an inline SVG without scripts, which asks no network. `_run` fetches what is drawn.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any, Optional

WIDTH, HEIGHT = 420, 110
#: Room for the numbers at the left, and the steps below.
LEFT, BOTTOM = 30, 16
#: More layers than this are left to the page.
LAYERS_MAX = 6
#: Points of a curve; more are drawn on the same pixels.
POINTS = 400
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
_GREY = "#888"


def show(
    name: str, url: Optional[str], metric: str, layers: Sequence[Mapping[str, Any]]
) -> str:
    """HTML of a run; `layers` are those of series.query (proto/FEED.md), binned or not."""
    title = html.escape(name)
    if url is not None:
        link = html.escape(url, quote=True)
        title = f'<a href="{link}" target="_blank" rel="noopener noreferrer">{title}</a>'
    curves = [_values(layer, metric) for layer in layers[:LAYERS_MAX]]
    named = [
        (str(layer["layer"]), curve) for layer, curve in zip(layers[:LAYERS_MAX], curves) if curve
    ]
    if not named:
        return f"<div>richd: {title}</div>"
    latest = ", ".join(_label(k, layer, curve) for k, (layer, curve) in enumerate(named))
    drawing = _drawing([curve for _, curve in named])
    return f"<div>richd: {title} {html.escape(metric)} {latest}<br>{drawing}</div>"


def _values(layer: Mapping[str, Any], metric: str) -> list[tuple[float, float]]:
    """(step, value) of the points that have a value; of a bin its last one."""
    columns = layer["columns"]
    values = columns[metric]["last"] if layer["binned"] else columns[metric]
    return [(step, value) for step, value in zip(columns["step"], values) if value is not None]


def _label(k: int, layer: str, curve: Sequence[tuple[float, float]]) -> str:
    return f'<span style="color:{_COLOURS[k]}">{html.escape(layer)} {curve[-1][1]:.4f}</span>'


def _drawing(curves: Sequence[Sequence[tuple[float, float]]]) -> str:
    steps = [step for curve in curves for step, _ in curve]
    first, last = min(steps), max(steps)
    low, high = math.log1p(first), math.log1p(last)
    top = max(1.0, *(value for curve in curves for _, value in curve))
    bottom = min(0.0, *(value for curve in curves for _, value in curve))

    def place(step: float, value: float) -> str:
        along = (math.log1p(step) - low) / ((high - low) or 1.0)
        up = (value - bottom) / (top - bottom)
        x, y = LEFT + along * (WIDTH - LEFT - 4), 4 + (1 - up) * (HEIGHT - BOTTOM - 8)
        return f"{x:.1f},{y:.1f}"

    lines = [
        f'<polyline fill="none" stroke="{_COLOURS[k]}" stroke-width="1.5" points="'
        + " ".join(place(*point) for point in curve)
        + '"/>'
        for k, curve in enumerate(curves)
    ]
    texts = [(2, 12, f"{top:.2g}"), (2, HEIGHT - BOTTOM - 2, f"{bottom:.2g}")]
    texts += [(LEFT, HEIGHT - 3, f"step {first:g}"), (WIDTH - 60, HEIGHT - 3, f"{last:g}")]
    words = [f'<text x="{x}" y="{y}">{word}</text>' for x, y, word in texts]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'font-size="10" fill="{_GREY}">{"".join(words)}{"".join(lines)}</svg>'
    )
