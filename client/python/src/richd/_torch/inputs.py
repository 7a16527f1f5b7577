"""One input of a model, by its name, as a hook before the forward pass finds it. Any thread."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from richd._torch.modules import unwrapped


class Input:
    """The input of that name: given by keyword, by position, or in a mapping.

    Attributes:
        names: what the model's forward takes.
        is_sure: whether it takes this one; otherwise a mapping may hold it.
    """

    def __init__(self, model: Any, name: str) -> None:
        parameters = inspect.signature(unwrapped(model).forward).parameters.values()
        kinds = {p.name: p.kind for p in parameters}
        self.names = [k for k, kind in kinds.items() if kind not in _SEVERAL]
        self.is_sure = name in self.names or inspect.Parameter.VAR_KEYWORD in kinds.values()
        self._name = name

    def check(self, option: str) -> None:
        """Raise ValueError where the model has no such input, nor a single one that may hold it."""
        if not self.is_sure and len(self.names) > 1:
            raise ValueError(
                f"the model has no input {self._name!r} for {option}=; it has "
                f"{', '.join(self.names)}"
            )

    def of(self, args: Any, kwargs: Any) -> Any:
        """What a call gave for it; None without."""
        if self._name in kwargs:
            return kwargs[self._name]
        if self._name in self.names and self.names.index(self._name) < len(args):
            return args[self.names.index(self._name)]
        batches = [value for value in (*args, *kwargs.values()) if isinstance(value, Mapping)]
        return next((batch[self._name] for batch in batches if self._name in batch), None)


_SEVERAL = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
