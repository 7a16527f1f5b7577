"""How the program ends: whether the runs that are still open have finished or failed.

The interpreter tells its exit functions nothing of the exit code, so `sys.exit` is wrapped: it
notes the code and does what it did. `_run` asks at the end.
"""

from __future__ import annotations

import functools
import sys
from typing import Any, NoReturn, Optional

_exit = sys.exit
_codes: list[Any] = []  # of the calls of sys.exit, the last one last


def watch() -> None:
    """Note from now on how the program ends; a second call does nothing."""
    if getattr(sys.exit, "__wrapped__", None) is not _exit:
        sys.exit = _noted_exit


@functools.wraps(_exit)
def _noted_exit(status: Any = None, /) -> NoReturn:
    _codes.append(status)
    _exit(status)


def note_that_it_goes_on() -> None:
    """An exit that somebody caught was none: the program still trains."""
    if _codes:
        _codes.clear()


def is_failure(error: Optional[BaseException]) -> bool:
    """Whether a block that ended with `error` has failed; sys.exit(0) and sys.exit() have not."""
    if isinstance(error, SystemExit):
        return error.code not in (None, 0)
    return error is not None


def has_failed() -> bool:
    """Whether the program ends by an exception that nobody caught, or with an exit code not 0.

    At a prompt an exception ends nothing.
    """
    if hasattr(sys, "last_type") and not hasattr(sys, "ps1"):
        return True
    return bool(_codes) and _codes[-1] not in (None, 0)
