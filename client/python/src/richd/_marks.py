"""The part of a run that has it measured: checkpoints, their answers, and who hears of the points.

Called by the training thread, or several of them. `_watcher` brings what was watched, `_intake`
sends; a checkpoint's message is put together here.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Optional

from richd import _reading
from richd._guard import guarded
from richd._keywords import forgiving
from richd._link import feed as _feed
from richd._link.listener import Listener
from richd._link.outbox import Control
from richd._mirrors import Mirror
from richd._torch import reported as _reported
from richd._torch.watcher import Watcher
from richd._values import clean as _clean
from richd._values.point import Point
from richd._values.steps import Steps


class Marker(Watcher):
    """What `Run` is made of beside its own life: what it watches, and when it is measured."""

    _find_feed: _feed.Find
    _steps: Steps
    _open_fields: dict[str, Any]

    def __init__(self, share: float) -> None:
        super().__init__(share)
        self._mirrors: Sequence[Mirror] = ()

    @property
    def id(self) -> str:
        """The run's id."""
        raise NotImplementedError

    @property
    def world_size(self) -> int:
        """How many processes speak for the run."""
        raise NotImplementedError

    @property
    def _step(self) -> int:
        return self._steps.last

    @forgiving
    def checkpoint(
        self,
        step: Optional[int] = None,
        wait: bool = False,
        timeout: float = 5.0,
        spectrum: bool = False,
        metrics: Optional[Mapping[str, Any]] = None,
    ) -> Optional[dict[str, Point]]:
        """Have the daemon measure what was offered so far, and store it under `step`.

        `step` is an integer from 0 to 2^53 - 1, the last one given when left out (or the next,
        where that has a checkpoint). With `wait`, it returns {layer: Point} when the points are on
        the daemon's disk, which takes as long as the daemon's queue. After `timeout` seconds, or at
        once while the daemon is known to be away, it returns an empty dict. Without `wait`, it
        returns None immediately. The mark survives the daemon's restart.

        With `spectrum`, the features are decomposed as well (`richd.Spectrum`), which costs the
        daemon about 6 p^3 operations; `point.spectrum` has the result. Of more than 2,048 features
        nobody waits for it: it is None, and the flag no_spectrum is set, until it is there.

        `metrics` are measures of the whole network that only the trainer can compute, by name:
        param_norm, param_change, ntk_distance, ntk_alignment. They go into the point of every
        layer, in place of those that `watch` computes. A value that is not finite is stored as
        null.
        """
        control = self._mark(step, spectrum, metrics, wait)
        if control is not None:
            self._unread.append(control)
        if not wait:
            return None
        return self._points_of(control, timeout) or {}

    @guarded(name="checkpoint")
    def _mark(
        self,
        step: Optional[int],
        spectrum: bool,
        given: Optional[Mapping[str, Any]],
        wait: bool,
    ) -> Optional[Control]:
        self._warn_of_idle_taps()
        self._offer_waiting()
        step = self._steps.of_mark(step)
        self._send_reduced(step)
        self._send_drawn()
        if self._intake.is_empty and self.world_size == 1:  # else the others wait for it
            return None
        self._steps.is_marked = True
        self._look_for_trackers()
        metrics, reported, started = {}, {}, None
        if self.rank == 0:  # the network is the same on all
            computed = {**self._measure_parameters(), **self._measure_tangent()}
            metrics = {name: _clean.number(value) for name, value in computed.items()}
            reported = self._check_metrics(given or {})
            metrics.update(reported)
            started = self._start_parameters()
        self._send_heads(step, wait)
        mark = self._steps.stamp(step)

        def fields() -> dict[str, Any]:
            asked: dict[str, Any] = {"spectrum": True} if spectrum else {}
            if metrics:
                asked["metrics"] = metrics
            return {**mark, **asked, "layers": self._intake.marks()}

        if started is None:
            return self._intake.put_control("checkpoint", fields)

        asked = started

        def late() -> dict[str, Any]:
            values = {**metrics, **self._arrived(asked), **reported}
            return {"metrics": values} if values else {}

        return self._intake.put_control("checkpoint", fields, late=late)

    def _arrived(self, started: Callable[[], dict[str, float]]) -> dict[str, Any]:
        """The measures that a device was asked for. Called by the sender, which waits for them."""
        try:
            return {name: _clean.number(value) for name, value in started().items()}
        except Exception as error:
            self._reporter.warn("parameters", f"parameters: {error!r}", raises=False)
            return {}

    @guarded(name="checkpoint")
    def _send_heads(self, step: int, wait: bool) -> None:
        """A window that goes on is measured at every checkpoint, and needs its heads each time."""
        keep = self._open_fields["window"]["kind"] != "checkpoint"
        self._intake.put_heads(step, keep, wait, send=self.rank == 0)

    @guarded(fallback=dict, name="metrics")
    def _check_metrics(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """The measures of the trainer. A wrong one is left out, and the checkpoint goes on."""
        return _reported.check(given)

    @guarded(name="checkpoint")
    def _points_of(self, control: Optional[Control], timeout: float) -> Optional[dict[str, Point]]:
        if control is None:
            return None
        sender = self._sender
        if not sender.wait_for(control, timeout):
            if not sender.absent and not sender.stopped and not control.done:
                self._reporter.warn("wait", f"no answer to a checkpoint within {timeout:g} s")
            return None
        fetch = functools.partial(_reading.fetch_spectrum, self._find_feed, self.id)
        points = [Point.from_json(f).with_fetch(fetch) for f in control.points or ()]
        return {point.layer: point for point in points}

    def on_point(self, callback: Callable[[Point], Any]) -> Callable[[Point], Any]:
        """Have `callback(point)` called with each point that the daemon has stored from now on.

        It runs in a thread of its own, in the order of the checkpoints, also of those without
        `wait`; the training never waits for it. Up to 1,024 points wait for a slow one, more are
        dropped. An exception costs a warning, once. `finish` gives it what is left of its 2 s.
        Returns `callback`, so that it can stand above a function as `@run.on_point`.
        """
        self._listen(callback)
        return callback

    def mirror(self, mirrors: Sequence[Mirror]) -> None:
        """Have these written to as well. Called by `init`."""
        self._mirrors = mirrors
        self._look_for_trackers()
        for one in mirrors:
            self._listen(one, one.name, one.close)

    @guarded(name="mirror")
    def _look_for_trackers(self) -> None:
        for one in self._mirrors:
            one.look()

    @guarded(name="on_point")
    def _listen(
        self,
        callback: Callable[[Point], Any],
        name: Optional[str] = None,
        at_end: Optional[Callable[[], Any]] = None,
    ) -> None:
        """`name` is for warnings; `at_end` is called after the last point."""
        fetch = functools.partial(_reading.fetch_spectrum, self._find_feed, self.id)  # holds no run
        name = name or f"on_point({getattr(callback, '__qualname__', repr(callback))})"

        def call(fields: dict[str, Any]) -> None:
            callback(Point.from_json(fields).with_fetch(fetch))

        self._sender.listeners.append(Listener(name, call, self._reporter, at_end))
