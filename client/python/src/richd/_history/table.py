"""A table: named columns of one length, for pandas, polars and Arrow. A value, any thread.

Nothing here needs one of these libraries; each is imported when it is asked for.
"""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

#: Libraries that make Arrow's structures. Whoever takes these has one of them.
_ARROW = ("pyarrow", "polars")


class Table:
    """Named columns of equal length.

        table["step"]                # (n,) array
        table.to_pandas()            # pandas.DataFrame
        polars.DataFrame(table), pyarrow.table(table)    # by Arrow's PyCapsule interface

    Columns are int64, float64, bool, datetime64[us] (UTC), or object: texts and lists. What is not
    there is NaN, NaT, and None in an object column.

    Attributes:
        columns: (n,) arrays by name.
    """

    def __init__(self, columns: Mapping[str, Any]) -> None:
        self.columns = {name: _column(values) for name, values in columns.items()}
        if len({len(column) for column in self.columns.values()}) > 1:
            raise ValueError("the columns of a table have one length")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        return self.columns[name]

    def __repr__(self) -> str:
        return f"<richd.Table of {len(self)} rows: {', '.join(self.columns)}>"

    def to_pandas(self) -> Any:
        """A pandas.DataFrame. Raises ImportError without pandas."""
        import pandas

        return pandas.DataFrame(self.columns)

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Arrow's PyCapsule interface. It needs pyarrow or polars, whichever is there."""
        return self._arrow().__arrow_c_stream__(requested_schema)

    def _arrow(self) -> Any:
        columns = {name: _for_arrow(column) for name, column in self.columns.items()}
        for name in sorted(_ARROW, key=lambda name: name not in sys.modules):
            try:
                library = importlib.import_module(name)
            except ImportError:
                continue
            if name == "polars":
                return library.DataFrame(columns, nan_to_null=True, strict=False)
            arrays = {key: library.array(c, from_pandas=True) for key, c in columns.items()}
            return library.table(arrays)
        raise ImportError("Arrow's interface needs pyarrow or polars")


def table_of(rows: Sequence[Mapping[str, Any]], first: Sequence[str] = ()) -> Table:
    """The rows as columns: those named `first`, then the others in the order in which they come.

    None where a row has none.
    """
    names = dict.fromkeys([*first, *(name for row in rows for name in row)])
    return Table({name: [row.get(name) for row in rows] for name in names})


def times(seconds: Sequence[Any]) -> np.ndarray:
    """Seconds since 1970 as datetime64[us], None as NaT."""
    micros = [np.iinfo(np.int64).min if s is None else round(1e6 * s) for s in seconds]
    return np.array(micros, dtype=np.int64).view("datetime64[us]")


def _column(values: Any) -> np.ndarray:
    if isinstance(values, np.ndarray):
        return values
    kinds = {type(value) for value in values}
    if kinds == {bool}:
        return np.array(values, dtype=bool)
    if kinds == {int}:
        return _integers(values)
    if kinds <= {int, float, type(None)}:
        return np.array([np.nan if v is None else v for v in values], dtype=np.float64)
    if kinds == {np.datetime64}:
        return np.array(values, dtype="datetime64[us]")
    column = np.empty(len(values), dtype=object)
    for k, value in enumerate(values):  # a list of lists would be taken for two dimensions
        column[k] = value
    return column


def _integers(values: Sequence[int]) -> np.ndarray:
    fits = all(-(1 << 63) <= value < 1 << 63 for value in values)
    return np.array(values, dtype=np.int64 if fits else np.float64)


def _for_arrow(column: np.ndarray) -> Any:
    """A column of Arrow has one type: what is neither text nor lists of it is JSON there."""
    if column.dtype != object:
        return column
    values = list(column)
    present = [value for value in values if value is not None]
    if all(isinstance(value, str) for value in present) or all(map(_is_texts, present)):
        return values
    return [None if value is None else json.dumps(value) for value in values]


def _is_texts(value: Any) -> bool:
    return isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value)
