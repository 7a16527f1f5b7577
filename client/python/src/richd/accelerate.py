"""A tracker for Hugging Face accelerate.

    from richd.accelerate import RichdTracker
    tracker = RichdTracker("wd1-seed0", project="mod97")
    accelerator = Accelerator(log_with=tracker)
    accelerator.init_trackers("mod97", config=vars(args))
    tracker.watch(model, layer="head")

`accelerator.log(values, step=step)` stores the numbers, and measures what was watched since the
last step that was logged. It is called in the training thread.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from richd._init import init
from richd._report import Reporter
from richd._run import Run
from richd._training import check_options, joined, numbers_of

try:
    from accelerate.state import PartialState
    from accelerate.tracking import GeneralTracker
except ImportError as error:
    raise ImportError("richd.accelerate needs accelerate: pip install accelerate") from error


class RichdTracker(GeneralTracker):
    """One run, opened by the first call that needs it.

    The accelerator calls its trackers in the main process alone. So the main process speaks for the
    run, of its own rows, and in the others every call does nothing. With `every_process=True` all
    processes speak for it, and a point is over the rows of all: then call `tracker.log(values,
    step=step)` in each of them, in place of `accelerator.log`.

    `accelerator.register_for_checkpointing(tracker)` keeps the run's id in what `save_state`
    writes: with `load_state` before the first log the same run goes on, in its next attempt. The
    run ends with `accelerator.end_training()`, or with the program.

    Attributes:
        tracker: the `richd.Run`.
    """

    name = "richd"
    requires_logging_directory = False
    main_process_only = False

    def __init__(
        self, run_name: Optional[str] = None, *, every_process: bool = False, **options: Any
    ) -> None:
        """Keep what the run is to be made of: its name, and the other arguments of `richd.init`.

        Raises ValueError, as `init` does, for malformed arguments.
        """
        super().__init__()
        self._options: dict[str, Any] = {**options, "name": run_name}
        self._every_process = every_process
        self._reporter = Reporter("tracker", raise_errors=False)
        self._config: Mapping[str, Any] = {}
        self._run: Optional[Run] = None
        self._measured: Optional[int] = None  # the step of the last checkpoint
        check_options(self._options)

    @property
    def tracker(self) -> Run:
        if self._run is None:
            options = {**self._options, "config": joined(self._config, self._options.get("config"))}
            self._run = init(**{**options, **self._place()})
        return self._run

    def watch(self, model: Any, *arguments: Any, **options: Any) -> Any:
        """`Run.watch` of the run."""
        return self.tracker.watch(model, *arguments, **options)

    def _place(self) -> dict[str, Any]:
        """What makes the run of the main process one of that process alone."""
        if self._every_process:
            return {}
        return {"world_size": 1} if PartialState().is_main_process else {"mode": "disabled"}

    # ---- what the accelerator calls --------------------------------------------------------------

    def store_init_configuration(self, values: Mapping[str, Any]) -> None:
        """The configuration that `init_trackers` was given."""
        self._config = values

    def log(self, values: Mapping[str, Any], step: Optional[int] = None, **_kwargs: Any) -> None:
        """Store those of the values that are numbers, and make the step's checkpoint."""
        self.tracker.log(numbers_of(values), step=step)
        if step is not None and step != self._measured:
            self._measured = step
            self.tracker.checkpoint(step=step)

    def finish(self) -> None:
        """The training has come to its end."""
        if self._run is not None:
            self._run.finish()

    # ---- in the accelerator's checkpoint ---------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The run, as `save_state` keeps it."""
        return {"run_id": self.tracker.id, "name": self.tracker.name}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on with that run, unless another one was asked for by its id."""
        if self._run is not None and self._run.id != state["run_id"]:
            text = f"run {state['run_id']} was found too late: call load_state before the first log"
            self._reporter.warn("state", text, raises=False)
        elif self._options.get("run_id") is None:
            name = self._options.get("name") or state["name"]
            self._options = {**self._options, "run_id": state["run_id"], "name": name}
