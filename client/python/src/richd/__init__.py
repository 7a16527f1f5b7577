"""richd: watch a neural network learn.

    import richd
    run = richd.init(project="mod97", name="wd1-seed0", config={...})
    tap = run.watch(model, layer="head")                  # torch; or run.observe(features, outputs)
    point = run.checkpoint(step=s, wait=True)["head"]     # .d_lr .d_debiased .u .pr .rank .n .flags
    point.shown()                                         # D_LR, right at this n, with its error
    rho = run.checkpoint(step=s, wait=True, spectrum=True)["head"].spectrum.rho
    steps, values = run.series()                          # D_LR; of another measure: series("pr")
    richd.measures()["nc1"].read_as                       # how to read one
    alike = run.compare(steps=(0, s), layers=["head"]).cka_debiased  # with init(probe=True)
    run.log({"test_acc": acc, "loss": loss}, step=s)
    run.finish()                                          # richd.log, .finish: of the newest run
    richd.run("mod97/wd1-seed0").series(["d_debiased"], scalars=True).to_pandas()
    richd.runs(project="mod97", config={"lr": 1e-3}).to_pandas()     # a sweep, one row a run

D_LR is 0 for rich and 1 for lazy. Compare a run with its own beginning, and with runs of the same p
and C: white noise under any head of rank r reads 1 - sqrt(r / p), `point.d_white`.

No call raises into training, blocks it, or uses memory without bound, whether the daemon is there
or not. `richd.init(..., raise_errors=True)` asks for exceptions.
"""

from typing import Any

from richd import _current
from richd._current import alert, finish, log
from richd._history.runs import Runs, runs
from richd._history.stored import Attempt, Layer, Scalars, StoredRun, run
from richd._history.table import Table
from richd._init import init
from richd._measures import Measure, flags, measures
from richd._place import get_include, get_library
from richd._values.event import Alert, Event
from richd._values.moments import Moments
from richd._values.point import Point
from richd._report import RichdError, Stats
from richd._run import Run
from richd._spool.replay import replay
from richd._values.shown import Shown
from richd._values.representation import Place, RepresentationMap
from richd._values.spectrum import Spectrum
from richd._torch.tangent import NTK
from richd._version import VERSION as __version__
from richd._torch.watch import Tap

__all__ = [
    "Alert",
    "Attempt",
    "Event",
    "Layer",
    "Measure",
    "NTK",
    "Moments",
    "Place",
    "Point",
    "RepresentationMap",
    "RichdError",
    "Run",
    "Runs",
    "Scalars",
    "Shown",
    "Spectrum",
    "Stats",
    "StoredRun",
    "Table",
    "Tap",
    "__version__",
    "alert",
    "finish",
    "flags",
    "get_include",
    "get_library",
    "init",
    "log",
    "measures",
    "replay",
    "run",
    "runs",
]


def __getattr__(name: str) -> Any:
    """`richd.config` and `richd.summary`: those of the run that `init` opened last."""
    if name in ("config", "summary"):
        return _current.constants(name)
    raise AttributeError(f"module 'richd' has no attribute {name!r}")
