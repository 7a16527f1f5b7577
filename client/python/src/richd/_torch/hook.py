"""One forward hook on one torch module, and what becomes of it when the module is copied.

The hook runs in the thread that runs the model. `_watch` decides what a hook does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Hook:
    """A forward hook whose copies do nothing.

    A module's copy (an average of its weights, a saved file, a process that is spawned) has copies
    of its hooks. They must not feed the run of the original, so a hook is copied and pickled as a
    function of the standard library that takes anything and returns None: a file that is saved
    while the module is watched can be loaded where richd is not installed.
    """

    def __init__(self, function: Callable[..., None]) -> None:
        self._function = hidden_from_compilers(function)

    def __call__(self, module: Any, *rest: Any) -> None:
        """torch calls (module, args, output), or (module, args, kwargs, output)."""
        self._function(module, *rest)

    def __reduce__(self) -> tuple[Any, ...]:
        return getattr, (contextlib.nullcontext(), "__exit__")

    @property
    def __name__(self) -> str:
        """torch.jit.script asks for it, and would then read the hook's source, which it cannot."""
        raise RuntimeError(
            "richd watches this module: call tap.remove() before torch.jit.script, and watch the "
            "model again after it"
        )


def add_hook(module: Any, function: Callable[..., None]) -> Any:
    """Call `function` after each forward pass of the module. Returns torch's handle."""
    hook = Hook(function)
    try:
        return module.register_forward_hook(hook, with_kwargs=True)
    except TypeError:  # torch 1.x
        return module.register_forward_hook(hook)


def add_pre_hook(module: Any, function: Callable[..., None]) -> Any:
    """Call `function` before each forward pass of the module. Returns torch's handle."""
    return module.register_forward_pre_hook(Hook(function))


def hidden_from_compilers(function: Callable[..., None]) -> Callable[..., None]:
    """The function, marked so that torch.compile leaves it as it is."""
    import torch

    compiler = getattr(torch, "compiler", None)
    dynamo = getattr(torch, "_dynamo", None)
    disable = getattr(compiler, "disable", None) or getattr(dynamo, "disable", None)
    return disable(function) if disable is not None else function
