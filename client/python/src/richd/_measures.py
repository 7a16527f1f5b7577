"""What the measures and flags mean, asked of the daemon: `measures` and `flags`.

Called by anyone who reads results. The daemon's own list is taken, so it has what a newer daemon
has. `_link.feed` asks.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Optional

from richd._link import endpoint as _endpoint, feed as _feed


class Measure(NamedTuple):
    """A measure of a point.

    Attributes:
        name: as in `point.NAME` and `run.series("NAME")`.
        unit: "1" is a pure number.
        needs: "nothing", "labels", "spectrum", "probe" or "trainer"; without it it is None.
        description: what the number is.
        read_as: what to make of it.
        corrected: the name of its form that is corrected for few rows, or None.
        low_end: what a small value means, in a word or two; None where no word is honest.
        high_end: what a large value means.
        in_words: two sentences for a reader who knows none of it, or None.
        formula, source, range, compare, rows, misleads: the lines of proto/MEASURES.md: what it is
            made of, where it comes from, its ends, what it is compared with, how many rows it
            wants, when it misleads. None where there is none, or the daemon is an older one.
    """

    name: str
    unit: str
    needs: str
    description: str
    read_as: str
    corrected: Optional[str]
    low_end: Optional[str] = None
    high_end: Optional[str] = None
    in_words: Optional[str] = None
    formula: Optional[str] = None
    source: Optional[str] = None
    range: Optional[str] = None
    compare: Optional[str] = None
    rows: Optional[str] = None
    misleads: Optional[str] = None


def measures(
    *,
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    timeout: float = 5.0,
    feed: Optional[str] = None,
) -> dict[str, Measure]:
    """The measures of the daemon by name, in a point's order.

        print(richd.measures()["nc1"].read_as)

    The daemon is found as `run` finds it. Raises RichdError when there is none, or no answer
    within `timeout` seconds. The texts are those of proto/MEASURES.md.
    """
    rows = _ask(feed, endpoint, runtime_dir, timeout)["metrics"]
    known = Measure._fields
    return {row["name"]: Measure(**{key: row.get(key) for key in known}) for row in rows}


def flags(
    *,
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    timeout: float = 5.0,
    feed: Optional[str] = None,
) -> dict[str, str]:
    """What each of `point.flags` says, by name. As `measures` in all else."""
    rows = _ask(feed, endpoint, runtime_dir, timeout)["flags"]
    return {row["name"]: row["description"] for row in rows}


def _ask(
    feed: Optional[str], endpoint: Optional[str], runtime_dir: Optional[str], timeout: float
) -> Any:
    find = _endpoint.feed_finder(feed, endpoint, runtime_dir)
    return _feed.call(find, "metric.list", {}, timeout)
