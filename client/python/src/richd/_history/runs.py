"""Many runs: `richd.runs`, and a sweep as one table. Any thread; it asks, waits and may raise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Optional, Union, overload

import numpy as np

from richd._history.filters import Filters
from richd._history.source import Source
from richd._history.stored import TIMEOUT_S, StoredRun
from richd._history.table import Table, table_of, times
from richd._link import feed as _feed
from richd._link.endpoint import feed_finder

#: What a sweep is compared by: D_LR, in the form that is right at any number of rows and plainly.
METRICS = ("d_debiased", "d_lr")
#: Measures that have a standard error of their own.
_WITH_ERROR = ("d_lr", "d_debiased", "u_debiased", "pr_debiased")
#: The columns that every sweep has.
_FACTS = (
    "run", "name", "project", "group", "tags", "state", "attempt", "created", "updated",
    "last_step", "n_points",
)
#: The least that series.query takes: two bins, whose smallest, largest and last values are exact.
_BINS = 4


def runs(
    project: Optional[str] = None,
    *,
    group: Optional[str] = None,
    tags: Union[str, Sequence[str]] = (),
    config: Optional[Mapping[str, Any]] = None,
    state: Optional[str] = None,
    search: Optional[str] = None,
    sort: str = "created",
    descending: Optional[bool] = None,
    hidden: bool = False,
    limit: Optional[int] = None,
    feed: Optional[str] = None,
    endpoint: Optional[str] = None,
    runtime_dir: Optional[str] = None,
    timeout: float = TIMEOUT_S,
) -> Runs:
    """The runs that the daemon has, all that the filters leave.

        runs = richd.runs(project="mod97", config={"lr": (1e-4, 1e-2), "opt": "adam"})
        runs.to_pandas()    # one row a run: config, last and extreme values, standard errors

    Arguments:
        project, group: exactly this one.
        tags: all of these.
        config: values of the configuration by name: equal to this, or of a range
            (lowest, highest), both included, each None for no bound; {"min":, "max":} is the same.
        state: "open", "finished", "failed" or "lost".
        search: a part of the id, of project/name, of the group, a tag or the note.
        sort: "created", "updated", "name" or "state"; with a daemon that knows them, also a
            measure, "scalar:NAME" or "config:KEY".
        descending: the largest, or newest, first; by default for times alone.
        hidden: True: also runs that somebody hid.
        limit: at most so many.
        feed, endpoint, runtime_dir: as for `run`.
        timeout: seconds for which each answer is waited for.

    Raises RichdError when there is no daemon, none answers within `timeout` seconds, or it refuses
    (`code` "EINVAL": a state or a measure that there is not).
    """
    filters = Filters(
        project=project,
        group=group,
        tags=(tags,) if isinstance(tags, str) else tuple(tags),
        config=dict(config or {}),
        state=state,
        search=search,
        sort=sort,
        descending=sort in ("created", "updated") if descending is None else descending,
        hidden=hidden,
    )
    source = Source(feed_finder(feed, endpoint, runtime_dir), timeout)
    return Runs(source, [StoredRun(source, facts) for facts in filters.ask(source, limit)])


class Runs:
    """Runs in the order that was asked for, as the daemon had them then. Made by `richd.runs`.

    As a list it has a length, elements and slices. It is no Sequence: polars would take it for a
    column.
    """

    def __init__(self, source: Source, found: Sequence[StoredRun]) -> None:
        self._source = source
        self._runs = list(found)

    @overload
    def __getitem__(self, index: int) -> StoredRun: ...

    @overload
    def __getitem__(self, index: slice) -> Runs: ...

    def __getitem__(self, index: Union[int, slice]) -> Union[StoredRun, Runs]:
        """The run at that place, or those of a slice."""
        if isinstance(index, slice):
            return Runs(self._source, self._runs[index])
        return self._runs[index]

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[StoredRun]:
        return iter(self._runs)

    def __repr__(self) -> str:
        return f"<richd.Runs: {len(self)}>"

    def table(self, metrics: Union[str, Sequence[str]] = METRICS, scalars: bool = True) -> Table:
        """One row a run; without runs a table of no rows, with the columns up to n_points.

        Columns, (n,) arrays: run, name, project, group, tags, state, attempt, created, updated,
        last_step, n_points; config:KEY (a mapping within the configuration is config:OUTER.KEY) and
        summary:KEY. Then for each layer and each of `metrics` LAYER:NAME, the value of the layer's
        last point, LAYER:NAME_se, the standard error of that value where the measure has one, and
        LAYER:NAME_min and LAYER:NAME_max, the extremes of the whole run; with `scalars` as well
        scalar:NAME, scalar:NAME_min and scalar:NAME_max. What a run does not have is NaN or None.
        Two questions a run are asked for these; with `metrics=()` and `scalars=False` none.
        created and updated are datetime64[us] in UTC, measures have the units of `richd.measures`.

        Raises RichdError: no daemon answers, a run was deleted meanwhile (`code` "ENOENT"), or
        there is no such measure ("EINVAL").
        """
        asked = (metrics,) if isinstance(metrics, str) else metrics
        values = self._values(list(dict.fromkeys(asked)), scalars)
        table = table_of([{**_facts(run), **next(values)} for run in self._runs], _FACTS)
        for name in ("created", "updated"):
            table.columns[name] = times([getattr(run, name) for run in self._runs])
        return table

    def to_pandas(self, metrics: Union[str, Sequence[str]] = METRICS, scalars: bool = True) -> Any:
        """`table` as a pandas.DataFrame. Raises what it raises, and ImportError without pandas."""
        return self.table(metrics, scalars).to_pandas()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """`table` by Arrow's PyCapsule interface: polars.DataFrame(runs), pyarrow.table(runs)."""
        return self.table().__arrow_c_stream__(requested_schema)

    def _values(self, metrics: list[str], scalars: bool) -> Iterator[dict[str, Any]]:
        """The columns of values of each run, in their order."""
        asked = metrics + [f"{name}_se" for name in metrics if name in _WITH_ERROR]
        questions: list[_feed.Request] = []
        if metrics:
            questions.append(("series.query", {"metrics": asked, "points": _BINS}))
        if scalars:
            questions.append(("scalars.query", {"points": _BINS}))
        requests = (
            (method, {"run": run.id, **params})
            for run in self._runs
            for method, params in questions
        )
        answers = self._source.ask_all(requests)
        for _ in self._runs:
            row: dict[str, Any] = {}
            for _ in questions:
                row.update(_columns_of(next(answers), metrics))
            yield row


