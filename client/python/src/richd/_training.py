"""The run of a training that a framework drives: what its callbacks share.

Called by the training thread, from hooks of the framework. A callback translates the hooks into
these calls; here is decided what becomes of them. No call raises, as that would end the training.
"""

from __future__ import annotations

import functools
import math
import multiprocessing
import os
from collections.abc import Callable, Mapping
from typing import Any, Optional, TypeVar, cast

from richd._init import init
from richd._report import Reporter, logger
from richd._run import Run
from richd._values import clean as _clean

F = TypeVar("F", bound=Callable[..., Any])


def harmless(method: F) -> F:
    """A method of Training that warns where it would raise, once for each text."""

    @functools.wraps(method)
    def call(self: Training, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except Exception as error:
            if self.raises:
                raise
            text = f"{method.__name__}: {type(error).__name__}: {error}"
            self._reporter.warn(text, text, raises=False)
            return None

    return cast(F, call)


def check_options(options: Mapping[str, Any]) -> None:
    """Raise what `init` raises for malformed arguments, and open no run."""
    is_on = options.get("mode") in (None, "online")
    init(**{**options, "mode": "disabled"} if is_on else options)


def joined(config: Mapping[str, Any], own: Any) -> Any:
    """A framework's configuration with the user's own in it, which counts before it."""
    if own is None or isinstance(own, Mapping):
        return {**config, **(own or {})}
    return own


class Training:
    """One run, from the begin of a training to its end.

    The steps are the optimizer's. At each `every`-th one a checkpoint is due, and after each
    evaluation; it is made when the next step begins, so that it has the rows of both.

    Attributes:
        run: the run; None before the training began, and where another process speaks for it.
        raises: whether a call may raise, as `init(raise_errors=True)` asks.
    """

    def __init__(
        self, watch: Mapping[str, Any], every: Optional[int], options: Mapping[str, Any]
    ) -> None:
        """Keep what the run is to be made of.

        Arguments:
            watch: the arguments of `Run.watch`. Without `layer` and `layers` it is the last
                torch.nn.Linear of the model.
            every: steps between checkpoints; None: as `begin` says.
            options: the arguments of `richd.init`.

        Raises ValueError, as `init` does, for malformed arguments.
        """
        if every is not None and every < 1:
            raise ValueError(f"every is a number of steps from 1 on, not {every!r}")
        self.run: Optional[Run] = None
        self.raises = bool(options.get("raise_errors"))
        self._watch_options = {k: v for k, v in watch.items() if v is not None}
        self._given_every = every
        self._options = {k: v for k, v in options.items() if v is not None}
        self._every = every or 1
        self._step = 0
        self._is_due = False
        self._is_over = False
        self._tap: Any = None
        self._stored: Mapping[str, Any] = {}  # of a checkpoint: the run to go on with
        self._latest: Mapping[str, Any] = {}  # the run, or the one that was finished
        self._reporter = Reporter("callback", raise_errors=False)
        check_options(self._options)

    # ---- its begin -------------------------------------------------------------------------------

    @harmless
    def begin(
        self, model: Any, step: int, every: int, found: Mapping[str, Any], config: Mapping[str, Any]
    ) -> None:
        """Open the run and watch the model.

        Arguments:
            model: a torch.nn.Module.
            step: the optimizer's steps so far; more than 0 where a training goes on.
            every: steps between checkpoints, unless the user said so.
            found: arguments of `init` that the framework knows; the user's own count before them.
            config: what the framework knows of the training; the user's own counts before it.
        """
        stored = self._stored or (self._latest if step > 0 else {})
        self.finish()
        if stored and not os.environ.get("RICHD_RUN_ID"):
            found = {**found, **stored}
        options: dict[str, Any] = {**found, **self._options}
        options["config"] = joined(config, self._options.get("config"))
        self._stored = {}
        self._every = self._given_every or max(1, every)
        self._step = step
        self._is_due = self._is_over = False
        self.run = init(**options)
        self._latest = {"run_id": self.run.id, "name": self.run.name}
        self.run.log({}, step=step)  # the rows' first step
        self._watch(model)

    @harmless
    def _watch(self, model: Any) -> None:
        options = dict(self._watch_options)
        if not options.keys() & {"layer", "layers", "module"}:
            options["layer"] = find_logits(model)
            logger.info("richd watches %s", options["layer"])
        assert self.run is not None
        self._tap = self.run.watch(model, **options)

    # ---- its steps -------------------------------------------------------------------------------

    @harmless
    def advance(self, step: int) -> bool:
        """Tell how many steps the optimizer has made. True where the step's values are due."""
        if self.run is None or step == self._step:
            return False
        is_due = step // self._every > self._step // self._every
        self._is_due |= is_due
        self._step = step
        self.run.log({}, step=step)  # rows say at which step they were seen
        return is_due

    def note_evaluation(self) -> None:
        """Its rows are to be measured at the step that was reached."""
        self._is_due = self.run is not None and not self._is_over

    @harmless
    def flush(self) -> None:
        """Make the checkpoint that is due."""
        if self._is_due and self.run is not None:
            self._is_due = False
            self.run.checkpoint(step=self._step)

    @harmless
    def log(self, values: Mapping[str, Any]) -> None:
        """Store those of the values that are numbers, under the framework's names."""
        if self.run is not None:
            self.run.log(numbers_of(values), step=self._step)

    # ---- its end ---------------------------------------------------------------------------------

    @harmless
    def end(self) -> None:
        """The training has come to its end: measure what is left, and watch no longer.

        The run stays open for what is logged of it afterwards, until the program or `finish` ends
        it. A process that was made for the training ends without a word, so there it is finished.
        """
        self._is_due = self.run is not None
        self.flush()
        self._is_over = True
        if self._tap is not None:
            self._tap.remove()
            self._tap = None
        if multiprocessing.parent_process() is not None:
            self.finish()

    @harmless
    def finish(self) -> None:
        """End the run: it has failed when its training had not come to its end."""
        if self.run is not None:
            self.run.finish("finished" if self._is_over else "failed")
            self.run = self._tap = None

    # ---- found again in the framework's checkpoint -----------------------------------------------

    def state(self) -> dict[str, Any]:
        """What a checkpoint of the framework keeps, so that `restore` finds the run again."""
        return dict(self._latest)

    def restore(self, state: Mapping[str, Any]) -> None:
        """The next `begin` goes on with that run, in an attempt of its own."""
        self._stored = state if state.get("run_id") and state.get("name") else {}


class Keeper:
    """What the frameworks' callbacks have in common: the run that their training made."""

    _training: Training

    @property
    def run(self) -> Optional[Run]:
        """The run; None before the training began."""
        return self._training.run

    def finish(self) -> None:
        """End the run now; the next training opens another one."""
        self._training.finish()


def find_logits(model: Any) -> str:
    """The path of the module that gives the logits: a model's output embeddings where it has them,
    else its last torch.nn.Linear; "head" without one.
    """
    import torch

    linear = [(name, m) for name, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    embeddings = getattr(model, "get_output_embeddings", None)
    head = embeddings() if callable(embeddings) else None
    named = [name for name, module in linear if module is head]
    return (named or [name for name, _ in linear] or ["head"])[-1]


def numbers_of(values: Mapping[str, Any]) -> dict[str, float]:
    """Those of the values that are numbers; text, None and whatever else there is are left out."""
    numbers = {}
    for name, value in values.items():
        try:
            number = _clean.number(value)
        except (TypeError, ValueError):
            continue
        numbers[name] = math.nan if number is None else number
    return numbers
