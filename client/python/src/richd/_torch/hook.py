"""One forward hook on one torch module, and what becomes of it when the module is copied.

The hook runs in the thread that runs the model. `_watch` decides what a hook does.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable
from typing import Any

from richd._torch.phase import is_in_one_graph


class Hook:
    """A forward hook whose copies do nothing.

    A module's copy (an average of its weights, a saved file, a process that is spawned) has copies
    of its hooks. They must not feed the run of the original, so a hook is copied and pickled as a
    function of the standard library that takes anything and returns None: a file that is saved
    while the module is watched can be loaded where richd is not installed.
    """

    def __init__(self, function: Callable[..., None], reads_keywords: bool) -> None:
        self._function = hidden_from_compilers(function)
        self._reads_keywords = reads_keywords
        self.has_kwargs = True

    def __call__(self, module: Any, args: Any, *rest: Any) -> None:
        """torch calls (module, args, kwargs, output), without the output before the pass.

        torch 1.x leaves out the keywords, which only the function that calls has.
        """
        if is_in_one_graph():
            return  # there is no place for a hook, and its refusal would end the training
        if self.has_kwargs:
            self._function(module, args, *rest)
        elif args and not self._reads_keywords:
            self._function(module, args, {}, *rest)
        else:
            self._function(module, args, sys._getframe(1).f_locals.get("kwargs", {}), *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")

    @property
    def __name__(self) -> str:
        """torch.jit.script asks for it, and would then read the hook's source, which it cannot."""
        raise RuntimeError(
            "richd watches this module: call tap.remove() before torch.jit.script, and watch the "
            "model again after it"
        )


def add_hook(module: Any, function: Callable[..., None], reads_keywords: bool = True) -> Any:
    """Call `function(module, args, kwargs, output)` after each forward pass of the module.

    A function that `reads_keywords` only where there are no other arguments may get none beside
    some: with torch 1.x they are costly. Returns torch's handle.
    """
    return _added(module.register_forward_hook, function, reads_keywords)


def add_pre_hook(module: Any, function: Callable[..., None], reads_keywords: bool = True) -> Any:
    """Call `function(module, args, kwargs)` before each forward pass. Returns torch's handle."""
    return _added(module.register_forward_pre_hook, function, reads_keywords)


def _added(register: Callable[..., Any], function: Callable[..., None], reads: bool) -> Any:
    hook = Hook(function, reads)
    try:
        return register(hook, with_kwargs=True)
    except TypeError:  # torch 1.x
        hook.has_kwargs = False
        return register(hook)


def hidden_from_compilers(function: Callable[..., None]) -> Callable[..., None]:
    """The function, marked so that torch.compile leaves it as it is."""
    import torch

    compiler = getattr(torch, "compiler", None)
    dynamo = getattr(torch, "_dynamo", None)
    disable = getattr(compiler, "disable", None) or getattr(dynamo, "disable", None)
    return disable(function) if disable is not None else function