def _facts(run: StoredRun) -> dict[str, Any]:
    return {
        "run": run.id,
        **{name: getattr(run, name) for name in _FACTS[1:]},
        **dict(_flat("config:", run.config)),
        **dict(_flat("summary:", run.summary)),
    }


def _flat(prefix: str, values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(f"{prefix}{name}.", value)
        else:
            yield f"{prefix}{name}", value


def _columns_of(answer: Mapping[str, Any], metrics: Sequence[str]) -> dict[str, Any]:
    """The values of a run by their columns' names."""
    found: dict[str, Any] = {}
    for entry in answer.get("layers", ()):
        columns = entry["columns"]
        for name in metrics:
            found.update(_ends(f"{entry['layer']}:{name}", columns[name]))
            if f"{name}_se" in columns:
                last, _, _ = _last_and_extremes(columns[f"{name}_se"])
                found[f"{entry['layer']}:{name}_se"] = last
    for entry in answer.get("scalars", ()):
        found.update(_ends(f"scalar:{entry['name']}", entry["columns"]["value"]))
    return found


def _ends(label: str, column: Any) -> dict[str, float]:
    last, low, high = _last_and_extremes(column)
    return {label: last, f"{label}_min": low, f"{label}_max": high}


def _last_and_extremes(column: Any) -> tuple[float, float, float]:
    """The last, smallest and largest value of a column, in bins or not; NaN without any."""
    is_binned = isinstance(column, Mapping)
    last, low, high = (
        [np.nan if value is None else float(value) for value in part]
        for part in ((column[key] for key in ("last", "min", "max")) if is_binned else [column] * 3)
    )
    if not last:
        return np.nan, np.nan, np.nan
    return last[-1], float(np.fmin.reduce(low)), float(np.fmax.reduce(high))
