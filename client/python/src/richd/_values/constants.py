"""What holds for a whole run and has no step: `run.config` and `run.summary`.

A mapping of what this process said, and the way to say more. Any thread. `_run` sends what is said;
the daemon merges it by name, and keeps it over attempts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


class Constants(Mapping[str, Any]):
    """Named values of a run, as wandb and trackio have them: `update`, or one by its name.

        run.config.update({"lr": 1e-3}, seed=0)
        run.summary["best_acc"] = 0.93
        run.summary(best_acc=0.93, best_step=4000)

    Values are stored as JSON, as `init` stores its config. A name that was said before gets the new
    value; the others stay, over attempts too. Nothing raises unless the run raises errors. Reading
    gives what this process said, and not what earlier attempts did.
    """

    def __init__(self, say: Callable[[Any, Mapping[str, Any]], None], said: dict[str, Any]) -> None:
        self._say = say
        self._said = said

    def update(self, values: Any = None, /, **fields: Any) -> None:
        """Say values: a mapping, or an object with fields, and keywords. Never waits."""
        self._say(values, fields)

    __call__ = update

    def __setitem__(self, name: str, value: Any) -> None:
        self.update({name: value})

    def __getitem__(self, name: str) -> Any:
        return self._said[name]

    def __iter__(self) -> Iterator[str]:
        return iter(dict(self._said))

    def __len__(self) -> int:
        return len(self._said)

    def __repr__(self) -> str:
        return repr(self._said)
