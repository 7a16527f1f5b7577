"""The run that `richd.log` and `richd.finish` mean: the newest of this process, while it is open.

Any thread. `init` notes each run here. It is held, so a script may forget what `init` returned.
One that has to do with a model is not, since it would keep the model's memory: who watches a model
has the run's handle, and a run that nobody holds ends as ever.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Mapping
from typing import Any, Callable, Optional

from richd._life import EXIT_S
from richd._report import RichdError, is_to_raise, logger
from richd._values.constants import Constants

_held: Any = None
_found: Callable[[], Any] = lambda: None
_pid = os.getpid()
_is_told = False


def note(run: Any) -> None:
    """`run` is the current one from now on."""
    global _held, _found, _pid
    _held, _found, _pid = run, weakref.ref(run), os.getpid()


def let_go(run: Any) -> None:
    """Hold `run` no more: it has to do with a model, or is over."""
    global _held
    if _held is run:
        _held = None


def log(
    scalars: Mapping[str, Any], step: Optional[int] = None, *, all_ranks: bool = False
) -> None:
    """`Run.log` of the run that `init` opened last."""
    run = _current("log")
    if run is not None:
        run.log(scalars, step, all_ranks=all_ranks)


def alert(title: str, text: str = "", level: str = "info") -> None:
    """`Run.alert` of the run that `init` opened last."""
    run = _current("alert")
    if run is not None:
        run.alert(title, text, level)


def finish(status: str = "finished", timeout: float = EXIT_S) -> None:
    """`Run.finish` of the run that `init` opened last; without one it does nothing."""
    run = _found()
    if run is not None:
        run.finish(status, timeout)


def constants(name: str) -> Constants:
    """`config` or `summary` of the run that `init` opened last."""
    run = _found()
    if run is None:
        return Constants(lambda values, fields: _warn(name), {})
    found: Constants = getattr(run, name)
    return found


def _current(what: str) -> Any:
    run = _found()
    if run is None:
        _warn(what)
    return run


def _warn(what: str) -> None:
    """Of no open run, once; RichdError with RICHD_RAISE. A forked child has none of its own."""
    global _is_told
    if os.getpid() != _pid:
        return
    text = f"richd.{what}: no run is open; richd.init(...) opens one"
    if is_to_raise(None):
        raise RichdError("ENOTOPEN", text)
    if not _is_told:
        logger.warning("%s", text)
    _is_told = True
