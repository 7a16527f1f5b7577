"""Keywords that a function does not have: they cost themselves, and not the training around them.

Any thread. Python would raise TypeError, in the middle of a training that was written for another
version of richd, or with a letter wrong. `_guard` asks for what it guards; what else people call
has one of the decorators.
"""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeVar, cast

from richd._report import is_to_raise, logger

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)


class Keywords:
    """The keywords of one function.

    Arguments:
        function: its own parameters; what it takes as **options is named by `more`.
        said: what people call it.
    """

    def __init__(self, function: Callable[..., Any], said: str, more: Iterable[str] = ()) -> None:
        parameters = inspect.signature(function).parameters.values()
        own = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        self._names = frozenset([*own, *more])
        self._said = said

    def has(self, given: Mapping[str, Any]) -> bool:
        """Whether all that are given are the function's."""
        return self._names.issuperset(given)

    def kept(self, given: Mapping[str, Any], complain: Callable[[str], None]) -> dict[str, Any]:
        """Those that the function has. `complain` gets a sentence for each of the others."""
        for name in given:
            if name not in self._names:
                near = difflib.get_close_matches(name, self._names, 1)
                hint = f": do you mean {near[0]!r}?" if near else ""
                complain(f"{self._said} has no {name!r}, which is left out{hint}")
        return {name: value for name, value in given.items() if name in self._names}


def complain_to(reporter: Any) -> Callable[[str], None]:
    """Raises TypeError where the run was asked to raise, else warns, once a sentence."""

    def complain(text: str) -> None:
        if reporter.raise_errors:
            raise TypeError(text)
        reporter.warn(text, text)

    return complain


def forgiving(method: F) -> F:
    """A method of Run that goes on without the keywords it does not have."""
    keywords = Keywords(method, method.__name__)

    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not keywords.has(kwargs):
            kwargs = keywords.kept(kwargs, complain_to(self._reporter))
        return method(self, *args, **kwargs)

    return cast(F, call)


def forgiving_function(function: F, said: str = "") -> F:
    """The same of a function that has no run; `said` is what people call it, if not its name."""
    keywords = Keywords(function, said or function.__name__)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if not keywords.has(kwargs) and not is_to_raise(kwargs.get("raise_errors")):
            kwargs = keywords.kept(kwargs, logger.warning)
        return function(*args, **kwargs)

    return cast(F, call)


def forgiving_class(made: C) -> C:
    """A class whose objects are made without the keywords that it does not have."""
    made.__init__ = forgiving_function(made.__init__, made.__name__)  # type: ignore[misc]
    return made
