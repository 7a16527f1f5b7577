"""Reads a sweep back into pandas, polars and pyarrow: run by test_tables, where these are found.

Arguments: the package's page, whose lines of Python about runs that are over are run first.
"""

import pathlib
import re
import sys

import polars
import pyarrow

import richd
from richd._history.table import Table

page = pathlib.Path(sys.argv[1]).read_text()
section = page.partition("## Runs that are over")[2].partition("\n## ")[0]
names = {"richd": richd}
for block in re.findall(r"```python\n(.*?)```", section, re.DOTALL):
    exec(block, names)
frame, best, points = (names[name] for name in ("frame", "best", "points"))

assert list(best["name"]) == ["wd1-seed0", "wd1-seed1"], best
assert list(best["config:lr"]) == [0.001, 0.002] and best["head:d_debiased_se"].notna().all()
assert list(points.to_pandas()["step"]) == [0, 450, 900]
assert names["run"].to_pandas()["scalar:test_acc"].notna().all()

runs = names["runs"]
columns = list(frame.columns)
with_arrow = {"polars": polars.DataFrame(runs), "pyarrow": pyarrow.table(runs)}
assert with_arrow["polars"].columns == with_arrow["pyarrow"].column_names == columns
assert with_arrow["polars"]["config:lr"].to_list() == list(frame["config:lr"])
assert with_arrow["pyarrow"]["config:lr"].to_pylist() == list(frame["config:lr"])
assert str(with_arrow["polars"].schema["created"]).startswith("Datetime")
assert pyarrow.types.is_timestamp(with_arrow["pyarrow"].schema.field("created").type)
assert polars.DataFrame(names["run"]).height == pyarrow.table(names["run"]).num_rows == 3

# What is not there is null in Arrow, whichever library serves it; what has no one type is JSON.
mixed = Table({"a": [1.0, None], "b": ["x", None], "c": [{"k": [1]}, 2], "d": [("u",), ("v", "w")]})
expected = {"a": [1.0, None], "b": ["x", None], "c": ['{"k": [1]}', "2"], "d": [["u"], ["v", "w"]]}
assert polars.DataFrame(mixed).to_dict(as_series=False) == expected
assert pyarrow.table(mixed).to_pydict() == expected
sys.modules["pyarrow"] = None
assert polars.DataFrame(mixed).to_dict(as_series=False) == expected
assert mixed.to_pandas()["a"].isna().tolist() == [False, True]
