"""The promise that no call of a run harms the training around it: a decorator.

Any thread. The method decides what a call does, `_report` how a trouble is reported.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable
from typing import Any, Optional, TypeVar, cast

from richd import _exits
from richd._keywords import Keywords, complain_to

_DIGITS = re.compile(r"\d+")

F = TypeVar("F", bound=Callable[..., Any])


def guarded(
    fallback: Callable[[], Any] = lambda: None,
    name: Optional[str] = None,
    options: Iterable[str] = (),
) -> Callable[[F], F]:
    """Make a method of Run safe inside a training loop.

    In a forked child, and in a disabled or finished run, it does nothing. An exception becomes
    a warning, once for each text (numbers apart), unless raise_errors is set. In these cases it
    returns `fallback()`. A keyword that the method does not have is left out, with a warning.
    `name` is what the user called, for the warning; the default is the guarded method. `options`
    are the keywords that it takes by **.
    """

    def decorate(method: F) -> F:
        said = name or method.__name__
        keywords = Keywords(method, said, options)

        @functools.wraps(method)
        def call(self: Any, *args: Any, **kwargs: Any) -> Any:
            if self._sender is None or os.getpid() != self._pid:
                return fallback()
            _exits.note_that_it_goes_on()
            if self._reporter.is_pending:
                self._reporter.raise_pending()
            try:
                if kwargs and not keywords.has(kwargs):
                    kwargs = keywords.kept(kwargs, complain_to(self._reporter))
                return method(self, *args, **kwargs)
            except Exception as error:
                if self._reporter.raise_errors:
                    raise
                text = f"{said}: {type(error).__name__}: {error}"
                self._reporter.warn(_DIGITS.sub("#", text), text)
                return fallback()

        return cast(F, call)

    return decorate
